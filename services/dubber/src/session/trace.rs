//! The spans of one fragment: `process dub.fragment` from its first audio to its emission, and inside it one
//! `generate_content` for each call of the provider. Neither audio nor words are in them.
use super::Identity;
use crate::provider::ProviderError;
use media_types::FragmentSeq;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use service_kit::trace::{self, TraceContext};
use std::time::{Duration, SystemTime};

/// Who is called.
#[derive(Clone, Copy, Debug)]
pub struct Callee<'a> {
    /// Provider, in the words of the conventions where they have one.
    pub provider: &'a str,
    /// Model, where the provider has several.
    pub model: Option<&'a str>,
}

impl<'a> Callee<'a> {
    /// A provider that is its own model.
    pub const fn of(provider: &'a str) -> Self {
        Self {
            provider,
            model: None,
        }
    }
}

/// The spans of one fragment; what is still open when it is dropped ends there.
#[derive(Debug, Default)]
pub struct FragmentTrace {
    // The consumer span as the current one of its context.
    fragment: Context,
    call: Option<Context>,
}

impl FragmentTrace {
    /// Opens the consumer span, begun `ago`, under the sender's context; `run` is the trace of the run's start.
    pub fn begin(
        who: &Identity,
        seq: FragmentSeq,
        parent: &TraceContext,
        run: &SpanContext,
        ago: Duration,
    ) -> Self {
        let tracer = trace::tracer();
        let parent = trace::extract(parent);
        let mut builder = tracer
            .span_builder("process dub.fragment")
            .with_kind(SpanKind::Consumer)
            .with_start_time(SystemTime::now() - ago)
            .with_attributes(identity(who, seq));
        if run.is_valid() {
            builder = builder.with_links(vec![Link::new(run.clone(), Vec::new(), 0)]);
        }
        let span = builder.start_with_context(&tracer, &parent);
        Self {
            fragment: parent.with_span(span),
            call: None,
        }
    }

    /// The fragment went to the provider.
    pub fn call_began(&mut self, who: &Identity, seq: FragmentSeq, callee: &Callee<'_>) {
        let tracer = trace::tracer();
        let mut attributes = identity(who, seq);
        attributes.push(KeyValue::new("gen_ai.operation.name", "generate_content"));
        attributes.push(KeyValue::new("gen_ai.provider.name", callee.provider.to_owned()));
        attributes.push(KeyValue::new("gen_ai.output.type", "speech"));
        if let Some(model) = callee.model {
            attributes.push(KeyValue::new("gen_ai.request.model", model.to_owned()));
            attributes.push(KeyValue::new("gen_ai.request.stream", true));
            attributes.push(KeyValue::new("gen_ai.conversation.id", who.session_id.clone()));
        }
        let name = callee.model.unwrap_or(callee.provider);
        let span = tracer
            .span_builder(format!("generate_content {name}"))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
            .start_with_context(&tracer, &self.fragment);
        self.call = Some(self.fragment.with_span(span));
    }

    /// Notes figures of the call; no words.
    pub fn call_note(&self, figures: impl IntoIterator<Item = KeyValue>) {
        if let Some(call) = &self.call {
            call.span().set_attributes(figures);
        }
    }

    /// The provider is done with the fragment, one way or the other.
    pub fn call_ended(&mut self, error: Option<&ProviderError>) {
        if let Some(call) = self.call.take() {
            end(&call, error);
        }
    }

    /// The settlement left.
    pub fn end(mut self, error: Option<&ProviderError>) {
        self.call_ended(error);
        end(&self.fragment, error);
    }

    /// The context of the consumer span, for the log.
    pub const fn context(&self) -> &Context {
        &self.fragment
    }
}

fn identity(who: &Identity, seq: FragmentSeq) -> Vec<KeyValue> {
    vec![
        KeyValue::new("dub.fragment.seq", i64::try_from(seq.0).unwrap_or(i64::MAX)),
        KeyValue::new("dub.stream.id", who.stream_id.to_string()),
        KeyValue::new("dub.run.id", who.run_id.to_string()),
        KeyValue::new("dub.session.id", who.session_id.clone()),
    ]
}

fn end(context: &Context, error: Option<&ProviderError>) {
    let span = context.span();
    if let Some(error) = error {
        span.set_attribute(KeyValue::new("error.type", error.class.as_str()));
        span.set_attribute(KeyValue::new("dub.error.stage", error.stage));
        span.set_status(Status::error(error.message.clone()));
    }
    span.end();
}
