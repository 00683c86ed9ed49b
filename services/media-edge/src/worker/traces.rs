//! One trace per fragment, from the arrival of its first sample to the air, with a link to the trace of the start.
//! Stages are known only after the fact, so spans are made with explicit times.
use media_types::{Fate, FragmentSeq, Reason, Tick};
use opentelemetry::{
    Context, ContextGuard, KeyValue,
    global::BoxedSpan,
    trace::{Link, Span, SpanKind, Status, TraceContextExt, Tracer},
};
use service_kit::{
    clock::Clock,
    telemetry::trace::{TraceContext, extract, inject, tracer},
};
use std::{collections::BTreeMap, time::SystemTime};

/// Fragments that are followed at once at most: a minute of hold in the shortest fragments.
const OPEN_MAX: usize = 256;

struct Trace {
    /// Holds the root span; ends with the air.
    root: Context,
    /// Holds the span of the call to the dubber; ends with the settlement.
    hop: Option<Context>,
    offered: Tick,
    sent: bool,
    placed: Option<Tick>,
    /// A phrase in it has been found its dub.
    phrase_placed: bool,
    on_air: Option<Tick>,
    mixed: Option<Tick>,
}

/// Traces of the fragments that have not aired.
pub struct FragmentTraces {
    clock: Clock,
    start: Context,
    attributes: Vec<KeyValue>,
    open: BTreeMap<FragmentSeq, Trace>,
}

impl FragmentTraces {
    /// `start` is the trace context of the start of the run.
    pub fn new(clock: Clock, start: &TraceContext, stream_id: &str, run_id: &str, epoch: u32) -> Self {
        let attributes = vec![
            KeyValue::new("dub.stream.id", stream_id.to_owned()),
            KeyValue::new("dub.run.id", run_id.to_owned()),
            KeyValue::new("dub.epoch", i64::from(epoch)),
        ];
        Self {
            clock,
            start: extract(start),
            attributes,
            open: BTreeMap::new(),
        }
    }

    fn wall(&self, at: Tick) -> SystemTime {
        self.clock.wall(at.nanos())
    }

    /// A fragment begins and is offered to the dubber; what the message to the dubber carries is returned.
    pub fn begin(&mut self, now: Tick, seq: FragmentSeq, start_ms: i64) -> TraceContext {
        let tracer = tracer();
        let mut attributes = self.attributes.clone();
        attributes.push(KeyValue::new(
            "dub.fragment.seq",
            i64::try_from(seq.0).unwrap_or(i64::MAX),
        ));
        attributes.push(KeyValue::new("dub.fragment.start_ms", start_ms));
        let started = self.start.span().span_context().clone();
        let links = if started.is_valid() {
            vec![Link::with_context(started)]
        } else {
            Vec::new()
        };
        let root = tracer
            .span_builder("fragment")
            .with_kind(SpanKind::Producer)
            .with_start_time(self.wall(now))
            .with_attributes(attributes)
            .with_links(links)
            .start_with_context(&tracer, &Context::new());
        let root = Context::new().with_span(root);
        let hop = tracer
            .span_builder("hop")
            .with_kind(SpanKind::Client)
            .with_start_time(self.wall(now))
            .start_with_context(&tracer, &root);
        let hop = root.with_span(hop);
        let carried = inject(&hop);
        if self.open.len() >= OPEN_MAX {
            self.open.pop_first();
        }
        let trace = Trace {
            root,
            hop: Some(hop),
            offered: now,
            sent: false,
            placed: None,
            phrase_placed: false,
            on_air: None,
            mixed: None,
        };
        self.open.insert(seq, trace);
        carried
    }

    fn stage(&self, root: &Context, name: &'static str, from: Tick, to: Tick) -> BoxedSpan {
        let tracer = tracer();
        let mut span = tracer
            .span_builder(name)
            .with_start_time(self.wall(from))
            .start_with_context(&tracer, root);
        span.end_with_timestamp(self.wall(to));
        span
    }

    /// Log lines carry the trace of this fragment while what is returned lives.
    pub fn inside(&self, seq: FragmentSeq) -> Option<ContextGuard> {
        self.open.get(&seq).map(|trace| trace.root.clone().attach())
    }

    /// The first message of a fragment has left the queue.
    pub fn sent(&mut self, now: Tick, seq: FragmentSeq) {
        let Some(mut trace) = self.open.remove(&seq) else {
            return;
        };
        if !std::mem::replace(&mut trace.sent, true) {
            self.stage(&trace.root, "queue", trace.offered, now);
        }
        self.open.insert(seq, trace);
    }

    /// The dubber has settled a fragment, or will not.
    pub fn settled(&mut self, now: Tick, seq: FragmentSeq, error: Option<&str>) {
        let end = self.wall(now);
        if let Some(hop) = self.open.get_mut(&seq).and_then(|trace| trace.hop.take()) {
            if let Some(error) = error {
                hop.span().set_status(Status::error(error.to_owned()));
            }
            hop.span().end_with_timestamp(end);
        }
    }

    /// Speech of a fragment came at `arrived` and has its place `now`.
    pub fn placed(&mut self, arrived: Tick, now: Tick, seq: FragmentSeq) {
        let Some(mut trace) = self.open.remove(&seq) else {
            return;
        };
        self.stage(&trace.root, "placement", arrived, now);
        trace.placed = Some(now);
        self.open.insert(seq, trace);
    }

    /// A phrase that the fragment has a part of airs with its dub: `now` that is final.
    pub fn phrase_placed(&mut self, now: Tick, seq: FragmentSeq) {
        let Some(trace) = self.open.get_mut(&seq) else {
            return;
        };
        if !std::mem::replace(&mut trace.phrase_placed, true) {
            let root = trace.root.clone();
            self.stage(&root, "placement", now, now);
        }
    }

    /// Fragments whose first sample airs now: the hold is over.
    pub fn on_air(&mut self, now: Tick, seq: FragmentSeq) {
        let Some(mut trace) = self.open.remove(&seq) else {
            return;
        };
        self.stage(&trace.root, "hold", trace.placed.unwrap_or(trace.offered), now);
        trace.on_air = Some(now);
        self.open.insert(seq, trace);
    }

    /// The last sample of a fragment is mixed.
    pub fn mixed(&mut self, now: Tick, seq: FragmentSeq, fate: Fate, reason: Option<Reason>) {
        let inside = self.inside(seq);
        tracing::debug!(fragment = %seq, fate = fate.as_str(), ?reason, "fragment aired");
        drop(inside);
        let Some(mut trace) = self.open.remove(&seq) else {
            return;
        };
        self.stage(&trace.root, "mix", trace.on_air.unwrap_or(now), now);
        trace
            .root
            .span()
            .set_attribute(KeyValue::new("dub.fate", fate.as_str()));
        if let Some(reason) = reason {
            trace
                .root
                .span()
                .set_attribute(KeyValue::new("dub.reason", reason.as_str()));
        }
        trace.mixed = Some(now);
        self.open.insert(seq, trace);
    }

    /// Everything mixed so far has gone to the output: those traces are complete.
    pub fn published(&mut self, now: Tick) {
        let done: Vec<FragmentSeq> = self
            .open
            .iter()
            .filter(|(_, trace)| trace.mixed.is_some())
            .map(|(seq, _)| *seq)
            .collect();
        for seq in done {
            if let Some(trace) = self.open.remove(&seq) {
                self.stage(&trace.root, "publish", trace.mixed.unwrap_or(now), now);
                if let Some(hop) = trace.hop {
                    hop.span().end_with_timestamp(self.wall(now));
                }
                trace.root.span().end_with_timestamp(self.wall(now));
            }
        }
    }
}
