//! Coded noise: sound whose every 100 ms tell where they belong.
//!
//! The reference is white noise from a seeded generator, limited to 8 kHz so that lossy coders keep its shape.
//! It needs no file: seed and length give the same samples on every machine.

use crate::dsp::{Correlator, Match};
use anyhow::{Result, ensure};
use std::f64::consts::PI;

/// Rate of the reference.
pub const RATE: u32 = 48_000;
/// Its RMS level in dBFS.
pub const LEVEL_DB: f64 = -14.0;
/// Its upper frequency limit.
const CUTOFF_HZ: f64 = 8_000.0;
/// Half of the low-pass filter's length.
const FILTER_HALF: usize = 64;
/// Length of a judged window in milliseconds.
pub const WINDOW_MS: u32 = 100;
/// Correlation from which a window counts as found.
pub const FOUND: f32 = 0.5;
/// First search around the last known lag, in samples on each side; then this many times as far.
const NEAR: usize = 2_048;
const WIDER: usize = 24;
/// A search of the whole reference is dear: windows that are lost for long are looked for everywhere only now and then.
const EVERYWHERE_EACH: usize = 10;

/// The noise as it was fed into a clip.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Mono samples at [`RATE`].
    pub samples: Vec<f32>,
}

/// Where a window of a recording lies in the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Sample of the reference that is heard at the window's first sample.
    pub reference: f64,
    /// Normalised correlation.
    pub coefficient: f32,
}

impl Reference {
    /// The noise of a seed.
    pub fn new(seed: u64, seconds: u32) -> Self {
        let count = seconds as usize * RATE as usize;
        // Mixed first: seeds that differ by the generator's step would give the same noise one sample later.
        let mut state = mixed(seed ^ 0x2545_F491_4F6C_DD1D);
        let white: Vec<f32> = (0..count + 2 * FILTER_HALF)
            .map(|_| uniform(&mut state))
            .collect();
        let taps = low_pass();
        let mut samples: Vec<f32> = (0..count)
            .map(|at| {
                white[at..at + taps.len()]
                    .iter()
                    .zip(&taps)
                    .map(|(sample, tap)| sample * tap)
                    .sum()
            })
            .collect();
        let rms = (crate::dsp::energy(&samples) / count.max(1) as f64).sqrt();
        let gain = (10f64.powf(LEVEL_DB / 20.0) / rms.max(1e-9)) as f32;
        samples
            .iter_mut()
            .for_each(|sample| *sample = (*sample * gain).clamp(-0.98, 0.98));
        Self { samples }
    }

    /// Finds windows of a recording whose rate is `rate` (recordings are decoded at [`RATE`] for this).
    pub fn tracker(&self, rate: u32) -> Tracker<'_> {
        Tracker {
            reference: &self.samples,
            window: (rate * WINDOW_MS / 1000) as usize,
            correlator: Correlator::new(),
            lag: None,
            lost: 0,
        }
    }
}

/// Refuses a recording whose rate differs from the reference's.
pub fn require_rate(rate: u32) -> Result<()> {
    ensure!(
        rate == RATE,
        "coded noise is judged at {RATE} Hz, decode the recording at that rate (it has {rate} Hz)"
    );
    Ok(())
}

/// Follows a recording through the reference.
pub struct Tracker<'r> {
    reference: &'r [f32],
    window: usize,
    correlator: Correlator,
    lag: Option<f64>,
    lost: usize,
}

impl Tracker<'_> {
    /// Samples of one window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Where the window that starts at `sample` lies: first near the last known lag, then wider, then everywhere.
    pub fn locate(&mut self, recording: &[f32], sample: usize) -> Option<Place> {
        let piece = recording.get(sample..sample + self.window)?;
        if crate::dsp::rms_db(piece) < -70.0 {
            return None;
        }
        let expected = self.lag.map(|lag| sample as f64 + lag);
        let mut found = expected.and_then(|at| self.search(piece, at, NEAR)).filter(good);
        if found.is_none() {
            found = expected
                .and_then(|at| self.search(piece, at, NEAR * WIDER))
                .filter(good);
        }
        let unsettled = self.lag.is_none() && self.lost < EVERYWHERE_EACH;
        if found.is_none() && (unsettled || self.lost.is_multiple_of(EVERYWHERE_EACH)) {
            found = self.search(piece, 0.0, self.reference.len()).filter(good);
        }
        self.lost = if found.is_some() { 0 } else { self.lost + 1 };
        let place = found?;
        self.lag = Some(place.reference - sample as f64);
        Some(place)
    }

    fn search(&mut self, piece: &[f32], around: f64, reach: usize) -> Option<Place> {
        let middle = around.max(0.0) as usize;
        let from = middle.saturating_sub(reach).min(self.reference.len());
        let to = (middle + reach + self.window).min(self.reference.len());
        let Match {
            exact, coefficient, ..
        } = self.correlator.find(&self.reference[from..to], piece)?;
        Some(Place {
            reference: from as f64 + exact,
            coefficient,
        })
    }
}

fn good(place: &Place) -> bool {
    place.coefficient >= FOUND
}

/// The next value of a splitmix64 generator, -1 to 1.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    ((mixed(*state) >> 40) as f32 / 8_388_608.0) - 1.0
}

/// The finisher of splitmix64.
fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A windowed-sinc low-pass of odd length.
fn low_pass() -> Vec<f32> {
    let cut = CUTOFF_HZ / f64::from(RATE);
    (0..=2 * FILTER_HALF)
        .map(|at| {
            let x = at as f64 - FILTER_HALF as f64;
            let sinc = if x == 0.0 {
                2.0 * cut
            } else {
                (2.0 * PI * cut * x).sin() / (PI * x)
            };
            let window = 0.54 + 0.46 * (PI * x / (FILTER_HALF as f64 + 1.0)).cos();
            (sinc * window) as f32
        })
        .collect()
}
