//! Arithmetic on samples: correlation by FFT, narrow-band envelopes, levels, medians.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;
use std::f64::consts::TAU;

/// Where a piece of sound fits best in a longer one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// First sample of the longer sound that the piece lies on.
    pub offset: usize,
    /// The same with the fraction of a sample, from a parabola through the three best lags.
    pub exact: f64,
    /// Normalised correlation, -1 to 1.
    pub coefficient: f32,
}

/// Finds pieces of sound in longer ones; keeps its FFT plans.
pub struct Correlator {
    planner: RealFftPlanner<f32>,
}

impl Default for Correlator {
    fn default() -> Self {
        Self::new()
    }
}

impl Correlator {
    /// A correlator without any plan yet.
    pub fn new() -> Self {
        Self {
            planner: RealFftPlanner::new(),
        }
    }

    /// The best place of `piece` in `whole`, by normalised correlation at every lag where it lies inside.
    /// `None` when the piece is longer than the whole, or either is silent.
    pub fn find(&mut self, whole: &[f32], piece: &[f32]) -> Option<Match> {
        if piece.is_empty() || piece.len() > whole.len() {
            return None;
        }
        let products = self.products(whole, piece)?;
        let piece_energy = energy(piece);
        let sums = running_energy(whole);
        let lags = whole.len() - piece.len() + 1;
        // A stretch far below the loudest one would turn rounding noise into a perfect match.
        let loudest = (0..lags)
            .map(|at| sums[at + piece.len()] - sums[at])
            .fold(0.0, f64::max);
        let floor = loudest * 1e-6;
        if piece_energy <= 0.0 || loudest <= 0.0 {
            return None;
        }
        let score = |at: usize| -> f64 {
            let local = sums[at + piece.len()] - sums[at];
            if local <= floor {
                0.0
            } else {
                f64::from(products[at]) / (local * piece_energy).sqrt()
            }
        };
        let mut best = (0, f64::MIN);
        for at in 0..lags {
            let value = score(at);
            if value > best.1 {
                best = (at, value);
            }
        }
        let mut exact = best.0 as f64;
        if best.0 > 0 && best.0 + 1 < lags {
            exact += parabola_peak(score(best.0 - 1), best.1, score(best.0 + 1));
        }
        Some(Match {
            offset: best.0,
            exact,
            coefficient: best.1 as f32,
        })
    }

    /// Sums of `whole[at + i] * piece[i]` for every `at`, by FFT; lags that do not wrap are exact.
    pub(crate) fn products(&mut self, whole: &[f32], piece: &[f32]) -> Option<Vec<f32>> {
        let size = whole.len().next_power_of_two().max(2);
        let forward = self.planner.plan_fft_forward(size);
        let backward = self.planner.plan_fft_inverse(size);
        let spectrum = |samples: &[f32]| -> Option<Vec<Complex<f32>>> {
            let mut padded = forward.make_input_vec();
            padded[..samples.len()].copy_from_slice(samples);
            let mut out = forward.make_output_vec();
            forward.process(&mut padded, &mut out).ok()?;
            Some(out)
        };
        let mut product = spectrum(whole)?;
        for (value, other) in product.iter_mut().zip(spectrum(piece)?) {
            *value *= other.conj();
        }
        // The inverse transform wants purely real first and last bins; rounding may leave a trace.
        if let Some(first) = product.first_mut() {
            first.im = 0.0;
        }
        if let Some(last) = product.last_mut() {
            last.im = 0.0;
        }
        let mut out = backward.make_output_vec();
        backward.process(&mut product, &mut out).ok()?;
        let scale = 1.0 / size as f32;
        out.iter_mut().for_each(|value| *value *= scale);
        Some(out)
    }
}

/// Offset of a parabola's peak from the middle one of three neighbours, in steps, within -0.5 to 0.5.
pub fn parabola_peak(left: f64, middle: f64, right: f64) -> f64 {
    let bend = left - 2.0 * middle + right;
    if bend.abs() < 1e-12 {
        0.0
    } else {
        (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    }
}

/// Sum of squares.
pub fn energy(samples: &[f32]) -> f64 {
    samples
        .iter()
        .map(|sample| f64::from(*sample) * f64::from(*sample))
        .sum()
}

/// `sums[i]` is the energy of the first `i` samples.
pub fn running_energy(samples: &[f32]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(samples.len() + 1);
    let mut sum = 0.0;
    sums.push(0.0);
    for sample in samples {
        sum += f64::from(*sample) * f64::from(*sample);
        sums.push(sum);
    }
    sums
}

/// RMS level in dBFS (a full-scale square wave is 0), never below -120.
pub fn rms_db(samples: &[f32]) -> f64 {
    if samples.is_empty() {
        return -120.0;
    }
    (10.0 * (energy(samples) / samples.len() as f64).max(1e-12).log10()).max(-120.0)
}

/// The median; 0 when empty.
pub fn median(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

/// The value below which `share` (0 to 1) of all values lie; 0 when empty.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[at]
}

/// The complex envelope of `frequency` in `samples`: mixed down to zero, then averaged `passes` times over a
/// centred box (one pass: a box; two: a triangle of twice the length). The magnitude is the peak amplitude of a
/// sine of that frequency. Phase counts from sample `first_sample`, so that pieces of one recording compare.
pub fn envelope(
    samples: &[f32],
    first_sample: usize,
    rate: u32,
    frequency: f64,
    box_ms: f64,
    passes: usize,
) -> Vec<Complex<f64>> {
    let step = TAU * frequency / f64::from(rate);
    let mut values: Vec<Complex<f64>> = samples
        .iter()
        .enumerate()
        .map(|(at, sample)| Complex::from_polar(2.0 * f64::from(*sample), -step * (first_sample + at) as f64))
        .collect();
    let half = (box_ms / 1000.0 * f64::from(rate) / 2.0) as usize;
    for _ in 0..passes {
        values = box_average(&values, half);
    }
    values
}

/// Mean over `half` values on each side; what lies outside counts as zero.
fn box_average(values: &[Complex<f64>], half: usize) -> Vec<Complex<f64>> {
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = Complex::new(0.0, 0.0);
    sums.push(sum);
    for value in values {
        sum += value;
        sums.push(sum);
    }
    let scale = 1.0 / (2 * half + 1) as f64;
    (0..values.len())
        .map(|at| (sums[(at + half + 1).min(values.len())] - sums[at.saturating_sub(half)]) * scale)
        .collect()
}

/// Where a parabola through values at equal steps around zero has its peak, in steps; `None` without a peak.
/// The number of values must be odd; the middle one is step 0.
pub fn fitted_peak(values: &[f64]) -> Option<f64> {
    let half = (values.len() / 2) as f64;
    let (mut sy, mut sxy, mut sxxy, mut sxx, mut sxxxx) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let x = at as f64 - half;
        sy += value;
        sxy += x * value;
        sxxy += x * x * value;
        sxx += x * x;
        sxxxx += x * x * x * x;
    }
    let count = values.len() as f64;
    let bend = (count * sxxy - sxx * sy) / (count * sxxxx - sxx * sxx);
    let peak = -(sxy / sxx) / (2.0 * bend);
    (bend < 0.0 && peak.abs() <= half).then_some(peak)
}
