//! What the arrivals of packets tell: silences that a reader felt, and latency from one reader to another.

use crate::units;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `audio` or `video`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

/// One packet as a reader received it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// What it carries.
    pub kind: Kind,
    /// Wall clock at arrival, milliseconds since 1970.
    pub at_ms: f64,
    /// Decoding time on the wire.
    pub dts_ms: i64,
    /// Presentation time on the wire.
    pub pts_ms: i64,
    /// Whether it is a key frame.
    pub key: bool,
    /// Bytes of its body.
    pub bytes: usize,
    /// Fingerprint of the access unit (see [`crate::flv::fingerprint`]); 0 for sound.
    pub hash: u64,
}

/// Where the arrivals of a recording are kept.
pub fn sidecar(recording: &Path) -> PathBuf {
    let mut name = recording.as_os_str().to_owned();
    name.push(".arrivals.jsonl");
    PathBuf::from(name)
}

/// Reads the arrivals that were kept beside a recording.
pub fn read(recording: &Path) -> Result<Vec<Arrival>> {
    let path = sidecar(recording);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

pub(crate) fn write(path: &Path, arrivals: &[Arrival]) -> Result<()> {
    let mut text = String::new();
    for arrival in arrivals {
        text.push_str(&serde_json::to_string(arrival)?);
        text.push('\n');
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// When a reader received what is presented at `pts_ms`: the wall clock of the first packet of that kind from then on.
pub fn received_at(arrivals: &[Arrival], kind: Kind, pts_ms: f64) -> Option<f64> {
    let mut later = arrivals
        .iter()
        .filter(|arrival| arrival.kind == kind && arrival.pts_ms as f64 >= pts_ms);
    later.next().map(|arrival| arrival.at_ms)
}

/// The longest time without any arrival of a kind (or of either), as a reader felt it.
pub fn longest_silence(arrivals: &[Arrival], kind: Option<Kind>) -> Silence {
    let times: Vec<f64> = arrivals
        .iter()
        .filter(|arrival| kind.is_none_or(|kind| arrival.kind == kind))
        .map(|arrival| arrival.at_ms)
        .collect();
    times
        .windows(2)
        .map(|two| Silence {
            from_ms: two[0],
            ms: two[1] - two[0],
        })
        .max_by(|a, b| a.ms.total_cmp(&b.ms))
        .unwrap_or_default()
}

/// A time without arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Wall clock at its start, milliseconds since 1970.
    pub from_ms: f64,
    /// Its length.
    pub ms: f64,
}

/// Time from a unit's arrival at the input's reader to its arrival at the output's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Units seen by both readers.
    pub units: usize,
    /// Half of them took at most this long.
    pub p50_ms: f64,
    /// 95 of 100 did.
    pub p95_ms: f64,
    /// 99 of 100 did.
    pub p99_ms: f64,
    /// The slowest.
    pub worst_ms: f64,
}

/// Latency between two readers, unit by unit.
pub fn latency(input: &[Arrival], output: &[Arrival]) -> Latency {
    let mut sent = std::collections::HashMap::new();
    for arrival in input.iter().filter(|arrival| arrival.hash != 0) {
        sent.entry(arrival.hash).or_insert(arrival.at_ms);
    }
    let delays: Vec<f64> = output
        .iter()
        .filter_map(|arrival| Some(arrival.at_ms - sent.get(&arrival.hash).filter(|_| arrival.hash != 0)?))
        .collect();
    Latency {
        units: delays.len(),
        p50_ms: crate::dsp::percentile(&delays, 0.5),
        p95_ms: crate::dsp::percentile(&delays, 0.95),
        p99_ms: crate::dsp::percentile(&delays, 0.99),
        worst_ms: delays.iter().copied().fold(0.0, f64::max),
    }
}

/// The access units among arrivals, for [`units::compare`] without a file.
pub fn access_units(arrivals: &[Arrival]) -> Vec<units::AccessUnit> {
    arrivals
        .iter()
        .filter(|arrival| arrival.kind == Kind::Video && arrival.hash != 0)
        .map(|arrival| units::AccessUnit {
            dts_ms: arrival.dts_ms,
            pts_ms: arrival.pts_ms,
            key: arrival.key,
            bytes: arrival.bytes,
            hash: arrival.hash,
        })
        .collect()
}
