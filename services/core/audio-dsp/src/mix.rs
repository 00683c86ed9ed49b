//! The mix of what airs: original and dub, with fades where one takes over from the other.
use crate::Limiter;
use media_types::{AirState, BedMode, CHANNELS, MediaRange, MediaTime};

/// Length of a fade: short enough that the middle of it (-6 dB) is within 2.5 ms of the edge of the range, long enough
/// that nothing clicks.
pub const FADE: MediaTime = MediaTime::from_frames(240);

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
}

/// A stretch of the block that airs one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixSpan {
    /// Where.
    pub range: MediaRange,
    /// What.
    pub state: AirState,
    /// The whole dub that this stretch is part of.
    pub dub: Option<MediaRange>,
}

/// A value that moves to its target in a straight line, so that a switch does not click.
#[derive(Clone, Copy, Debug)]
struct Ramp {
    value: f32,
    target: f32,
}

impl Ramp {
    fn step(&mut self) -> f32 {
        let step = 1.0 / FADE.frames() as f32;
        let distance = self.target - self.value;
        self.value = if distance.abs() <= step {
            self.target
        } else {
            self.value + step.copysign(distance)
        };
        self.value
    }

    fn settled(&self, at: f32) -> bool {
        self.value == at && self.target == at
    }
}

/// Mixes consecutive blocks of one run.
///
/// - A block that airs the untouched original is copied bit by bit.
/// - A dub fades in and out inside its own range, the original takes the complement.
/// - A change that no range announces (the switch, a fallback) fades over [`FADE`] from its instant on.
#[derive(Debug)]
pub struct Mixer {
    levels: Levels,
    original: Ramp,
    dub: Ramp,
    limiter: Limiter,
}

impl Mixer {
    /// A mixer whose first block airs at full level.
    pub fn new(levels: Levels) -> Self {
        let one = Ramp {
            value: 1.0,
            target: 1.0,
        };
        Self {
            levels,
            original: one,
            dub: one,
            limiter: Limiter::default(),
        }
    }

    /// Mixes `spans`, which abut and fill the block, from `original` and `dub` into `out`; all interleaved stereo of one length.
    pub fn mix(&mut self, spans: &[MixSpan], original: &[i16], dub: &[i16], out: &mut [i16]) {
        let mut at = 0;
        for span in spans {
            let samples = usize::try_from(span.range.length().frames()).unwrap_or(0) * CHANNELS;
            let end = (at + samples).min(out.len()).min(original.len()).min(dub.len());
            if at < end {
                self.mix_span(span, &original[at..end], &dub[at..end], &mut out[at..end]);
            }
            at = end;
        }
    }

    fn mix_span(&mut self, span: &MixSpan, original: &[i16], dub: &[i16], out: &mut [i16]) {
        (self.original.target, self.dub.target) = match (span.state, span.dub) {
            (AirState::Dub | AirState::VoiceOver, Some(_)) | (AirState::Dub | AirState::Original, None) => {
                (1.0, 1.0)
            }
            (AirState::VoiceOver, None) => (self.levels.duck, 1.0),
            (AirState::Original, Some(_)) => (1.0, 0.0),
            (AirState::Bed | AirState::Mute | AirState::Outage, _) => (0.0, 0.0),
        };
        if span.dub.is_none() {
            // No dub is heard here, so its switch needs no fade of its own.
            self.dub.value = self.dub.target;
        }
        let silent_dub = span.dub.is_none() || self.dub.settled(0.0);
        if silent_dub && self.original.settled(1.0) && !self.limiter.active() {
            out.copy_from_slice(original);
            return;
        }
        let under = self.levels.under(span.state);
        let mut position = span.range.start;
        for ((frame, dub), out) in original
            .chunks_exact(CHANNELS)
            .zip(dub.chunks_exact(CHANNELS))
            .zip(out.chunks_exact_mut(CHANNELS))
        {
            let envelope = span.dub.map_or(0.0, |whole| envelope(whole, position)) * self.dub.step();
            let original_gain = self.original.step() * (1.0 - envelope * (1.0 - under));
            let dub_gain = envelope * self.levels.dub;
            let mut mixed = [0.0_f32; CHANNELS];
            let mut peak = 0.0_f32;
            for ((sum, sample), dub) in mixed.iter_mut().zip(frame).zip(dub) {
                *sum = f32::from(*sample) * original_gain + f32::from(*dub) * dub_gain;
                peak = peak.max(sum.abs() / FULL_SCALE);
            }
            let gain = self.limiter.frame(peak);
            for (slot, sum) in out.iter_mut().zip(mixed) {
                let value = sum * gain;
                *slot = (value + 0.5_f32.copysign(value)) as i16;
            }
            position = position + MediaTime::from_frames(1);
        }
    }
}

/// How much of a dub is heard at an instant: a straight fade at both ends of its range.
fn envelope(whole: MediaRange, at: MediaTime) -> f32 {
    let in_front = (at - whole.start).frames() as f32 + 0.5;
    let behind = (whole.end - at).frames() as f32 - 0.5;
    (in_front.min(behind) / FADE.frames() as f32).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels {
        bed: 1.0,
        dub: 1.0,
        duck: 0.0,
        bed_mode: BedMode::None,
    };

    fn range(start: i64, end: i64) -> MediaRange {
        MediaRange::new(MediaTime::from_frames(start), MediaTime::from_frames(end))
    }

    fn block(frames: usize, value: i16) -> Vec<i16> {
        vec![value; frames * CHANNELS]
    }

    #[test]
    fn the_untouched_original_is_copied_bit_by_bit() {
        let mut mixer = Mixer::new(LEVELS);
        let original: Vec<i16> = (0..2000).map(|n| (n * 31 % 65_536 - 32_768) as i16).collect();
        let mut out = block(1000, 0);
        let span = MixSpan {
            range: range(0, 1000),
            state: AirState::Original,
            dub: None,
        };
        mixer.mix(&[span], &original, &block(1000, 99), &mut out);
        assert_eq!(out, original);
    }

    #[test]
    fn a_dub_is_at_minus_six_db_within_2500_us_of_its_edges() {
        let mut mixer = Mixer::new(LEVELS);
        let whole = range(1000, 3000);
        let spans = [
            MixSpan {
                range: range(0, 1000),
                state: AirState::Original,
                dub: None,
            },
            MixSpan {
                range: whole,
                state: AirState::Dub,
                dub: Some(whole),
            },
            MixSpan {
                range: range(3000, 4000),
                state: AirState::Original,
                dub: None,
            },
        ];
        let mut out = block(4000, 0);
        mixer.mix(&spans, &block(4000, 0), &block(4000, 10_000), &mut out);
        let loud: Vec<usize> = (0..4000).filter(|frame| out[frame * CHANNELS] >= 5_000).collect();
        let (first, last) = (loud[0], loud[loud.len() - 1]);
        assert!(
            (1000..=1120).contains(&first) && (2879..3000).contains(&last),
            "{first} {last}"
        );
    }

    #[test]
    fn the_same_signal_as_dub_and_original_shows_no_seam() {
        let mut mixer = Mixer::new(LEVELS);
        let whole = range(500, 1500);
        let spans = [
            MixSpan {
                range: range(0, 500),
                state: AirState::Original,
                dub: None,
            },
            MixSpan {
                range: whole,
                state: AirState::Dub,
                dub: Some(whole),
            },
            MixSpan {
                range: range(1500, 2000),
                state: AirState::Original,
                dub: None,
            },
        ];
        let signal: Vec<i16> = (0..4000)
            .map(|n| (f64::from(n / 2) * 0.05).sin() * 12_000.0)
            .map(|v| v as i16)
            .collect();
        let mut out = block(2000, 0);
        mixer.mix(&spans, &signal, &signal, &mut out);
        assert!(out.iter().zip(&signal).all(|(a, b)| (a - b).abs() <= 1));
    }

    #[test]
    fn mute_is_silent_after_one_fade_and_comes_back() {
        let mut mixer = Mixer::new(LEVELS);
        let mut out = block(1000, 0);
        let mute = MixSpan {
            range: range(0, 1000),
            state: AirState::Mute,
            dub: None,
        };
        mixer.mix(&[mute], &block(1000, 8_000), &block(1000, 0), &mut out);
        assert!(out[240 * CHANNELS..].iter().all(|sample| *sample == 0));
        assert!(
            out[..240 * CHANNELS]
                .chunks_exact(CHANNELS)
                .zip(out[CHANNELS..].chunks_exact(CHANNELS))
                .all(|(a, b)| a[0] >= b[0])
        );
        let back = MixSpan {
            range: range(1000, 2000),
            state: AirState::Original,
            dub: None,
        };
        mixer.mix(&[back], &block(1000, 8_000), &block(1000, 0), &mut out);
        assert_eq!(out[999 * CHANNELS], 8_000);
    }

    #[test]
    fn the_switch_to_original_silences_a_running_dub() {
        let mut mixer = Mixer::new(LEVELS);
        let whole = range(0, 10_000);
        let mut out = block(1000, 0);
        let dubbed = MixSpan {
            range: range(0, 1000),
            state: AirState::Dub,
            dub: Some(whole),
        };
        mixer.mix(&[dubbed], &block(1000, 1_000), &block(1000, 9_000), &mut out);
        assert_eq!(out[999 * CHANNELS], 9_000);
        let original = MixSpan {
            range: range(1000, 2000),
            state: AirState::Original,
            dub: Some(whole),
        };
        mixer.mix(&[original], &block(1000, 1_000), &block(1000, 9_000), &mut out);
        assert_eq!(out[999 * CHANNELS], 1_000);
        let again = MixSpan {
            range: range(2000, 3000),
            state: AirState::Dub,
            dub: Some(whole),
        };
        mixer.mix(&[again], &block(1000, 1_000), &block(1000, 9_000), &mut out);
        assert_eq!(out[999 * CHANNELS], 9_000);
    }

    #[test]
    fn a_loud_sum_never_wraps() {
        let mut mixer = Mixer::new(Levels {
            duck: 1.0,
            bed_mode: BedMode::Ducked,
            ..LEVELS
        });
        let whole = range(-1000, 10_000);
        let span = MixSpan {
            range: range(0, 1000),
            state: AirState::Dub,
            dub: Some(whole),
        };
        let mut out = block(1000, 0);
        mixer.mix(&[span], &block(1000, 30_000), &block(1000, 30_000), &mut out);
        assert!(out.iter().all(|sample| *sample > 25_000));
    }
}
