//! The verdict of the demo, as a table on stdout.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use dub_proto::edge::v1::{Fragment, Worker};
use media_judge::Verdict;

use super::latency::{Stage, quantile};
use super::live::Shown;
use super::watch::as_duration;

/// Share of the fragments that must have aired their dub: the start and one hiccup of the machine may cost some.
const DUBBED_SHARE_MIN: f64 = 0.8;

/// How the stream is doing, in one line.
pub fn state_line(on_air: Duration, worker: &Worker) -> String {
    format!(
        "  on air for {} s; fragments: {}",
        on_air.as_secs(),
        counts(&worker.fragments_total)
    )
}

/// Prints the table; true if the verdict is good.
pub fn print(shown: &Shown, verdict: &Verdict, stages: &[Stage]) -> Result<bool> {
    let clip = as_mp4(&shown.recording);
    let total: u64 = shown.worker.fragments_total.values().sum();
    let dubbed = shown
        .worker
        .fragments_total
        .get("success")
        .copied()
        .unwrap_or_default();
    // Counts of fragments: far below where f64 is inexact.
    let share = if total == 0 {
        0.0
    } else {
        dubbed as f64 / total as f64
    };
    let dubbed_enough = share >= DUBBED_SHARE_MIN;
    let good = verdict.passed() && dubbed_enough;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nVERDICT after {} s on air", shown.on_air.as_secs())?;
    writeln!(out, "\npicture and sound, judged on a recording made by ffmpeg")?;
    write!(out, "{}", indented(&verdict.table()))?;
    writeln!(out, "\nfragments by fate")?;
    writeln!(out, "  {}", counts(&shown.worker.fragments_total))?;
    if !shown.worker.fallbacks_total.is_empty() {
        writeln!(
            out,
            "  fallbacks by reason: {}",
            counts(&shown.worker.fallbacks_total)
        )?;
    }
    let word = if dubbed_enough { "ok" } else { "FAILED" };
    writeln!(
        out,
        "  dubbed {:.0} %  >= {:.0} %  {word}",
        share * 100.0,
        DUBBED_SHARE_MIN * 100.0
    )?;
    writeln!(
        out,
        "\nlatency by stage, ms{:>31}{:>10}{:>8}",
        "median", "p95", "count"
    )?;
    for stage in fragment_stages(&shown.fragments).iter().chain(stages) {
        let (median, p95) = (stage.quantile_ms(0.5), stage.quantile_ms(0.95));
        writeln!(
            out,
            "  {:<42}{median:>8.1}{p95:>10.1}{:>8}",
            stage.name,
            stage.durations_ms.len()
        )?;
    }
    writeln!(out, "\nthe dubbed clip: {}", clip.display())?;
    writeln!(out, "{}", if good { "GOOD" } else { "NOT GOOD" })?;
    if !verdict.passed() {
        writeln!(out, "failed: {}", verdict.failed().join(", "))?;
    }
    Ok(good)
}

/// What the worker itself says of each fragment.
fn fragment_stages(fragments: &[Fragment]) -> Vec<Stage> {
    let stage = |name: &str, pick: fn(&Fragment) -> Option<prost_types::Duration>| {
        let mut durations_ms: Vec<f64> = fragments
            .iter()
            .filter_map(pick)
            .map(|wire| as_duration(wire).as_secs_f64() * 1000.0)
            .filter(|ms| *ms > 0.0)
            .collect();
        durations_ms.sort_by(f64::total_cmp);
        Stage {
            name: name.to_owned(),
            durations_ms,
        }
    };
    let stages = vec![
        stage("worker: to the dubber and back", |fragment| fragment.round_trip),
        stage("worker: arrival to air, hold included", |fragment| {
            fragment.end_to_end
        }),
    ];
    stages
        .into_iter()
        .filter(|stage| quantile(&stage.durations_ms, 1.0) > 0.0)
        .collect()
}

fn counts(counted: &HashMap<String, u64>) -> String {
    let mut pairs: Vec<(&String, &u64)> = counted.iter().collect();
    pairs.sort();
    if pairs.is_empty() {
        return "none yet".to_owned();
    }
    pairs
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The recording as a file that every player takes; the recording itself where that fails.
fn as_mp4(recording: &Path) -> std::path::PathBuf {
    let clip = recording.with_extension("mp4");
    let done = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"])
        .arg(recording)
        .args(["-c", "copy", "-movflags", "+faststart"])
        .arg(&clip)
        .status();
    if done.is_ok_and(|status| status.success()) {
        clip
    } else {
        recording.to_path_buf()
    }
}
