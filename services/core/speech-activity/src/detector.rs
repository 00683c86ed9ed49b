//! Probability of speech for each block of 20 ms of one run's sound.
//!
//! * Blocks lie on the media time of the samples that they judge: the delays of the resampler and of the network are
//!   taken off, so a block is known once [`LOOK_AHEAD`] more sound has come.
//! * Blocks abut within a stretch of sound without a hole, and each stretch begins anew: nothing that was heard before
//!   a hole says anything of what comes behind it.
//! * Nothing is allocated after [`Detector::new`].
use crate::{
    StartError,
    network::{CHUNK, Network},
    resample::{BLOCK_FRAMES, BLOCK_SAMPLES, DownMix},
};
use media_types::{CHANNELS, MediaRange, MediaTime};
use std::collections::VecDeque;

/// Length of a block.
pub const BLOCK: MediaTime = MediaTime::from_frames(BLOCK_FRAMES as i64);
/// Samples (16 kHz) that the network takes at once.
const SCORE_SAMPLES: i64 = CHUNK as i64;
/// How far a score of the network lies behind the sound that it is about, in samples of 16 kHz: 20 ms. Shifted against
/// the truth of three minutes of real speech, scores agree best with what was 10 to 35 ms before.
const NETWORK_DELAY_SAMPLES: i64 = 320;
/// All delay between a sample and its score.
const DELAY_SAMPLES: i64 = DownMix::DELAY_SAMPLES + NETWORK_DELAY_SAMPLES;
/// Scores that are kept: those that touch one block, and those that one block of sound adds.
const SCORES_MAX: usize = 8;
/// Sound that must have come behind a block before it is known, at most (82 ms): the delay, the rest of a score and of
/// a block.
pub const LOOK_AHEAD: MediaTime =
    MediaTime::from_frames(3 * (DELAY_SAMPLES + SCORE_SAMPLES) + BLOCK_FRAMES as i64);

/// Probability of speech in a range of at most 20 ms: only the last block of a stretch is shorter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// What it is about.
    pub range: MediaRange,
    /// 0 to 1.
    pub speech: f32,
}

#[derive(Clone, Copy, Debug)]
struct Score {
    /// First sample of the stretch that it is about, and the first behind.
    start: i64,
    end: i64,
    speech: f32,
}

/// Hears one run.
pub struct Detector {
    down: DownMix,
    network: Network,
    /// Where the present stretch of sound begins.
    start: Option<MediaTime>,
    /// Frames of it that have come.
    frames: i64,
    /// Blocks of it that have been told.
    told: i64,
    /// The block that is being filled.
    open: Vec<i16>,
    /// What the network will take next.
    pending: Vec<f32>,
    /// Scores of the stretch so far.
    scored: i64,
    scores: VecDeque<Score>,
}

impl Detector {
    /// Allocates all that it will need.
    pub fn new() -> Result<Self, StartError> {
        Ok(Self {
            down: DownMix::new()?,
            network: Network::new()?,
            start: None,
            frames: 0,
            told: 0,
            open: Vec::with_capacity(BLOCK_FRAMES * CHANNELS),
            pending: Vec::with_capacity(BLOCK_SAMPLES + CHUNK),
            scored: 0,
            scores: VecDeque::with_capacity(SCORES_MAX),
        })
    }

    /// Interleaved stereo that begins at `start`. What is known now is told in order. Sound that does not continue the
    /// sound before ends its stretch.
    pub fn push(&mut self, start: MediaTime, pcm: &[i16], tell: &mut impl FnMut(Block)) {
        if self.next().is_some_and(|next| next != start) {
            self.finish(tell);
        }
        self.start.get_or_insert(start);
        let mut rest = pcm;
        while rest.len() >= CHANNELS {
            let room = (BLOCK_FRAMES * CHANNELS - self.open.len()).min(rest.len() / CHANNELS * CHANNELS);
            let (now, later) = rest.split_at(room);
            self.open.extend_from_slice(now);
            self.frames += (now.len() / CHANNELS) as i64;
            rest = later;
            if self.open.len() == BLOCK_FRAMES * CHANNELS {
                self.hear();
                self.tell(tell);
            }
        }
    }

    /// The stretch ends: all of it is told, as if silence followed.
    pub fn finish(&mut self, tell: &mut impl FnMut(Block)) {
        while self.told * (BLOCK_FRAMES as i64) < self.frames {
            self.hear();
            self.tell(tell);
        }
        self.down.reset();
        self.network.reset();
        self.start = None;
        (self.frames, self.told, self.scored) = (0, 0, 0);
        self.open.clear();
        self.pending.clear();
        self.scores.clear();
    }

    /// Where the sound must go on to belong to the present stretch.
    fn next(&self) -> Option<MediaTime> {
        self.start
            .map(|start| start + MediaTime::from_frames(self.frames))
    }

    fn hear(&mut self) {
        self.pending.extend_from_slice(self.down.block(&self.open));
        self.open.clear();
        while self.pending.len() >= CHUNK {
            let mut samples = [0.0; CHUNK];
            for (sample, heard) in samples.iter_mut().zip(self.pending.drain(..CHUNK)) {
                *sample = heard.clamp(-1.0, 1.0);
            }
            let speech = self.network.predict(&samples).clamp(0.0, 1.0);
            let start = self.scored * SCORE_SAMPLES - DELAY_SAMPLES;
            self.scores.push_back(Score {
                start,
                end: start + SCORE_SAMPLES,
                speech,
            });
            self.scored += 1;
        }
    }

    fn tell(&mut self, tell: &mut impl FnMut(Block)) {
        let known = self.scored * SCORE_SAMPLES - DELAY_SAMPLES;
        let Some(origin) = self.start else { return };
        loop {
            let from = self.told * BLOCK_SAMPLES as i64;
            let until = from + BLOCK_SAMPLES as i64;
            let (start, end) = (
                self.told * BLOCK_FRAMES as i64,
                (self.told + 1) * BLOCK_FRAMES as i64,
            );
            let end = end.min(self.frames);
            if known < until || end <= start {
                return;
            }
            while self.scores.front().is_some_and(|score| score.end <= from) {
                self.scores.pop_front();
            }
            let mut sum = 0.0;
            for score in &self.scores {
                let shared = (score.end.min(until) - score.start.max(from)).max(0);
                sum += score.speech * shared as f32;
            }
            tell(Block {
                range: MediaRange::new(
                    origin + MediaTime::from_frames(start),
                    origin + MediaTime::from_frames(end),
                ),
                speech: sum / BLOCK_SAMPLES as f32,
            });
            self.told += 1;
        }
    }
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector")
            .field("start", &self.start)
            .field("frames", &self.frames)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::voice::Voice;

    fn at(frames: i64) -> MediaTime {
        MediaTime::from_frames(frames)
    }

    /// All blocks of sound that begins at `start` and comes in buffers of these lengths, in turn.
    fn blocks(detector: &mut Detector, start: i64, stereo: &[i16], buffers: &[usize]) -> Vec<Block> {
        let (mut out, mut from, mut rest) = (Vec::new(), start, stereo);
        for buffer in buffers.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((buffer * CHANNELS).min(rest.len()));
            detector.push(at(from), now, &mut |block| out.push(block));
            from += (now.len() / CHANNELS) as i64;
            rest = later;
            let known = out
                .last()
                .map_or(at(start), |block: &Block| block.range.end.max(at(start)));
            assert!(
                at(from) - known <= LOOK_AHEAD,
                "{from} has come, {known:?} is known"
            );
        }
        detector.finish(&mut |block| out.push(block));
        out
    }

    fn of(stereo: &[i16]) -> Vec<Block> {
        blocks(&mut Detector::new().unwrap(), 0, stereo, &[1024])
    }

    fn loudest(blocks: &[Block]) -> f32 {
        blocks.iter().map(|block| block.speech).fold(0.0, f32::max)
    }

    #[test]
    fn blocks_abut_on_the_media_time_of_their_samples_whatever_the_buffers_are() {
        let stereo = Voice { rate_hz: 48_000 }.stereo(50_000);
        let expected = blocks(&mut Detector::new().unwrap(), 777, &stereo, &[1024]);
        let mut next = 777;
        for block in &expected {
            assert_eq!(block.range.start, at(next));
            next += block.range.length().frames();
        }
        assert_eq!((next, expected.len()), (50_777, 53));
        for buffers in [&[960][..], &[1], &[50_000], &[100, 3_000, 7]] {
            let other = blocks(&mut Detector::new().unwrap(), 777, &stereo, buffers);
            assert_eq!(other, expected, "{buffers:?}");
        }
    }

    #[test]
    fn a_voice_is_heard_where_it_is() {
        let voice = Voice { rate_hz: 48_000 };
        let blocks = of(&voice.stereo(10 * 72_000));
        // It falls silent 1 s into each period of 1.5 s.
        let late_ms: Vec<f64> = (0..10)
            .map(|period| {
                let own = MediaRange::new(at(72_000 * period), at(72_000 * period + 67_200));
                let spoken = blocks
                    .iter()
                    .rfind(|block| own.contains(block.range.start) && 0.5 <= block.speech);
                (spoken.unwrap().range.end - own.start - at(48_000)).millis_f64()
            })
            .collect();
        assert!(late_ms.iter().all(|late| late.abs() <= 80.0), "{late_ms:?}");
        let mean = late_ms.iter().sum::<f64>() / 10.0;
        assert!(mean.abs() <= 30.0, "{late_ms:?}");
    }

    #[test]
    fn behind_a_hole_it_hears_as_if_it_had_heard_nothing() {
        let stereo = Voice { rate_hz: 48_000 }.stereo(60_000);
        let fresh = blocks(&mut Detector::new().unwrap(), 500_000, &stereo, &[1024]);
        let mut used = Detector::new().unwrap();
        let mut before = Vec::new();
        used.push(at(0), &stereo[..70_002], &mut |block| before.push(block));
        let later = blocks(&mut used, 500_000, &stereo, &[1024]);
        let (old, new): (Vec<_>, Vec<_>) = before
            .into_iter()
            .chain(later)
            .partition(|block| block.range.start < at(500_000));
        assert_eq!(new, fresh);
        assert_eq!(old.last().map(|block| block.range.end), Some(at(35_001)));
    }

    #[test]
    fn no_buffer_grows_after_the_start() {
        let mut detector = Detector::new().unwrap();
        let sizes = |it: &Detector| (it.open.capacity(), it.pending.capacity(), it.scores.capacity());
        let before = sizes(&detector);
        let stereo = Voice { rate_hz: 48_000 }.stereo(100_000);
        for buffers in [&[1_024][..], &[3], &[100_000]] {
            blocks(&mut detector, 5, &stereo, buffers);
        }
        assert_eq!(sizes(&detector), before);
    }

    #[test]
    fn silence_and_tones_are_no_speech() {
        let tone = |parts: &[f64], peak: f64| -> Vec<i16> {
            (0..4 * 48_000)
                .flat_map(|n| {
                    let turn = std::f64::consts::TAU * f64::from(n) / 48_000.0;
                    let sum: f64 = parts.iter().map(|hz| (turn * hz).sin()).sum();
                    [(sum / parts.len() as f64 * peak * 32_767.0) as i16; 2]
                })
                .collect()
        };
        assert!(loudest(&of(&vec![0; 400_000])) < 0.1);
        for peak in [0.003, 0.1, 0.5] {
            for parts in [
                &[100.0][..],
                &[440.0],
                &[1_000.0],
                &[1_800.0],
                &[9_000.0],
                &[220.0, 277.2, 329.6],
            ] {
                let heard = loudest(&of(&tone(parts, peak)));
                assert!(heard < 0.5, "{parts:?} at {peak}: {heard}");
            }
        }
    }
}
