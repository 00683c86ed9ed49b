//! Numbers of the service. Labels are closed sets of words: what belongs to one session is in its view and its
//! traces, never in a label.
pub mod live;

use live::LiveMetrics;
use media_types::{ErrorClass, MediaTime};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Metric;
use service_kit::Metrics as Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// One label with its value.
type Label = [(&'static str, &'static str); 1];
/// Counts seconds with their fraction.
type Seconds = Counter<f64, AtomicU64>;

/// Upper bounds of the round trip, in milliseconds: fine around a good answer, up to the hard budget and beyond.
const RTT_BUCKETS_MS: [f64; 14] = [
    25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 750.0, 1000.0, 2000.0, 4000.0, 6000.0, 8000.0, 12_000.0, 20_000.0,
];

/// A queue between two tasks.
#[derive(Clone, Copy, Debug)]
pub enum Queue {
    /// From the reader of a stream to its session.
    Mailbox,
    /// From a session to the writer of its stream.
    Responses,
}

impl Queue {
    const fn label(self) -> Label {
        match self {
            Self::Mailbox => [("queue", "mailbox")],
            Self::Responses => [("queue", "responses")],
        }
    }
}

/// Way of the audio, seen from here.
#[derive(Clone, Copy, Debug)]
pub enum Direction {
    /// Source speech.
    In,
    /// Dubbed speech.
    Out,
}

/// What became of a fragment here.
#[derive(Clone, Copy, Debug)]
pub enum FragmentStatus {
    /// Answered.
    Delivered,
    /// Not answered.
    Failed,
    /// Sent again under a number that is known; not dubbed twice.
    Duplicate,
}

/// All of them; clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Of providers that have connections of their own.
    pub live: LiveMetrics,
    sessions_active: Gauge,
    sessions: Family<Label, Counter>,
    fragments: Family<Label, Counter>,
    provider_rtt_ms: Histogram,
    audio_seconds: Family<Label, Seconds>,
    errors: Family<Label, Counter>,
    repairs: Counter,
    retries: Counter,
    late_answers: Counter,
    soft_budget_exceeded: Counter,
    queue_pushed: Family<Label, Counter>,
    queue_popped: Family<Label, Counter>,
}

impl Metrics {
    /// Registers everything. Series that a reader will ask for before the first event begin at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let r = registry;
        let rtt = Histogram::new(RTT_BUCKETS_MS);
        let new = Self {
            live: LiveMetrics::register(r),
            sessions_active: add(r, "sessions_active", "Sessions that are open", Gauge::default()),
            sessions: counters(r, "sessions", "Sessions that ended or were refused, by outcome"),
            fragments: counters(r, "fragments", "Fragments settled, by status"),
            provider_rtt_ms: add(
                r,
                "provider_rtt_ms",
                "From handing a fragment over to its answer, in ms",
                rtt,
            ),
            audio_seconds: add(
                r,
                "audio_seconds",
                "Speech in and out, in seconds",
                Family::default(),
            ),
            errors: counters(r, "errors", "Fragments failed, by the class of the error"),
            repairs: counter(
                r,
                "repairs",
                "Answers that were trimmed, padded, converted or limited",
            ),
            retries: counter(r, "retries", "Fragments handed to the provider again"),
            late_answers: counter(
                r,
                "late_answers",
                "Answers to fragments that were settled already",
            ),
            soft_budget_exceeded: counter(
                r,
                "soft_budget_exceeded",
                "Fragments not answered in the soft budget",
            ),
            queue_pushed: counters(r, "queue_pushed", "Messages put into a queue"),
            queue_popped: counters(r, "queue_popped", "Messages taken from a queue"),
        };
        for status in ["delivered", "failed", "duplicate"] {
            drop(new.fragments.get_or_create(&[("status", status)]));
        }
        for class in ErrorClass::ALL {
            drop(new.errors.get_or_create(&[("error_class", class.as_str())]));
        }
        new
    }

    /// A session is open.
    pub fn session_opened(&self) {
        self.sessions_active.inc();
    }

    /// An open session is over.
    pub fn session_ended(&self, outcome: &'static str) {
        self.sessions_active.dec();
        self.sessions.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A stream never became a session.
    pub fn session_refused(&self) {
        self.sessions.get_or_create(&[("outcome", "refused")]).inc();
    }

    /// A fragment is settled.
    pub fn fragment(&self, status: FragmentStatus) {
        let status = match status {
            FragmentStatus::Delivered => "delivered",
            FragmentStatus::Failed => "failed",
            FragmentStatus::Duplicate => "duplicate",
        };
        self.fragments.get_or_create(&[("status", status)]).inc();
    }

    /// A fragment failed.
    pub fn error(&self, class: ErrorClass) {
        self.errors
            .get_or_create(&[("error_class", class.as_str())])
            .inc();
    }

    /// The provider answered.
    pub fn round_trip(&self, time: Duration) {
        self.provider_rtt_ms.observe(time.as_secs_f64() * 1000.0);
    }

    /// Speech went by.
    pub fn audio(&self, direction: Direction, length: MediaTime) {
        let direction = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        self.audio_seconds
            .get_or_create(&[("direction", direction)])
            .inc_by(length.to_duration().as_secs_f64());
    }

    /// An answer had to be changed to fit.
    pub fn repaired(&self) {
        self.repairs.inc();
    }

    /// A fragment is tried again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// An answer came to a fragment that is settled.
    pub fn late_answer(&self) {
        self.late_answers.inc();
    }

    /// A fragment has waited longer than the soft budget.
    pub fn soft_budget_exceeded(&self) {
        self.soft_budget_exceeded.inc();
    }

    /// A message went into a queue.
    pub fn pushed(&self, queue: Queue) {
        self.queue_pushed.get_or_create(&queue.label()).inc();
    }

    /// A message left a queue.
    pub fn popped(&self, queue: Queue) {
        self.queue_popped.get_or_create(&queue.label()).inc();
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(format!("dubber_{name}"), help, metric.clone());
    metric
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    add(registry, name, help, Counter::default())
}

fn counters(registry: &mut Registry, name: &str, help: &str) -> Family<Label, Counter> {
    add(registry, name, help, Family::default())
}
