//! Any rate and any channels to the contract's 48 kHz stereo.
use media_types::SAMPLE_RATE_HZ;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
