//! A process dies, a link is cut: who brings it back, how soon, and what a reader on this machine feels of it.

use super::Bench;
use super::air::{HOLD, OnAir, SECOND, START, dubbed_after, read};
use super::container::Container;
use super::procfs::main_process;
use super::programme::GAP_MS;
use super::project::Setup;
use super::verdicts::Table;
use crate::felt::{Pulse, longest_gap_of_picture, longest_gap_of_sound, wall_ms};
use crate::processes::kill_hard;
use anyhow::{Context as _, Result};
use dub_proto::edge::v1::Worker;
use media_judge::arrivals::{Arrival, Kind};
use std::time::{Duration, Instant};

/// The engine restarts at once what has run for ten seconds; what died sooner waits.
const SETTLED: Duration = Duration::from_secs(11);
/// Longest time until a container is healthy again.
const HEALTHY: Duration = Duration::from_secs(60);
/// How long the link is cut.
const CUT: Duration = Duration::from_secs(10);
/// Beyond the hold, until new pictures are there after the death of what carries them.
const RETURN: Duration = Duration::from_secs(15);
/// Length of the clips: every case is over before.
const CLIP_S: u32 = 120;

/// What is done to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Its process is killed; neither air nor dub must notice.
    Unfelt(&'static str),
    /// The dubber's process is killed; the air must not notice.
    Dubber,
    /// Its process is killed; the air ends and comes back.
    Felt(&'static str),
    /// The dubber leaves the network and comes back.
    Link,
}

const CASES: [Case; 6] = [
    Case::Dubber,
    Case::Unfelt("orchestrator"),
    Case::Unfelt("jaeger"),
    Case::Link,
    Case::Felt("media-edge"),
    Case::Felt("mediamtx"),
];

impl Case {
    fn name(self) -> String {
        match self {
            Self::Unfelt(service) | Self::Felt(service) => format!("{service} killed"),
            Self::Dubber => "dubber killed".to_owned(),
            Self::Link => format!("link to dubber cut {} s", CUT.as_secs()),
        }
    }

    const fn service(self) -> &'static str {
        match self {
            Self::Unfelt(service) | Self::Felt(service) => service,
            Self::Dubber | Self::Link => "dubber",
        }
    }
}

/// What was felt of one case.
#[derive(Clone, Debug, Default)]
struct Felt {
    /// Until the container was healthy, or the link connected again.
    healthy: Duration,
    silent_ms: f64,
    frozen_ms: f64,
    /// Until the dub of a fragment that began after the blow was heard.
    dubbed: Option<Duration>,
    /// Fragments whose dub was not heard, where the worker lived on.
    undubbed: Option<u64>,
    stall_ms: f64,
    is_reader_dropped: bool,
}

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    let head = [
        "what",
        "healthy again",
        "/out silent",
        "/out frozen",
        "bar",
        "dub of after it heard",
        "fragments undubbed",
        "machine's longest stall",
    ];
    let mut table = Table::new("KILLS", &head);
    for case in CASES {
        match one(bench, case).await {
            Ok(felt) => table.rows.push(judge(bench, case, &felt)),
            Err(error) => {
                bench
                    .verdicts
                    .bar(&case.name(), format!("{error:#}"), "is survived", false);
                table
                    .rows
                    .push(vec![case.name(), "did not get through".to_owned()]);
            }
        }
    }
    bench.verdicts.table(table);
    Ok(())
}

async fn one(bench: &mut Bench, case: Case) -> Result<Felt> {
    bench.up(&Setup::coded())?;
    settle(bench).await?;
    let id = format!("blow-{}", case.name().split(' ').next().unwrap_or_default());
    bench
        .verdicts
        .step(&format!("publishing live/{id}/in until its dub is heard"));
    let on_air = OnAir::start(bench, &id, CLIP_S).await?;
    bench.verdicts.step(&case.name());
    let felt = match case {
        Case::Unfelt(_) | Case::Dubber | Case::Link => unfelt(bench, case, &on_air).await,
        Case::Felt(_) => felt(bench, case, &on_air).await,
    };
    let ended = on_air.end(bench).await;
    if case == Case::Link {
        // A container that was taken from its network may come back without its ports.
        let words = [
            "up",
            "--detach",
            "--wait",
            "--no-build",
            "--no-deps",
            "--force-recreate",
            "dubber",
        ];
        bench.project.compose(&words, Duration::from_secs(90))?;
    }
    let felt = felt?;
    ended.map(|()| felt)
}

async fn settle(bench: &Bench) -> Result<()> {
    for container in bench.project.containers()? {
        let left = SETTLED.saturating_sub(container.age()?);
        tokio::time::sleep(left).await;
    }
    Ok(())
}

/// Kills the program of a service by its number on this machine: the engine sees a death, not a wish.
fn kill(bench: &Bench, service: &str) -> Result<u32> {
    let init = bench.project.container(service)?.pid();
    let program = main_process(init)?;
    kill_hard(program)?;
    Ok(init)
}

/// Whether another process than `init` is healthy.
fn is_reborn(container: &Container, init: u32) -> bool {
    container.pid() != 0 && container.pid() != init && container.is_healthy()
}

/// The dubber leaves its network for a while, and comes back under its name.
async fn cut(bench: &Bench) -> Result<()> {
    let container = bench.project.container("dubber")?;
    let networks = container.networks();
    let network = *networks.first().context("the dubber is in no network")?;
    bench
        .project
        .docker
        .ask(&["network", "disconnect", network, container.id()])?;
    tokio::time::sleep(CUT).await;
    let words = ["network", "connect", "--alias", "dubber", network, container.id()];
    bench.project.docker.ask(&words).map(|_| ())
}

/// When a service was healthy again, and when a dub from after the blow was heard.
#[derive(Clone, Copy, Debug, Default)]
struct Returned {
    healthy: Option<Duration>,
    dubbed: Option<Duration>,
}

/// Looks at both until both are there, or the time is over.
async fn returned(
    bench: &Bench,
    id: &str,
    begun: Instant,
    is_healthy: impl Fn(&Worker) -> Result<bool>,
    newest: u64,
) -> Result<Returned> {
    let mut returned = Returned::default();
    while begun.elapsed() < HEALTHY && (returned.healthy.is_none() || returned.dubbed.is_none()) {
        let worker = bench.services.worker(id).await.unwrap_or_default();
        if returned.dubbed.is_none() && dubbed_after(&worker, newest) {
            returned.dubbed = Some(begun.elapsed());
        }
        if returned.healthy.is_none() && is_healthy(&worker)? {
            returned.healthy = Some(begun.elapsed());
        }
        tokio::time::sleep(SECOND / 5).await;
    }
    Ok(returned)
}

async fn unfelt(bench: &Bench, case: Case, on_air: &OnAir) -> Result<Felt> {
    let pulse = Pulse::start();
    let (begun_ms, before) = (wall_ms(), bench.services.worker(&on_air.id).await?);
    let service = case.service();
    let (init, begun) = match case {
        Case::Link => {
            cut(bench).await?;
            (None, Instant::now())
        }
        Case::Unfelt(_) | Case::Dubber | Case::Felt(_) => (Some(kill(bench, service)?), Instant::now()),
    };
    // Only a dub that was asked for after the blow, or after the link is back, proves anything.
    let newest = bench.services.worker(&on_air.id).await?.last_fragment_seq;
    let is_healthy = |worker: &Worker| match init {
        Some(init) => Ok(is_reborn(&bench.project.container(service)?, init)),
        None => Ok(worker.dub_connected),
    };
    let returned = returned(bench, &on_air.id, begun, is_healthy, newest).await?;
    tokio::time::sleep(2 * SECOND).await;
    let after = bench.services.worker(&on_air.id).await?;
    let arrivals = on_air.reader.arrivals_from(0);
    Ok(Felt {
        healthy: returned.healthy.context("it did not come back")?,
        silent_ms: longest_gap_of_sound(&arrivals, begun_ms - 1_000.0).ms,
        frozen_ms: longest_gap_of_picture(&arrivals, begun_ms - 1_000.0).ms,
        dubbed: returned.dubbed,
        undubbed: Some(undubbed(&after).saturating_sub(undubbed(&before))),
        stall_ms: pulse.longest().ms,
        is_reader_dropped: !on_air.reader.is_running(),
    })
}

/// Fragments whose dub was not heard in full.
fn undubbed(worker: &Worker) -> u64 {
    let totals = worker.fragments_total.iter();
    totals
        .filter(|(fate, _)| *fate != "success")
        .map(|(_, count)| count)
        .sum()
}

async fn felt(bench: &Bench, case: Case, on_air: &OnAir) -> Result<Felt> {
    let pulse = Pulse::start();
    let begun = Instant::now();
    let init = kill(bench, case.service())?;
    on_air.reader.wait_for_end(HOLD + RETURN);
    let before = on_air.reader.arrivals_from(0);
    let second = read(
        bench,
        &on_air.id,
        &format!("{}-after", on_air.id),
        HOLD + 2 * RETURN,
    )?;
    let reborn = |container: &Container| is_reborn(container, init);
    bench.project.container_when(case.service(), HEALTHY, reborn)?;
    let healthy = begun.elapsed();
    // The publisher stays with a media server that lives; it comes back with the other clip to one that died.
    let pictures = if case.service() == "mediamtx" {
        &on_air.then
    } else {
        &on_air.first
    };
    let again = pictures.wait_for(&second, HOLD + 2 * RETURN)?;
    let sound = second.wait_for(START, |arrival| arrival.kind == Kind::Audio)?;
    let newest = bench.services.worker(&on_air.id).await?.last_fragment_seq;
    let dubbed = |worker: &Worker| dubbed_after(worker, newest);
    let dubbed = bench
        .services
        .worker_when(&on_air.id, HOLD + RETURN, dubbed)
        .await;
    Ok(Felt {
        healthy,
        silent_ms: sound.at_ms - last_of(&before, Kind::Audio)?,
        frozen_ms: again.at_ms - last_of(&before, Kind::Video)?,
        dubbed: dubbed.is_ok().then(|| begun.elapsed()),
        undubbed: None,
        stall_ms: pulse.longest().ms,
        is_reader_dropped: !second.is_running(),
    })
}

fn last_of(arrivals: &[Arrival], kind: Kind) -> Result<f64> {
    let last = arrivals.iter().rev().find(|arrival| arrival.kind == kind);
    Ok(last.context("nothing had arrived before")?.at_ms)
}

/// What a case may cost: the longest silence or standstill in milliseconds, and whether the dub has to go on.
const fn allowed(case: Case) -> (f64, bool) {
    match case {
        // The dubber's own death costs the dub of what it had been sent.
        Case::Link | Case::Dubber => (GAP_MS, false),
        Case::Unfelt(_) => (GAP_MS, true),
        Case::Felt(_) => ((HOLD.as_secs() + RETURN.as_secs()) as f64 * 1000.0, false),
    }
}

fn judge(bench: &mut Bench, case: Case, felt: &Felt) -> Vec<String> {
    let (limit_ms, is_dubbed_on) = allowed(case);
    let mut bar = if limit_ms > GAP_MS {
        format!("<= hold + 15 s: {:.0} s", limit_ms / 1000.0)
    } else {
        "0 s: no gap over 200 ms".to_owned()
    };
    if is_dubbed_on {
        bar.push_str(", all dubbed");
    }
    let seconds = |ms: f64| {
        if ms <= GAP_MS {
            format!("0 s ({ms:.0} ms)")
        } else {
            format!("{:.1} s", ms / 1000.0)
        }
    };
    let (silent, frozen) = (seconds(felt.silent_ms), seconds(felt.frozen_ms));
    let healthy = format!("{:.1} s", felt.healthy.as_secs_f64());
    let dubbed = felt
        .dubbed
        .map_or("no".to_owned(), |after| format!("{:.1} s", after.as_secs_f64()));
    let undubbed = felt.undubbed.map_or("-".to_owned(), |count| count.to_string());
    let stall = format!("{:.0} ms", felt.stall_ms);
    let dropped = if felt.is_reader_dropped {
        ", the reader was dropped"
    } else {
        ""
    };
    let found = format!(
        "silent {silent}, frozen {frozen}{dropped}, healthy again {healthy}, dub of after it heard {dubbed}, \
         undubbed {undubbed}, machine stalled {stall}"
    );
    let holds = felt.silent_ms <= limit_ms
        && felt.frozen_ms <= limit_ms
        && !felt.is_reader_dropped
        && felt.dubbed.is_some()
        && !(is_dubbed_on && felt.undubbed.is_some_and(|count| count > 0));
    bench.verdicts.bar(&case.name(), found, &bar, holds);
    vec![case.name(), healthy, silent, frozen, bar, dubbed, undubbed, stall]
}
