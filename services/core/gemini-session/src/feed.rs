//! The last seconds of the source, so that it can be sent once more.
use media_types::{MediaRange, MediaTime};
use std::collections::VecDeque;

/// 48 kHz frames in a sample of 16 kHz.
const FRAMES_PER_SAMPLE: i64 = 3;

/// Sound that two takers of the source share: about a syllable, and less than the shortest phrase, so that nobody is owed
/// an answer to it alone. With more, a short word where the speaker does not pause is understood by both; with less, by
/// neither.
pub(crate) const SHARED: MediaTime = MediaTime::from_millis(160);

/// Blocks that make a spot.
const SPOT_BLOCKS: usize = 3;
/// How far back the level of a spot is compared.
const SPOT: MediaTime = MediaTime::from_millis(1000);

#[derive(Clone, Debug)]
struct Block {
    range: MediaRange,
    pcm: Vec<i16>,
    speech: bool,
    level: f32,
}

/// Source between two instants, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) range: MediaRange,
    pub(crate) pcm: Vec<i16>,
    /// How much of it is speech.
    pub(crate) speech: MediaTime,
}

/// The last seconds of the source.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    blocks: VecDeque<Block>,
    keep: MediaTime,
    end: MediaTime,
    /// First instant behind everything that is kept no more.
    forgotten: MediaTime,
    threshold: f32,
    level: f32,
}

/// Level of samples, RMS.
pub(crate) fn level(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return 0.0;
    }
    let sum: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (sum / pcm.len() as f64).sqrt() as f32
}

impl Feed {
    pub(crate) fn new(keep: MediaTime, threshold: f32, level: f32) -> Self {
        Self {
            blocks: VecDeque::new(),
            keep,
            end: MediaTime::ZERO,
            forgotten: MediaTime::from_frames(i64::MIN),
            threshold,
            level,
        }
    }

    /// Takes a block; what overlaps is heard once, as it came first. Returns whether it is speech.
    pub(crate) fn push(&mut self, start: MediaTime, mut pcm: Vec<i16>, probability: Option<f32>) -> bool {
        let mut start = start;
        if !self.blocks.is_empty() && start < self.end {
            let late =
                usize::try_from((self.end - start).frames().div_euclid(FRAMES_PER_SAMPLE)).unwrap_or(0);
            pcm.drain(..late.min(pcm.len()));
            start = self.end;
        }
        if pcm.is_empty() {
            return false;
        }
        let samples = i64::try_from(pcm.len()).unwrap_or(i64::MAX);
        let range = MediaRange::new(
            start,
            start + MediaTime::from_frames(samples.saturating_mul(FRAMES_PER_SAMPLE)),
        );
        let level = level(&pcm);
        let speech = probability.map_or(level >= self.level, |probability| probability >= self.threshold);
        self.end = range.end;
        self.blocks.push_back(Block {
            range,
            pcm,
            speech,
            level,
        });
        let kept_from = self.end - self.keep;
        while let Some(first) = self.blocks.front().filter(|first| first.range.end < kept_from) {
            self.forgotten = first.range.end;
            self.blocks.pop_front();
        }
        speech
    }

    /// First instant that is kept.
    pub(crate) fn start(&self) -> MediaTime {
        self.blocks.front().map_or(self.end, |block| block.range.start)
    }

    /// First instant behind everything that was kept and is no more.
    pub(crate) fn forgotten(&self) -> MediaTime {
        self.forgotten
    }

    /// First instant that has not come yet.
    pub(crate) fn end(&self) -> MediaTime {
        self.end
    }

    /// Source from `from` on, up to `until` and at most `most` long. It starts later where there is none.
    pub(crate) fn take(&self, from: MediaTime, until: MediaTime, most: MediaTime) -> Option<Take> {
        let mut taken: Option<Take> = None;
        for block in self.blocks.iter().skip_while(|block| block.range.end <= from) {
            let at = taken
                .as_ref()
                .map_or(from.max(block.range.start), |take| take.range.end);
            // A hole ends the message: what lies behind it is another moment.
            if at < block.range.start {
                break;
            }
            let first = taken.as_ref().map_or(at, |take| take.range.start);
            let stop = block.range.end.min(until).min(first + most);
            if stop <= at {
                break;
            }
            let sample = |at: MediaTime| {
                usize::try_from((at - block.range.start).frames().div_euclid(FRAMES_PER_SAMPLE)).unwrap_or(0)
            };
            let Some(pcm) = block.pcm.get(sample(at)..sample(stop)) else {
                break;
            };
            let take = taken.get_or_insert_with(|| Take {
                range: MediaRange::new(at, at),
                pcm: Vec::new(),
                speech: MediaTime::ZERO,
            });
            take.pcm.extend_from_slice(pcm);
            take.range.end = stop;
            if block.speech {
                take.speech = take.speech + (stop - at);
            }
        }
        taken
    }

    /// The border between two blocks at an instant or right behind it: what speech is, is known of whole blocks.
    pub(crate) fn border(&self, at: MediaTime) -> MediaTime {
        let block = self.blocks.iter().find(|block| at <= block.range.start);
        block.map_or(at.max(self.end), |block| block.range.start)
    }

    /// Speech in a range.
    pub(crate) fn speech_in(&self, range: MediaRange) -> MediaTime {
        let pieces = self.blocks.iter().filter(|block| block.speech);
        pieces
            .filter_map(|block| block.range.intersection(range))
            .fold(MediaTime::ZERO, |sum, piece| sum + piece.length())
    }

    /// How long the source has paused at its newest instant.
    pub(crate) fn pause(&self) -> MediaTime {
        let last_speech = self.blocks.iter().rev().find(|block| block.speech);
        self.end - last_speech.map_or(self.start(), |block| block.range.end)
    }

    /// Where whoever takes over at the newest instant begins. A detector hears an onset late, and a border inside of a word
    /// leaves no side with all of it: in the middle of the pause, or at least [`SHARED`] early.
    pub(crate) fn take_over(&self) -> MediaTime {
        let again = MediaTime::from_frames(self.pause().frames() / 2).max(SHARED);
        self.border(self.end - again)
    }

    /// Whether the newest blocks are the quietest of the last second: between two words, not between two waves.
    pub(crate) fn is_quiet_spot(&self) -> bool {
        let recent = self
            .blocks
            .iter()
            .rev()
            .take_while(|block| block.range.end + SPOT > self.end);
        let levels: Vec<f32> = recent.map(|block| block.level).collect();
        let mut spots = levels.windows(SPOT_BLOCKS).map(|spot| spot.iter().sum::<f32>());
        spots
            .next()
            .is_some_and(|newest| spots.all(|spot| newest <= spot))
    }

    /// Where the quietest spot begins between two instants: whoever begins there is most likely to begin with a word.
    pub(crate) fn quiet_spot(&self, from: MediaTime, until: MediaTime) -> Option<MediaTime> {
        let blocks: Vec<&Block> = self
            .blocks
            .iter()
            .filter(|block| from <= block.range.start)
            .collect();
        let spots = blocks.windows(SPOT_BLOCKS).filter_map(|spot| {
            let level: f32 = spot.iter().map(|block| block.level).sum();
            let at = spot.first()?.range.start;
            (at <= until).then_some((level, at))
        });
        let quietest = spots.min_by(|one, two| one.0.total_cmp(&two.0));
        quietest.map(|(_, at)| at)
    }

    /// Runs of speech, joined over pauses shorter than `pause`.
    pub(crate) fn phrases(&self, pause: MediaTime) -> Vec<MediaRange> {
        let mut phrases: Vec<MediaRange> = Vec::new();
        for block in self.blocks.iter().filter(|block| block.speech) {
            match phrases.last_mut() {
                Some(last) if block.range.start < last.end + pause => last.end = block.range.end,
                Some(_) | None => phrases.push(block.range),
            }
        }
        phrases
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn feed() -> Feed {
        Feed::new(ms(8_000), 0.5, 200.0)
    }

    /// 20 ms whose samples count on from the instant.
    fn block(at: i64) -> Vec<i16> {
        (0..320)
            .map(|sample| i16::try_from((at * 16 + sample) % 30_000).unwrap())
            .collect()
    }

    #[test]
    fn what_is_taken_in_pieces_is_what_was_put_in() {
        let mut feed = feed();
        let mut all = Vec::new();
        for at in (0..1000).step_by(20) {
            feed.push(ms(at), block(at), Some(0.9));
            all.extend(block(at));
        }
        let (mut got, mut from) = (Vec::new(), MediaTime::ZERO);
        while let Some(take) = feed.take(from, ms(970), ms(70)) {
            assert_eq!(take.range.start, from);
            from = take.range.end;
            got.extend(take.pcm);
        }
        assert_eq!(from, ms(970));
        assert_eq!(
            (feed.border(ms(100)), feed.border(ms(101)), feed.border(ms(999))),
            (ms(100), ms(120), ms(1000))
        );
        assert_eq!(got, all[..970 * 16]);
    }

    #[test]
    fn a_hole_ends_a_piece_and_a_repeat_is_heard_once() {
        let mut feed = feed();
        feed.push(ms(0), block(0), Some(0.9));
        feed.push(ms(10), block(10), Some(0.9));
        assert_eq!(feed.end(), ms(30));
        feed.push(ms(100), block(100), Some(0.1));
        let first = feed.take(ms(0), ms(500), ms(500)).unwrap();
        assert_eq!(
            (first.range, first.speech),
            (MediaRange::new(ms(0), ms(30)), ms(30))
        );
        let second = feed.take(first.range.end, ms(500), ms(500)).unwrap();
        assert_eq!(
            (second.range, second.speech),
            (MediaRange::new(ms(100), ms(120)), ms(0))
        );
    }

    #[test]
    fn no_more_than_the_ring_is_kept() {
        let mut feed = feed();
        for at in (0..60_000).step_by(20) {
            feed.push(ms(at), block(at), None);
        }
        let kept = feed.end() - feed.start();
        assert!(ms(8_000) <= kept && kept <= ms(8_040), "{kept:?}");
    }

    #[test]
    fn phrases_are_runs_of_speech_and_short_pauses_do_not_part_them() {
        let mut feed = feed();
        for at in (0..2000).step_by(20) {
            let speech = (200..600).contains(&at) || (700..900).contains(&at) || (1400..1600).contains(&at);
            feed.push(ms(at), block(at), Some(if speech { 0.9 } else { 0.1 }));
        }
        let phrases = feed.phrases(ms(250));
        assert_eq!(
            phrases,
            [
                MediaRange::new(ms(200), ms(900)),
                MediaRange::new(ms(1400), ms(1600))
            ]
        );
        assert_eq!(feed.pause(), ms(400));
        assert_eq!(feed.speech_in(MediaRange::new(ms(0), ms(1500))), ms(700));
    }
}
