//! One cell of the bench: one variant at one number of streams.

use super::config::Config;
use super::procfs::{Usage, family};
use super::variant::{Peer, Variant};
use crate::{Live, http_get};
use anyhow::{Context as _, Result, bail, ensure};
use media_judge::arrivals::{Arrival, Kind, Latency, latency};
use media_judge::live::RecordOptions;
use media_judge::publish::PublishOptions;
use media_judge::{Publisher, Recorder};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Streams of a cell whose latency is read: readers cost what the job costs, and streams are alike.
const PROBED_MAX: usize = 2;
/// Between two publishers, so that key frames do not come in one heap.
const STAGGER: Duration = Duration::from_millis(130);
/// Starting up is no part of the measurement.
const SETTLE: Duration = Duration::from_secs(2);
/// Longest wait for anything to start or to end, besides the hold.
const PATIENCE: Duration = Duration::from_secs(25);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is measured.
pub struct Cell<'b> {
    /// The stack.
    pub live: &'b Live,
    /// What is published.
    pub clip: &'b Path,
    /// Settings.
    pub config: &'b Config,
    /// Who does the job.
    pub variant: Variant,
    /// How often at once.
    pub streams: usize,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Streams at once.
    pub streams: usize,
    /// Who.
    pub variant: Variant,
    /// This row is the dubber's part of the variant.
    pub is_dubber: bool,
    /// CPU time for a second of one stream, seconds.
    pub cpu: f64,
    /// Resident memory of a stream, MiB.
    pub rss_mib: f64,
    /// Proportional memory of a stream, MiB.
    pub pss_mib: f64,
    /// Added latency, the hold taken off; nothing where there is none.
    pub latency: Option<Latency>,
    /// What else is to be known.
    pub note: String,
}

struct Probe {
    input: Recorder,
    output: Recorder,
}

impl Cell<'_> {
    fn ids(&self) -> Vec<String> {
        (0..self.streams)
            .map(|index| format!("{}{}-{index}", self.variant.word(), self.streams))
            .collect()
    }

    /// Path that is published. Peers stay off `…/in`, where the orchestrator would start a worker.
    fn source(&self, id: &str) -> String {
        if self.variant.is_ours() {
            format!("live/{id}/in")
        } else {
            format!("live/{id}-source/out")
        }
    }

    fn url(&self, path: &str) -> String {
        self.live.stack.ports().rtmp_url(path)
    }

    /// Runs the cell.
    pub async fn run(&self) -> Result<Vec<Row>> {
        let ids = self.ids();
        let query = if self.variant == Variant::MockDub {
            "?mode=enabled"
        } else {
            ""
        };
        let mut publishers = Vec::new();
        for id in &ids {
            let url = format!("{}{query}", self.url(&self.source(id)));
            publishers.push(Publisher::start(self.clip, &url, &PublishOptions::default())?);
            tokio::time::sleep(STAGGER).await;
        }
        self.paths_are_ready(ids.iter().map(|id| self.source(id)).collect())
            .await?;
        let mut peers = Vec::new();
        if !self.variant.is_ours() {
            for id in &ids {
                let log = self.live.dir.join(format!("{id}.log"));
                let output = self.url(&format!("live/{id}/out"));
                peers.push(Peer::start(
                    self.variant,
                    &self.url(&self.source(id)),
                    &output,
                    &log,
                )?);
            }
        }
        self.paths_are_ready(ids.iter().map(|id| format!("live/{id}/out")).collect())
            .await?;
        let probes = self.probes(&ids)?;
        for probe in &probes {
            probe.output.wait_for_picture(PATIENCE)?;
        }
        tokio::time::sleep(SETTLE).await;
        let rows = self.window(&peers, probes).await?;
        drop(peers);
        drop(publishers);
        if self.variant.is_ours() {
            for id in &ids {
                self.live.worker_gone(id, PATIENCE + self.config.hold).await?;
            }
        }
        Ok(rows)
    }

    fn probes(&self, ids: &[String]) -> Result<Vec<Probe>> {
        let read = |path: &str| Recorder::start(&self.url(path), None, RecordOptions::default());
        ids.iter()
            .take(PROBED_MAX)
            .map(|id| {
                Ok(Probe {
                    input: read(&self.source(id))?,
                    output: read(&format!("live/{id}/out"))?,
                })
            })
            .collect()
    }

    /// Measures, while everything runs.
    async fn window(&self, peers: &[Peer], probes: Vec<Probe>) -> Result<Vec<Row>> {
        let edge = self
            .live
            .stack
            .pid("media-edge")
            .context("media-edge does not run")?;
        let dubber = BTreeSet::from([self.live.stack.pid("dubber").context("the dubber does not run")?]);
        let who = || {
            if peers.is_empty() {
                family(edge)
            } else {
                peers.iter().map(Peer::pid).collect()
            }
        };
        let fates = self.fates().await?;
        let (from_ms, begun) = (unix_ms(), Instant::now());
        let (before, dubber_before) = (Usage::of(&who())?, Usage::of(&dubber)?);
        tokio::time::sleep(self.config.measured).await;
        let (after, dubber_after) = (Usage::of(&who())?, Usage::of(&dubber)?);
        let stream_seconds = begun.elapsed().as_secs_f64() * self.streams as f64;
        let latency = self.latency(probes, from_ms)?;
        let row = |is_dubber: bool, before: &Usage, after: &Usage, latency: Option<Latency>, note: String| {
            let cpu = after
                .cpu_since(before)
                .context("a process ended or was started while it was measured")?;
            Ok::<Row, anyhow::Error>(Row {
                streams: self.streams,
                variant: self.variant,
                is_dubber,
                cpu: cpu / stream_seconds,
                rss_mib: after.rss_mib / self.streams as f64,
                pss_mib: after.pss_mib / self.streams as f64,
                latency,
                note,
            })
        };
        let mut rows = vec![row(false, &before, &after, Some(latency), String::new())?];
        if self.variant == Variant::MockDub {
            let note = difference(&fates, &self.fates().await?);
            rows.push(row(true, &dubber_before, &dubber_after, None, note)?);
        }
        Ok(rows)
    }

    /// Latency of all probes together, without the hold.
    fn latency(&self, probes: Vec<Probe>, from_ms: f64) -> Result<Latency> {
        let (mut input, mut output) = (Vec::new(), Vec::new());
        for (index, probe) in probes.into_iter().enumerate() {
            // Streams carry the same clip: what tells their access units apart is the stream.
            let own = |arrivals: Vec<Arrival>| {
                let mark = (index as u64 + 1) << 60;
                arrivals
                    .into_iter()
                    .filter(|arrival| arrival.hash != 0)
                    .map(move |arrival| Arrival {
                        hash: arrival.hash ^ mark,
                        ..arrival
                    })
            };
            input.extend(own(probe.input.stop()?.arrivals));
            output.extend(own(probe.output.stop()?.arrivals).filter(|arrival| arrival.at_ms >= from_ms));
        }
        let pictures = output
            .iter()
            .filter(|arrival| arrival.kind == Kind::Video)
            .count();
        let measured = latency(&input, &output);
        ensure!(
            measured.units > 0,
            "no access unit of the input was seen at the output, of {pictures} there"
        );
        ensure!(
            measured.units * 10 >= pictures * 9,
            "only {} of {pictures} access units are the input's",
            measured.units
        );
        let hold_ms = if self.variant.is_ours() {
            self.config.hold.as_secs_f64() * 1e3
        } else {
            0.0
        };
        Ok(Latency {
            units: measured.units,
            p50_ms: measured.p50_ms - hold_ms,
            p95_ms: measured.p95_ms - hold_ms,
            p99_ms: measured.p99_ms - hold_ms,
            worst_ms: measured.worst_ms - hold_ms,
        })
    }

    /// Fragments by fate, of all workers of this cell.
    async fn fates(&self) -> Result<BTreeMap<String, u64>> {
        let mut sum = BTreeMap::new();
        if self.variant == Variant::MockDub {
            for id in self.ids() {
                for (fate, count) in self.live.worker(&id).await?.fragments_total {
                    *sum.entry(fate).or_default() += count;
                }
            }
        }
        Ok(sum)
    }

    /// Waits until MediaMTX has a publisher on all of these paths.
    async fn paths_are_ready(&self, paths: Vec<String>) -> Result<()> {
        let until = Instant::now() + PATIENCE + self.config.hold;
        loop {
            let page = http_get(
                self.live.stack.ports().mediamtx_api,
                "/v3/paths/list?itemsPerPage=1000",
            )?;
            let list: serde_json::Value = serde_json::from_str(&page).context("MediaMTX's list of paths")?;
            let ready: BTreeSet<&str> = list["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| item["ready"] == true || item["available"] == true)
                .filter_map(|item| item["name"].as_str())
                .collect();
            let missing: Vec<&String> = paths
                .iter()
                .filter(|path| !ready.contains(path.as_str()))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            if until < Instant::now() {
                bail!(
                    "nobody publishes {missing:?} (logs are in {})",
                    self.live.dir.display()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = after
        .iter()
        .map(|(fate, count)| (fate, count.saturating_sub(before.get(fate).copied().unwrap_or(0))))
        .filter(|(_, count)| *count > 0)
        .map(|(fate, count)| format!("{count} {fate}"))
        .collect();
    format!("fragments: {}", counts.join(", "))
}

fn unix_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
