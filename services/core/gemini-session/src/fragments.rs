//! What became of each fragment, said once and in order.
use crate::types::{ConnectionId, FragmentError, Outcome, Settlement};
use media_types::{FragmentSeq, MediaRange, MediaTime, Tick};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Clone, Debug)]
struct Fragment {
    seq: FragmentSeq,
    start: MediaTime,
    end: Option<MediaTime>,
    first_at: Tick,
    sent_at: Option<Tick>,
    error: Option<FragmentError>,
}

/// Fragments that are not settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragments {
    queue: VecDeque<Fragment>,
    newest: Option<FragmentSeq>,
    slow: bool,
}

/// What a step gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) settlements: Vec<Settlement>,
    /// The first slow one of a spell.
    pub(crate) slow: Option<FragmentSeq>,
}

/// How far the provider has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Source before this was sent.
    pub(crate) sent_to: MediaTime,
    /// Source before this needs no more answer.
    pub(crate) done_to: MediaTime,
    /// Connection that heard it.
    pub(crate) connection: Option<ConnectionId>,
}

impl Fragments {
    /// A fragment begins; a number that does not rise is a repeat and is settled already.
    pub(crate) fn start(&mut self, now: Tick, seq: FragmentSeq, start: MediaTime) {
        if self.newest.is_some_and(|newest| seq <= newest) {
            return;
        }
        self.newest = Some(seq);
        self.queue.push_back(Fragment {
            seq,
            start,
            end: None,
            first_at: now,
            sent_at: None,
            error: None,
        });
    }

    pub(crate) fn end(&mut self, seq: FragmentSeq, end: MediaTime) {
        if let Some(fragment) = self.queue.iter_mut().find(|fragment| fragment.seq == seq) {
            fragment.end = Some(end.max(fragment.start));
        }
    }

    /// No more sound follows: fragments that are open are as long as it was.
    pub(crate) fn end_open(&mut self, end: MediaTime) {
        for fragment in self.queue.iter_mut().filter(|fragment| fragment.end.is_none()) {
            fragment.end = Some(end.max(fragment.start));
        }
    }

    /// Source that the provider never gets, or never answers. The first reason stays.
    pub(crate) fn lose(&mut self, range: MediaRange, error: &FragmentError) {
        for fragment in &mut self.queue {
            let behind = fragment.end.is_some_and(|end| end <= range.start);
            if !behind && fragment.start < range.end && fragment.error.is_none() {
                fragment.error = Some(error.clone());
            }
        }
    }

    pub(crate) fn abandon(&mut self, up_to: FragmentSeq, error: &FragmentError) {
        for fragment in self.queue.iter_mut().take_while(|fragment| fragment.seq <= up_to) {
            fragment.error.get_or_insert_with(|| error.clone());
        }
    }

    /// Settles what can be settled, in order.
    pub(crate) fn settle(
        &mut self,
        now: Tick,
        progress: Progress,
        budgets: (Duration, Duration),
        late: &FragmentError,
    ) -> Settled {
        let (soft, hard) = budgets;
        let mut settled = Settled::default();
        for fragment in &mut self.queue {
            if fragment.end.is_some_and(|end| end <= progress.sent_to) && fragment.sent_at.is_none() {
                fragment.sent_at = Some(now);
            }
            if now.since(fragment.first_at) >= hard && fragment.end.is_some() {
                fragment.error.get_or_insert_with(|| late.clone());
            }
        }
        while let Some(first) = self.queue.front() {
            // Sound of a fragment that has failed is still coming: it is told once it is complete.
            let Some(end) = first.end else {
                break;
            };
            let outcome = match &first.error {
                Some(error) => Outcome::Failed(error.clone()),
                None if end <= progress.done_to && first.sent_at.is_some() => Outcome::Delivered,
                None => break,
            };
            let sent_at = first.sent_at.unwrap_or(now);
            settled.settlements.push(Settlement {
                fragment: first.seq,
                outcome,
                queued: sent_at.since(first.first_at),
                provider_round_trip: now.since(sent_at),
                connection: progress.connection,
            });
            self.queue.pop_front();
        }
        let slow = self
            .queue
            .front()
            .filter(|first| now.since(first.first_at) >= soft)
            .map(|first| first.seq);
        settled.slow = slow.filter(|_| !self.slow);
        self.slow = slow.is_some();
        settled
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_types::ErrorClass;

    const LATE: FragmentError = FragmentError {
        class: ErrorClass::Timeout,
        retryable: true,
        message: "late",
    };
    const LOST: FragmentError = FragmentError {
        class: ErrorClass::Closed,
        retryable: true,
        message: "lost",
    };
    const BUDGETS: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(12));

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    const fn s(seconds: i64) -> MediaTime {
        MediaTime::from_millis(seconds * 1000)
    }

    fn three() -> Fragments {
        let mut fragments = Fragments::default();
        for number in 0..3_u32 {
            let seq = FragmentSeq(u64::from(number));
            let start = i64::from(number) * 2;
            fragments.start(at(u64::from(number) * 2), seq, s(start));
            fragments.end(seq, s(start + 2));
        }
        fragments
    }

    fn settle(fragments: &mut Fragments, now: u64, sent: i64, done: i64) -> Vec<(u64, bool)> {
        let progress = Progress {
            sent_to: s(sent),
            done_to: s(done),
            connection: None,
        };
        fragments
            .settle(at(now), progress, BUDGETS, &LATE)
            .settlements
            .into_iter()
            .map(|it| (it.fragment.0, it.outcome == Outcome::Delivered))
            .collect()
    }

    #[test]
    fn a_failed_fragment_waits_for_those_before_it_and_all_are_told_once() {
        let mut fragments = three();
        fragments.lose(MediaRange::new(s(2), s(4)), &LOST);
        assert_eq!(settle(&mut fragments, 6, 6, 0), []);
        assert_eq!(settle(&mut fragments, 7, 6, 2), [(0, true), (1, false)]);
        assert_eq!(settle(&mut fragments, 8, 6, 6), [(2, true)]);
        fragments.start(at(9), FragmentSeq(1), s(2));
        assert!(fragments.is_empty(), "a repeated number is not told again");
    }

    #[test]
    fn a_fragment_past_its_hard_budget_has_failed_and_a_slow_one_is_said_once_a_spell() {
        let mut fragments = three();
        let progress = Progress {
            sent_to: s(0),
            done_to: s(0),
            connection: None,
        };
        let first = fragments.settle(at(9), progress, BUDGETS, &LATE);
        assert_eq!((first.slow, first.settlements.len()), (Some(FragmentSeq(0)), 0));
        assert_eq!(
            fragments.settle(at(10), progress, BUDGETS, &LATE),
            Settled::default()
        );
        let failed = fragments.settle(at(12), progress, BUDGETS, &LATE).settlements;
        assert_eq!(failed.len(), 1);
        assert_eq!(failed.first().map(|it| &it.outcome), Some(&Outcome::Failed(LATE)));
    }
}
