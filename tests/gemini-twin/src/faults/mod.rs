//! Every known misbehaviour, by name.

mod connections;
mod sessions;

use crate::connection::manner::{Manner, Presented};
use crate::wire::Bye;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// What a dub may show of a fault at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing is heard.
    Transparent,
    /// The dub is back within the watchdog that sees the fault, and five seconds.
    Recover,
    /// The breaker opens; the dub is back within 35 s after the fault ends.
    Overload,
    /// The programme goes on; slow retries; the dub is back when the quota is.
    Quota,
    /// A clear cause within five seconds, no storm of retries, the programme goes on.
    Fatal,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Transparent => "transparent",
            Self::Recover => "recover",
            Self::Overload => "overload",
            Self::Quota => "quota",
            Self::Fatal => "fatal",
        })
    }
}

/// Which models have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Models {
    /// All.
    Both,
    /// Those without turns.
    Translate,
    /// Those with turns.
    Dialogue,
}

impl fmt::Display for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Both => "both",
            Self::Translate => "translate",
            Self::Dialogue => "dialogue",
        })
    }
}

/// When it happens if the scenario does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// While a connection is made: what lives is cut, so that there is an attempt to meet it.
    Attempt,
    /// From the opening on; in place, if later.
    Open,
    /// So long after `setupComplete`.
    Setup(Duration),
}

/// One thing that is done, so long after the fault began.
#[derive(Debug, Clone)]
pub struct Step {
    /// Time since the fault began.
    pub after: Duration,
    /// What is done.
    pub act: Act,
}

/// What can be done.
#[derive(Debug, Clone)]
pub enum Act {
    /// The upgrade is answered with this status.
    Refuse {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u16>,
    },
    /// Closes right after the upgrade.
    CloseAtOpen(Bye),
    /// Closes instead of `setupComplete`.
    CloseAtSetup(Bye),
    /// `setupComplete` comes so late.
    SetupAfter(Duration),
    /// `setupComplete` never comes.
    SetupNever,
    /// Setups with resumption are refused, then those with compression, each twice.
    Ladder,
    /// The ordinary end of life is called off.
    NoLife,
    /// Says that the connection will end; `Some(None)` says it without a time.
    GoAway(Option<Duration>),
    /// Closes.
    Close(Bye),
    /// Closes a session that does not compress its context.
    CloseUncompressed(Bye),
    /// Resets the TCP connection in the middle of a frame.
    Reset,
    /// Neither reads nor writes from now on, and leaves the socket open.
    Freeze,
    /// Reads so much slower than sound comes.
    ReadSlowly(f64),
    /// Changes the manner.
    Manner(fn(&mut Manner)),
    /// Sends these frames as they are.
    Say(fn() -> Vec<String>),
    /// What happens to the next handle that is presented.
    Presented(Presented),
    /// What the next attempts meet, one each.
    Next(Vec<Vec<Act>>),
    /// Attempts are refused for so long: 503 and 1011 in turn.
    RefuseFor(Duration),
    /// Quota is spent for so long: sessions die 0.8 s after setup.
    QuotaFor(Duration),
    /// Every connection that lives is told to go, at the same moment.
    GoAwayAll(Duration),
}

/// One entry of the list.
#[derive(Debug)]
pub struct Fault {
    /// Number in the list; variants share one.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// What a listener may notice.
    pub class: Class,
    /// Which models have it.
    pub models: Models,
    /// When, if the scenario does not say.
    pub when: When,
    /// How many connections have it, if the scenario does not say.
    pub times: u32,
    /// What the service does.
    pub what: &'static str,
    /// How.
    pub steps: fn() -> Vec<Step>,
}

/// Every connection.
const ALWAYS: u32 = u32::MAX;

/// All faults, in the order of the list.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    let mut faults: Vec<&'static Fault> = connections::FAULTS.iter().chain(sessions::FAULTS).collect();
    faults.sort_by_key(|fault| fault.number);
    faults.into_iter()
}

/// A fault by its name.
pub fn find(name: &str) -> Option<&'static Fault> {
    connections::FAULTS
        .iter()
        .chain(sessions::FAULTS)
        .find(|fault| fault.name == name)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn step(after: Duration, act: Act) -> Step {
    Step { after, act }
}

fn now(act: Act) -> Step {
    step(Duration::ZERO, act)
}

fn message(value: &Value) -> String {
    crate::wire::server::frame(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_has_all_66_entries_and_no_name_twice() {
        let numbers: BTreeSet<u8> = all().map(|fault| fault.number).collect();
        assert_eq!(numbers, (1..=66).collect());
        let names: BTreeSet<&str> = all().map(|fault| fault.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
