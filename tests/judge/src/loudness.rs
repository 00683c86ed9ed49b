//! Loudness by EBU R 128, level by the second, and how much two recordings sound alike.

use crate::{Audio, dsp};
use anyhow::{Context, Result};
use ebur128::{EbuR128, Mode};
use serde::{Deserialize, Serialize};

/// Two recordings are compared coarsely at this fraction of their rate.
const COARSE: usize = 8;

/// Loudness of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loudness {
    /// Integrated loudness in LUFS (`None` when all is below the gate).
    pub integrated_lufs: Option<f64>,
    /// RMS level of each second in dBFS, mean of channels.
    pub rms_db: Vec<f64>,
    /// Greatest sample in dBFS.
    pub peak_db: f64,
}

/// Measures loudness.
pub fn loudness(audio: &Audio) -> Result<Loudness> {
    let mut meter =
        EbuR128::new(audio.channels, audio.rate, Mode::I).context("this layout has no EBU R 128 meter")?;
    meter.add_frames_f32(&audio.interleaved)?;
    let integrated = meter.loudness_global().ok().filter(|value| value.is_finite());
    let peak = audio
        .interleaved
        .iter()
        .fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    Ok(Loudness {
        integrated_lufs: integrated,
        rms_db: audio.mono.chunks(audio.rate as usize).map(dsp::rms_db).collect(),
        peak_db: 20.0 * f64::from(peak).max(1e-6).log10(),
    })
}

/// RMS level between two presentation times, in dBFS.
pub fn level_between(audio: &Audio, from_ms: f64, to_ms: f64) -> f64 {
    dsp::rms_db(audio.between(from_ms, to_ms))
}

/// How much two recordings sound alike at their best lag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Presentation time of the second minus that of the first, for the same sound.
    pub shift_ms: f64,
    /// Correlation over what both hold, -1 to 1.
    pub coefficient: f32,
    /// Length of what both hold.
    pub overlap_s: f64,
}

/// Compares two recordings of the same rate; `None` when either is silent or shorter than a second.
pub fn likeness(first: &Audio, second: &Audio) -> Option<Likeness> {
    if first.rate != second.rate || first.mono.len().min(second.mono.len()) < first.rate as usize {
        return None;
    }
    let (a, b) = (coarse(&first.mono), coarse(&second.mono));
    // The shorter one's middle must lie in the longer one: padding lets it hang over on both sides.
    let pad = b.len() / 2;
    let mut padded = vec![0.0f32; pad];
    padded.extend_from_slice(&a);
    padded.resize(a.len() + 2 * pad, 0.0);
    let piece = if padded.len() >= b.len() {
        &b[..]
    } else {
        return likeness(second, first).map(reversed);
    };
    let found = best_raw(&padded, piece)?;
    let coarse_lag = (found as i64 - pad as i64) * COARSE as i64;
    let reach = 3 * COARSE as i64;
    let best = (coarse_lag - reach..=coarse_lag + reach)
        .map(|lag| (lag, pearson(&first.mono, &second.mono, lag)))
        .max_by(|x, y| x.1.0.total_cmp(&y.1.0))?;
    let (lag, (coefficient, overlap)) = best;
    // Sample `i` of the second is sample `i + lag` of the first.
    let at = (overlap.0 + overlap.1) / 2;
    let shift_ms = second.time_ms((at as i64 - lag) as f64) - first.time_ms(at as f64);
    let overlap_s = (overlap.1 - overlap.0) as f64 / f64::from(first.rate);
    Some(Likeness {
        shift_ms,
        coefficient,
        overlap_s,
    })
}

fn reversed(likeness: Likeness) -> Likeness {
    Likeness {
        shift_ms: -likeness.shift_ms,
        ..likeness
    }
}

fn coarse(samples: &[f32]) -> Vec<f32> {
    samples
        .chunks(COARSE)
        .map(|chunk| chunk.iter().sum::<f32>() / chunk.len() as f32)
        .collect()
}

/// The lag of the greatest plain product: padding makes normalised scores at the edges worthless.
fn best_raw(whole: &[f32], piece: &[f32]) -> Option<usize> {
    let products = dsp::Correlator::new().products(whole, piece)?;
    let lags = whole.len() - piece.len() + 1;
    products[..lags]
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map(|(at, _)| at)
}

/// Correlation of `first[i + lag]` with `second[i]` and the overlap in samples of the first.
fn pearson(first: &[f32], second: &[f32], lag: i64) -> (f32, (usize, usize)) {
    let from = lag.max(0) as usize;
    let to = (second.len() as i64 + lag).clamp(0, first.len() as i64) as usize;
    if to <= from {
        return (0.0, (0, 0));
    }
    let a = &first[from..to];
    let start = (from as i64 - lag) as usize;
    let b = &second[start..start + a.len()];
    let dot: f64 = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    let norm = (dsp::energy(a) * dsp::energy(b)).sqrt();
    ((dot / norm.max(1e-12)) as f32, (from, to))
}
