//! All judges on one recording and its source, with limits: the table that the demo prints and the tests assert.

use crate::av::{AvComparison, AvReport};
use crate::clicks::{self, Click};
use crate::holes::HoleReport;
use crate::loudness::{self, Likeness, Loudness};
use crate::noise::{self, Reference};
use crate::packets::GapReport;
use crate::stalls::{self, Stall};
use crate::units::{self, UnitReport};
use crate::{Audio, Pictures, packets};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Limits of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Median A/V offset relative to the source.
    pub av_median_ms: f64,
    /// Worst A/V offset relative to the source.
    pub av_worst_ms: f64,
    /// Worst difference of a presentation time, one constant removed.
    pub pts_ms: f64,
    /// Movement of the lag of coded noise, in samples.
    pub lag_samples: f64,
    /// Distance of sound's time stamps from gapless.
    pub audio_pts_ms: f64,
    /// Longest gap between packets of sound or picture.
    pub gap_ms: f64,
    /// Smallest correlation with the source where its sound is passed on.
    pub likeness: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            av_median_ms: 5.0,
            av_worst_ms: 20.0,
            pts_ms: 2.0,
            lag_samples: 8.0,
            audio_pts_ms: 5.0,
            gap_ms: 200.0,
            likeness: 0.9,
        }
    }
}

/// What the recording is and what it must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictOptions {
    /// Frequency of the beeps (see [`crate::av::BEEP_HZ`] and [`crate::av::PROGRAMME_BEEP_HZ`]).
    pub beep_hz: f64,
    /// Seed of the coded noise, when the source carries it (A/V is then judged by the noise, not by beeps).
    pub noise_seed: Option<u64>,
    /// Seconds between the flashes of a clip with coded noise.
    pub period_s: f64,
    /// Whether the source's own sound must be heard: likeness and new clicks then count.
    pub passes_sound: bool,
    /// The limits.
    pub limits: Limits,
}

impl Default for VerdictOptions {
    fn default() -> Self {
        Self {
            beep_hz: crate::av::BEEP_HZ,
            noise_seed: None,
            period_s: 1.0,
            passes_sound: true,
            limits: Limits::default(),
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is judged.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What is allowed; empty for information.
    pub limit: String,
    /// Whether it holds; `None` for information.
    pub pass: Option<bool>,
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The table.
    pub checks: Vec<Check>,
    /// A/V offset.
    pub av: Option<AvComparison>,
    /// Access units.
    pub units: Option<UnitReport>,
    /// Coded noise.
    pub holes: Option<HoleReport>,
    /// Time stamps.
    pub gaps: GapReport,
    /// Clicks that the source does not have.
    pub new_clicks: Vec<Click>,
    /// Loudness of the recording.
    pub loudness: Option<Loudness>,
    /// Likeness of both sounds.
    pub likeness: Option<Likeness>,
    /// Longest silence.
    pub silence: Stall,
    /// Longest stretch of one picture.
    pub freeze: Stall,
}

impl Verdict {
    /// Whether every check holds.
    pub fn passed(&self) -> bool {
        self.failed().is_empty()
    }

    /// The names of the checks that do not hold.
    pub fn failed(&self) -> Vec<&str> {
        self.checks
            .iter()
            .filter(|check| check.pass == Some(false))
            .map(|check| check.name.as_str())
            .collect()
    }

    /// The table as text.
    pub fn table(&self) -> String {
        let width =
            |cell: fn(&Check) -> &String| self.checks.iter().map(|check| cell(check).chars().count()).max();
        let (name, found) = (width(|c| &c.name).unwrap_or(0), width(|c| &c.found).unwrap_or(0));
        let limit = width(|c| &c.limit).unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let word = match check.pass {
                Some(true) => "ok",
                Some(false) => "FAILED",
                None => "",
            };
            let line = format!(
                "{:name$}  {:found$}  {:limit$}  {word}",
                check.name, check.found, check.limit
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn check(&mut self, name: &str, found: String, limit: String, pass: bool) {
        self.checks.push(Check {
            name: name.to_owned(),
            found,
            limit,
            pass: Some(pass),
        });
    }

    fn inform(&mut self, name: &str, found: String) {
        self.checks.push(Check {
            name: name.to_owned(),
            found,
            limit: String::new(),
            pass: None,
        });
    }
}

/// Decoded media of one file; a track that is not there is `None`.
struct Media {
    audio: Option<Audio>,
    pictures: Option<Pictures>,
}

impl Media {
    fn decode(path: &Path, rate: Option<u32>) -> Result<Self> {
        let tracks = packets::tracks(path)?;
        let has = |kind: &str| tracks.iter().any(|track| track.kind == kind);
        Ok(Self {
            audio: if has("audio") {
                Some(Audio::decode_at(path, rate)?)
            } else {
                None
            },
            pictures: if has("video") {
                Some(Pictures::decode(path)?.without_last(units::TAIL))
            } else {
                None
            },
        })
    }
}

/// Judges a recording against its source.
pub fn verdict(source: &Path, recording: &Path, options: &VerdictOptions) -> Result<Verdict> {
    let before = Media::decode(source, Some(noise::RATE))?;
    let after = Media::decode(recording, Some(noise::RATE))?;
    let reference = options.noise_seed.map(|seed| {
        let seconds = before
            .audio
            .as_ref()
            .map_or(60.0, |audio| audio.mono.len() as f64 / f64::from(audio.rate));
        Reference::new(seed, seconds.ceil() as u32 + 1)
    });
    let mut out = Verdict {
        checks: Vec::new(),
        av: av(&before, &after, reference.as_ref(), options),
        units: None,
        holes: None,
        gaps: GapReport::of_file(recording)?,
        new_clicks: Vec::new(),
        loudness: after.audio.as_ref().map(loudness::loudness).transpose()?,
        likeness: None,
        silence: after
            .audio
            .as_ref()
            .map(|a| stalls::longest(&stalls::silences(a, 20.0)))
            .unwrap_or_default(),
        freeze: after
            .pictures
            .as_ref()
            .map(|p| stalls::longest(&stalls::freezes(p, 0.0)))
            .unwrap_or_default(),
    };
    if before.pictures.is_some() && after.pictures.is_some() {
        out.units = Some(UnitReport::of_files(source, recording)?);
    }
    if let (Some(audio), Some(reference)) = (&after.audio, &reference) {
        out.holes = Some(HoleReport::of(audio, reference)?);
    }
    if let (Some(own), Some(heard)) = (&before.audio, &after.audio) {
        out.likeness = loudness::likeness(own, heard);
        let shift_ms = out.units.as_ref().map(|units| units.pts_offset_ms);
        let shift_ms = shift_ms
            .or(out.likeness.map(|likeness| likeness.shift_ms))
            .unwrap_or(0.0);
        out.new_clicks = clicks::new_clicks(own, heard, shift_ms);
    }
    picture_checks(&mut out, &options.limits);
    sound_checks(&mut out, options);
    stall_checks(&mut out, &options.limits);
    Ok(out)
}

fn av(
    before: &Media,
    after: &Media,
    reference: Option<&Reference>,
    options: &VerdictOptions,
) -> Option<AvComparison> {
    let judge = |media: &Media| -> Option<AvReport> {
        let (pictures, audio) = (media.pictures.as_ref()?, media.audio.as_ref()?);
        Some(match reference {
            Some(reference) => AvReport::of_noise(pictures, audio, reference, options.period_s),
            None => AvReport::of_beeps(pictures, audio, options.beep_hz),
        })
    };
    let (own, heard) = (judge(before)?, judge(after)?);
    (!own.offsets().is_empty()).then(|| heard.against(&own))
}

fn picture_checks(out: &mut Verdict, limits: &Limits) {
    if let Some(av) = out.av.clone() {
        let (median, worst) = (limits.av_median_ms, limits.av_worst_ms);
        let count = format!("of {}, source {:+.1} ms", av.heard, av.source_median_ms);
        let found = format!("{:+.1} ms ({count})", av.median_ms);
        out.check(
            "A/V offset, median",
            found,
            format!("<= {median} ms"),
            av.heard > 0 && av.median_ms.abs() <= median,
        );
        let found = format!("{:+.1} ms", av.worst_ms);
        out.check(
            "A/V offset, worst",
            found,
            format!("<= {worst} ms"),
            av.heard > 0 && av.worst_ms.abs() <= worst,
        );
        out.inform("flashes without their sound", av.unheard.to_string());
    }
    if let Some(found) = out.units.clone() {
        let units::UnitReport {
            matched,
            judged,
            lost,
            doubled,
            foreign,
            ..
        } = found;
        out.check(
            "access units matched",
            format!("{matched} of {judged}"),
            "all".into(),
            matched > 0 && matched == judged,
        );
        out.check(
            "access units lost",
            format!("{lost} ({:.0} ms)", found.lost_ms()),
            "0".into(),
            lost == 0,
        );
        out.check(
            "access units doubled",
            doubled.to_string(),
            "0".into(),
            doubled == 0,
        );
        out.check(
            "access units not of the source",
            foreign.to_string(),
            "0".into(),
            foreign == 0,
        );
        let pass = found.pts_worst_ms <= limits.pts_ms;
        out.check(
            "PTS difference, worst",
            format!("{:.1} ms", found.pts_worst_ms),
            format!("<= {} ms", limits.pts_ms),
            pass,
        );
        out.inform(
            "PTS minus DTS, worst difference",
            format!("{:.0} ms", found.cts_worst_ms),
        );
    }
}

fn sound_checks(out: &mut Verdict, options: &VerdictOptions) {
    let limits = &options.limits;
    if let Some(holes) = out.holes.clone() {
        let found = format!("{} of {} windows", holes.found, holes.windows);
        out.check(
            "coded noise found",
            found,
            "all".into(),
            holes.windows > 0 && holes.found == holes.windows,
        );
        let found = format!("{:.1} samples", holes.worst_change);
        let pass = holes.windows > 0 && holes.worst_change <= limits.lag_samples;
        out.check(
            "missing or doubled sound",
            found,
            format!("<= {} samples", limits.lag_samples),
            pass,
        );
        out.inform(
            "correlation, smallest and median",
            format!("{:.2} {:.2}", holes.coefficient_min, holes.coefficient_median),
        );
    }
    if out.gaps.audio_packets > 0 {
        let worst = out.gaps.audio_worst_ms;
        let limit = format!("<= {} ms", limits.audio_pts_ms);
        out.check(
            "sound's time stamps off gapless",
            format!("{worst:.1} ms"),
            limit,
            worst <= limits.audio_pts_ms,
        );
    }
    if let Some(likeness) = out.likeness {
        let found = format!("{:.3} over {:.0} s", likeness.coefficient, likeness.overlap_s);
        if options.passes_sound {
            let pass = likeness.coefficient >= limits.likeness;
            out.check(
                "likeness to the source's sound",
                found,
                format!(">= {}", limits.likeness),
                pass,
            );
        } else {
            out.inform("likeness to the source's sound", found);
        }
    }
    let clicks = out.new_clicks.len();
    if options.passes_sound && out.gaps.audio_packets > 0 {
        out.check("new clicks", clicks.to_string(), "0".into(), clicks == 0);
    } else {
        out.inform("new clicks", clicks.to_string());
    }
    if let Some(loudness) = out.loudness.clone() {
        let integrated = loudness
            .integrated_lufs
            .map_or("below the gate".into(), |lufs| format!("{lufs:.1} LUFS"));
        out.inform(
            "loudness, peak",
            format!("{integrated}, {:.1} dBFS", loudness.peak_db),
        );
    }
}

fn stall_checks(out: &mut Verdict, limits: &Limits) {
    let gaps = [
        (
            "longest gap between packets of sound",
            out.gaps.audio_packets,
            out.gaps.audio_gap.ms,
        ),
        (
            "longest gap between pictures",
            out.gaps.video_packets,
            out.gaps.video_gap.ms,
        ),
    ];
    for (name, packets, ms) in gaps {
        if packets > 0 {
            out.check(
                name,
                format!("{ms:.0} ms"),
                format!("<= {} ms", limits.gap_ms),
                ms <= limits.gap_ms,
            );
        }
    }
    out.inform("longest silence", format!("{:.0} ms", out.silence.ms));
    out.inform("longest standing picture", format!("{:.0} ms", out.freeze.ms));
}
