//! Any rate and any channels to the contract's 48 kHz stereo, whole or piece by piece.
use media_types::SAMPLE_RATE_HZ;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};
use std::ops::RangeInclusive;

/// Rates that speech comes in.
pub const RATES_HZ: RangeInclusive<u32> = 4_000..=192_000;
/// Frames that the resampler works on at once: long enough for a steep filter, and a whole clip is at hand anyway.
const CHUNK_FRAMES: usize = 1024;

/// Why audio cannot be brought to 48 kHz stereo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    /// A rate that nothing speaks in.
    #[error("{0} Hz is no usable sample rate, allowed is {min} to {max}", min = RATES_HZ.start(), max = RATES_HZ.end())]
    Rate(u32),
    /// No channel.
    #[error("the audio has no channel")]
    NoChannel,
    /// The resampler refused.
    #[error("resampler: {0}")]
    Engine(String),
}

/// Interleaved samples of `channels` at `rate_hz` as interleaved 48 kHz stereo. Mono stands on both sides, more
/// than two channels are averaged onto both sides.
pub fn to_contract(samples: Vec<f32>, channels: u16, rate_hz: u32) -> Result<Vec<f32>, ResampleError> {
    if !RATES_HZ.contains(&rate_hz) {
        return Err(ResampleError::Rate(rate_hz));
    }
    let stereo = match channels {
        0 => return Err(ResampleError::NoChannel),
        1 => samples.into_iter().flat_map(|sample| [sample, sample]).collect(),
        2 => samples,
        more => samples
            .chunks_exact(usize::from(more))
            .map(|frame| frame.iter().sum::<f32>() / f32::from(more))
            .flat_map(|sample| [sample, sample])
            .collect(),
    };
    if rate_hz == SAMPLE_RATE_HZ || stereo.is_empty() {
        return Ok(stereo);
    }
    let engine = |error: &dyn std::fmt::Display| ResampleError::Engine(error.to_string());
    let frames = stereo.len() / 2;
    let mut resampler = Fft::<f32>::new(
        rate_hz as usize,
        SAMPLE_RATE_HZ as usize,
        CHUNK_FRAMES,
        2,
        FixedSync::Input,
    )
    .map_err(|error| engine(&error))?;
    let input = InterleavedSlice::new(&stereo, 2, frames).map_err(|error| engine(&error))?;
    let output = resampler
        .process_all(&input, frames, None)
        .map_err(|error| engine(&error))?;
    Ok(output.take_data())
}

/// Blocks in a second of what is resampled piece by piece. Half a block is the delay.
const BLOCKS_PER_SECOND: u32 = 100;

/// One channel in pieces as if it were one sound: no seam between two pieces, and the delay of the filter taken out, so
/// that sample `n` of the output is the instant `n` of the output's rate. What comes out lags by 15 ms at most.
#[derive(Debug)]
pub struct Continuous {
    engine: Fft<f32>,
    rates: (u64, u64),
    /// Less than a block.
    waiting: Vec<f32>,
    taken: u64,
    given: u64,
    /// Output before the first instant that is still to come.
    ahead: usize,
}

impl Continuous {
    /// From one rate to another.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, ResampleError> {
        for rate_hz in [from_hz, to_hz] {
            if !RATES_HZ.contains(&rate_hz) {
                return Err(ResampleError::Rate(rate_hz));
            }
        }
        let engine = Fft::<f32>::new_custom(
            from_hz as usize,
            to_hz as usize,
            (from_hz / BLOCKS_PER_SECOND) as usize,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|error| ResampleError::Engine(error.to_string()))?;
        Ok(Self {
            ahead: engine.output_delay(),
            engine,
            rates: (from_hz.into(), to_hz.into()),
            waiting: Vec::new(),
            taken: 0,
            given: 0,
        })
    }

    /// Takes samples, and gives those that are sure by now.
    pub fn push(&mut self, samples: impl IntoIterator<Item = f32>) -> Result<Vec<f32>, ResampleError> {
        let before = self.waiting.len();
        self.waiting.extend(samples);
        self.taken += (self.waiting.len() - before) as u64;
        let out = self.run()?;
        self.given += out.len() as u64;
        Ok(out)
    }

    /// The sound is over: the rest of it, to the sample. What is pushed next is another sound.
    pub fn finish(&mut self) -> Result<Vec<f32>, ResampleError> {
        let (from, to) = self.rates;
        let whole = (self.taken * to + from / 2) / from;
        let missing = usize::try_from(whole.saturating_sub(self.given)).unwrap_or(0);
        let block = self.engine.input_frames_next();
        let mut rest = Vec::with_capacity(missing);
        while rest.len() < missing {
            self.waiting
                .resize(self.waiting.len().max(1).next_multiple_of(block), 0.0);
            rest.extend(self.run()?);
        }
        rest.truncate(missing);
        self.engine.reset();
        self.waiting.clear();
        (self.taken, self.given, self.ahead) = (0, 0, self.engine.output_delay());
        Ok(rest)
    }

    fn run(&mut self) -> Result<Vec<f32>, ResampleError> {
        let engine_error = |error: &dyn std::fmt::Display| ResampleError::Engine(error.to_string());
        let (block, gives) = (self.engine.input_frames_next(), self.engine.output_frames_next());
        let blocks = self.waiting.len() / block;
        let mut out = vec![0.0; blocks * gives];
        for (from, to) in self.waiting.chunks_exact(block).zip(out.chunks_exact_mut(gives)) {
            let from = InterleavedSlice::new(from, 1, block).map_err(|error| engine_error(&error))?;
            let mut to = InterleavedSlice::new_mut(to, 1, gives).map_err(|error| engine_error(&error))?;
            self.engine
                .process_into_buffer(&from, &mut to, None)
                .map_err(|error| engine_error(&error))?;
        }
        self.waiting.drain(..blocks * block);
        let early = self.ahead.min(out.len());
        self.ahead -= early;
        out.drain(..early);
        Ok(out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A sine of 440 Hz in pieces of odd lengths.
    fn continued(from_hz: u32, to_hz: u32, frames: usize) -> Vec<f32> {
        let mut engine = Continuous::new(from_hz, to_hz).unwrap();
        let (sound, mut out, mut at) = (sine(from_hz, frames), Vec::new(), 0);
        for length in (1..).map(|n: usize| n * 37 % 1501) {
            let end = (at + length).min(frames);
            out.extend(engine.push(sound[at..end].iter().copied()).unwrap());
            at = end;
            if at == frames {
                break;
            }
        }
        out.extend(engine.finish().unwrap());
        out
    }

    #[test]
    fn pieces_make_one_sound_without_a_seam_at_the_same_instants_and_of_the_same_length() {
        for (from_hz, to_hz) in [
            (48_000, 16_000),
            (24_000, 48_000),
            (16_000, 48_000),
            (22_050, 48_000),
        ] {
            let out = continued(from_hz, to_hz, from_hz as usize);
            assert_eq!(out.len(), to_hz as usize, "{from_hz} to {to_hz}");
            let want = |n: usize| 0.5 * (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(to_hz)).sin();
            let inner = to_hz as usize / 50..to_hz as usize * 49 / 50;
            let error = inner.map(|n| (out[n] - want(n) as f32).abs()).fold(0.0, f32::max);
            assert!(error < 0.002, "{from_hz} to {to_hz} Hz is off by {error}");
        }
    }

    #[test]
    fn a_sound_after_the_end_of_another_has_nothing_of_it() {
        let mut engine = Continuous::new(24_000, 48_000).unwrap();
        engine.push(sine(24_000, 1000)).unwrap();
        engine.finish().unwrap();
        let mut silence = engine.push([0.0; 1000]).unwrap();
        silence.extend(engine.finish().unwrap());
        assert_eq!(silence, [0.0; 2000]);
        assert_eq!(engine.finish().unwrap(), [0.0_f32; 0]);
    }

    fn sine(rate_hz: u32, frames: usize) -> Vec<f32> {
        (0..frames)
            .map(|n| 0.5 * (std::f32::consts::TAU * 440.0 * n as f32 / rate_hz as f32).sin())
            .collect()
    }

    #[test]
    fn a_tone_keeps_its_pitch_its_level_and_its_length() {
        for rate_hz in [8_000, 16_000, 22_050, 24_000, 44_100, 96_000] {
            let out = to_contract(sine(rate_hz, rate_hz as usize), 1, rate_hz).unwrap();
            assert!(
                out.len().abs_diff(96_000) <= 4,
                "{rate_hz} Hz gave {} samples",
                out.len()
            );
            // Away from the ends, where a filter has no neighbours to look at, it is the same sine.
            let error =
                out.chunks_exact(2)
                    .enumerate()
                    .skip(4800)
                    .take(38_400)
                    .fold(0.0_f32, |worst, (n, frame)| {
                        let want = 0.5 * (std::f64::consts::TAU * 440.0 * n as f64 / 48_000.0).sin();
                        worst
                            .max((frame[0] - want as f32).abs())
                            .max((frame[1] - want as f32).abs())
                    });
            assert!(error < 0.005, "{rate_hz} Hz is off by {error}");
        }
    }

    #[test]
    fn many_channels_meet_in_the_middle() {
        assert_eq!(to_contract(vec![0.25, 0.5, 0.75], 3, 48_000).unwrap(), [0.5, 0.5]);
        assert_eq!(to_contract(vec![], 0, 48_000), Err(ResampleError::NoChannel));
        assert_eq!(to_contract(vec![], 1, 0), Err(ResampleError::Rate(0)));
    }
}
