#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]
//! The drain: what ends a service, in which order, with which code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::anyhow;

use super::*;
use crate::exit::ExitWith;

const LONG: Duration = Duration::from_secs(30);

fn exits_with(code: u8) -> ExitCode {
    ExitCode::from(code)
}

#[tokio::test]
async fn a_signal_runs_the_hooks_then_cancels_and_waits_for_the_tasks() {
    let (stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    let (token, at_hook) = (tasks.token(), tasks.token());
    let hook_came_first = Arc::new(AtomicBool::new(false));
    let finished = Arc::new(AtomicBool::new(false));
    let (seen, done) = (hook_came_first.clone(), finished.clone());
    tasks.on_drain(move || seen.store(!at_hook.is_cancelled(), Ordering::SeqCst));
    tasks.spawn("session", OnEnd::StopService, async move {
        token.cancelled().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        done.store(true, Ordering::SeqCst);
        Ok(())
    });
    stop.send(Signal::Terminate).await.unwrap();

    let exit = tasks.run_until_shutdown(signals, LONG).await;

    assert_eq!(exit, exits_with(code::DONE));
    assert!(hook_came_first.load(Ordering::SeqCst) && finished.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_failure_of_a_service_task_stops_the_service_with_its_code() {
    for (error, expected) in [
        (anyhow!("broken"), code::FAILED),
        (
            anyhow!("peer away")
                .context(ExitWith(code::TRY_AGAIN))
                .context("session"),
            code::TRY_AGAIN,
        ),
    ] {
        let (_stop, signals) = Signals::manual();
        let mut tasks = Tasks::new();
        let token = tasks.token();
        tasks.spawn("other", OnEnd::Log, async move {
            token.cancelled().await;
            Err(anyhow!("of no matter for the code"))
        });
        tasks.spawn("server", OnEnd::StopService, async move { Err(error) });
        assert_eq!(
            tasks.run_until_shutdown(signals, LONG).await,
            exits_with(expected)
        );
    }
}

#[tokio::test]
async fn the_failure_or_panic_of_a_logged_task_leaves_the_service_running() {
    let (stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    tasks.spawn("fails", OnEnd::Log, async { Err(anyhow!("broken")) });
    tasks.spawn("panics", OnEnd::Log, async { panic!("on purpose") });
    let mut running = tokio::spawn(tasks.run_until_shutdown(signals, LONG));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut running).await;
    assert!(early.is_err(), "still running");
    stop.send(Signal::Interrupt).await.unwrap();
    assert_eq!(running.await.unwrap(), exits_with(code::DONE));
}

#[tokio::test]
async fn the_panic_of_a_service_task_is_a_broken_invariant() {
    let (_stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    tasks.spawn("panics", OnEnd::StopService, async { panic!("on purpose") });
    assert_eq!(
        tasks.run_until_shutdown(signals, LONG).await,
        exits_with(code::INTERNAL)
    );
}

#[tokio::test]
async fn a_service_task_that_is_done_ends_the_service_well() {
    let (_stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    tasks.spawn("run", OnEnd::StopService, async { Ok(()) });
    assert_eq!(
        tasks.run_until_shutdown(signals, LONG).await,
        exits_with(code::DONE)
    );
}

#[tokio::test]
async fn a_task_that_ignores_the_drain_is_aborted_at_the_deadline() {
    let (stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    tasks.spawn("deaf", OnEnd::StopService, std::future::pending());
    stop.send(Signal::Terminate).await.unwrap();
    let began = Instant::now();
    let exit = tasks.run_until_shutdown(signals, Duration::from_millis(50)).await;
    assert_eq!(exit, exits_with(code::FAILED));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_second_signal_leaves_at_once() {
    let (stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    tasks.spawn("deaf", OnEnd::StopService, std::future::pending());
    stop.send(Signal::Terminate).await.unwrap();
    stop.send(Signal::Terminate).await.unwrap();
    let began = Instant::now();
    assert_eq!(
        tasks.run_until_shutdown(signals, LONG).await,
        exits_with(code::FAILED)
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}
