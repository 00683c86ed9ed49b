//! Who publishes, from two witnesses that may contradict each other: hooks (prompt, unordered, sometimes
//! missing) and listings of the Control API (slow, complete, taken at a moment that may lie before a hook).
use crate::Source;
use media_types::Tick;
use std::collections::VecDeque;

/// Ids of publishers known to be gone. A ready hook can arrive after the not-ready hook of the same publisher,
/// by milliseconds; a handful covers any burst.
const GONE_MAX: usize = 16;
/// Listings in a row that must contradict what hooks said before they are believed. At one listing a second a
/// wrong or missed hook heals in 2 to 3 s, and one listing that crossed a hook on its way changes nothing.
const CONTRADICTIONS_MIN: u32 = 2;

/// What is known about the publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nobody has said anything yet.
    Unknown,
    /// Nobody publishes.
    Absent,
    /// This one publishes.
    Present(Source),
}

/// What a testimony changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing, or the description of the present publisher alone.
    Nothing,
    /// Another publisher than the last one is there.
    NewSession,
    /// The last publisher is there again, or was there all the time.
    Returned,
    /// Nobody publishes any more.
    Gone,
}

#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    presence: Presence,
    last_source_id: Option<String>,
    gone: VecDeque<String>,
    hook_at: Tick,
    contradiction: Option<(Option<String>, u32)>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self {
            presence: Presence::Unknown,
            last_source_id: None,
            gone: VecDeque::new(),
            hook_at: Tick::default(),
            contradiction: None,
        }
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.presence
    }

    pub(crate) fn source(&self) -> Option<&Source> {
        match &self.presence {
            Presence::Present(source) => Some(source),
            Presence::Unknown | Presence::Absent => None,
        }
    }

    /// The publisher that is there, or was there last; empty when there was none.
    pub(crate) fn last_source_id(&self) -> &str {
        self.last_source_id.as_deref().unwrap_or_default()
    }

    /// A worker that is already there was told of this publisher: when it is seen, it is no new one.
    pub(crate) fn remember(&mut self, source_id: &str) {
        if self.presence == Presence::Unknown && !source_id.is_empty() {
            self.last_source_id = Some(source_id.to_owned());
        }
    }

    pub(crate) fn appeared(&mut self, now: Tick, source: Source) -> Change {
        if self.gone.contains(&source.source_id) {
            return Change::Nothing;
        }
        self.witness_hook(now);
        self.accept(source)
    }

    pub(crate) fn left(&mut self, now: Tick, source_id: &str) -> Change {
        self.bury(source_id);
        let is_current = match &self.presence {
            Presence::Present(source) => source.source_id == source_id,
            Presence::Unknown => self.last_source_id.as_deref() == Some(source_id),
            Presence::Absent => false,
        };
        if !is_current {
            return Change::Nothing;
        }
        self.witness_hook(now);
        self.presence = Presence::Absent;
        Change::Gone
    }

    /// A listing that was asked for at `asked_at`.
    pub(crate) fn observed(&mut self, asked_at: Tick, seen: Option<Source>) -> Change {
        if asked_at < self.hook_at {
            return Change::Nothing;
        }
        let wanted = match (&self.presence, &seen) {
            (Presence::Present(known), Some(seen)) if known.source_id == seen.source_id => 0,
            (Presence::Absent, None) => 0,
            (Presence::Absent | Presence::Unknown, Some(seen)) if !self.gone.contains(&seen.source_id) => 1,
            (Presence::Present(_) | Presence::Absent | Presence::Unknown, Some(_) | None) => {
                CONTRADICTIONS_MIN
            }
        };
        let seen_id = seen.as_ref().map(|source| source.source_id.clone());
        let count = match self.contradiction.take() {
            Some((id, count)) if id == seen_id => count.saturating_add(1),
            Some(_) | None => 1,
        };
        if count < wanted {
            self.contradiction = Some((seen_id, count));
            return Change::Nothing;
        }
        match seen {
            Some(source) => {
                self.gone.retain(|id| *id != source.source_id);
                self.accept(source)
            }
            None if self.presence == Presence::Absent => Change::Nothing,
            None => {
                self.presence = Presence::Absent;
                Change::Gone
            }
        }
    }

    fn witness_hook(&mut self, now: Tick) {
        self.hook_at = now;
        self.contradiction = None;
    }

    fn accept(&mut self, source: Source) -> Change {
        let source_id = source.source_id.clone();
        match &mut self.presence {
            Presence::Present(known) if known.source_id == source_id => {
                if !source.tracks.is_empty() {
                    known.tracks = source.tracks;
                }
                if !source.source_type.is_empty() {
                    known.source_type = source.source_type;
                }
                return Change::Nothing;
            }
            Presence::Present(known) => {
                let replaced = std::mem::take(&mut known.source_id);
                self.bury(&replaced);
            }
            Presence::Unknown | Presence::Absent => {}
        }
        self.presence = Presence::Present(source);
        if self.last_source_id.replace(source_id.clone()) == Some(source_id) {
            Change::Returned
        } else {
            Change::NewSession
        }
    }

    fn bury(&mut self, source_id: &str) {
        if source_id.is_empty() || self.gone.iter().any(|id| id == source_id) {
            return;
        }
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(source_id.to_owned());
    }
}
