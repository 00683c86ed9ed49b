//! Who hears the dub, and knows what was said.
use super::{Phrase, Word};
use audio_timeline::RangeSet;
use dub_placement::{Decision, Verdict};
use media_types::{CHANNELS, MediaRange};
use std::collections::BTreeMap;

/// A dub that follows another within this time is right behind it, in milliseconds.
const BREATH: i64 = 200;

/// A stretch of one answer without a jump.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub phrase: usize,
    pub first: i64,
    pub last: i64,
    /// When, in milliseconds of the source.
    pub start: i64,
    pub end: i64,
    /// Phrases of which it may be the answer by what was decided.
    owner: (Option<u64>, Option<u64>),
}

pub struct Listener {
    phrases: Vec<Phrase>,
    pub heard: Vec<Heard>,
    pub decisions: Vec<Decision>,
    /// Dub without the original being told to stay down, and fallbacks under a dub.
    pub problems: Vec<String>,
    owner: Option<u64>,
}

/// What became of the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Phrases of which words are missing.
    pub lost: usize,
    pub doubled: usize,
    pub out_of_order: usize,
}

impl Listener {
    pub fn new(phrases: &[Phrase]) -> Self {
        Self {
            phrases: phrases.to_vec(),
            heard: Vec::new(),
            decisions: Vec::new(),
            problems: Vec::new(),
            owner: None,
        }
    }

    pub fn hear(&mut self, range: MediaRange, pcm: &[i16], decisions: &[Decision], ranges: &RangeSet) {
        let before = self.owner;
        for decision in decisions {
            if decision.first && decision.verdict == Verdict::Dubbed {
                self.owner = Some(decision.phrase);
            }
            let (part, start) = (decision.part, range.start);
            if decision.verdict == Verdict::FellBack
                && !part.is_empty()
                && ranges.touches(MediaRange::new(part.start.max(start), part.end))
            {
                self.problems
                    .push(format!("a dub over the fallback {decision:?}"));
            }
        }
        self.decisions.extend_from_slice(decisions);
        for (at, frame) in (range.start.frames()..).zip(pcm.chunks_exact(CHANNELS)) {
            let code = (
                i64::from(frame[0]).abs() - 2_000,
                i64::from(frame[1]).abs() - 1_000,
            );
            if 0 <= code.0 {
                self.frame(at, usize::try_from(code.0).unwrap(), code.1, (before, self.owner));
            }
        }
        let silent = pcm.iter().all(|sample| *sample == 0);
        if !silent && !ranges.touches(range) {
            self.problems
                .push(format!("a dub outside of its ranges at {range:?}"));
        }
    }

    fn frame(&mut self, at: i64, phrase: usize, place: i64, owner: (Option<u64>, Option<u64>)) {
        let end = (at + 47) / 48;
        if let Some(last) = self.heard.last_mut().filter(|last| {
            last.phrase == phrase && (last.last..=last.last + 1).contains(&place) && at / 48 <= last.end + 1
        }) {
            (last.last, last.end) = (place, end);
            return;
        }
        self.heard.push(Heard {
            phrase,
            first: place,
            last: place,
            start: at / 48,
            end,
            owner,
        });
    }

    /// What became of what was said, of phrases whose answers could be in time.
    pub fn tally(&self, words: &[Word]) -> Tally {
        let mut said: BTreeMap<(usize, i64), u32> = BTreeMap::new();
        for word in words {
            for place in word.first..word.first + word.end - word.start {
                said.insert((word.phrase, place), 0);
            }
        }
        let mut tally = Tally::default();
        let mut newest = (0, -1);
        for heard in &self.heard {
            for place in heard.first..=heard.last {
                *said.entry((heard.phrase, place)).or_default() += 1;
            }
            tally.out_of_order += usize::from((heard.phrase, heard.first) < newest);
            newest = newest.max((heard.phrase, heard.last));
        }
        let phrases = |wanted: fn(u32) -> bool| {
            let mut found: Vec<usize> = said
                .iter()
                .filter(|(_, times)| wanted(**times))
                .map(|((phrase, _), _)| *phrase)
                .collect();
            found.dedup();
            found.len()
        };
        tally.lost = phrases(|times| times == 0);
        tally.doubled = phrases(|times| 1 < times);
        tally
    }

    /// How far each phrase begins from where it should, in milliseconds, sorted: at its onset or right behind what was
    /// heard before it, whichever is later.
    pub fn errors(&self) -> Vec<i64> {
        let mut errors = Vec::new();
        let mut end = i64::MIN;
        let mut last = None;
        for heard in &self.heard {
            if last < Some(heard.phrase) {
                let onset = self.phrases[heard.phrase].start;
                let error = (heard.start - onset).abs();
                let queued = if onset < end + BREATH && end <= heard.start {
                    (heard.start - end - BREATH).max(0)
                } else {
                    error
                };
                errors.push(error.min(queued));
                last = Some(heard.phrase);
            }
            end = heard.end;
        }
        errors.sort_unstable();
        errors
    }

    /// Share of the heard stretches that were given to another phrase.
    pub fn wrong(&self) -> f64 {
        let is_wrong = |heard: &&Heard| {
            let own = u64::try_from(heard.phrase).ok();
            heard.owner.0 != own && heard.owner.1 != own
        };
        self.heard.iter().filter(is_wrong).count() as f64 / self.heard.len().max(1) as f64
    }
}

pub fn quantile(sorted: &[i64], share: f64) -> i64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(0)
}
