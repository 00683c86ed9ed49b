//! Sound against picture: the offset between each flash and its beep (positive: the sound is late).

use crate::noise::Reference;
use crate::{Audio, Pictures, dsp};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Sound this far from a flash can still be its beep.
const SEARCH_MS: f64 = 480.0;
/// A beep stands out of its surroundings by at least this factor (12 dB) ...
const STANDS_OUT: f64 = 4.0;
/// ... and is never softer than -66 dBFS.
const SOFTEST: f64 = 5e-4;
/// Half of the box that the envelope is averaged over twice: a triangle as long as the beep.
const BOX_MS: f64 = 20.0;
/// Flashes nearer than this to the ends of the sound are not judged.
const MARGIN_MS: f64 = 100.0;
/// Part of the envelope's top that the parabola is fitted to, on each side.
const TOP_MS: f64 = 8.0;

/// The frequency of the marks in `flash_beep` clips.
pub const BEEP_HZ: f64 = 1000.0;
/// The frequency of the marks in `programme` clips: above speech and music of the demo, so that both are heard whole.
pub const PROGRAMME_BEEP_HZ: f64 = 9000.0;

/// One flash and what was heard with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AvEvent {
    /// Presentation time of the first lit picture.
    pub flash_ms: f64,
    /// Sound minus picture; `None` when no beep was heard near the flash.
    pub offset_ms: Option<f64>,
}

/// The offsets of one recording.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AvReport {
    /// Every flash, in order.
    pub events: Vec<AvEvent>,
}

/// A recording's offsets with those of its source taken away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AvComparison {
    /// Every flash of the recording with its offset relative to the source's median.
    pub events: Vec<AvEvent>,
    /// The source's own median.
    pub source_median_ms: f64,
    /// Median of the relative offsets.
    pub median_ms: f64,
    /// The relative offset farthest from zero, with its sign.
    pub worst_ms: f64,
    /// Flashes with a beep.
    pub heard: usize,
    /// Flashes without one.
    pub unheard: usize,
}

impl AvReport {
    /// Judges a file whose marks are beeps of `beep_hz`.
    pub fn of_file(path: &Path, beep_hz: f64) -> Result<Self> {
        Ok(Self::of_beeps(
            &Pictures::decode(path)?,
            &Audio::decode(path)?,
            beep_hz,
        ))
    }

    /// Judges decoded media whose marks are beeps of `beep_hz`.
    pub fn of_beeps(pictures: &Pictures, audio: &Audio, beep_hz: f64) -> Self {
        let events = audible_flashes(pictures, audio)
            .map(|flash_ms| AvEvent {
                flash_ms,
                offset_ms: beep_near(audio, flash_ms, beep_hz).map(|at| at - flash_ms),
            })
            .collect();
        Self { events }
    }

    /// Judges decoded media whose sound is coded noise: the noise itself says which moment is heard with each flash.
    /// Flashes stand at whole multiples of `period_s` of the noise's own time.
    pub fn of_noise(pictures: &Pictures, audio: &Audio, reference: &Reference, period_s: f64) -> Self {
        let mut tracker = reference.tracker(audio.rate);
        let events = audible_flashes(pictures, audio)
            .map(|flash_ms| {
                let heard_s = audio
                    .sample_at(flash_ms)
                    .and_then(|sample| Some((sample, tracker.locate(&audio.mono, sample as usize)?)))
                    .map(|(sample, place)| (place.reference + sample.fract()) / f64::from(audio.rate));
                let offset_ms = heard_s.map(|heard| ((heard / period_s).round() * period_s - heard) * 1000.0);
                AvEvent { flash_ms, offset_ms }
            })
            .collect();
        Self { events }
    }

    /// Offsets of the flashes that had a beep.
    pub fn offsets(&self) -> Vec<f64> {
        self.events.iter().filter_map(|event| event.offset_ms).collect()
    }

    /// Median offset; 0 when nothing was heard.
    pub fn median_ms(&self) -> f64 {
        dsp::median(&self.offsets())
    }

    /// Only the flashes from this presentation time on (a source that needs to settle).
    pub fn since(&self, pts_ms: f64) -> Self {
        Self {
            events: self
                .events
                .iter()
                .copied()
                .filter(|event| event.flash_ms >= pts_ms)
                .collect(),
        }
    }

    /// This recording against its source.
    pub fn against(&self, source: &Self) -> AvComparison {
        let own = source.median_ms();
        let events: Vec<AvEvent> = self
            .events
            .iter()
            .map(|event| AvEvent {
                flash_ms: event.flash_ms,
                offset_ms: event.offset_ms.map(|offset| offset - own),
            })
            .collect();
        let offsets: Vec<f64> = events.iter().filter_map(|event| event.offset_ms).collect();
        AvComparison {
            source_median_ms: own,
            median_ms: dsp::median(&offsets),
            worst_ms: offsets
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()))
                .unwrap_or(0.0),
            heard: offsets.len(),
            unheard: events.len() - offsets.len(),
            events,
        }
    }
}

/// Flashes that the recording holds sound for: at its ends one track is cut before the other.
fn audible_flashes(pictures: &Pictures, audio: &Audio) -> impl Iterator<Item = f64> {
    let (from, to) = (audio.start_ms() + MARGIN_MS, audio.end_ms() - MARGIN_MS);
    pictures
        .flashes()
        .into_iter()
        .filter(move |flash_ms| (from..=to).contains(flash_ms))
}

/// The presentation time of a beep's middle near a flash.
fn beep_near(audio: &Audio, flash_ms: f64, beep_hz: f64) -> Option<f64> {
    let from = audio.index_at(flash_ms - SEARCH_MS);
    let to = audio.index_at(flash_ms + SEARCH_MS);
    if to <= from + 1 {
        return None;
    }
    let envelope = dsp::envelope(&audio.mono[from..to], from, audio.rate, beep_hz, BOX_MS, 2);
    let level: Vec<f64> = envelope.iter().map(|value| value.norm()).collect();
    let (peak, top) = level
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    if top < SOFTEST || top < STANDS_OUT * dsp::median(&level) {
        return None;
    }
    let half = (TOP_MS / 1000.0 * f64::from(audio.rate)) as usize;
    if peak < half || peak + half >= level.len() {
        return None;
    }
    let fraction = dsp::fitted_peak(&level[peak - half..=peak + half])?;
    Some(audio.time_ms((from + peak) as f64 + fraction))
}
