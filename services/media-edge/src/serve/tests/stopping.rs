//! The stop ladder and the drain against children that obey, and children that do not.

use super::super::snapshot::tests::start;
use super::super::supervisor::Error;
use super::{Bench, PATIENCE, runs};
use crate::link::lines::{Start, StopMode};
use media_types::{RunId, StreamId};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Without a hold, so that a drain is over within the test's own margin.
fn without_hold() -> Start {
    let mut start = start("derby", "run", 1);
    start.settings.hold = Duration::ZERO;
    start
}

async fn stop(bench: &Bench, run: Option<&str>, mode: StopMode) -> bool {
    let run = run.map(|run| RunId::new(run).unwrap());
    bench
        .handle
        .stop(StreamId::new("derby").unwrap(), run, mode)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_stop_names_its_run_or_means_any() {
    let bench = Bench::new("normal");
    assert!(
        !stop(&bench, None, StopMode::Drain).await,
        "there is no worker yet"
    );
    bench.start(without_hold()).await;
    bench.ready("derby").await;
    assert!(!stop(&bench, Some("other"), StopMode::Now).await);
    assert!(stop(&bench, Some("run"), StopMode::Drain).await);
    assert_eq!(
        bench.ended("derby").await,
        (0, "ended with exit code 0".to_owned())
    );
    assert!(!stop(&bench, None, StopMode::Drain).await, "it is gone");
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_shows_it_at_once() {
    let bench = Bench::new("endless");
    bench.start(start("derby", "run", 1)).await;
    bench.ready("derby").await;
    stop(&bench, None, StopMode::Drain).await;
    let worker = bench.wait("derby", "stopping", |worker| worker.stopping).await;
    assert!(worker.is_live() && runs(worker.pid));
    let refused = bench.handle.start(start("derby", "run", 2)).await.unwrap_err();
    assert!(
        matches!(refused, Error::Conflict { .. }),
        "the air has one owner: {refused}"
    );
    stop(&bench, None, StopMode::Now).await;
    assert_eq!(bench.ended("derby").await.0, 0);
}

#[tokio::test]
async fn a_drain_that_does_not_end_is_cut_short() {
    let bench = Bench::new("endless");
    bench.start(without_hold()).await;
    bench.ready("derby").await;
    let stopped = Instant::now();
    stop(&bench, None, StopMode::Drain).await;
    bench.logged("\"drain\"").await;
    bench.logged("\"now\"").await;
    assert!(stopped.elapsed() >= super::LIMITS.drain_margin);
    assert_eq!(bench.ended("derby").await.0, 0);
}

#[tokio::test]
async fn a_worker_that_takes_no_order_gets_sigterm() {
    let bench = Bench::new("orderless");
    bench.start(without_hold()).await;
    bench.ready("derby").await;
    stop(&bench, None, StopMode::Now).await;
    assert_eq!(bench.ended("derby").await, (143, "ended by SIGTERM".to_owned()));
}

#[tokio::test]
async fn a_worker_that_ignores_everything_is_killed() {
    let bench = Bench::new("deaf");
    let begun = bench.start(without_hold()).await;
    bench.ready("derby").await;
    stop(&bench, None, StopMode::Now).await;
    assert_eq!(bench.ended("derby").await, (137, "ended by SIGKILL".to_owned()));
    assert!(!runs(begun.pid));
}

#[tokio::test]
async fn a_drain_of_the_service_leaves_no_worker_and_takes_no_new_one() {
    let mut bench = Bench::new("deaf");
    let mut pids = Vec::new();
    for stream in ["derby", "opera"] {
        pids.push(bench.start(start(stream, "run", 1)).await.pid);
        bench.ready(stream).await;
    }
    let mut changes_rx = bench.handle.watch().await.unwrap().changes_rx;
    bench.token.cancel();
    let mut exits = 0;
    let heard = async {
        while let Ok(change) = changes_rx.recv().await {
            exits += u32::from(!change.is_live());
        }
    };
    timeout(PATIENCE, heard).await.unwrap();
    assert_eq!(exits, 2, "watchers hear every exit before the end");
    while let Some(ended) = bench.tasks.join_next().await {
        ended.unwrap().unwrap();
    }
    assert!(pids.iter().all(|pid| !runs(*pid)));
    assert_eq!(
        bench.handle.start(start("derby", "run", 2)).await.unwrap_err(),
        Error::Draining
    );
}
