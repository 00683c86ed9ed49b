//! What happens at the provider, told: to the log, to the worker, to the numbers.
//!
//! One incident is one alert: it begins with the first failure and ends with the next word that the model says. What
//! follows in between is counted and told quietly. Words of the server are in none of it: they may repeat a key.
use super::Live;
use crate::resample::ResampleError;
use crate::session::{Identity, reply};
use dub_proto::dub::v1::EventKind;
use gemini_live::{Ending, Fault};
use gemini_session::{BreakerState, Cause, ConnectionId, Event};
use media_types::{ErrorClass, FragmentSeq};
use std::collections::BTreeSet;
use std::time::Duration;

/// Paths that a session remembers; a server that invents a new one every time is told of only so often.
const UNKNOWN_MAX: usize = 256;

/// Longest path that is told, in bytes: keys are the server's own, and may be of any length.
const PATH_BYTES_MAX: usize = 120;

macro_rules! tell {
    ($level:ident, $who:expr, $($rest:tt)*) => {{
        let Identity { session_id, stream_id, run_id, .. } = $who;
        tracing::$level!(%session_id, %stream_id, %run_id, $($rest)*)
    }};
}

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// First failure since the model spoke last.
    incident: Option<Cause>,
    failures: u64,
    dropped: bool,
    unknown: BTreeSet<String>,
    nonsense: bool,
    unusable_sound: bool,
}

impl Reports {
    /// Why the model does not speak; nothing while it does.
    pub(super) const fn incident(&self) -> Option<Cause> {
        self.incident
    }

    /// The model said something: an incident is over.
    pub(super) fn answered(&mut self, who: &Identity) {
        if let Some(cause) = self.incident.take() {
            let (cause, failures) = (cause.as_str(), self.failures);
            tell!(info, who, cause, failures, "the provider answers again");
        }
        (self.failures, self.dropped) = (0, false);
    }

    /// Paths of a message that nobody understands, without what shows who calls: only then they may be cut.
    pub(super) fn unknown(&mut self, who: &Identity, paths: Vec<String>) {
        for mut path in paths {
            path.truncate(path.floor_char_boundary(PATH_BYTES_MAX));
            if self.unknown.len() < UNKNOWN_MAX && self.unknown.insert(path.clone()) {
                tell!(
                    warn,
                    who,
                    path,
                    "the provider said something that this version does not know"
                );
            }
        }
    }

    /// A frame that is no message.
    pub(super) fn nonsense(&mut self, who: &Identity, connection: ConnectionId, problem: &str) {
        if std::mem::replace(&mut self.nonsense, true) {
            tell!(debug, who, %connection, problem, "a frame of the provider is no message");
        } else {
            tell!(warn, who, %connection, problem, "a frame of the provider is no message; more are not told");
        }
    }

    /// Sound that cannot be brought into another form.
    pub(super) fn unusable_sound(&mut self, who: &Identity, what: &'static str, error: &ResampleError) {
        if !std::mem::replace(&mut self.unusable_sound, true) {
            tell!(warn, who, %error, "{what}");
        }
    }

    /// A connection came to its end.
    pub(super) fn ended(&self, who: &Identity, connection: ConnectionId, ending: &Ending) {
        let (how, code) = match ending {
            Ending::Closed { code, .. } => ("closed", Some(*code)),
            Ending::Dropped => ("dropped", None),
            Ending::Unreachable => ("unreachable", None),
            Ending::Refused { status, .. } => ("refused", Some(*status)),
            Ending::Errored(_) => ("errored", None),
        };
        tell!(info, who, %connection, how, code, "a connection to the provider ended");
    }
}

impl Live {
    pub(super) fn report(&mut self, event: &Event) {
        self.shown.touch();
        let who = &self.who;
        match event {
            Event::Ready { connection, after } => {
                tell!(info, who, %connection, after_ms = millis(*after), "a connection to the provider is ready");
            }
            Event::Warned {
                connection,
                time_left,
            } => {
                let time_left_ms = time_left.map(millis);
                tell!(info, who, %connection, time_left_ms, "the provider announced the end of a connection");
            }
            Event::Rotated {
                from, to, in_pause, ..
            } => {
                tell!(info, who, %from, %to, in_pause, "the source goes to the next connection");
                let said = format!("connection {to} takes over from connection {from}");
                self.say_event(EventKind::Rotation, said, None);
            }
            Event::Drained { connection, complete } => {
                tell!(info, who, %connection, complete, "a connection has said everything")
            }
            Event::Failed {
                connection,
                cause,
                retry_in,
            } => self.failed(*connection, *cause, *retry_in),
            Event::Replayed {
                connection, length, ..
            } => tell!(info, who, %connection, length_ms = millis(*length), "source is sent again"),
            Event::Dropped { range } => {
                let length_ms = range.length().millis();
                if std::mem::replace(&mut self.reports.dropped, true) {
                    tell!(debug, who, length_ms, "source does not reach the provider");
                } else {
                    tell!(warn, who, length_ms, "source does not reach the provider");
                }
            }
            Event::Breaker { state, cause } => self.breaker(*state, *cause),
            Event::Halted { fault } => self.halted(*fault),
            Event::Simplified { step } => {
                tell!(
                    warn,
                    who,
                    step,
                    "the setup was refused without a reason; the next one asks for less"
                );
            }
            Event::Slow { fragment } => self.slow(*fragment),
            Event::TurnEnded { turn } => tell!(debug, who, turn, "a window is answered"),
        }
    }

    fn failed(&mut self, connection: ConnectionId, cause: Cause, retry_in: Duration) {
        self.around.metrics.live.failed(cause.as_str());
        self.reports.failures += 1;
        let first = self.reports.incident.is_none();
        self.reports.incident.get_or_insert(cause);
        let (who, class) = (&self.who, cause.class());
        let (word, retry_in_ms) = (cause.as_str(), millis(retry_in));
        // What halts is told with its remedy right behind this.
        if !first || self.machine.view().halted.is_some() {
            tell!(info, who, %connection, cause = word, error_class = %class, retry_in_ms, "a connection to the provider failed");
            return;
        }
        let remedy = self.remedy(cause);
        tell!(warn, who, %connection, cause = word, error_class = %class, retry_in_ms, remedy, "a connection to the provider failed");
        let said = format!("connection {connection} failed ({word}), next try in {retry_in_ms} ms; {remedy}");
        self.say_event(EventKind::Fault, said, Some(class));
    }

    fn breaker(&mut self, state: BreakerState, cause: Option<Cause>) {
        let (who, cause_word) = (&self.who, cause.map(Cause::as_str));
        let said = match state {
            BreakerState::Closed => {
                tell!(info, who, "the provider is asked again");
                "closed: the provider is asked".to_owned()
            }
            BreakerState::HalfOpen => {
                tell!(info, who, "one connection to the provider is tried");
                "half open: one connection is tried".to_owned()
            }
            BreakerState::Open => {
                tell!(
                    warn,
                    who,
                    cause = cause_word,
                    "the provider is left alone for a while"
                );
                format!(
                    "open: the provider is left alone ({})",
                    cause_word.unwrap_or("unknown")
                )
            }
        };
        let event = reply::event_of(EventKind::Breaker, said, state, cause.map(Cause::class));
        self.say(event);
    }

    fn halted(&mut self, fault: Fault) {
        let cause = Cause::Ended(fault);
        let (class, remedy) = (cause.class(), self.links.target().remedy(fault));
        self.reports.incident.get_or_insert(cause);
        let word = fault.as_str();
        tell!(error, &self.who, cause = word, error_class = %class, remedy, "the provider is not tried any more");
        let said = format!("the provider is not tried any more ({word}); {remedy}");
        self.say_event(EventKind::Fault, said, Some(class));
    }

    fn slow(&mut self, fragment: FragmentSeq) {
        self.around.metrics.soft_budget_exceeded();
        tell!(warn, &self.who, %fragment, "the provider exceeds the soft budget");
        let soft_ms = millis(self.around.limits.soft_budget);
        let said = format!("fragment {fragment} is not settled after {soft_ms} ms");
        self.say_event(EventKind::Fault, said, Some(ErrorClass::Timeout));
    }

    pub(super) fn say_event(&mut self, kind: EventKind, said: String, class: Option<ErrorClass>) {
        let event = self.event(kind, said, class);
        self.say(event);
    }

    /// What a person can do about a cause.
    pub(super) fn remedy(&self, cause: Cause) -> &'static str {
        match cause {
            Cause::Ended(fault) => self.links.target().remedy(fault),
            Cause::Silent(_) => {
                "nothing: a fresh connection is opened; look at the service's status page if it lasts"
            }
            Cause::Slow | Cause::InFlight => {
                "nothing: it is tried again after a while; look at the network and at the service's status page if it lasts"
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
