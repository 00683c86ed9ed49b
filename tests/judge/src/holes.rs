//! Missing and doubled sound: the lag of coded noise over consecutive decoded samples, time stamps aside.

use crate::noise::{self, Reference};
use crate::{Audio, dsp};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The lag may wander this many samples before sound counts as missing or doubled.
pub const TOLERANCE: f64 = 8.0;

/// A place where the lag moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LagChange {
    /// Presentation time of the window.
    pub at_ms: f64,
    /// Decoded sample at which the window starts.
    pub sample: usize,
    /// Change since the window before, in samples at 48 kHz: positive is missing sound, negative doubled.
    pub samples: f64,
}

/// A stretch of windows in which the noise was not found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Presentation time at which it starts.
    pub from_ms: f64,
    /// Presentation time at which it ends.
    pub to_ms: f64,
}

/// Judgement of a recording of coded noise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HoleReport {
    /// Windows between the first and the last that was found.
    pub windows: usize,
    /// Windows among them in which the noise was found.
    pub found: usize,
    /// Stretches among them in which it was not.
    pub unfound: Vec<Stretch>,
    /// Lag of the first window: reference sample minus decoded sample.
    pub first_lag: f64,
    /// Greatest distance from the first window's lag, in samples at 48 kHz.
    pub worst_change: f64,
    /// Every place where the lag moved by more than [`TOLERANCE`].
    pub changes: Vec<LagChange>,
    /// Smallest correlation of a found window.
    pub coefficient_min: f32,
    /// Median correlation of the found windows.
    pub coefficient_median: f64,
}

impl HoleReport {
    /// Judges a file made from the noise of `seed`.
    pub fn of_file(path: &Path, reference: &Reference) -> Result<Self> {
        Self::of(&Audio::decode_at(path, Some(noise::RATE))?, reference)
    }

    /// Judges decoded sound at 48 kHz.
    pub fn of(audio: &Audio, reference: &Reference) -> Result<Self> {
        noise::require_rate(audio.rate)?;
        let mut tracker = reference.tracker(audio.rate);
        let window = tracker.window();
        let places: Vec<Option<noise::Place>> = (0..audio.mono.len() / window)
            .map(|index| tracker.locate(&audio.mono, index * window))
            .collect();
        let (Some(first), Some(last)) = (
            places.iter().position(Option::is_some),
            places.iter().rposition(Option::is_some),
        ) else {
            return Ok(Self::default());
        };
        let mut report = Self {
            windows: last - first + 1,
            coefficient_min: 1.0,
            ..Self::default()
        };
        let mut before: Option<f64> = None;
        let mut coefficients = Vec::new();
        let mut unfound_from: Option<usize> = None;
        let time = |index: usize| audio.time_ms((index * window) as f64);
        for (index, place) in places.iter().enumerate().take(last + 1).skip(first) {
            let Some(place) = place else {
                unfound_from.get_or_insert(index);
                continue;
            };
            if let Some(from) = unfound_from.take() {
                report.unfound.push(Stretch {
                    from_ms: time(from),
                    to_ms: time(index),
                });
            }
            let sample = index * window;
            let lag = place.reference - sample as f64;
            let previous = *before.get_or_insert(lag);
            if index == first {
                report.first_lag = lag;
            }
            report.found += 1;
            report.worst_change = report.worst_change.max((lag - report.first_lag).abs());
            report.coefficient_min = report.coefficient_min.min(place.coefficient);
            coefficients.push(f64::from(place.coefficient));
            if (lag - previous).abs() > TOLERANCE {
                report.changes.push(LagChange {
                    at_ms: time(index),
                    sample,
                    samples: lag - previous,
                });
            }
            before = Some(lag);
        }
        report.coefficient_median = dsp::median(&coefficients);
        Ok(report)
    }

    /// Whether no sound is missing or doubled: every window was found and none left the tolerance.
    pub fn whole(&self) -> bool {
        self.windows > 0 && self.found == self.windows && self.worst_change <= TOLERANCE
    }
}
