//! Decoded sound with the time of every sample.

use crate::ffmpeg;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// A step of the time stamps that is larger than this starts a new segment: what lies between is a hole or an
/// overlap. Containers that round to milliseconds stay far below it.
const SEGMENT_STEP_MS: f64 = 15.0;
/// Decoder frames on each side over which millisecond rounding of time stamps is averaged.
const SMOOTHING_FRAMES: usize = 24;

/// One frame as the decoder gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioFrame {
    /// Presentation time as the container says.
    pub pts_ms: f64,
    /// Index of its first sample among all decoded samples.
    pub first_sample: usize,
    /// Number of its samples (of one channel).
    pub samples: usize,
}

/// A stretch without holes on the time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// First frame of the stretch.
    pub first_frame: usize,
    /// One past its last frame.
    pub end_frame: usize,
}

/// Decoded sound of one recording.
#[derive(Debug, Clone)]
pub struct Audio {
    /// Samples a second.
    pub rate: u32,
    /// Number of channels in `interleaved`.
    pub channels: u32,
    /// All channels, interleaved.
    pub interleaved: Vec<f32>,
    /// Mean of all channels.
    pub mono: Vec<f32>,
    /// Frames in decoding order.
    pub frames: Vec<AudioFrame>,
    /// Stretches without holes.
    pub segments: Vec<Segment>,
    smooth_ms: Vec<f64>,
}

impl Audio {
    /// Decodes the first audio track at its own rate. Time stamps are kept as they are in the container.
    pub fn decode(path: &Path) -> Result<Self> {
        Self::decode_at(path, None)
    }

    /// Decodes the first audio track, resampled to `rate` if one is given.
    pub fn decode_at(path: &Path, rate: Option<u32>) -> Result<Self> {
        let filter = match rate {
            Some(rate) => format!("aresample={rate},ashowinfo"),
            None => "ashowinfo".to_owned(),
        };
        let mut command = ffmpeg::command("info");
        command.arg("-copyts").arg("-i").arg(path);
        command.args(["-map", "0:a:0", "-af", &filter, "-f", "f32le", "pipe:1"]);
        let output = ffmpeg::finish(&mut command)
            .with_context(|| format!("no sound could be decoded from {}", path.display()))?;
        let log = String::from_utf8_lossy(&output.stderr);
        let interleaved: Vec<f32> = output
            .stdout
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let mut frames = Vec::new();
        let (mut rate, mut channels, mut next) = (0u32, 0u32, 0usize);
        for line in log
            .lines()
            .filter(|line| line.contains("_ashowinfo_") && line.contains(" nb_samples:"))
        {
            let Some(samples) = number::<usize>(line, "nb_samples:") else {
                continue;
            };
            rate = number(line, " rate:").unwrap_or(rate);
            channels = number(line, " channels:").unwrap_or(channels);
            let pts = number::<f64>(line, " pts:").unwrap_or(f64::NAN);
            frames.push(AudioFrame {
                pts_ms: pts * 1000.0 / f64::from(rate),
                first_sample: next,
                samples,
            });
            next += samples;
        }
        if rate == 0 || channels == 0 {
            bail!("{} holds no decodable sound", path.display());
        }
        Self::from_parts(rate, channels, interleaved, frames)
    }

    /// Builds sound from samples that are already decoded.
    pub fn from_parts(
        rate: u32,
        channels: u32,
        interleaved: Vec<f32>,
        mut frames: Vec<AudioFrame>,
    ) -> Result<Self> {
        if rate == 0 || channels == 0 {
            bail!("sound needs a rate and at least one channel");
        }
        let mono = interleaved
            .chunks_exact(channels as usize)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32)
            .collect();
        fill_unknown_times(&mut frames, rate);
        let segments = find_segments(&frames, rate);
        let smooth_ms = smooth(&frames, &segments, rate);
        Ok(Self {
            rate,
            channels,
            interleaved,
            mono,
            frames,
            segments,
            smooth_ms,
        })
    }

    /// Sound without gaps that starts at `start_ms`; for synthetic references.
    pub fn from_mono(rate: u32, start_ms: f64, samples: Vec<f32>) -> Result<Self> {
        let frames = vec![AudioFrame {
            pts_ms: start_ms,
            first_sample: 0,
            samples: samples.len(),
        }];
        Self::from_parts(rate, 1, samples, frames)
    }

    /// The presentation time of a sample (fractions allowed), with millisecond rounding of the container averaged out.
    pub fn time_ms(&self, sample: f64) -> f64 {
        let at = self
            .frames
            .partition_point(|frame| frame.first_sample as f64 <= sample)
            .saturating_sub(1);
        let offset = self.smooth_ms.get(at).copied().unwrap_or(0.0);
        offset + sample * 1000.0 / f64::from(self.rate)
    }

    /// The sample that is heard at a presentation time; `None` in a hole and outside of the recording.
    pub fn sample_at(&self, time_ms: f64) -> Option<f64> {
        let per_ms = f64::from(self.rate) / 1000.0;
        let at = self
            .segments
            .iter()
            .rposition(|segment| self.frame_time(segment.first_frame) <= time_ms)
            .map(|index| self.segments[index])?;
        let inside = at.first_frame
            + self.frames[at.first_frame..at.end_frame]
                .partition_point(|frame| self.time_ms(frame.first_sample as f64) <= time_ms)
                .saturating_sub(1);
        let sample = (time_ms - self.smooth_ms[inside]) * per_ms;
        let last = self.frames[at.end_frame - 1];
        (sample <= (last.first_sample + last.samples) as f64).then_some(sample.max(0.0))
    }

    /// Presentation time of the first sample.
    pub fn start_ms(&self) -> f64 {
        self.time_ms(0.0)
    }

    /// Presentation time of the end.
    pub fn end_ms(&self) -> f64 {
        self.time_ms(self.mono.len() as f64)
    }

    /// The first sample that is heard at or after a presentation time (the length when nothing is).
    pub fn index_at(&self, time_ms: f64) -> usize {
        if let Some(sample) = self.sample_at(time_ms) {
            return (sample.round() as usize).min(self.mono.len());
        }
        self.segments
            .iter()
            .map(|segment| segment.first_frame)
            .find(|frame| self.frame_time(*frame) >= time_ms)
            .map_or(self.mono.len(), |frame| self.frames[frame].first_sample)
    }

    /// Mono samples between two presentation times, as they follow each other in the recording.
    pub fn between(&self, from_ms: f64, to_ms: f64) -> &[f32] {
        let to = self.index_at(to_ms);
        &self.mono[self.index_at(from_ms).min(to)..to]
    }

    fn frame_time(&self, frame: usize) -> f64 {
        self.time_ms(self.frames[frame].first_sample as f64)
    }
}

fn number<T: std::str::FromStr>(line: &str, key: &str) -> Option<T> {
    ffmpeg::field(line, key)?.parse().ok()
}

/// A frame whose time stamp is missing continues the one before.
fn fill_unknown_times(frames: &mut [AudioFrame], rate: u32) {
    let mut next = 0.0;
    for frame in frames {
        if !frame.pts_ms.is_finite() {
            frame.pts_ms = next;
        }
        next = frame.pts_ms + frame.samples as f64 * 1000.0 / f64::from(rate);
    }
}

fn find_segments(frames: &[AudioFrame], rate: u32) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut first = 0;
    for at in 1..=frames.len() {
        let breaks = at == frames.len() || {
            let before = frames[at - 1];
            let expected = before.pts_ms + before.samples as f64 * 1000.0 / f64::from(rate);
            (frames[at].pts_ms - expected).abs() > SEGMENT_STEP_MS
        };
        if breaks {
            segments.push(Segment {
                first_frame: first,
                end_frame: at,
            });
            first = at;
        }
    }
    segments
}

/// For each frame the offset between sample count and presentation time, averaged over its neighbours.
fn smooth(frames: &[AudioFrame], segments: &[Segment], rate: u32) -> Vec<f64> {
    let offset = |frame: &AudioFrame| frame.pts_ms - frame.first_sample as f64 * 1000.0 / f64::from(rate);
    let mut out = Vec::with_capacity(frames.len());
    for segment in segments {
        let offsets: Vec<f64> = frames[segment.first_frame..segment.end_frame]
            .iter()
            .map(offset)
            .collect();
        for at in 0..offsets.len() {
            let near =
                &offsets[at.saturating_sub(SMOOTHING_FRAMES)..(at + SMOOTHING_FRAMES + 1).min(offsets.len())];
            out.push(near.iter().sum::<f64>() / near.len() as f64);
        }
    }
    out
}
