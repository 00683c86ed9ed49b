//! The mix of what airs: original and dub, with fades where one takes over from the other.
use crate::Limiter;
use media_types::{AirState, BedMode, CHANNELS, MediaRange, MediaTime};

/// Length of a fade: short enough that the middle of it (-6 dB) is within 5 ms of the edge of the range, long enough that
/// nothing clicks, in a deep voice neither.
pub const FADE: MediaTime = MediaTime::from_millis(10);

const FULL_SCALE: f32 = 32_768.0;

/// A gain as a factor.
pub fn gain_from_db(db: f64) -> f32 {
    10_f64.powf(db / 20.0) as f32
}

/// Gains of a stream, as factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// Programme sound under a dub, before the duck gain.
    pub bed: f32,
    /// The dub.
    pub dub: f32,
    /// The original under a dub.
    pub duck: f32,
    /// What the original does under a dub.
    pub bed_mode: BedMode,
}

impl Levels {
    /// Gain of the original under a dub in this state.
    fn under(&self, state: AirState) -> f32 {
        match (state, self.bed_mode) {
            (AirState::Dub, BedMode::None) => 0.0,
            (
                AirState::Dub
                | AirState::VoiceOver
                | AirState::Original
                | AirState::Bed
                | AirState::Mute
                | AirState::Outage,
                BedMode::Ducked | BedMode::None,
            ) => self.bed * self.duck,
        }
    }

    /// What a stretch is mixed with, once nothing fades any more.
    fn gains(&self, span: &MixSpan) -> Gains {
        let (original, dub) = match (span.state, span.dub) {
            (AirState::Dub | AirState::VoiceOver, true) => (self.under(span.state), self.dub),
            (AirState::Dub, false) | (AirState::Original, _) => (1.0, 0.0),
            (AirState::VoiceOver, false) => (self.duck, 0.0),
            (AirState::Bed | AirState::Mute | AirState::Outage, _) => (0.0, 0.0),
        };
        Gains { original, dub }
    }
}

/// A stretch that airs one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixSpan {
    /// Where.
    pub range: MediaRange,
    /// What.
    pub state: AirState,
    /// There is a dub.
    pub dub: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Gains {
    original: f32,
    dub: f32,
}

impl Gains {
    const ORIGINAL: Self = Self {
        original: 1.0,
        dub: 0.0,
    };
}

/// Both gains on their way from one pair to another, in straight lines and in step: what one loses the other has gained,
/// so that the same words in both are as loud in the middle as at the ends.
#[derive(Clone, Copy, Debug)]
struct Crossfade {
    from: Gains,
    to: Gains,
    /// Frames that are left of it.
    left: i64,
}

impl Crossfade {
    fn towards(&mut self, to: Gains) {
        if self.to != to {
            *self = Self {
                from: self.now(),
                to,
                left: FADE.frames(),
            };
        }
    }

    fn now(&self) -> Gains {
        if self.left == 0 {
            return self.to;
        }
        let left = self.left as f32 / FADE.frames() as f32;
        let between = |from: f32, to: f32| to + (from - to) * left;
        Gains {
            original: between(self.from.original, self.to.original),
            dub: between(self.from.dub, self.to.dub),
        }
    }

    fn step(&mut self) -> Gains {
        self.left = (self.left - 1).max(0);
        self.now()
    }
}

/// Mixes consecutive blocks of one run.
///
/// - A block that airs the untouched original is copied bit by bit.
/// - Whatever takes over from something else does so by a crossfade over [`FADE`], straight from level to level.
/// - It lies inside the dub's range at both of its ends: nothing of what follows a dub is lost to a fade, and what
///   follows is at its own level from its first frame on.
/// - A change that nothing announced (the switch, a dub that ends earlier than it said) fades from its instant on.
#[derive(Debug)]
pub struct Mixer {
    levels: Levels,
    fade: Crossfade,
    limiter: Limiter,
    /// From where on which gains are wanted, for the block at hand.
    wanted: Vec<(MediaTime, Gains)>,
}

impl Mixer {
    /// A mixer whose first block airs the original at full level.
    pub fn new(levels: Levels) -> Self {
        Self {
            levels,
            fade: Crossfade {
                from: Gains::ORIGINAL,
                to: Gains::ORIGINAL,
                left: 0,
            },
            limiter: Limiter::default(),
            wanted: Vec::new(),
        }
    }

    /// Mixes the block that begins with the first span from `original` and `dub` into `out`; all interleaved stereo of one
    /// length. Spans abut and fill the block; those behind it tell what comes, [`FADE`] ahead is enough.
    pub fn mix(&mut self, spans: &[MixSpan], original: &[i16], dub: &[i16], out: &mut [i16]) {
        let Some(start) = spans.first().map(|span| span.range.start) else {
            return;
        };
        let samples = out.len().min(original.len()).min(dub.len());
        let frames = i64::try_from(samples / CHANNELS).unwrap_or(0);
        let end = start + MediaTime::from_frames(frames);
        let offset = |at: MediaTime| usize::try_from((at - start).frames()).unwrap_or(0) * CHANNELS;
        let wanted = self.want(spans, start);
        for (index, (from, gains)) in wanted.iter().enumerate() {
            let until = wanted.get(index + 1).map_or(end, |(next, _)| *next).min(end);
            if *from < until {
                let part = offset(*from)..offset(until);
                self.fade.towards(*gains);
                self.mix_part(&original[part.clone()], &dub[part.clone()], &mut out[part]);
            }
        }
        self.wanted = wanted;
    }

    /// The gains that are wanted from `start` on, and from when on: a dub's end is seen from afar.
    fn want(&mut self, spans: &[MixSpan], start: MediaTime) -> Vec<(MediaTime, Gains)> {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        for span in spans {
            let gains = self.levels.gains(span);
            let dub_ends = wanted.last().is_some_and(|(_, before)| before.dub > 0.0) && gains.dub == 0.0;
            let mut from = span.range.start;
            if dub_ends {
                from = (from - FADE).max(start);
                while wanted.last().is_some_and(|(later, _)| from <= *later) {
                    wanted.pop();
                }
            }
            if wanted.last().is_none_or(|(_, before)| *before != gains) {
                wanted.push((from, gains));
            }
        }
        wanted
    }

    fn mix_part(&mut self, original: &[i16], dub: &[i16], out: &mut [i16]) {
        let fading = usize::try_from(self.fade.left).unwrap_or(0) * CHANNELS;
        let fading = fading.min(out.len());
        self.sum(&original[..fading], &dub[..fading], &mut out[..fading]);
        if self.fade.to == Gains::ORIGINAL && !self.limiter.active() {
            out[fading..].copy_from_slice(&original[fading..]);
        } else {
            self.sum(&original[fading..], &dub[fading..], &mut out[fading..]);
        }
    }

    fn sum(&mut self, original: &[i16], dub: &[i16], out: &mut [i16]) {
        for ((frame, dub), out) in original
            .chunks_exact(CHANNELS)
            .zip(dub.chunks_exact(CHANNELS))
            .zip(out.chunks_exact_mut(CHANNELS))
        {
            let gains = self.fade.step();
            let mut sums = [0.0_f32; CHANNELS];
            let mut peak = 0.0_f32;
            for ((sum, sample), dub) in sums.iter_mut().zip(frame).zip(dub) {
                *sum = f32::from(*sample) * gains.original + f32::from(*dub) * gains.dub;
                peak = peak.max(sum.abs() / FULL_SCALE);
            }
            let gain = self.limiter.frame(peak);
            for (slot, sum) in out.iter_mut().zip(sums) {
                let value = sum * gain;
                *slot = (value + 0.5_f32.copysign(value)) as i16;
            }
        }
    }
}

#[cfg(test)]
mod tests;
