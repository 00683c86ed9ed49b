//! Phrases out of probabilities: speech between two pauses, each with its onset and its end.
//!
//! * A phrase is told twice: when it is certain that it has begun, and when it has ended. Ranges never overlap and come
//!   in order.
//! * Probabilities come in order; a hole between two blocks ends a phrase.
use crate::Block;
use media_types::{MediaRange, MediaTime};

/// What makes a phrase. Every number is a default that a caller may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Probability from which silence becomes speech.
    pub onset: f32,
    /// Probability below which speech becomes silence: lower, so that a weak syllable cuts nothing.
    pub offset: f32,
    /// Silence that ends a phrase. What is shorter belongs to the way somebody speaks.
    pub hangover: MediaTime,
    /// Speech that a phrase must have. Less is a click, a cough or a beat of music.
    pub phrase_min: MediaTime,
    /// Longest phrase; a longer one is cut where speech was least probable in its second half.
    pub phrase_max: MediaTime,
    /// What is put in front of the first block that is speech.
    pub pre_roll: MediaTime,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            // On real speech over music, 0.5 to 0.8 differ by 0.5 % of frames; from 0.65 on, music alone begins next to
            // nothing (specs/002-media-path/spec.md, section 10).
            onset: 0.65,
            offset: 0.35,
            // Onsets behind a pause of 300 ms are what a dub is judged by.
            hangover: MediaTime::from_millis(300),
            // A word of one syllable has more; a click or a beat has less.
            phrase_min: MediaTime::from_millis(100),
            // Nothing returned answers speech that is older than 9.5 s: a longer phrase would lose its own beginning.
            phrase_max: MediaTime::from_millis(9_500),
            // A phrase is found 15 ms before its first sound as it is: the network looks ahead into its own chunk.
            pre_roll: MediaTime::ZERO,
        }
    }
}

/// What becomes known of phrases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhraseEvent {
    /// A phrase has begun, there.
    Began(MediaTime),
    /// It has ended; this is all of it.
    Ended(MediaRange),
}

#[derive(Clone, Copy, Debug)]
struct Open {
    start: MediaTime,
    /// Where its last speech ended.
    end: MediaTime,
    /// Speech in it.
    spoken: MediaTime,
    /// Told already.
    begun: bool,
    /// Where it would be cut, and how probable speech is there.
    weakest: Option<(f32, MediaTime)>,
}

/// Finds the phrases of one run.
#[derive(Debug)]
pub struct Segmenter {
    rules: Rules,
    open: Option<Open>,
    /// No phrase begins before this: the end of the last one, or of a hole.
    floor: Option<MediaTime>,
    /// Where the next block must begin.
    next: Option<MediaTime>,
}

impl Segmenter {
    /// Nothing has been heard.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            open: None,
            floor: None,
            next: None,
        }
    }

    /// The next block.
    pub fn push(&mut self, block: Block, tell: &mut impl FnMut(PhraseEvent)) {
        let range = block.range;
        if self.next != Some(range.start) {
            self.finish(tell);
            self.floor = Some(range.start);
        }
        self.next = Some(range.end);
        let wanted = if self.open.is_some() {
            self.rules.offset
        } else {
            self.rules.onset
        };
        let speaks = block.speech >= wanted;
        if speaks && self.open.is_none() {
            let floor = self.floor.unwrap_or(range.start);
            self.open = Some(Open {
                start: (range.start - self.rules.pre_roll).max(floor),
                end: range.end,
                spoken: MediaTime::ZERO,
                begun: false,
                weakest: None,
            });
        }
        let Some(mut open) = self.open else { return };
        if speaks {
            open.end = range.end;
            open.spoken = open.spoken + range.length();
        }
        if !open.begun && open.spoken >= self.rules.phrase_min {
            open.begun = true;
            tell(PhraseEvent::Began(open.start));
        }
        let half = open.start + MediaTime::from_frames(self.rules.phrase_max.frames() / 2);
        if half <= range.start && open.weakest.is_none_or(|(speech, _)| block.speech <= speech) {
            open.weakest = Some((block.speech, range.start));
        }
        self.open = Some(open);
        if self.rules.hangover <= range.end - open.end {
            self.close(tell);
        } else if self.rules.phrase_max <= range.end - open.start {
            self.cut(open, range.end, tell);
        }
    }

    /// Nothing follows for now: what is open ends where its speech ended.
    pub fn finish(&mut self, tell: &mut impl FnMut(PhraseEvent)) {
        self.close(tell);
        self.next = None;
    }

    fn close(&mut self, tell: &mut impl FnMut(PhraseEvent)) {
        if let Some(open) = self.open.take()
            && open.begun
        {
            self.floor = Some(open.end);
            tell(PhraseEvent::Ended(MediaRange::new(open.start, open.end)));
        }
    }

    /// Ends a phrase that grows too long and begins the next one behind it.
    fn cut(&mut self, open: Open, now: MediaTime, tell: &mut impl FnMut(PhraseEvent)) {
        let at = open.weakest.map_or(now, |(_, at)| at).min(open.end);
        if open.begun {
            tell(PhraseEvent::Ended(MediaRange::new(open.start, at)));
        }
        self.floor = Some(at);
        self.open = (at < open.end).then(|| {
            tell(PhraseEvent::Began(at));
            Open {
                start: at,
                end: open.end,
                spoken: open.end - at,
                begun: true,
                weakest: None,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn range(from_ms: i64, until_ms: i64) -> MediaRange {
        MediaRange::new(ms(from_ms), ms(until_ms))
    }

    /// Blocks of 20 ms from here on, one a probability.
    fn push(segmenter: &mut Segmenter, from_ms: i64, speech: &[f32]) -> Vec<PhraseEvent> {
        let mut out = Vec::new();
        for (index, speech) in (0..).zip(speech) {
            let start = from_ms + 20 * index;
            let block = Block {
                range: range(start, start + 20),
                speech: *speech,
            };
            segmenter.push(block, &mut |event| out.push(event));
        }
        out
    }

    fn all(spans: &[(usize, f32)]) -> Vec<f32> {
        spans
            .iter()
            .flat_map(|(count, speech)| std::iter::repeat_n(*speech, *count))
            .collect()
    }

    fn phrases(spans: &[(usize, f32)]) -> Vec<PhraseEvent> {
        push(&mut Segmenter::new(Rules::default()), 0, &all(spans))
    }

    #[test]
    fn a_phrase_lies_between_two_pauses_and_a_short_pause_is_part_of_it() {
        let rules = Rules::default();
        let short = usize::try_from(rules.hangover.millis() / 20 - 1).unwrap_or(0);
        let told = phrases(&[
            (50, 0.0),
            (30, 0.9),
            (short, 0.0),
            (20, 0.9),
            (40, 0.0),
            (10, 0.9),
            (40, 0.0),
        ]);
        let start = 1_000 - rules.pre_roll.millis();
        let first = 1_000 + 20 * (30 + short as i64 + 20);
        let second = first + 40 * 20;
        assert_eq!(
            told,
            [
                PhraseEvent::Began(ms(start)),
                PhraseEvent::Ended(range(start, first)),
                PhraseEvent::Began(ms(second - rules.pre_roll.millis())),
                PhraseEvent::Ended(range(second - rules.pre_roll.millis(), second + 200)),
            ]
        );
    }

    #[test]
    fn a_click_is_no_phrase_and_a_weak_syllable_cuts_none() {
        assert_eq!(
            phrases(&[(20, 0.0), (2, 1.0), (40, 0.0), (2, 1.0), (40, 0.0)]),
            []
        );
        let (onset, offset) = (Rules::default().onset, Rules::default().offset);
        assert_eq!(phrases(&[(100, onset - 0.01)]), []);
        let told = phrases(&[(20, onset), (40, offset), (20, onset), (40, offset - 0.01)]);
        assert_eq!(told.last(), Some(&PhraseEvent::Ended(range(0, 1_600))));
    }

    #[test]
    fn a_phrase_begins_neither_before_the_sound_nor_in_the_phrase_before() {
        let rules = Rules {
            pre_roll: ms(500),
            ..Rules::default()
        };
        let mut segmenter = Segmenter::new(rules);
        let told = push(
            &mut segmenter,
            0,
            &all(&[(1, 0.0), (20, 1.0), (17, 0.0), (20, 1.0), (30, 0.0)]),
        );
        assert_eq!(told.first(), Some(&PhraseEvent::Began(ms(0))));
        assert_eq!(told.get(2), Some(&PhraseEvent::Began(ms(420))), "{told:?}");
    }

    #[test]
    fn speech_without_a_pause_is_cut_where_it_is_weakest_and_none_of_it_is_lost() {
        let mut speech = all(&[(1_000, 0.9)]);
        for (at, weak) in [(100, 0.4), (300, 0.5), (400, 0.6), (700, 0.5)] {
            speech[at] = weak;
        }
        let mut segmenter = Segmenter::new(Rules::default());
        let mut told = push(&mut segmenter, 0, &speech);
        segmenter.finish(&mut |event| told.push(event));
        let ended: Vec<MediaRange> = told
            .iter()
            .filter_map(|event| match event {
                PhraseEvent::Began(_) => None,
                PhraseEvent::Ended(range) => Some(*range),
            })
            .collect();
        assert_eq!(ended.first(), Some(&range(0, 6_000)));
        assert_eq!(ended.get(1), Some(&range(6_000, 14_000)));
        assert_eq!(ended.last().map(|range| range.end), Some(ms(20_000)));
        for (one, next) in ended.iter().zip(&ended[1..]) {
            assert_eq!(one.end, next.start);
        }
        assert!(
            ended
                .iter()
                .all(|range| range.length() <= Rules::default().phrase_max)
        );
        assert_eq!(told.len(), 2 * ended.len());
    }

    #[test]
    fn a_hole_ends_a_phrase_where_its_sound_ended() {
        let mut segmenter = Segmenter::new(Rules::default());
        push(&mut segmenter, 0, &all(&[(50, 0.9)]));
        let told = push(&mut segmenter, 1_200, &all(&[(50, 0.9)]));
        assert_eq!(
            told,
            [PhraseEvent::Ended(range(0, 1_000)), PhraseEvent::Began(ms(1_200))]
        );
    }
}
