//! What the supervisor promises about processes, on shell scripts in place of services.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use local_stack::Signal;
use local_stack::part::{Name, Order, Spec, Status};
use local_stack::process;
use local_stack::supervisor::Supervisor;

fn spec(name: Name, mark: &str, dir: &Path, script: &str) -> Spec {
    Spec {
        name,
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())],
        mark: format!("{mark}:{name}"),
        log: dir.join(format!("{name}.log")),
        echo: false,
    }
}

fn mark(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

async fn until(supervisor: &Supervisor, name: Name, what: impl Fn(&Status) -> bool) -> Status {
    let begun = Instant::now();
    loop {
        let status = supervisor.status(name).unwrap();
        if what(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_dead_part_comes_back_with_a_growing_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mark = mark("comes-back");
    let specs = vec![spec(Name::Dubber, &mark, dir.path(), "exit 3")];
    let supervisor = Supervisor::spawn(mark, specs, true).unwrap();
    let begun = Instant::now();
    let status = until(&supervisor, Name::Dubber, |status| status.starts >= 3).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(700),
        "250 ms, then 500 ms"
    );
    assert_eq!(status.last_code, Some(3));
    supervisor.stop().await;
}

#[tokio::test]
async fn a_part_that_is_not_to_restart_stays_dead_until_it_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let mark = mark("stays-dead");
    let specs = vec![spec(Name::Dubber, &mark, dir.path(), "exec sleep 60")];
    let supervisor = Supervisor::spawn(mark, specs, true).unwrap();
    let pid = until(&supervisor, Name::Dubber, |status| status.pid.is_some())
        .await
        .pid
        .unwrap();
    supervisor.order(Name::Dubber, Order::SetRestart(false)).unwrap();
    until(&supervisor, Name::Dubber, |status| !status.restarts).await;
    process::signal(pid, Signal::SIGKILL).unwrap();
    let status = until(&supervisor, Name::Dubber, |status| status.pid.is_none()).await;
    assert_eq!(status.last_end.as_deref(), Some("killed by SIGKILL"));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(supervisor.status(Name::Dubber).unwrap().starts, 1);
    supervisor.order(Name::Dubber, Order::Start).unwrap();
    until(&supervisor, Name::Dubber, |status| {
        status.starts == 2 && status.pid.is_some()
    })
    .await;
    supervisor.stop().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_a_dead_part_leaves_behind_is_killed_even_in_a_session_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mark = mark("orphans");
    let script = "setsid sleep 61 & sleep 62 & wait";
    let supervisor = Supervisor::spawn(
        mark.clone(),
        vec![spec(Name::MediaEdge, &mark, dir.path(), script)],
        false,
    )
    .unwrap();
    let pid = until(&supervisor, Name::MediaEdge, |status| status.pid.is_some())
        .await
        .pid
        .unwrap();
    let begun = Instant::now();
    while process::marked(&mark).len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process::signal(pid, Signal::SIGKILL).unwrap();
    until(&supervisor, Name::MediaEdge, |status| status.pid.is_none()).await;
    assert_eq!(process::marked(&mark), Vec::<u32>::new());
    supervisor.stop().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_stop_drains_and_leaves_nothing_within_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let mark = mark("stop");
    let polite = "trap 'echo drained; exit 0' TERM; while :; do sleep 0.05; done";
    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    let specs = vec![
        spec(Name::Orchestrator, &mark, dir.path(), polite),
        spec(Name::MediaEdge, &mark, dir.path(), deaf),
        spec(Name::Dubber, &mark, dir.path(), deaf),
    ];
    let supervisor = Supervisor::spawn(mark.clone(), specs, true).unwrap();
    until(&supervisor, Name::Dubber, |status| status.pid.is_some()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    supervisor.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(process::marked(&mark), Vec::<u32>::new());
    let log = std::fs::read_to_string(dir.path().join("orchestrator.log")).unwrap();
    assert!(log.contains("drained"), "{log}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_dropped_stack_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mark = mark("drop");
    let specs = vec![spec(
        Name::Dubber,
        &mark,
        dir.path(),
        "setsid sleep 63 & exec sleep 64",
    )];
    let supervisor = Supervisor::spawn(mark.clone(), specs, true).unwrap();
    until(&supervisor, Name::Dubber, |status| status.pid.is_some()).await;
    drop(supervisor);
    assert_eq!(process::marked(&mark), Vec::<u32>::new());
}
