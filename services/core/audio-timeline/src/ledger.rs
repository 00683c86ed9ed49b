//! Every fragment from its cut to its one fate.
use media_types::{Fallback, Fate, FragmentSeq, MediaRange, MediaTime, Reason, Tick};
use std::{collections::VecDeque, time::Duration};

/// Share of a fragment that must air as dub to be called a success: the rest is fades and rounding.
const SUCCESS_SHARE: f64 = 0.98;

#[derive(Debug)]
struct Entry {
    seq: FragmentSeq,
    range: MediaRange,
    closed: bool,
    opened: Tick,
    round_trip: Option<Duration>,
    blame: Option<Reason>,
    /// Not all of it was sent: what answers it answers a torso.
    torn: bool,
    phrases: Phrases,
    decided: Option<Decided>,
    dub_aired: i64,
    operator_aired: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    Dub,
    FellBack(Reason),
    /// The phrases in it are decided one by one.
    ByPhrase,
}

/// What became of the phrases that a fragment has a part of.
#[derive(Clone, Copy, Debug, Default)]
struct Phrases {
    dubbed: bool,
    /// The first reason counts.
    fell_back: Option<Reason>,
}

/// A fragment begins to air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its number.
    pub seq: FragmentSeq,
    /// All of it.
    pub range: MediaRange,
    /// Why it airs without a dub; nothing when it airs with one.
    pub fell_back: Option<Reason>,
}

/// What a stretch of a fragment aired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aired {
    /// The dub.
    Dub,
    /// What the operator chose.
    Operator,
}

/// A fragment has aired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its number.
    pub seq: FragmentSeq,
    /// All of it.
    pub range: MediaRange,
    /// What became of it.
    pub fate: Fate,
    /// Why it is not a success.
    pub reason: Option<Reason>,
    /// From the arrival of its first sample to the last of it on air.
    pub end_to_end: Duration,
    /// From its first audio offered to the dubber to its settlement.
    pub round_trip: Option<Duration>,
}

/// Fragments that have not aired to their end, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: VecDeque<Entry>,
}

impl Ledger {
    /// A fragment begins; `length` is its nominal length until it is closed.
    pub fn open(&mut self, now: Tick, seq: FragmentSeq, start: MediaTime, length: MediaTime) {
        self.entries.push_back(Entry {
            seq,
            range: MediaRange::new(start, start + length),
            closed: false,
            opened: now,
            round_trip: None,
            blame: None,
            torn: false,
            phrases: Phrases::default(),
            decided: None,
            dub_aired: 0,
            operator_aired: 0,
        });
    }

    fn entry(&mut self, seq: FragmentSeq) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.seq == seq)
    }

    /// A fragment is complete.
    pub fn close(&mut self, seq: FragmentSeq, range: MediaRange) {
        if let Some(entry) = self.entry(seq) {
            entry.range = range;
            entry.closed = true;
        }
    }

    /// No dub is to be expected for a fragment; the first reason counts.
    pub fn blame(&mut self, seq: FragmentSeq, reason: Reason) {
        if let Some(entry) = self.entry(seq) {
            entry.blame.get_or_insert(reason);
        }
    }

    /// Not all of a fragment went out, and the rest will not: an answer to what went out is no answer to the fragment.
    pub fn tear(&mut self, seq: FragmentSeq, reason: Reason) {
        self.blame(seq, reason);
        if let Some(entry) = self.entry(seq) {
            entry.torn = true;
        }
    }

    /// Why no dub is to be expected somewhere in a range, as far as that is known: the first of it counts.
    pub fn blame_in(&self, range: MediaRange) -> Option<Reason> {
        self.touching(range).find_map(|entry| entry.blame)
    }

    /// Fragments that a range has a part of.
    pub fn fragments_in(&self, range: MediaRange) -> impl Iterator<Item = FragmentSeq> + '_ {
        self.touching(range).map(|entry| entry.seq)
    }

    fn touching(&self, range: MediaRange) -> impl Iterator<Item = &Entry> + '_ {
        self.entries
            .iter()
            .filter(move |entry| entry.range.intersection(range).is_some())
    }

    /// The dubber has settled a fragment.
    pub fn settled(&mut self, seq: FragmentSeq, round_trip: Duration) {
        if let Some(entry) = self.entry(seq) {
            entry.round_trip.get_or_insert(round_trip);
        }
    }

    /// Whether a dub of this fragment may still be heard: it is known, and its original has not begun to air in its place.
    pub fn may_air(&self, seq: FragmentSeq) -> bool {
        self.entries.iter().any(|entry| {
            entry.seq == seq && !entry.torn && !matches!(entry.decided, Some(Decided::FellBack(_)))
        })
    }

    /// Whatever begins before `until` airs now; each fragment is told once. `dubbed` tells whether placed speech lies
    /// in a range; fragments without it fall back.
    pub fn begin(&mut self, until: MediaTime, dubbed: impl Fn(MediaRange) -> bool) -> Vec<Decision> {
        let mut begun = Vec::new();
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.decided.is_none() && entry.range.start < until)
        {
            let fell_back = (!dubbed(entry.range)).then(|| entry.blame.unwrap_or(Reason::Timeout));
            entry.decided = Some(fell_back.map_or(Decided::Dub, Decided::FellBack));
            begun.push(Decision {
                seq: entry.seq,
                range: entry.range,
                fell_back,
            });
        }
        begun
    }

    /// Whatever begins before `until` airs now, and its phrases decide what: each fragment is told once.
    pub fn begin_by_phrase(&mut self, until: MediaTime) -> Vec<FragmentSeq> {
        let mut begun = Vec::new();
        for entry in &mut self.entries {
            if entry.decided.is_none() && entry.range.start < until {
                entry.decided = Some(Decided::ByPhrase);
                begun.push(entry.seq);
            }
        }
        begun
    }

    /// A phrase, or a part of one, is decided: it is dubbed, or falls back. Nothing is left of one whose original lies all
    /// under the dub before it; it counts where it ends.
    pub fn phrase(&mut self, part: MediaRange, fell_back: Option<Reason>) {
        for entry in &mut self.entries {
            let empty = part.is_empty() && entry.range.contains(part.start);
            if !empty && entry.range.intersection(part).is_none() {
                continue;
            }
            match fell_back {
                None => entry.phrases.dubbed = true,
                Some(reason) => {
                    entry.phrases.fell_back.get_or_insert(reason);
                }
            }
        }
    }

    /// A stretch has aired.
    pub fn aired(&mut self, range: MediaRange, what: Aired) {
        for entry in &mut self.entries {
            if let Some(part) = entry.range.intersection(range) {
                let frames = part.length().frames();
                match what {
                    Aired::Dub => entry.dub_aired = entry.dub_aired.saturating_add(frames),
                    Aired::Operator => entry.operator_aired = entry.operator_aired.saturating_add(frames),
                }
            }
        }
    }

    /// Everything before `until` has aired: the fates of fragments that end there are final.
    pub fn finish(&mut self, now: Tick, until: MediaTime, fallback: Fallback) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(entry) = self.entries.front() {
            if !entry.closed || until < entry.range.end || entry.decided.is_none() {
                break;
            }
            if let Some(entry) = self.entries.pop_front() {
                outcomes.push(entry.outcome(now, fallback));
            }
        }
        outcomes
    }

    /// Length of source speech that is neither settled nor given up, and the count of its fragments.
    pub fn in_flight(&self) -> (Duration, u32) {
        let open = self.entries.iter().filter(|entry| {
            entry.round_trip.is_none()
                && entry.blame.is_none()
                && !matches!(entry.decided, Some(Decided::FellBack(_)))
        });
        open.fold((Duration::ZERO, 0), |(length, count), entry| {
            (length + entry.range.length().to_duration(), count + 1)
        })
    }
}

impl Entry {
    fn outcome(&self, now: Tick, fallback: Fallback) -> Outcome {
        let length = self.range.length().frames() as f64;
        let dubbed = self.dub_aired as f64 >= length * SUCCESS_SHARE;
        let operator = (self.operator_aired > 0).then_some(Reason::Operator);
        let (fate, reason) = match self.decided {
            Some(Decided::ByPhrase) => self.outcome_by_phrase(operator, fallback),
            Some(Decided::Dub) if dubbed => (Fate::Success, None),
            Some(Decided::Dub) if self.dub_aired > 0 => (Fate::Partial, operator.or(self.blame)),
            Some(Decided::Dub) | None => (Fate::Fallback, operator.or(self.blame)),
            Some(Decided::FellBack(reason)) => {
                let heard = fallback != Fallback::Silence || operator.is_some() || reason == Reason::Bypass;
                (
                    if heard { Fate::Fallback } else { Fate::Failed },
                    Some(operator.unwrap_or(reason)),
                )
            }
        };
        Outcome {
            seq: self.seq,
            range: self.range,
            fate,
            reason,
            end_to_end: now.since(self.opened),
            round_trip: self.round_trip,
        }
    }

    /// Nothing is owed to a fragment in which nobody speaks. What was spoken in one that was not answered as a whole is a
    /// success only if its phrases are: an answer to a torso is half an answer.
    fn outcome_by_phrase(&self, operator: Option<Reason>, fallback: Fallback) -> (Fate, Option<Reason>) {
        let Phrases { dubbed, fell_back } = self.phrases;
        let heard = dubbed && self.dub_aired > 0;
        match (operator, fell_back) {
            (Some(reason), _) if heard => (Fate::Partial, Some(reason)),
            (Some(reason), _) => (Fate::Fallback, Some(reason)),
            (None, Some(reason)) if heard => (Fate::Partial, Some(reason)),
            (None, Some(reason)) if fallback == Fallback::Silence => (Fate::Failed, Some(reason)),
            (None, Some(reason)) => (Fate::Fallback, Some(reason)),
            (None, None) if dubbed && self.blame.is_some() => (Fate::Partial, self.blame),
            (None, None) => (Fate::Success, None),
        }
    }
}

#[cfg(test)]
mod tests;
