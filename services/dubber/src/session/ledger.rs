//! Every fragment that has no settlement on the wire yet. Pure: time is an argument.
//!
//! * Answers may come in any order; fragments leave in the order of their numbers, each exactly once.
//! * Nobody waits for ever: past the hard budget a fragment has failed, and so has one that holds up others while
//!   its own air has begun: nobody could hear its answer any more, and theirs would come too late as well.
//! * What is in flight is source speech at the provider, in seconds. What is answered and only waits for its turn
//!   costs the provider nothing and does not count.
use super::Limits;
use super::trace::FragmentTrace;
use crate::provider::{Fragment, ProviderError};
use crate::repair::Fitted;
use media_types::{FragmentSeq, MediaRange, MediaTime};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A fragment at the provider.
#[derive(Debug)]
pub struct UnderWay {
    /// The fragment, kept for a retry; its audio is shared, not copied.
    pub fragment: Fragment,
    /// When it was handed to the provider for the first time.
    pub offered: Instant,
    /// From its first audio to there.
    pub queued: Duration,
    /// How often it was handed over.
    pub attempts: u32,
    /// Its spans.
    pub trace: FragmentTrace,
    // Whether the soft budget has been said to be exceeded.
    slow: bool,
}

impl UnderWay {
    /// Just handed over.
    pub const fn new(fragment: Fragment, offered: Instant, queued: Duration, trace: FragmentTrace) -> Self {
        Self {
            fragment,
            offered,
            queued,
            attempts: 1,
            trace,
            slow: false,
        }
    }
}

/// A fragment with its result, waiting for its turn.
#[derive(Debug)]
pub struct Settled {
    /// Its number.
    pub seq: FragmentSeq,
    /// Where it stands; absent when it was refused before its end was known.
    pub range: Option<MediaRange>,
    /// The result.
    pub outcome: Result<Fitted, ProviderError>,
    /// From its first audio to the hand-over; absent when it never was handed over.
    pub queued: Option<Duration>,
    /// From the hand-over to the complete answer; absent without an answer.
    pub round_trip: Option<Duration>,
    /// Its spans; absent when it never was complete.
    pub trace: Option<FragmentTrace>,
}

#[derive(Debug)]
enum Entry {
    UnderWay(Box<UnderWay>),
    Settled(Box<Settled>),
}

/// The book of open fragments.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    entries: BTreeMap<FragmentSeq, Entry>,
}

impl Ledger {
    /// Nothing is open.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
        }
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Source speech at the provider.
    pub fn in_flight(&self) -> MediaTime {
        self.under_way()
            .fold(MediaTime::ZERO, |sum, open| sum + open.fragment.range.length())
    }

    /// Whether a fragment of this length may go to the provider. One alone always may, however long it is.
    pub fn admits(&self, length: MediaTime) -> bool {
        let in_flight = self.in_flight();
        in_flight == MediaTime::ZERO || in_flight + length <= self.limits.in_flight
    }

    /// A fragment went to the provider.
    pub fn insert(&mut self, open: UnderWay) {
        self.entries
            .insert(open.fragment.seq, Entry::UnderWay(Box::new(open)));
    }

    /// A fragment has its result.
    pub fn settle(&mut self, settled: Settled) {
        self.entries
            .insert(settled.seq, Entry::Settled(Box::new(settled)));
    }

    /// Takes a fragment out of the provider's hands, to settle it or to insert it again. Nothing when it is not
    /// there, which is how a second answer to one number is found out.
    pub fn take(&mut self, seq: FragmentSeq) -> Option<UnderWay> {
        match self.entries.get(&seq)? {
            Entry::Settled(_) => None,
            Entry::UnderWay(_) => match self.entries.remove(&seq)? {
                Entry::UnderWay(open) => Some(*open),
                Entry::Settled(_) => None,
            },
        }
    }

    /// The next fragment whose turn it is, if it has its result.
    pub fn pop_ready(&mut self) -> Option<Settled> {
        let first = self.entries.first_entry()?;
        match first.get() {
            Entry::UnderWay(_) => None,
            Entry::Settled(_) => match first.remove() {
                Entry::Settled(settled) => Some(*settled),
                Entry::UnderWay(_) => None,
            },
        }
    }

    /// Fragments whose hard budget is used up.
    pub fn overdue(&self, now: Instant) -> Vec<FragmentSeq> {
        self.select(|open| open.offered + self.limits.hard_budget <= now)
    }

    /// Fragments that newly exceed the soft budget; each is told once.
    pub fn newly_slow(&mut self, now: Instant) -> Vec<FragmentSeq> {
        let soft = self.limits.soft_budget;
        let mut slow = Vec::new();
        for (seq, entry) in &mut self.entries {
            if let Entry::UnderWay(open) = entry
                && !open.slow
                && open.offered + soft <= now
            {
                open.slow = true;
                slow.push(*seq);
            }
        }
        slow
    }

    /// Fragments that hold up the answer to a later one while their own begin has left the hold.
    pub fn futile(&self, playhead: MediaTime) -> Vec<FragmentSeq> {
        let last_answered = self
            .entries
            .iter()
            .rev()
            .find(|(_, entry)| matches!(entry, Entry::Settled(_)));
        let Some((last_answered, _)) = last_answered else {
            return Vec::new();
        };
        self.select(|open| open.fragment.seq < *last_answered && open.fragment.range.start <= playhead)
    }

    /// Fragments under way up to a number.
    pub fn up_to(&self, last: FragmentSeq) -> Vec<FragmentSeq> {
        self.select(|open| open.fragment.seq <= last)
    }

    /// When a budget is used up next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.under_way()
            .map(|open| {
                open.offered
                    + if open.slow {
                        self.limits.hard_budget
                    } else {
                        self.limits.soft_budget
                    }
            })
            .min()
    }

    fn under_way(&self) -> impl Iterator<Item = &UnderWay> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::UnderWay(open) => Some(&**open),
            Entry::Settled(_) => None,
        })
    }

    fn select(&self, wanted: impl Fn(&UnderWay) -> bool) -> Vec<FragmentSeq> {
        self.under_way()
            .filter(|open| wanted(open))
            .map(|open| open.fragment.seq)
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media_types::ErrorClass;

    const LIMITS: Limits = Limits {
        soft_budget: Duration::from_secs(8),
        hard_budget: Duration::from_secs(12),
        in_flight: MediaTime::from_millis(10_000),
        drain: Duration::from_secs(5),
    };

    fn open(seq: u64, offered: Instant) -> UnderWay {
        let at = |n: u64| MediaTime::from_millis(2000 * i64::try_from(n).unwrap());
        let range = MediaRange::new(at(seq), at(seq + 1));
        let fragment = Fragment {
            seq: FragmentSeq(seq),
            range,
            pcm: Bytes::new(),
            speech_probability: None,
        };
        UnderWay::new(fragment, offered, Duration::ZERO, FragmentTrace::default())
    }

    fn failed(seq: u64) -> Settled {
        let error = ProviderError {
            class: ErrorClass::Timeout,
            stage: "provider",
            retryable: false,
            message: String::new(),
        };
        let seq = FragmentSeq(seq);
        Settled {
            seq,
            range: None,
            outcome: Err(error),
            queued: None,
            round_trip: None,
            trace: None,
        }
    }

    fn with(seqs: impl IntoIterator<Item = u64>, now: Instant) -> Ledger {
        let mut ledger = Ledger::new(LIMITS);
        for seq in seqs {
            ledger.insert(open(seq, now));
        }
        ledger
    }

    fn released(ledger: &mut Ledger) -> Vec<u64> {
        std::iter::from_fn(|| ledger.pop_ready())
            .map(|settled| settled.seq.0)
            .collect()
    }

    #[tokio::test]
    async fn results_leave_in_order_whatever_the_order_of_the_answers() {
        let mut ledger = with([3, 4, 7], Instant::now());
        ledger.take(FragmentSeq(7)).unwrap();
        ledger.settle(failed(7));
        ledger.take(FragmentSeq(4)).unwrap();
        ledger.settle(failed(4));
        assert_eq!(released(&mut ledger), [0; 0]);
        ledger.take(FragmentSeq(3)).unwrap();
        ledger.settle(failed(3));
        assert_eq!(released(&mut ledger), [3, 4, 7]);
        assert!(ledger.is_empty());
    }

    #[tokio::test]
    async fn a_second_answer_finds_nothing() {
        let mut ledger = with([1], Instant::now());
        assert!(ledger.take(FragmentSeq(1)).is_some());
        ledger.settle(failed(1));
        assert!(ledger.take(FragmentSeq(1)).is_none());
        released(&mut ledger);
        assert!(ledger.take(FragmentSeq(1)).is_none());
    }

    #[tokio::test]
    async fn budgets_run_from_the_hand_over_and_the_soft_one_is_told_once() {
        let now = Instant::now();
        let mut ledger = with([1], now);
        ledger.insert(open(2, now + Duration::from_secs(1)));
        assert_eq!(ledger.next_deadline(), Some(now + LIMITS.soft_budget));
        assert_eq!(ledger.newly_slow(now + LIMITS.soft_budget), [FragmentSeq(1)]);
        assert_eq!(ledger.newly_slow(now + LIMITS.soft_budget), []);
        assert_eq!(ledger.next_deadline(), Some(now + Duration::from_secs(9)));
        assert_eq!(ledger.overdue(now + LIMITS.hard_budget), [FragmentSeq(1)]);
    }

    #[tokio::test]
    async fn in_flight_is_speech_at_the_provider_and_one_fragment_alone_always_passes() {
        let mut ledger = with(1..=4, Instant::now());
        assert_eq!(ledger.in_flight(), MediaTime::from_millis(8000));
        assert!(ledger.admits(MediaTime::from_millis(2000)));
        assert!(!ledger.admits(MediaTime::from_millis(2001)));
        ledger.take(FragmentSeq(3)).unwrap();
        ledger.settle(failed(3));
        assert!(
            ledger.admits(MediaTime::from_millis(4000)),
            "an answer that waits for its turn does not count"
        );
        assert!(Ledger::new(LIMITS).admits(MediaTime::from_millis(12_000)));
    }

    #[tokio::test]
    async fn what_nobody_can_hear_any_more_holds_up_nobody() {
        let mut ledger = with([1, 2, 3, 4], Instant::now());
        let playhead = MediaTime::from_millis(4000);
        assert_eq!(ledger.futile(playhead), [], "alone it may still come");
        ledger.take(FragmentSeq(3)).unwrap();
        ledger.settle(failed(3));
        assert_eq!(ledger.futile(playhead), [FragmentSeq(1), FragmentSeq(2)]);
        assert_eq!(ledger.futile(MediaTime::from_millis(3999)), [FragmentSeq(1)]);
    }
}
