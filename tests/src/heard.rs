//! What a reader of `/out` heard, and the wall clock at which it got there.

use crate::scratch;
use anyhow::{Context, Result};
use media_judge::{
    Audio, Recording,
    arrivals::{Arrival, Kind},
    ffmpeg,
    noise::Reference,
    source::{self, ClipSpec},
    tones::{ToneRange, tone_ranges},
};
use std::path::{Path, PathBuf};

/// Above the dubber's tones, which end at 1950 Hz; coded noise, which ends at 8 kHz, loses 2 dB only.
const ABOVE_HZ: f64 = 2_500.0;
/// The dubber's tones have a peak of 0.25; what is softer than half of it is none of them.
const TONE_AMPLITUDE_MIN: f64 = 0.12;

/// A clip with flashes and coded noise that leaves the dubber's tones free: nothing moves their edges.
pub fn noise_above_tones(spec: &ClipSpec) -> Result<PathBuf> {
    source::cached(&scratch().join("clips"), &spec.name("high-noise", "flv"), |out| {
        let whole = crate::coded_noise(spec, "mkv")?;
        let filter = vec![format!("highpass=f={ABOVE_HZ}"); 3].join(",");
        let mut command = ffmpeg::command("error");
        command
            .arg("-y")
            .arg("-i")
            .arg(&whole)
            .args(["-c:v", "copy", "-af", &filter]);
        command.args([
            "-c:a",
            "aac",
            "-b:a",
            "256k",
            "-aac_pns",
            "0",
            "-flvflags",
            "no_duration_filesize",
        ]);
        ffmpeg::finish(command.arg(out)).map(|_| ())
    })
}

/// A finished recording with its decoded sound.
pub struct Heard {
    /// As the recorder gave it.
    pub recording: Recording,
    /// Its file.
    pub path: PathBuf,
    /// Its sound at 48 kHz.
    pub audio: Audio,
}

impl Heard {
    /// Decodes a recording.
    pub fn of(recording: Recording) -> Result<Self> {
        let path = recording.path.clone().context("the recording has no file")?;
        let audio = decode(&path)?;
        Ok(Self {
            recording,
            path,
            audio,
        })
    }

    /// Presentation times between which there is sound.
    pub fn within_ms(&self) -> (f64, f64) {
        (self.audio.start_ms(), self.audio.end_ms())
    }

    /// Wall clock at which the sound of a presentation time arrived.
    pub fn arrived_ms(&self, pts_ms: f64) -> Option<f64> {
        let carrier = self
            .sounds()
            .filter(|packet| packet.pts_ms as f64 <= pts_ms + 0.5)
            .last()?;
        Some(carrier.at_ms)
    }

    /// Presentation time of the first sound that arrived at or after a moment of the wall clock.
    pub fn first_pts_after(&self, at_ms: f64) -> Option<f64> {
        self.sounds()
            .find(|packet| packet.at_ms >= at_ms)
            .map(|packet| packet.pts_ms as f64)
    }

    fn sounds(&self) -> impl Iterator<Item = &Arrival> {
        self.recording
            .arrivals
            .iter()
            .filter(|packet| packet.kind == Kind::Audio)
    }

    /// Packets that arrived between two moments of the wall clock.
    pub fn arrivals_between(&self, from_ms: f64, to_ms: f64) -> Vec<Arrival> {
        let inside = |packet: &&Arrival| (from_ms..=to_ms).contains(&packet.at_ms);
        self.recording.arrivals.iter().filter(inside).copied().collect()
    }

    /// Stretches of one of the dubber's tones.
    pub fn tones(&self, frequency_hz: f64) -> Vec<ToneRange> {
        let mut ranges = tone_ranges(&self.audio, frequency_hz);
        ranges.retain(|range| range.amplitude >= TONE_AMPLITUDE_MIN);
        ranges
    }

    /// The sound above all of the dubber's tones, their fades included: what is left of the original.
    pub fn above_the_tones(&self) -> Audio {
        let mut audio = self.audio.clone();
        for _ in 0..2 {
            high_pass(&mut audio.mono, f64::from(audio.rate));
        }
        audio
    }
}

/// A Butterworth high-pass of second order.
fn high_pass(samples: &mut [f32], rate: f64) {
    let k = (std::f64::consts::PI * ABOVE_HZ / rate).tan();
    let norm = 1.0 / (1.0 + std::f64::consts::SQRT_2 * k + k * k);
    let (b1, a1) = (-2.0 * norm, 2.0 * (k * k - 1.0) * norm);
    let a2 = (1.0 - std::f64::consts::SQRT_2 * k + k * k) * norm;
    let (mut x, mut y) = ([0.0_f64; 2], [0.0_f64; 2]);
    for sample in samples {
        let new = f64::from(*sample);
        let out = norm * new + b1 * x[0] + norm * x[1] - a1 * y[0] - a2 * y[1];
        (x, y) = ([new, x[0]], [out, y[0]]);
        *sample = out as f32;
    }
}

/// The sound of a file at the rate of coded noise.
pub fn decode(path: &Path) -> Result<Audio> {
    Audio::decode_at(path, Some(media_judge::noise::RATE))
}

/// Where coded noise was found in a stretch of sound.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoiseFound {
    /// Windows of 100 ms in the stretch.
    pub windows: usize,
    /// Those in which the noise was found.
    pub found: usize,
    /// Presentation time minus the noise's own time, first window found.
    pub shift_ms: f64,
    /// Greatest distance of another window's from it.
    pub spread_ms: f64,
}

/// Looks for coded noise between two presentation times.
pub fn noise_between(audio: &Audio, reference: &Reference, from_ms: f64, to_ms: f64) -> NoiseFound {
    let mut tracker = reference.tracker(audio.rate);
    let (mut at, end) = (audio.index_at(from_ms), audio.index_at(to_ms));
    let mut seen = NoiseFound::default();
    while at + tracker.window() <= end {
        seen.windows += 1;
        if let Some(place) = tracker.locate(&audio.mono, at) {
            let shift = audio.time_ms(at as f64) - place.reference * 1000.0 / f64::from(audio.rate);
            if seen.found == 0 {
                seen.shift_ms = shift;
            }
            seen.found += 1;
            seen.spread_ms = seen.spread_ms.max((shift - seen.shift_ms).abs());
        }
        at += tracker.window();
    }
    seen
}

impl NoiseFound {
    /// Whether every window holds the noise, all at one place.
    pub fn whole(&self) -> bool {
        self.windows > 0 && self.found == self.windows && self.spread_ms < 1.0
    }
}
