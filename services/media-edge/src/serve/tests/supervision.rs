//! Starts, reports, orders and ends of workers.

use super::super::snapshot::tests::start;
use super::super::supervisor::Error;
use super::{Bench, PATIENCE, runs};
use crate::link::lines::{Order, Source, State};
use media_types::{AirState, Fate, FragmentSeq, MediaTime, Reason, RunId, StreamId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

fn stream(id: &str) -> StreamId {
    StreamId::new(id).unwrap()
}

async fn air(bench: &Bench, state: AirState, limit: Duration) -> Result<MediaTime, Error> {
    bench
        .handle
        .set_air(stream("derby"), state, "ann".to_owned(), limit)
        .await
}

#[tokio::test]
async fn a_worker_hears_its_start_and_is_shown_as_it_reports() {
    let bench = Bench::new("normal");
    let told = start("derby", "run", 2);
    let begun = bench.start(told.clone()).await;
    assert!(begun.pid > 0 && runs(begun.pid) && begun.is_live() && !begun.is_ready());
    let heard = bench.logged("heard").await;
    let order: Order = serde_json::from_str(heard.trim_start_matches("heard ")).unwrap();
    assert_eq!(order, Order::Start(Box::new(told)));
    let worker = bench.ready("derby").await;
    assert_eq!(
        (worker.view.state, worker.view.input_protocol.as_str()),
        (State::Running, "rtmp")
    );
    assert_eq!(
        (worker.fragments.len(), worker.last_fragment_seq),
        (1, FragmentSeq(1_001))
    );
    assert_eq!(worker.fragments_total, [(Fate::Fallback, 1)].into());
    assert_eq!(worker.fallbacks_total, [(Reason::Overload, 1)].into());
    assert_eq!(
        bench.metric("media_edge_worker_starts_total").as_deref(),
        Some("1")
    );
    assert_eq!(
        bench
            .metric("worker_fallback_total{reason=\"overload\"}")
            .as_deref(),
        Some("1")
    );
    assert_eq!(
        bench
            .metric("worker_events_total{event=\"unreadable_report\"}")
            .as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn the_same_run_and_epoch_again_starts_nothing_and_another_is_refused() {
    let bench = Bench::new("normal");
    let first = bench.start(start("derby", "run", 2)).await;
    let again = bench.start(start("derby", "run", 2)).await;
    assert_eq!(
        (again.pid, &again.start.instance_id),
        (first.pid, &first.start.instance_id)
    );
    for other in [start("derby", "run", 3), start("derby", "other", 2)] {
        let refused = bench.handle.start(other).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict { epoch: 2, .. }), "{refused}");
    }
    assert_eq!(
        bench.metric("media_edge_worker_starts_total").as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn no_more_workers_run_than_allowed() {
    let bench = Bench::with("normal", |parts| parts.workers_max = Some(1));
    bench.start(start("derby", "run", 1)).await;
    assert_eq!(
        bench.handle.start(start("opera", "run", 1)).await.unwrap_err(),
        Error::Limit(1)
    );
    assert!(
        bench.handle.start(start("derby", "run", 1)).await.is_ok(),
        "one that runs is none more"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_answer() {
    let bench = Bench::with("normal", |parts| {
        parts.program.path = "/nowhere/media-edge".into()
    });
    let refused = bench.handle.start(start("derby", "run", 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Spawn(_)), "{refused}");
    assert!(bench.handle.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_switch_is_answered_by_the_worker() {
    let bench = Bench::new("normal");
    assert_eq!(
        air(&bench, AirState::Original, PATIENCE).await,
        Err(Error::Unknown)
    );
    bench.start(start("derby", "run", 1)).await;
    bench.ready("derby").await;
    let thrown = Instant::now();
    assert_eq!(
        air(&bench, AirState::Original, PATIENCE).await,
        Ok(MediaTime::from_frames(4_800))
    );
    assert!(
        thrown.elapsed() < Duration::from_secs(1),
        "took {:?}",
        thrown.elapsed()
    );
    let worker = bench
        .wait("derby", "original", |worker| worker.view.air_state.is_some())
        .await;
    assert_eq!(worker.view.air_state, Some(AirState::Original));
    assert!(bench.logged("set-air").await.contains("ann"));
    let refused = air(&bench, AirState::VoiceOver, PATIENCE).await;
    assert_eq!(refused, Err(Error::Refused("no voice to put over".to_owned())));
    let unanswered = air(&bench, AirState::Mute, Duration::from_millis(50)).await;
    assert_eq!(unanswered, Err(Error::Unresponsive));
}

#[tokio::test]
async fn a_new_source_reaches_the_worker_of_its_run_only() {
    let bench = Bench::new("normal");
    bench.start(start("derby", "run", 1)).await;
    let source = Source {
        source_id: "7".to_owned(),
        source_type: "rtmpConn".to_owned(),
        tracks: vec!["H264".to_owned(), "Opus".to_owned()],
    };
    let run = |id: &str| RunId::new(id).unwrap();
    let other = bench
        .handle
        .update_source(stream("derby"), run("other"), source.clone())
        .await;
    assert_eq!(other, Err(Error::Unknown));
    bench
        .handle
        .update_source(stream("derby"), run("run"), source.clone())
        .await
        .unwrap();
    assert!(bench.logged("update-source").await.contains("Opus"));
    bench
        .wait("derby", "told", |worker| worker.source == source)
        .await;
}

#[tokio::test]
async fn an_exit_is_reported_with_the_last_word_of_the_worker() {
    let bench = Bench::new("fail");
    bench.start(start("derby", "run", 1)).await;
    assert_eq!(
        bench.ended("derby").await,
        (75, "output cannot be reached".to_owned())
    );
    assert_eq!(
        bench
            .metric("media_edge_worker_exits_total{code=\"75\"}")
            .as_deref(),
        Some("1")
    );
    assert_eq!(bench.metric("media_edge_workers_active").as_deref(), Some("0"));
}

#[tokio::test]
async fn a_killed_worker_is_reported_and_only_a_higher_epoch_follows_it() {
    let bench = Bench::new("normal");
    bench.start(start("derby", "run", 2)).await;
    let worker = bench.ready("derby").await;
    kill(Pid::from_raw(worker.pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(bench.ended("derby").await, (137, "ended by SIGKILL".to_owned()));
    let gone = bench.handle.list().await.unwrap().remove(0);
    assert_eq!((gone.pid, gone.last_fragment_seq), (0, FragmentSeq(1_001)));
    assert_eq!(
        air(&bench, AirState::Original, PATIENCE).await,
        Err(Error::Unknown)
    );
    let again = bench.start(start("derby", "run", 2)).await;
    assert!(!again.is_live(), "the same start told twice starts once");
    assert!(
        bench.handle.start(start("derby", "run", 1)).await.is_err(),
        "an epoch never goes back"
    );
    let next = bench.start(start("derby", "run", 3)).await;
    assert!(next.is_live() && runs(next.pid));
    bench.ready("derby").await;
}

#[tokio::test]
async fn an_ended_worker_is_shown_for_a_while_and_then_forgotten() {
    let bench = Bench::with("fail", |parts| parts.linger = Duration::from_millis(100));
    bench.start(start("derby", "run", 1)).await;
    let give_up = Instant::now() + PATIENCE;
    while !bench.handle.list().await.unwrap().is_empty() {
        assert!(Instant::now() < give_up, "never forgotten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        bench
            .metric("media_edge_worker_exits_total{code=\"75\"}")
            .as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_worker_whose_source_does_not_connect_is_stopped_and_may_be_tried_again() {
    let bench = Bench::with("unready", |parts| {
        parts.ready_timeout = Duration::from_millis(400)
    });
    bench.start(start("derby", "run", 1)).await;
    let (code, detail) = bench.ended("derby").await;
    assert_eq!(code, 75);
    assert_eq!(detail, "source not connected within 400ms: no such path");
    bench.logged("\"now\"").await;
}

#[tokio::test]
async fn a_worker_that_reads_no_orders_is_stuck_alone() {
    let bench = Bench::new("frozen");
    bench.start(start("derby", "run", 1)).await;
    let source = Source {
        source_id: "x".repeat(250),
        source_type: String::new(),
        tracks: vec!["y".repeat(250); 60],
    };
    for _ in 0..20 {
        let sent = bench
            .handle
            .update_source(stream("derby"), RunId::new("run").unwrap(), source.clone())
            .await;
        assert!(matches!(sent, Ok(()) | Err(Error::Unresponsive)), "{sent:?}");
    }
    assert_eq!(
        air(&bench, AirState::Original, Duration::from_millis(50)).await,
        Err(Error::Unresponsive)
    );
    let asked = Instant::now();
    assert_eq!(bench.handle.list().await.unwrap().len(), 1);
    assert!(asked.elapsed() < Duration::from_secs(1));
}
