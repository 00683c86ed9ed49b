//! Tones: from when to when a sine of a given frequency is the sound, to within a millisecond.
//!
//! What is heard right beside a tone moves its edges when it is as loud at that frequency: judge them on a source that is
//! silent (`flash_beep`) or broad (`coded_noise`), not on speech.

use crate::{Audio, dsp};
use serde::{Deserialize, Serialize};

/// Window in which a tone is told from its neighbours: a triangle of twice this box, whose first zero lies 50 Hz off.
const COARSE_BOX_MS: f64 = 20.0;
/// Step of the coarse search.
const COARSE_STEP_MS: f64 = 5.0;
/// Part of a window's energy that must be the tone.
const SHARE: f64 = 0.5;
/// Interruptions shorter than this are bridged.
const BRIDGE_MS: f64 = 30.0;
/// Tones shorter than this are not reported.
const SHORTEST_MS: f64 = 60.0;
/// Window of the exact edges; centred, so that the -6 dB point is not moved.
const FINE_BOX_MS: f64 = 5.0;
/// How far from the coarse edge the exact one can lie.
const EDGE_MS: f64 = 60.0;
/// The softest tone that counts: -60 dBFS peak.
const SOFTEST: f64 = 1e-3;

/// A stretch in which a tone is the sound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToneRange {
    /// Frequency that was looked for.
    pub frequency_hz: f64,
    /// Presentation time of the -6 dB point of its onset.
    pub start_ms: f64,
    /// Presentation time of the -6 dB point of its end.
    pub end_ms: f64,
    /// Peak amplitude of the plateau.
    pub amplitude: f64,
}

/// A tone found among candidates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dominant {
    /// Its frequency.
    pub frequency_hz: f64,
    /// Part of the stretch's energy that it holds, 0 to 1.
    pub share: f64,
}

/// The frequencies of the dubber's `coded` mode: fragment `2k + 1` carries the `k % 32`th.
pub fn coded_frequencies() -> Vec<f64> {
    (0..32).map(|step| 400.0 + 50.0 * f64::from(step)).collect()
}

/// Which of the candidates holds most of the energy between two presentation times.
pub fn dominant(audio: &Audio, from_ms: f64, to_ms: f64, candidates: &[f64]) -> Option<Dominant> {
    let samples = audio.between(from_ms, to_ms);
    let energy = dsp::energy(samples);
    if energy <= 0.0 {
        return None;
    }
    candidates
        .iter()
        .map(|frequency| Dominant {
            frequency_hz: *frequency,
            share: tone_energy(samples, audio.rate, *frequency) / energy,
        })
        .max_by(|a, b| a.share.total_cmp(&b.share))
}

/// Energy of a sine in a stretch, by Goertzel's recursion.
pub fn tone_energy(samples: &[f32], rate: u32, frequency_hz: f64) -> f64 {
    let step = std::f64::consts::TAU * frequency_hz / f64::from(rate);
    let turn = 2.0 * step.cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, f64::from(*sample) + turn * last - before);
    }
    let power = last * last + before * before - turn * last * before;
    2.0 * power / samples.len().max(1) as f64
}

/// All stretches in which a tone of this frequency is the sound.
pub fn tone_ranges(audio: &Audio, frequency_hz: f64) -> Vec<ToneRange> {
    let rate = audio.rate;
    let per_ms = f64::from(rate) / 1000.0;
    let coarse = dsp::envelope(&audio.mono, 0, rate, frequency_hz, COARSE_BOX_MS, 2);
    let sums = dsp::running_energy(&audio.mono);
    let step = (COARSE_STEP_MS * per_ms) as usize;
    let half = (COARSE_BOX_MS * per_ms) as usize;
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for at in (0..coarse.len()).step_by(step.max(1)) {
        let (from, to) = (at.saturating_sub(half), (at + half).min(coarse.len()));
        let amplitude = coarse[at].norm();
        let mean_square = (sums[to] - sums[from]) / (to - from).max(1) as f64;
        if amplitude < SOFTEST || amplitude * amplitude / 2.0 < SHARE * mean_square {
            continue;
        }
        match stretches.last_mut() {
            Some(last) if ((at - last.1) as f64) <= BRIDGE_MS * per_ms => last.1 = at,
            _ => stretches.push((at, at)),
        }
    }
    stretches
        .into_iter()
        .filter(|(from, to)| ((to - from) as f64) >= SHORTEST_MS * per_ms)
        .map(|(from, to)| exact_range(audio, frequency_hz, from, to))
        .filter(|range| range.end_ms - range.start_ms >= SHORTEST_MS)
        .collect()
}

/// Moves both edges of a coarse stretch to their -6 dB points.
fn exact_range(audio: &Audio, frequency_hz: f64, from: usize, to: usize) -> ToneRange {
    let per_ms = f64::from(audio.rate) / 1000.0;
    let reach = (EDGE_MS * per_ms) as usize;
    let start = from.saturating_sub(reach);
    let end = (to + reach).min(audio.mono.len());
    let fine = dsp::envelope(
        &audio.mono[start..end],
        start,
        audio.rate,
        frequency_hz,
        FINE_BOX_MS,
        1,
    );
    let plateau: Vec<f64> = fine[from - start..=to - start]
        .iter()
        .map(|value| value.norm())
        .collect();
    let amplitude = dsp::median(&plateau);
    // What lies beyond the edge has any phase; only the part in phase with the tone itself is compared.
    let inside = reach.min((to - from) / 2);
    let onset = in_phase(&fine, from - start, from - start + inside);
    let ending = in_phase(&fine, to - start - inside, to - start);
    // From well inside outwards: what interrupts a long tone for a few milliseconds on its way is no edge of it.
    let (after, before) = (from - start + inside, to - start - inside);
    let first = (0..after).rev().find(|at| onset[*at] < amplitude / 2.0);
    let last = (before..ending.len()).find(|at| ending[*at] < amplitude / 2.0);
    ToneRange {
        frequency_hz,
        start_ms: audio.time_ms((start + first.map_or(0, |at| at + 1)) as f64),
        end_ms: audio.time_ms((start + last.unwrap_or(ending.len())) as f64),
        amplitude,
    }
}

/// The part of an envelope that is in phase with its mean between two samples.
fn in_phase(envelope: &[realfft::num_complex::Complex<f64>], from: usize, to: usize) -> Vec<f64> {
    let mean: realfft::num_complex::Complex<f64> = envelope[from..to.max(from + 1)].iter().sum();
    let turn = mean.conj() / mean.norm().max(1e-12);
    envelope.iter().map(|value| (value * turn).re).collect()
}
