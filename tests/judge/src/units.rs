//! Access-unit identity: is every slice and SEI of the source in the recording, once, in order, at its time?

use crate::flv::{self, Avc};
use crate::{dsp, ffmpeg};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// A recording that is cut off lacks B-frames at its end: so many units are not judged.
pub const TAIL: usize = 8;

/// One access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessUnit {
    /// Decoding time.
    pub dts_ms: i64,
    /// Presentation time.
    pub pts_ms: i64,
    /// Whether it is a key frame.
    pub key: bool,
    /// Bytes of its payload.
    pub bytes: usize,
    /// Fingerprint over slices and SEI.
    pub hash: u64,
}

/// Reads all access units. FLV is read as it is; other containers are remuxed to FLV by ffmpeg (time stamps are
/// then rounded to milliseconds).
pub fn read(path: &Path) -> Result<Vec<AccessUnit>> {
    let is_flv = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("flv"));
    let bytes = if is_flv {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        let mut command = ffmpeg::command("error");
        command.arg("-copyts").arg("-i").arg(path);
        command.args(["-map", "0:v:0", "-c", "copy", "-avoid_negative_ts", "disabled"]);
        command.args(["-flvflags", "no_duration_filesize", "-f", "flv", "pipe:1"]);
        ffmpeg::finish(&mut command)?.stdout
    };
    let units = of_tags(&flv::tags(&bytes)?)?;
    ensure!(!units.is_empty(), "{} holds no H.264 access unit", path.display());
    Ok(units)
}

/// The access units among FLV tags, in decoding order.
pub fn of_tags(tags: &[flv::Tag]) -> Result<Vec<AccessUnit>> {
    let mut length_size = 4;
    let mut units = Vec::new();
    for tag in tags {
        match tag.avc() {
            Some(Avc::Config(config)) => length_size = flv::length_size(config),
            Some(Avc::Unit { cts_ms, key, payload }) => units.push(AccessUnit {
                dts_ms: i64::from(tag.dts_ms),
                pts_ms: i64::from(tag.dts_ms) + i64::from(cts_ms),
                key,
                bytes: payload.len(),
                hash: flv::fingerprint(payload, length_size)?,
            }),
            Some(Avc::End) | None => {}
        }
    }
    Ok(units)
}

/// A run of source units that the recording lacks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MissingRun {
    /// Index of the first one in the source.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Presentation time of the first one in the source.
    pub source_pts_ms: i64,
    /// Playing time that is lost.
    pub lost_ms: f64,
}

/// Recording against source, unit by unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Units of the recording that were judged (its last [`TAIL`] are left out).
    pub judged: usize,
    /// Units found in the source, in order.
    pub matched: usize,
    /// Index in the source of the first and the last matched unit.
    pub source_first: usize,
    /// See `source_first`.
    pub source_last: usize,
    /// Source units that are missing between the first and the last matched.
    pub lost: usize,
    /// The same as runs.
    pub lost_runs: Vec<MissingRun>,
    /// Units that were already there before: doubled, or out of order.
    pub doubled: usize,
    /// Units that the source does not hold.
    pub foreign: usize,
    /// Presentation times of the first ten doubled or foreign units in the recording.
    pub odd_pts_ms: Vec<i64>,
    /// Recording's minus source's presentation time: the one constant that is removed.
    pub pts_offset_ms: f64,
    /// Greatest distance of a presentation time from the source's, that constant removed.
    pub pts_worst_ms: f64,
    /// Greatest difference of PTS minus DTS; MediaMTX derives DTS anew, so this is information.
    pub cts_worst_ms: f64,
    /// Greatest step backwards of the decoding time; 0 when it always rises.
    pub dts_backwards_ms: f64,
}

impl UnitReport {
    /// Compares two files.
    pub fn of_files(source: &Path, recording: &Path) -> Result<Self> {
        Ok(compare(&read(source)?, &read(recording)?))
    }

    /// Whether nothing is lost, doubled or foreign and the times agree within `pts_tolerance_ms`.
    pub fn identical(&self, pts_tolerance_ms: f64) -> bool {
        self.matched > 0
            && self.lost == 0
            && self.doubled == 0
            && self.foreign == 0
            && self.pts_worst_ms <= pts_tolerance_ms
    }

    /// Playing time of all lost units.
    pub fn lost_ms(&self) -> f64 {
        self.lost_runs.iter().fold(0.0, |sum, run| sum + run.lost_ms)
    }
}

/// Compares the units of a recording with its source's, both in decoding order.
pub fn compare(source: &[AccessUnit], recording: &[AccessUnit]) -> UnitReport {
    let judged = &recording[..recording.len().saturating_sub(TAIL)];
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, unit) in source.iter().enumerate() {
        places.entry(unit.hash).or_default().push(index);
    }
    let mut report = UnitReport {
        judged: judged.len(),
        ..UnitReport::default()
    };
    let mut pairs: Vec<(usize, &AccessUnit)> = Vec::new();
    for unit in judged {
        let next = pairs.last().map_or(0, |pair| pair.0 + 1);
        match places.get(&unit.hash) {
            None => report.foreign += 1,
            Some(known) => {
                if let Some(index) = known.iter().find(|index| **index >= next) {
                    pairs.push((*index, unit));
                    continue;
                }
                report.doubled += 1;
            }
        }
        if report.odd_pts_ms.len() < 10 {
            report.odd_pts_ms.push(unit.pts_ms);
        }
    }
    report.matched = pairs.len();
    report.dts_backwards_ms = judged
        .windows(2)
        .map(|two| (two[0].dts_ms - two[1].dts_ms) as f64)
        .fold(0.0, f64::max);
    lost_units(&mut report, source, &pairs);
    compare_times(&mut report, source, &pairs);
    report
}

fn lost_units(report: &mut UnitReport, source: &[AccessUnit], pairs: &[(usize, &AccessUnit)]) {
    let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else {
        return;
    };
    report.source_first = first.0;
    report.source_last = last.0;
    // Decoding times advance by one frame each, presentation times do not: a run's length is counted in the former.
    let steps: Vec<f64> = source
        .windows(2)
        .map(|two| (two[1].dts_ms - two[0].dts_ms) as f64)
        .collect();
    let frame_ms = dsp::median(&steps);
    for two in pairs.windows(2) {
        let count = two[1].0 - two[0].0 - 1;
        if count > 0 {
            let at = two[0].0 + 1;
            let lost_ms = count as f64 * frame_ms;
            report.lost += count;
            report.lost_runs.push(MissingRun {
                first: at,
                count,
                source_pts_ms: source[at].pts_ms,
                lost_ms,
            });
        }
    }
}

fn compare_times(report: &mut UnitReport, source: &[AccessUnit], pairs: &[(usize, &AccessUnit)]) {
    let differences: Vec<f64> = pairs
        .iter()
        .map(|(index, unit)| (unit.pts_ms - source[*index].pts_ms) as f64)
        .collect();
    report.pts_offset_ms = dsp::median(&differences);
    for ((index, unit), difference) in pairs.iter().zip(&differences) {
        let before = &source[*index];
        let cts = (unit.pts_ms - unit.dts_ms) - (before.pts_ms - before.dts_ms);
        report.pts_worst_ms = report.pts_worst_ms.max((difference - report.pts_offset_ms).abs());
        report.cts_worst_ms = report.cts_worst_ms.max((cts as f64).abs());
    }
}
