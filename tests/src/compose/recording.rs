//! MediaMTX records both sides of a stream where that is asked for, and lists what it has.

use super::Bench;
use super::air::{OnAir, SECOND};
use super::project::Setup;
use crate::http_get;
use anyhow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Until a first segment lies in the volume.
const WRITTEN: Duration = Duration::from_secs(20);
/// Volume of the recordings.
const VOLUME: &str = "recordings";

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    let setup = Setup::coded()
        .variable("RECORD_IN", "true")
        .variable("RECORD_OUT", "true");
    bench.up(&setup)?;
    let on_air = OnAir::start(bench, "recorded", 60).await?;
    let folder = bench
        .project
        .folder_of(&format!("{}_{VOLUME}", super::project::NAME))?;
    for side in ["in", "out"] {
        bench
            .verdicts
            .step(&format!("looking for segments of live/recorded/{side}"));
        judge(bench, &folder, side)?;
    }
    on_air.end(bench).await
}

fn judge(bench: &mut Bench, folder: &Path, side: &str) -> Result<()> {
    let path = format!("live/recorded/{side}");
    let mut files = Vec::new();
    for _ in 0..WRITTEN.as_secs() {
        files = files_below(folder);
        files.retain(|file| file.to_string_lossy().contains(&path));
        if !files.is_empty() {
            break;
        }
        std::thread::sleep(SECOND);
    }
    let bytes: u64 = files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    bench.verdicts.bar(
        &format!("segments of {path}"),
        format!("{} files, {bytes} bytes", files.len()),
        "at least one",
        bytes > 0,
    );
    let port = bench.services.ports().playback;
    let answer = http_get(port, &format!("/list?path={}", path.replace('/', "%2F")))?;
    let listed: Value = serde_json::from_str(&answer).unwrap_or_default();
    let seconds = listed[0]["duration"].as_f64();
    bench.verdicts.bar(
        &format!("playback list of {path}"),
        seconds.map_or_else(|| answer.clone(), |seconds| format!("{seconds:.1} s")),
        "is listed",
        seconds.is_some_and(|seconds| seconds > 0.0),
    );
    Ok(())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
