//! Numbers of the service. Labels are closed sets of words: what belongs to one session is in its view and its
//! traces, never in a label.
use media_types::{ErrorClass, MediaTime};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
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
        let new = Self {
            sessions_active: Gauge::default(),
            sessions: Family::default(),
            fragments: Family::default(),
            provider_rtt_ms: Histogram::new(RTT_BUCKETS_MS),
            audio_seconds: Family::default(),
            errors: Family::default(),
            repairs: Counter::default(),
            retries: Counter::default(),
            late_answers: Counter::default(),
            soft_budget_exceeded: Counter::default(),
            queue_pushed: Family::default(),
            queue_popped: Family::default(),
        };
        let m = &new;
        let r = registry;
        r.register(
            "dubber_sessions_active",
            "Sessions that are open",
            m.sessions_active.clone(),
        );
        r.register(
            "dubber_sessions",
            "Sessions that ended or were refused, by outcome",
            m.sessions.clone(),
        );
        r.register(
            "dubber_fragments",
            "Fragments settled, by status",
            m.fragments.clone(),
        );
        r.register(
            "dubber_provider_rtt_ms",
            "From handing a fragment to the provider to its answer, in milliseconds",
            m.provider_rtt_ms.clone(),
        );
        r.register(
            "dubber_audio_seconds",
            "Speech in and out, in seconds",
            m.audio_seconds.clone(),
        );
        r.register(
            "dubber_errors",
            "Fragments failed, by the class of the error",
            m.errors.clone(),
        );
        r.register(
            "dubber_repairs",
            "Answers that were trimmed, padded, converted or limited",
            m.repairs.clone(),
        );
        r.register(
            "dubber_retries",
            "Fragments handed to the provider again",
            m.retries.clone(),
        );
        r.register(
            "dubber_late_answers",
            "Answers to fragments that were settled already",
            m.late_answers.clone(),
        );
        r.register(
            "dubber_soft_budget_exceeded",
            "Fragments not answered within the soft budget",
            m.soft_budget_exceeded.clone(),
        );
        r.register(
            "dubber_queue_pushed",
            "Messages put into a queue",
            m.queue_pushed.clone(),
        );
        r.register(
            "dubber_queue_popped",
            "Messages taken from a queue",
            m.queue_popped.clone(),
        );
        for status in ["delivered", "failed", "duplicate"] {
            drop(m.fragments.get_or_create(&[("status", status)]));
        }
        for class in ErrorClass::ALL {
            drop(m.errors.get_or_create(&[("error_class", class.as_str())]));
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
