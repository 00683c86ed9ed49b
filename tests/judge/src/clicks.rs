//! Clicks: moments whose high frequencies stand far out of their surroundings.

use crate::{Audio, dsp};
use serde::{Deserialize, Serialize};

/// Surroundings that a moment is compared with, on each side.
const AROUND_MS: f64 = 20.0;
/// Moments nearer than this are one click.
const ONE_CLICK_MS: f64 = 5.0;
/// A second difference below this (about -54 dBFS) is never heard as a click.
const SOFTEST: f32 = 0.002;
/// How far a moment stands out of the RMS of its surroundings before it counts. Noise reaches 5.
pub const STANDS_OUT: f64 = 9.0;
/// A click of the recording is the source's own when the source stands out half as much there.
const OWN: f64 = STANDS_OUT / 2.0;
/// A recording that starts or ends inside a sound clicks there by no fault of the stream.
const CUT_MS: f64 = 50.0;
/// Tolerance of that comparison in time.
const SAME_MS: f64 = 15.0;

/// One click.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Click {
    /// Presentation time.
    pub at_ms: f64,
    /// How many times it exceeds the RMS of its surroundings.
    pub ratio: f64,
}

/// All clicks of a recording.
pub fn clicks(audio: &Audio) -> Vec<Click> {
    outliers(audio, STANDS_OUT)
}

/// Clicks of a recording that its source does not have, its cut ends left out. `shift_ms` is the recording's presentation time minus the
/// source's for the same moment.
pub fn new_clicks(source: &Audio, recording: &Audio, shift_ms: f64) -> Vec<Click> {
    let own: Vec<f64> = outliers(source, OWN)
        .into_iter()
        .map(|click| click.at_ms + shift_ms)
        .collect();
    let (from, to) = (recording.start_ms() + CUT_MS, recording.end_ms() - CUT_MS);
    clicks(recording)
        .into_iter()
        .filter(|click| (from..=to).contains(&click.at_ms))
        .filter(|click| {
            let next = own.partition_point(|at| *at < click.at_ms - SAME_MS);
            own.get(next).is_none_or(|at| *at > click.at_ms + SAME_MS)
        })
        .collect()
}

fn outliers(audio: &Audio, stands_out: f64) -> Vec<Click> {
    let bends: Vec<f32> = audio.mono.windows(3).map(|w| w[0] - 2.0 * w[1] + w[2]).collect();
    let sums = dsp::running_energy(&bends);
    let per_ms = f64::from(audio.rate) / 1000.0;
    let around = (AROUND_MS * per_ms) as usize;
    let guard = per_ms as usize;
    let apart = (ONE_CLICK_MS * per_ms) as usize;
    let mut found: Vec<(usize, f64)> = Vec::new();
    for (at, bend) in bends.iter().enumerate() {
        if bend.abs() < SOFTEST {
            continue;
        }
        // The moment itself, a millisecond on each side, is no part of its surroundings.
        let (from, to) = (at.saturating_sub(around), (at + around).min(bends.len()));
        let (inner_from, inner_to) = (at.saturating_sub(guard), (at + guard).min(bends.len()));
        let energy = (sums[to] - sums[from]) - (sums[inner_to] - sums[inner_from]);
        let count = (to - from).saturating_sub(inner_to - inner_from).max(1);
        let level = (energy.max(0.0) / count as f64)
            .sqrt()
            .max(f64::from(SOFTEST) / 10.0);
        let ratio = f64::from(bend.abs()) / level;
        if ratio < stands_out {
            continue;
        }
        match found.last_mut() {
            Some(last) if at - last.0 <= apart => {
                if ratio > last.1 {
                    *last = (at, ratio);
                }
            }
            _ => found.push((at, ratio)),
        }
    }
    found
        .into_iter()
        .map(|(at, ratio)| Click {
            at_ms: audio.time_ms(at as f64 + 1.0),
            ratio,
        })
        .collect()
}
