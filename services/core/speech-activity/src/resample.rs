//! 48 kHz interleaved stereo to the 16 kHz mono that the network hears, block by block, without an allocation.
use crate::StartError;
use media_types::{CHANNELS, SAMPLE_RATE_HZ};
use rubato::{Fft, FixedSync, Resampler, WindowFunction, audioadapter_buffers::direct::InterleavedSlice};

/// Rate that the network was trained on.
pub const NETWORK_RATE_HZ: usize = 16_000;
/// Stereo frames of one block: 20 ms.
pub const BLOCK_FRAMES: usize = 960;
/// Samples that a block becomes.
pub const BLOCK_SAMPLES: usize = 320;

/// One block at a time. Its filter is half a block long, so what comes out lies [`DownMix::DELAY_SAMPLES`] behind what
/// went in.
pub struct DownMix {
    engine: Fft<f32>,
    mono: Vec<f32>,
    low: Vec<f32>,
}

impl DownMix {
    /// How far the output lies behind the input; checked against an impulse and against what the engine says.
    pub const DELAY_SAMPLES: i64 = 160;

    /// Allocates all that it will need.
    pub fn new() -> Result<Self, StartError> {
        // One transform a block, and the window that costs least delay for its suppression: an alias of 8.2 kHz is at
        // -144 dB, 7.5 kHz passes at -0.15 dB.
        let engine = Fft::new_custom(
            SAMPLE_RATE_HZ as usize,
            NETWORK_RATE_HZ,
            BLOCK_FRAMES,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|error| StartError::Resampler(error.to_string()))?;
        let sizes = (engine.input_frames_next(), engine.output_frames_next());
        if sizes != (BLOCK_FRAMES, BLOCK_SAMPLES) {
            return Err(StartError::Resampler(format!("works in blocks of {sizes:?}")));
        }
        Ok(Self {
            engine,
            mono: vec![0.0; BLOCK_FRAMES],
            low: vec![0.0; BLOCK_SAMPLES],
        })
    }

    /// What follows continues nothing.
    pub fn reset(&mut self) {
        self.engine.reset();
    }

    /// One block of interleaved stereo; what is missing at its end is silence.
    pub fn block(&mut self, stereo: &[i16]) -> &[f32] {
        self.mono.fill(0.0);
        for (mono, frame) in self.mono.iter_mut().zip(stereo.chunks_exact(CHANNELS)) {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            *mono = sum as f32 / (CHANNELS as f32 * 32_768.0);
        }
        let done = match (
            InterleavedSlice::new(&self.mono, 1, BLOCK_FRAMES),
            InterleavedSlice::new_mut(&mut self.low, 1, BLOCK_SAMPLES),
        ) {
            (Ok(from), Ok(mut to)) => self.engine.process_into_buffer(&from, &mut to, None).is_ok(),
            (Err(_), _) | (_, Err(_)) => false,
        };
        if !done {
            // Sizes are fixed at the start, so this is not met; silence is what nobody acts on.
            self.low.fill(0.0);
        }
        &self.low
    }
}

impl std::fmt::Debug for DownMix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownMix").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sine(hz: f64, frames: usize) -> Vec<i16> {
        (0..frames)
            .flat_map(|n| {
                let sample = 16_000.0 * (std::f64::consts::TAU * hz * n as f64 / 48_000.0).sin();
                [sample as i16; 2]
            })
            .collect()
    }

    fn all(stereo: &[i16]) -> Vec<f32> {
        let mut down = DownMix::new().unwrap();
        stereo
            .chunks(BLOCK_FRAMES * CHANNELS)
            .flat_map(|block| down.block(block).to_vec())
            .collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn an_impulse_comes_out_after_exactly_the_delay() {
        for at in [0, 300, 959, 960, 1500] {
            let mut stereo = vec![0; 4 * BLOCK_FRAMES * CHANNELS];
            stereo[at * CHANNELS..(at + 1) * CHANNELS].fill(30_000);
            let out = all(&stereo);
            let peak = (0..out.len())
                .max_by(|a, b| out[*a].abs().total_cmp(&out[*b].abs()))
                .unwrap();
            let expected = at as f64 / 3.0 + DownMix::DELAY_SAMPLES as f64;
            assert!(
                (peak as f64 - expected).abs() <= 1.0,
                "impulse at {at} peaks at {peak}"
            );
        }
        let engine = DownMix::new().unwrap().engine;
        assert_eq!(engine.output_delay(), 160);
    }

    #[test]
    fn speech_passes_and_what_would_fold_into_it_does_not() {
        for (hz, level) in [
            (200.0, 0.345),
            (3_000.0, 0.345),
            (7_000.0, 0.345),
            (9_000.0, 0.0),
            (15_000.0, 0.0),
        ] {
            let out = all(&sine(hz, 48_000));
            let heard = rms(&out[1_000..15_000]);
            assert!((heard - level).abs() < 0.003, "{hz} Hz: {heard}");
        }
    }
}
