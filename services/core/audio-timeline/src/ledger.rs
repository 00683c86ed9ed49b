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
    decided: Option<Decided>,
    dub_aired: i64,
    operator_aired: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    Dub,
    FellBack(Reason),
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

    /// The dubber has settled a fragment.
    pub fn settled(&mut self, seq: FragmentSeq, round_trip: Duration) {
        if let Some(entry) = self.entry(seq) {
            entry.round_trip.get_or_insert(round_trip);
        }
    }

    /// Whether a dub of this fragment may still be heard: it is known, and its original has not begun to air in its place.
    pub fn may_air(&self, seq: FragmentSeq) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.seq == seq && !matches!(entry.decided, Some(Decided::FellBack(_))))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(frames: i64) -> MediaTime {
        MediaTime::from_frames(frames)
    }
    fn range(start: i64, end: i64) -> MediaRange {
        MediaRange::new(at(start), at(end))
    }
    const NOW: Tick = Tick::from_nanos(5);

    fn one(ledger: &mut Ledger) {
        ledger.open(NOW, FragmentSeq(1), at(0), at(100));
        ledger.close(FragmentSeq(1), range(0, 100));
    }

    #[test]
    fn a_dub_heard_in_full_is_a_success() {
        let mut ledger = Ledger::default();
        one(&mut ledger);
        assert_eq!(
            ledger.begin(at(1), |_| true).first().map(|d| d.fell_back),
            Some(None)
        );
        ledger.aired(range(0, 100), Aired::Dub);
        assert!(ledger.finish(NOW, at(99), Fallback::PassThrough).is_empty());
        let outcomes = ledger.finish(NOW, at(100), Fallback::PassThrough);
        assert_eq!(outcomes.first().map(|outcome| outcome.fate), Some(Fate::Success));
        assert!(ledger.finish(NOW, at(200), Fallback::PassThrough).is_empty());
    }

    #[test]
    fn a_late_dub_is_refused_once_the_original_has_begun() {
        let mut ledger = Ledger::default();
        one(&mut ledger);
        assert!(ledger.may_air(FragmentSeq(1)));
        let begun = ledger.begin(at(1), |_| false);
        let fell_back = Some(Reason::Timeout);
        assert_eq!(
            begun,
            [Decision {
                seq: FragmentSeq(1),
                range: range(0, 100),
                fell_back
            }]
        );
        assert!(!ledger.may_air(FragmentSeq(1)));
        assert!(ledger.begin(at(50), |_| true).is_empty());
        let outcomes = ledger.finish(NOW, at(100), Fallback::PassThrough);
        assert_eq!(
            outcomes.first().map(|o| (o.fate, o.reason)),
            Some((Fate::Fallback, Some(Reason::Timeout)))
        );
    }

    #[test]
    fn the_first_blame_is_the_reason() {
        let mut ledger = Ledger::default();
        one(&mut ledger);
        ledger.blame(FragmentSeq(1), Reason::Overload);
        ledger.blame(FragmentSeq(1), Reason::Error);
        assert_eq!(ledger.in_flight(), (Duration::ZERO, 0));
        assert_eq!(
            ledger.begin(at(1), |_| false).first().and_then(|d| d.fell_back),
            Some(Reason::Overload)
        );
    }

    #[test]
    fn a_dub_cut_by_the_operator_is_partial() {
        let mut ledger = Ledger::default();
        one(&mut ledger);
        ledger.begin(at(1), |_| true);
        ledger.aired(range(0, 40), Aired::Dub);
        ledger.aired(range(40, 100), Aired::Operator);
        let outcomes = ledger.finish(NOW, at(100), Fallback::PassThrough);
        assert_eq!(
            outcomes.first().map(|o| (o.fate, o.reason)),
            Some((Fate::Partial, Some(Reason::Operator)))
        );
    }
}
