//! The worker's sound on its way to the model: 48 kHz stereo to 16 kHz mono, each sample at its own instant.
use crate::pcm;
use crate::resample::{Continuous, ResampleError};
use gemini_live::INPUT_RATE_HZ;
use media_types::{MediaTime, SAMPLE_RATE_HZ};

/// Frames of 48 kHz in a sample of the model's rate.
const FRAMES_PER_SAMPLE: i64 = (SAMPLE_RATE_HZ / INPUT_RATE_HZ) as i64;

/// Sound as the model takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first instant.
    pub start: MediaTime,
    /// Mono, [`INPUT_RATE_HZ`].
    pub pcm: Vec<i16>,
}

/// Sound that abuts is one sound for the filter; a hole begins another one.
#[derive(Debug)]
pub struct Source {
    engine: Continuous,
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    start: MediaTime,
    /// Where the next piece has to begin.
    next: MediaTime,
    /// Samples that were given.
    given: i64,
}

impl Run {
    fn block(&mut self, samples: &[f32]) -> Option<Block> {
        if samples.is_empty() {
            return None;
        }
        let start = self.start + MediaTime::from_frames(self.given.saturating_mul(FRAMES_PER_SAMPLE));
        self.given += i64::try_from(samples.len()).unwrap_or(0);
        let pcm = samples.iter().map(|sample| pcm::quantize(*sample)).collect();
        Some(Block { start, pcm })
    }
}

impl Source {
    /// Nothing was heard yet.
    pub fn new() -> Result<Self, ResampleError> {
        Ok(Self {
            engine: Continuous::new(SAMPLE_RATE_HZ, INPUT_RATE_HZ)?,
            run: None,
        })
    }

    /// Takes a piece in the contract's form. Gives what is sure by now, and before it the rest of the sound before a hole.
    pub fn push(&mut self, start: MediaTime, bytes: &[u8]) -> Result<Vec<Block>, ResampleError> {
        let mut blocks = Vec::new();
        if self.run.as_ref().is_some_and(|run| run.next != start) {
            blocks.extend(self.finish()?);
        }
        let stereo: Vec<i16> = pcm::decode(bytes).collect();
        let mono = stereo.chunks_exact(usize::from(pcm::CHANNELS)).map(|frame| {
            frame.iter().map(|sample| pcm::normalize(*sample)).sum::<f32>() / f32::from(pcm::CHANNELS)
        });
        let samples = self.engine.push(mono)?;
        let run = self.run.get_or_insert(Run {
            start,
            next: start,
            given: 0,
        });
        run.next = start + pcm::length(bytes.len());
        blocks.extend(run.block(&samples));
        Ok(blocks)
    }

    /// No more follows, or not for a while: the rest.
    pub fn finish(&mut self) -> Result<Option<Block>, ResampleError> {
        let rest = self.engine.finish()?;
        Ok(self.run.take().and_then(|mut run| run.block(&rest)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// 20 ms of stereo with a click in frame `click`.
    fn piece(click: Option<usize>) -> Vec<u8> {
        let mut stereo = vec![0_i16; 1920];
        if let Some(frame) = click {
            stereo[frame * 2..frame * 2 + 2].fill(30_000);
        }
        pcm::encode(stereo).to_vec()
    }

    fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    /// Where the loudest sample lies.
    fn peak(blocks: &[Block]) -> MediaTime {
        let samples = blocks.iter().flat_map(|block| {
            let at = |n: usize| block.start + MediaTime::from_frames(n as i64 * FRAMES_PER_SAMPLE);
            block
                .pcm
                .iter()
                .enumerate()
                .map(move |(n, sample)| (sample.unsigned_abs(), at(n)))
        });
        samples.max_by_key(|(level, _)| *level).unwrap().1
    }

    #[test]
    fn a_click_stays_at_its_instant() {
        let origin = MediaTime::from_frames(1_000_001);
        for click in [0, 1, 480, 959] {
            let mut source = Source::new().unwrap();
            let mut blocks = Vec::new();
            for n in 0..5_usize {
                let start = origin + ms(20 * n as i64);
                blocks.extend(source.push(start, &piece((n == 2).then_some(click))).unwrap());
            }
            blocks.extend(source.finish().unwrap());
            let expected = origin + ms(40) + MediaTime::from_frames(click as i64);
            let off = (peak(&blocks) - expected).frames();
            assert!(
                off.abs() <= FRAMES_PER_SAMPLE,
                "click in frame {click} is off by {off} frames"
            );
            let total: usize = blocks.iter().map(|block| block.pcm.len()).sum();
            assert_eq!(total, 1600, "100 ms");
        }
    }

    #[test]
    fn blocks_abut_and_a_hole_is_kept() {
        let mut source = Source::new().unwrap();
        let mut blocks = source.push(ms(0), &piece(None)).unwrap();
        blocks.extend(source.push(ms(20), &piece(None)).unwrap());
        blocks.extend(source.push(ms(500), &piece(Some(0))).unwrap());
        blocks.extend(source.finish().unwrap());
        let mut ranges = Vec::new();
        for block in &blocks {
            let end = block.start + MediaTime::from_frames(block.pcm.len() as i64 * FRAMES_PER_SAMPLE);
            match ranges.last_mut() {
                Some((_, last)) if *last == block.start => *last = end,
                _ => ranges.push((block.start, end)),
            }
        }
        assert_eq!(ranges, [(ms(0), ms(40)), (ms(500), ms(520))]);
    }
}
