//! The trace of a stream's start: hook, orchestrator, worker.
use dub_proto::media::v1 as wire;
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use service_kit::trace;

/// Opens the span `stream start` under `parent`. It ends when the last clone of the context is dropped.
pub fn begin(parent: &Context, stream_id: &str, source_id: &str, cause: &str) -> Context {
    let tracer = trace::tracer();
    let span = tracer
        .span_builder("stream start")
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("stream_id", stream_id.to_owned()),
            KeyValue::new("source_id", source_id.to_owned()),
            KeyValue::new("request_id", cause.to_owned()),
        ])
        .start_with_context(&tracer, parent);
    parent.with_span(span)
}

/// As it travels to the worker.
pub fn to_wire(context: &Context) -> wire::TraceContext {
    let trace::TraceContext {
        traceparent,
        tracestate,
    } = trace::inject(context);
    wire::TraceContext {
        traceparent,
        tracestate,
    }
}
