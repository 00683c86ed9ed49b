//! Spoiled copies of a recording: every judge must be seen to fail on one.

use crate::flv::{self, Avc, Tag, TagKind};
use crate::{Audio, ffmpeg};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// How a recording is spoiled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spoil {
    /// Not at all: an honest copy by the same way, to be seen to pass.
    Nothing,
    /// Sound is moved by this much (positive: late).
    ShiftAudio {
        /// Milliseconds.
        ms: i32,
    },
    /// One access unit is left out.
    DropFrame {
        /// Its number in decoding order.
        index: usize,
    },
    /// One access unit stands twice.
    DoubleFrame {
        /// Its number in decoding order.
        index: usize,
    },
    /// The sound is decoded and encoded again, unchanged.
    Recode,
    /// Samples are cut out of the decoded sound, which is encoded again without a hole in its time stamps.
    CutSamples {
        /// First sample that is missing.
        at: usize,
        /// How many.
        count: usize,
    },
    /// Samples are heard twice.
    DoubleSamples {
        /// First sample that is doubled.
        at: usize,
        /// How many.
        count: usize,
    },
    /// One sample is set to full scale.
    Click {
        /// Which.
        at: usize,
    },
}

/// Writes a spoiled copy of an FLV file.
pub fn spoil(source: &Path, out: &Path, how: Spoil) -> Result<()> {
    match how {
        Spoil::Nothing | Spoil::ShiftAudio { .. } | Spoil::DropFrame { .. } | Spoil::DoubleFrame { .. } => {
            let bytes = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            let tags = spoil_tags(flv::tags(&bytes)?, how)?;
            let mut file = flv::HEADER.to_vec();
            tags.iter().for_each(|tag| file.extend(tag.to_bytes()));
            std::fs::write(out, file).with_context(|| format!("cannot write {}", out.display()))
        }
        Spoil::Recode | Spoil::CutSamples { .. } | Spoil::DoubleSamples { .. } | Spoil::Click { .. } => {
            spoil_samples(source, out, how)
        }
    }
}

fn spoil_tags(mut tags: Vec<Tag>, how: Spoil) -> Result<Vec<Tag>> {
    let unit = |tags: &[Tag], index: usize| -> Result<usize> {
        let found = tags
            .iter()
            .enumerate()
            .filter(|(_, tag)| matches!(tag.avc(), Some(Avc::Unit { .. })))
            .nth(index);
        found
            .map(|(at, _)| at)
            .with_context(|| format!("there is no access unit {index}"))
    };
    match how {
        Spoil::ShiftAudio { ms } => {
            tags.iter_mut()
                .filter(|tag| tag.kind == TagKind::Audio)
                .for_each(|tag| tag.dts_ms += ms);
        }
        Spoil::DropFrame { index } => {
            tags.remove(unit(&tags, index)?);
        }
        Spoil::DoubleFrame { index } => {
            let at = unit(&tags, index)?;
            tags.insert(at, tags[at].clone());
        }
        Spoil::Nothing => {}
        Spoil::Recode | Spoil::CutSamples { .. } | Spoil::DoubleSamples { .. } | Spoil::Click { .. } => {
            bail!("samples are not spoiled in tags")
        }
    }
    Ok(tags)
}

fn spoil_samples(source: &Path, out: &Path, how: Spoil) -> Result<()> {
    let audio = Audio::decode(source)?;
    let channels = audio.channels as usize;
    let mut samples = audio.interleaved;
    let range = |at: usize, count: usize| -> Result<std::ops::Range<usize>> {
        ensure!(
            (at + count) * channels <= samples.len(),
            "the recording has no sample {}",
            at + count
        );
        Ok(at * channels..(at + count) * channels)
    };
    match how {
        Spoil::CutSamples { at, count } => {
            samples.drain(range(at, count)?);
        }
        Spoil::DoubleSamples { at, count } => {
            let range = range(at, count)?;
            let twice = samples[range.clone()].to_vec();
            samples.splice(range.end..range.end, twice);
        }
        Spoil::Click { at } => {
            let range = range(at, 1)?;
            samples[range].fill(1.0);
        }
        Spoil::Nothing
        | Spoil::Recode
        | Spoil::ShiftAudio { .. }
        | Spoil::DropFrame { .. }
        | Spoil::DoubleFrame { .. } => {}
    }
    let raw = ffmpeg::raw_samples(&samples)?;
    let start_s = audio.frames.first().map_or(0.0, |frame| frame.pts_ms) / 1000.0;
    let mut command = ffmpeg::command("error");
    command.arg("-y").arg("-copyts").arg("-i").arg(source);
    command.args(["-itsoffset", &format!("{start_s:.6}"), "-f", "f32le"]);
    command.args(["-ar", &audio.rate.to_string(), "-ac", &audio.channels.to_string()]);
    command.arg("-i").arg(raw.path());
    command.args([
        "-map", "0:v:0?", "-map", "1:a:0", "-c:v", "copy", "-c:a", "aac", "-b:a", "256k", "-aac_pns", "0",
    ]);
    command
        .args(["-flvflags", "no_duration_filesize", "-f", "flv"])
        .arg(out);
    ffmpeg::finish(&mut command)?;
    Ok(())
}
