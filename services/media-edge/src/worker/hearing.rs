//! Asks for each 20 ms of source sound whether somebody speaks, on its way from the air to the dubber.
//!
//! The sound waits here until the answer is known, at most [`speech_activity::LOOK_AHEAD`]; what leaves is cut so that
//! each piece has one probability. The order of steps stays. Everything is a plain call of the one loop: 20 ms of sound
//! cost it a fraction of a millisecond, and nothing here waits for anybody.
use super::air::DubStep;
use bytes::Bytes;
use media_types::{CHANNELS, MediaTime};
use speech_activity::{Block, Detector, PhraseEvent, Rules, Segmenter, StartError};
use std::{collections::VecDeque, time::Duration};

/// Probability from which a piece counts as speech in the numbers of the worker.
const SPOKEN: f32 = 0.5;
/// Bytes of one frame of interleaved S16.
const FRAME_BYTES: usize = 2 * CHANNELS;

/// Between the air and the dub link.
#[derive(Debug)]
pub struct Hearing {
    detector: Detector,
    waiting: VecDeque<DubStep>,
    known: VecDeque<Block>,
    segmenter: Segmenter,
    /// Not yet taken.
    phrases: Vec<PhraseEvent>,
    samples: Vec<i16>,
    spoken: MediaTime,
}

impl Hearing {
    /// Has heard nothing.
    pub fn new() -> Result<Self, StartError> {
        Ok(Self {
            detector: Detector::new()?,
            waiting: VecDeque::new(),
            known: VecDeque::new(),
            segmenter: Segmenter::new(Rules::default()),
            phrases: Vec::new(),
            samples: Vec::new(),
            spoken: MediaTime::ZERO,
        })
    }

    /// Takes what the arrival of sound means for the dub; gives what is known of it and of what came before.
    pub fn hear(&mut self, steps: Vec<DubStep>) -> Vec<DubStep> {
        for step in steps {
            if let DubStep::Audio(start, pcm, _) = &step {
                self.samples.clear();
                let samples = pcm
                    .chunks_exact(2)
                    .map(|two| i16::from_le_bytes([two[0], two[1]]));
                self.samples.extend(samples);
                let (known, segmenter, phrases) = (&mut self.known, &mut self.segmenter, &mut self.phrases);
                self.detector.push(*start, &self.samples, &mut |block| {
                    known.push_back(block);
                    segmenter.push(block, &mut |event| phrases.push(event));
                });
            }
            self.waiting.push_back(step);
        }
        self.take()
    }

    /// Nothing follows for now: gives all that is left.
    pub fn finish(&mut self) -> Vec<DubStep> {
        let (known, segmenter, phrases) = (&mut self.known, &mut self.segmenter, &mut self.phrases);
        self.detector.finish(&mut |block| {
            known.push_back(block);
            segmenter.push(block, &mut |event| phrases.push(event));
        });
        segmenter.finish(&mut |event| phrases.push(event));
        self.take()
    }

    /// What has become known of phrases since it was asked last.
    pub fn phrases(&mut self) -> Vec<PhraseEvent> {
        std::mem::take(&mut self.phrases)
    }

    /// Source sound in which somebody spoke.
    pub fn spoken(&self) -> Duration {
        self.spoken.to_duration()
    }

    fn take(&mut self) -> Vec<DubStep> {
        let mut out = Vec::new();
        while let Some(step) = self.waiting.pop_front() {
            match step {
                DubStep::Audio(start, pcm, _) => {
                    if let Some(rest) = self.judge(start, pcm, &mut out) {
                        self.waiting.push_front(rest);
                        break;
                    }
                }
                DubStep::Open(..) | DubStep::Close(..) => out.push(step),
            }
        }
        out
    }

    /// Cuts sound at the blocks that are known; what is not known yet comes back.
    fn judge(&mut self, mut start: MediaTime, mut pcm: Bytes, out: &mut Vec<DubStep>) -> Option<DubStep> {
        while !pcm.is_empty() {
            while self.known.front().is_some_and(|block| block.range.end <= start) {
                self.known.pop_front();
            }
            let Some(block) = self.known.front() else {
                return Some(DubStep::Audio(start, pcm, None));
            };
            let frames = usize::try_from((block.range.end - start).frames()).unwrap_or(0);
            let piece = pcm.split_to(frames.saturating_mul(FRAME_BYTES).min(pcm.len()));
            let length = MediaTime::from_frames((piece.len() / FRAME_BYTES) as i64);
            if SPOKEN <= block.speech {
                self.spoken = self.spoken + length;
            }
            out.push(DubStep::Audio(start, piece, Some(block.speech)));
            start = start + length;
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use media_types::{FragmentSeq, MediaRange};

    fn at(frames: i64) -> MediaTime {
        MediaTime::from_frames(frames)
    }

    fn sound(start: i64, frames: usize) -> DubStep {
        let pcm: Vec<u8> = (0..frames)
            .flat_map(|n| [(n % 251) as u8, 0, (n % 241) as u8, 0])
            .collect();
        DubStep::Audio(at(start), pcm.into(), None)
    }

    /// Start and bytes of the audio, all of it judged.
    fn audio(steps: &[DubStep]) -> Vec<(i64, Bytes)> {
        let mut out = Vec::new();
        for step in steps {
            if let DubStep::Audio(start, pcm, speech) = step {
                assert!((0.0..=1.0).contains(&speech.unwrap()), "{step:?}");
                out.push((start.frames(), pcm.clone()));
            }
        }
        out
    }

    #[test]
    fn every_sample_leaves_once_in_order_and_judged_in_pieces_of_20_ms_at_most() {
        let mut hearing = Hearing::new().unwrap();
        let (mut offered, mut out, mut from) = (Vec::new(), Vec::new(), 500);
        for length in [1024, 1024, 333, 4_800, 1, 20_000, 960] {
            let step = sound(from, length);
            if let DubStep::Audio(_, pcm, _) = &step {
                offered.extend_from_slice(pcm);
            }
            out.extend(hearing.hear(vec![step]));
            from += length as i64;
        }
        let left: i64 = from
            - audio(&out)
                .last()
                .map(|(start, pcm)| start + pcm.len() as i64 / 4)
                .unwrap();
        assert!(at(left) <= speech_activity::LOOK_AHEAD, "{left} frames wait");
        out.extend(hearing.finish());
        let (mut next, mut came) = (500, Vec::new());
        for (start, pcm) in audio(&out) {
            assert_eq!(start, next);
            assert!(pcm.len() <= 960 * 4, "{} bytes at {start}", pcm.len());
            next += pcm.len() as i64 / 4;
            came.extend_from_slice(&pcm);
        }
        assert!(came == offered, "sound has changed");
    }

    #[test]
    fn a_fragment_ends_behind_its_last_sound_and_a_hole_keeps_nothing_back() {
        let mut hearing = Hearing::new().unwrap();
        let range = MediaRange::new(at(0), at(9_700));
        let steps = vec![
            DubStep::Open(FragmentSeq(1), at(0)),
            sound(0, 9_700),
            DubStep::Close(FragmentSeq(1), range),
            DubStep::Open(FragmentSeq(2), at(50_000)),
            sound(50_000, 960),
        ];
        let out = hearing.hear(steps);
        let closed = out
            .iter()
            .position(|step| matches!(step, DubStep::Close(..)))
            .unwrap();
        let (last, pcm) = audio(&out[..closed]).pop().unwrap();
        assert_eq!(last + pcm.len() as i64 / 4, 9_700);
        assert!(
            matches!(out.last(), Some(DubStep::Open(FragmentSeq(2), _))),
            "{out:?}"
        );
        assert_eq!(audio(&hearing.finish()), audio(&hearing_of(sound(50_000, 960))));
    }

    fn hearing_of(step: DubStep) -> Vec<DubStep> {
        let mut hearing = Hearing::new().unwrap();
        let mut out = hearing.hear(vec![step]);
        out.extend(hearing.finish());
        out
    }
}
