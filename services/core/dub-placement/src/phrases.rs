//! What the source said, phrase by phrase, and what has been decided of it.
use crate::Verdict;
use media_types::{MediaRange, MediaTime};
use std::collections::VecDeque;

/// Phrases remembered at most; a busy minute has half as many.
const KEPT: usize = 96;
/// How long an aired phrase is remembered: a late answer must find the phrase that it belongs to.
const REMEMBERED: MediaTime = MediaTime::from_millis(20_000);
/// Parts shorter than this are not worth a phrase of their own: detectors differ by as much.
const PART_MIN: MediaTime = MediaTime::from_millis(400);

/// One phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// Never given twice; does not rise where a phrase is cut.
    pub(crate) id: u64,
    pub(crate) onset: MediaTime,
    /// Absent while it is spoken.
    pub(crate) end: Option<MediaTime>,
    pub(crate) fate: Option<Fate>,
}

/// What has been decided of a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Its number for the worker: rises with the decisions.
    pub(crate) number: u64,
    pub(crate) verdict: Verdict,
    /// When, on the air's clock.
    pub(crate) decided_at: MediaTime,
    /// Told up to there.
    pub(crate) told: MediaTime,
}

/// Phrases in their order.
#[derive(Debug, Default)]
pub(crate) struct Phrases {
    list: VecDeque<Phrase>,
    next_id: u64,
}

impl Phrases {
    pub(crate) fn list(&self) -> &VecDeque<Phrase> {
        &self.list
    }

    pub(crate) fn last_onset(&self) -> Option<MediaTime> {
        self.list.back().map(|phrase| phrase.onset)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Phrase> {
        self.list.get(index)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Phrase> {
        self.list.get_mut(index)
    }

    pub(crate) fn index_of(&self, id: u64) -> Option<usize> {
        self.list.iter().position(|phrase| phrase.id == id)
    }

    /// The first one that nothing has been decided of.
    pub(crate) fn first_open(&self) -> Option<usize> {
        self.list.iter().position(|phrase| phrase.fate.is_none())
    }

    /// A phrase begins. What does not lie behind the last one is none.
    pub(crate) fn begin(&mut self, onset: MediaTime) {
        if let Some(last) = self.list.back_mut() {
            if onset <= last.onset {
                return;
            }
            // An end that was never told: nothing of it lies behind the next onset.
            last.end = Some(last.end.unwrap_or(onset).min(onset));
        }
        self.list.push_back(Phrase {
            id: self.next_id,
            onset,
            end: None,
            fate: None,
        });
        self.next_id += 1;
        if KEPT < self.list.len() {
            self.list.pop_front();
        }
    }

    /// A phrase has ended.
    pub(crate) fn end(&mut self, range: MediaRange) {
        if !self.list.iter().any(|phrase| range.start == phrase.onset) {
            self.begin(range.start);
        }
        // A phrase that was cut ends with its last part.
        if let Some(last) = self.list.back_mut().filter(|last| last.end.is_none()) {
            last.end = Some(range.end.max(last.onset));
        }
    }

    /// Makes two of the phrase that `at` lies well inside of, if its second part may still be decided.
    pub(crate) fn cut(&mut self, at: MediaTime, live: MediaTime) {
        let inside = |phrase: &Phrase| {
            phrase.onset + PART_MIN <= at && at + PART_MIN <= phrase.end.unwrap_or(live.max(at + PART_MIN))
        };
        let Some(index) = self.list.iter().position(inside) else {
            return;
        };
        let Some(first) = self.list.get_mut(index) else {
            return;
        };
        let original_airs = |fate: Fate| fate.verdict != Verdict::Dubbed && at < fate.told;
        if first.fate.is_some_and(original_airs) {
            return;
        }
        let end = first.end.replace(at);
        let second = Phrase {
            id: self.next_id,
            onset: at,
            end,
            fate: None,
        };
        self.next_id += 1;
        self.list.insert(index + 1, second);
    }

    /// Forgets what aired long ago. Tells whether anything went.
    pub(crate) fn forget_before(&mut self, aired: MediaTime) -> bool {
        let before = self.list.len();
        let old =
            |phrase: &Phrase| phrase.fate.is_some() && phrase.end.is_some_and(|end| end + REMEMBERED < aired);
        while self.list.front().is_some_and(old) {
            self.list.pop_front();
        }
        self.list.len() != before
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn told(phrases: &Phrases) -> Vec<(i64, Option<i64>)> {
        let list = phrases.list().iter();
        list.map(|phrase| (phrase.onset.millis(), phrase.end.map(MediaTime::millis)))
            .collect()
    }

    #[test]
    fn an_end_whose_beginning_was_never_told_is_a_phrase() {
        let mut phrases = Phrases::default();
        phrases.end(MediaRange::new(ms(100), ms(900)));
        assert_eq!(told(&phrases), [(100, Some(900))]);
    }

    #[test]
    fn a_phrase_that_is_cut_ends_with_its_last_part() {
        let mut phrases = Phrases::default();
        phrases.begin(ms(0));
        phrases.cut(ms(2_000), ms(3_000));
        phrases.end(MediaRange::new(ms(0), ms(4_000)));
        assert_eq!(told(&phrases), [(0, Some(2_000)), (2_000, Some(4_000))]);
    }

    #[test]
    fn a_cut_that_a_detector_may_have_made_makes_no_two_phrases() {
        let mut phrases = Phrases::default();
        phrases.end(MediaRange::new(ms(0), ms(4_000)));
        phrases.cut(ms(200), ms(5_000));
        phrases.cut(ms(3_900), ms(5_000));
        assert_eq!(told(&phrases), [(0, Some(4_000))]);
    }

    #[test]
    fn phrases_are_bounded() {
        let mut phrases = Phrases::default();
        for second in 0..10_000 {
            phrases.begin(ms(1_000 * second));
        }
        assert_eq!(phrases.list().len(), KEPT);
    }
}
