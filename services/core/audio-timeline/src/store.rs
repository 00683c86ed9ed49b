//! Samples addressed by media time: what was written can be read back once, in order, with holes as silence.
use crate::RangeSet;
use media_types::{CHANNELS, MediaRange, MediaTime};
use std::collections::VecDeque;

/// Interleaved S16 stereo on a timeline.
#[derive(Debug)]
pub struct PcmStore {
    samples: VecDeque<i16>,
    /// Instant of the first sample kept.
    base: MediaTime,
    present: RangeSet,
    frames_max: usize,
}

impl PcmStore {
    /// A store that keeps at most `length_max` behind its base; what lies further ahead is refused.
    pub fn new(length_max: MediaTime) -> Self {
        Self {
            samples: VecDeque::new(),
            base: MediaTime::ZERO,
            present: RangeSet::default(),
            frames_max: usize::try_from(length_max.frames()).unwrap_or(0),
        }
    }

    /// Writes samples at `start` and returns the range that was taken: what lies before the base or too far ahead
    /// is left out. Later writes win over earlier ones.
    pub fn write(&mut self, start: MediaTime, pcm: &[i16]) -> MediaRange {
        let frames = i64::try_from(pcm.len() / CHANNELS).unwrap_or(0);
        let skip = (self.base - start).frames().clamp(0, frames);
        let offset = (start - self.base).frames().max(0);
        let room = i64::try_from(self.frames_max)
            .unwrap_or(i64::MAX)
            .saturating_sub(offset)
            .max(0);
        let take = (frames - skip).min(room);
        let from = start + MediaTime::from_frames(skip);
        let range = MediaRange::new(from, from + MediaTime::from_frames(take));
        let (Ok(skip), Ok(offset), Ok(take)) = (
            usize::try_from(skip),
            usize::try_from(offset),
            usize::try_from(take),
        ) else {
            return MediaRange::new(from, from);
        };
        let needed = (offset + take) * CHANNELS;
        if self.samples.len() < needed {
            self.samples.resize(needed, 0);
        }
        let source = pcm.iter().skip(skip * CHANNELS).take(take * CHANNELS);
        for (slot, sample) in self.samples.range_mut(offset * CHANNELS..needed).zip(source) {
            *slot = *sample;
        }
        self.present.insert(range);
        range
    }

    /// Fills `out` with the samples from `start` on; holes are silence.
    pub fn read(&self, start: MediaTime, out: &mut [i16]) {
        out.fill(0);
        let skip = usize::try_from((self.base - start).frames().max(0))
            .unwrap_or(usize::MAX)
            .saturating_mul(CHANNELS);
        let from = usize::try_from((start - self.base).frames().max(0))
            .unwrap_or(usize::MAX)
            .saturating_mul(CHANNELS);
        if from >= self.samples.len() || skip >= out.len() {
            return;
        }
        for (slot, sample) in out.iter_mut().skip(skip).zip(self.samples.range(from..)) {
            *slot = *sample;
        }
    }

    /// What has been written, as ranges.
    pub fn present(&self) -> &RangeSet {
        &self.present
    }

    /// Forgets everything before an instant.
    pub fn discard_before(&mut self, at: MediaTime) {
        let gone = (at - self.base).frames().max(0);
        let gone = usize::try_from(gone)
            .unwrap_or(usize::MAX)
            .saturating_mul(CHANNELS)
            .min(self.samples.len());
        self.samples.drain(..gone);
        self.base = self.base.max(at);
        self.present.forget_before(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(frames: i64) -> MediaTime {
        MediaTime::from_frames(frames)
    }

    #[test]
    fn what_is_written_is_read_back_and_holes_are_silence() {
        let mut store = PcmStore::new(at(100));
        store.write(at(2), &[1, 1, 2, 2]);
        store.write(at(6), &[3, 3]);
        let mut out = [9; 12];
        store.read(at(1), &mut out);
        assert_eq!(out, [0, 0, 1, 1, 2, 2, 0, 0, 0, 0, 3, 3]);
        assert!(store.present().covers(MediaRange::new(at(2), at(4))));
    }

    #[test]
    fn late_samples_are_refused_and_the_rest_is_taken() {
        let mut store = PcmStore::new(at(100));
        store.discard_before(at(10));
        let taken = store.write(at(9), &[1, 1, 2, 2]);
        assert_eq!(taken, MediaRange::new(at(10), at(11)));
        let mut out = [0; 2];
        store.read(at(10), &mut out);
        assert_eq!(out, [2, 2]);
    }

    #[test]
    fn the_store_is_bounded() {
        let mut store = PcmStore::new(at(3));
        let taken = store.write(at(1), &[7; 20]);
        assert_eq!(taken, MediaRange::new(at(1), at(3)));
        assert!(store.write(at(1_000_000), &[7; 2]).is_empty());
    }
}
