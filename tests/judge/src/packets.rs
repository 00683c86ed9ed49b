//! Packets as the container holds them: continuity of time stamps, and the longest gaps.

use crate::units::TAIL;
use crate::{dsp, ffmpeg};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A step of sound's time stamps beyond this is listed.
const STEP_MS: f64 = 10.0;

/// One track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Number in the file.
    pub index: usize,
    /// `audio` or `video`.
    pub kind: String,
    /// Codec as ffmpeg names it.
    pub codec: String,
    /// Codec profile, where there is one.
    pub profile: String,
    /// Samples a second; 0 for video.
    pub rate: u32,
    /// Channels; 0 for video.
    pub channels: u32,
    /// Picture size; 0 for audio.
    pub size: (u32, u32),
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Packet {
    /// Number of its track.
    pub track: usize,
    /// Presentation time.
    pub pts_ms: f64,
    /// Decoding time (the presentation time where there is none).
    pub dts_ms: f64,
    /// Duration that ffmpeg derives; 0 when unknown.
    pub duration_ms: f64,
}

/// Lists the tracks of a file.
pub fn tracks(path: &Path) -> Result<Vec<Track>> {
    let entries = "stream=index,codec_type,codec_name,profile,sample_rate,channels,width,height";
    let text = ffmpeg::probe(["-show_entries", entries, "-of", "json"], path)?;
    let value: serde_json::Value = serde_json::from_str(&text).context("ffprobe's answer is no JSON")?;
    let streams = value["streams"].as_array().cloned().unwrap_or_default();
    let word = |stream: &serde_json::Value, key: &str| stream[key].as_str().unwrap_or_default().to_owned();
    let number = |stream: &serde_json::Value, key: &str| stream[key].as_u64().unwrap_or(0) as u32;
    Ok(streams
        .iter()
        .map(|stream| Track {
            index: number(stream, "index") as usize,
            kind: word(stream, "codec_type"),
            codec: word(stream, "codec_name"),
            profile: word(stream, "profile"),
            rate: word(stream, "sample_rate").parse().unwrap_or(0),
            channels: number(stream, "channels"),
            size: (number(stream, "width"), number(stream, "height")),
        })
        .collect())
}

/// Lists all packets of a file in its order.
pub fn packets(path: &Path) -> Result<Vec<Packet>> {
    let entries = "packet=stream_index,pts_time,dts_time,duration_time";
    let text = ffmpeg::probe(["-show_entries", entries, "-of", "csv=p=0"], path)?;
    let mut packets = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split(',').collect();
        let seconds = |at: usize| {
            cells
                .get(at)
                .and_then(|cell| cell.parse::<f64>().ok())
                .map(|s| s * 1000.0)
        };
        let Some(track) = cells.first().and_then(|cell| cell.parse().ok()) else {
            continue;
        };
        let (pts, dts) = (seconds(1), seconds(2));
        let Some(dts_ms) = dts.or(pts) else { continue };
        packets.push(Packet {
            track,
            pts_ms: pts.unwrap_or(dts_ms),
            dts_ms,
            duration_ms: seconds(3).unwrap_or(0.0),
        });
    }
    Ok(packets)
}

/// A step of sound's time stamps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Presentation time of the packet behind the step.
    pub at_ms: f64,
    /// Positive: time is missing; negative: packets overlap.
    pub by_ms: f64,
}

/// A gap between neighbouring packets of one track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Presentation time at which it starts.
    pub at_ms: f64,
    /// Length from one packet's time to the next one's.
    pub ms: f64,
}

/// Continuity of a file's time stamps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GapReport {
    /// Packets of sound.
    pub audio_packets: usize,
    /// Packets of picture.
    pub video_packets: usize,
    /// Greatest distance of sound's time stamps from a gapless line through the count of samples.
    pub audio_worst_ms: f64,
    /// Every step of sound's time stamps beyond 10 ms.
    pub audio_steps: Vec<Step>,
    /// Longest gap between packets of sound.
    pub audio_gap: Gap,
    /// Longest gap between pictures in order of presentation (the last [`TAIL`] are left out).
    pub video_gap: Gap,
    /// Greatest step backwards of sound's or picture's decoding time.
    pub dts_backwards_ms: f64,
    /// Presentation time of the first packet of sound and of picture (`None` without that track).
    pub audio_start_ms: Option<f64>,
    /// See `audio_start_ms`.
    pub video_start_ms: Option<f64>,
}

impl GapReport {
    /// Judges a file: its first track of each kind.
    pub fn of_file(path: &Path) -> Result<Self> {
        let tracks = tracks(path)?;
        let all = packets(path)?;
        let of_kind = |kind: &str| -> (Option<Track>, Vec<Packet>) {
            let track = tracks.iter().find(|track| track.kind == kind).cloned();
            let index = track.as_ref().map(|track| track.index);
            (
                track,
                all.iter()
                    .copied()
                    .filter(|packet| Some(packet.track) == index)
                    .collect(),
            )
        };
        let (audio_track, audio) = of_kind("audio");
        let (_, video) = of_kind("video");
        let fixed = audio_track.as_ref().and_then(packet_ms);
        Ok(Self::of(&audio, fixed, &video))
    }

    /// Judges packets; `packet_ms` is the exact duration of each packet of sound, where the codec fixes it.
    pub fn of(audio: &[Packet], packet_ms: Option<f64>, video: &[Packet]) -> Self {
        let mut report = Self {
            audio_packets: audio.len(),
            video_packets: video.len(),
            audio_gap: longest_gap(audio, 0),
            video_gap: longest_gap(video, TAIL),
            dts_backwards_ms: backwards(audio).max(backwards(video)),
            audio_start_ms: audio.first().map(|packet| packet.pts_ms),
            video_start_ms: video.iter().map(|packet| packet.pts_ms).reduce(f64::min),
            ..Self::default()
        };
        let mut line = audio.first().map_or(0.0, |packet| packet.pts_ms);
        let mut offsets = Vec::with_capacity(audio.len());
        for (at, packet) in audio.iter().enumerate() {
            offsets.push(packet.pts_ms - line);
            line += packet_ms.unwrap_or(packet.duration_ms);
            if at > 0 && (offsets[at] - offsets[at - 1]).abs() > STEP_MS {
                report.audio_steps.push(Step {
                    at_ms: packet.pts_ms,
                    by_ms: offsets[at] - offsets[at - 1],
                });
            }
        }
        let middle = dsp::median(&offsets);
        report.audio_worst_ms = offsets
            .iter()
            .map(|offset| (offset - middle).abs())
            .fold(0.0, f64::max);
        report
    }
}

/// The duration of each packet where the codec fixes it.
fn packet_ms(track: &Track) -> Option<f64> {
    let samples = match track.codec.as_str() {
        "aac" if track.profile.starts_with("HE") => 2048.0,
        "aac" => 1024.0,
        "mp3" => 1152.0,
        _ => return None,
    };
    (track.rate > 0).then(|| samples * 1000.0 / f64::from(track.rate))
}

/// The last packets in order of presentation are left out: a recording that is cut off has holes there.
fn longest_gap(packets: &[Packet], tail: usize) -> Gap {
    let mut times: Vec<f64> = packets.iter().map(|packet| packet.pts_ms).collect();
    times.sort_by(f64::total_cmp);
    times.truncate(times.len().saturating_sub(tail));
    times
        .windows(2)
        .map(|two| Gap {
            at_ms: two[0],
            ms: two[1] - two[0],
        })
        .max_by(|a, b| a.ms.total_cmp(&b.ms))
        .unwrap_or_default()
}

fn backwards(packets: &[Packet]) -> f64 {
    packets
        .windows(2)
        .map(|two| two[0].dts_ms - two[1].dts_ms)
        .fold(0.0, f64::max)
}
