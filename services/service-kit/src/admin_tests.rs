#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]
//! The admin endpoints over real sockets.

use prometheus_client::metrics::counter::Counter;

use super::*;
use crate::tasks::{OnEnd, Signal, Signals};

struct Answer {
    status: String,
    head: String,
    body: String,
}

async fn get_path(address: SocketAddr, path: &str) -> Answer {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn admin(readiness: &Readiness) -> Admin {
    let mut registry = Metrics::default();
    let fragments = Counter::<u64>::default();
    fragments.inc_by(3);
    registry.register("worker_audio_fragments", "Fragments", fragments);
    Admin::bind(
        ("DUBBER_ADMIN_ADDR", SocketAddr::from(([127, 0, 0, 1], 0))),
        registry,
        readiness.clone(),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn metrics_are_open_metrics_text_with_build_info() {
    let admin = admin(&Readiness::new()).await;
    let address = admin.local_addr().unwrap();
    let token = CancellationToken::new();
    let serving = tokio::spawn(admin.serve(token.clone()));

    let answer = get_path(address, "/metrics").await;

    assert_eq!(answer.status, "200");
    assert!(
        answer
            .head
            .to_lowercase()
            .contains("content-type: application/openmetrics-text; version=1.0.0")
    );
    assert!(
        answer.body.contains("worker_audio_fragments_total 3\n"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("log_lines_dropped_total 0\n"),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("build_info{service="), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"));
    token.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn readiness_is_told_with_its_reason_and_liveness_does_not_depend_on_it() {
    let readiness = Readiness::new();
    let admin = admin(&readiness).await;
    let address = admin.local_addr().unwrap();
    tokio::spawn(admin.serve(CancellationToken::new()));

    let answer = get_path(address, "/readyz").await;
    assert_eq!(
        (answer.status.as_str(), answer.body.as_str()),
        ("503", "starting\n")
    );
    assert_eq!(get_path(address, "/livez").await.status, "200");

    readiness.set(true, "ready");
    readiness.wait_until_ready().await;
    let answer = get_path(address, "/readyz").await;
    assert_eq!((answer.status.as_str(), answer.body.as_str()), ("200", "ready\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_healthcheck_repeats_the_reason() {
    let readiness = Readiness::new();
    let admin = admin(&readiness).await;
    let address = admin.local_addr().unwrap();
    let serving = tokio::spawn(admin.serve(CancellationToken::new()));
    let ask = move || tokio::task::spawn_blocking(move || ask_readyz(address));

    readiness.set(false, "waiting for mediamtx");
    assert_eq!(ask().await.unwrap(), Err("waiting for mediamtx".to_owned()));
    readiness.set(true, "ready");
    assert_eq!(ask().await.unwrap(), Ok(()));
    serving.abort();
    let _ = serving.await;
    assert!(ask().await.unwrap().is_err(), "nobody answers");
}

#[test]
fn a_wildcard_address_is_asked_on_loopback() {
    assert_eq!(
        reachable("0.0.0.0:9101".parse().unwrap()),
        "127.0.0.1:9101".parse().unwrap()
    );
    assert_eq!(
        reachable("[::]:9101".parse().unwrap()),
        "[::1]:9101".parse().unwrap()
    );
    assert_eq!(
        reachable("10.0.0.1:9101".parse().unwrap()),
        "10.0.0.1:9101".parse().unwrap()
    );
}

#[tokio::test]
async fn the_admin_endpoints_answer_during_the_drain_and_say_so() {
    let readiness = Readiness::new();
    readiness.set(true, "ready");
    let admin = admin(&readiness).await;
    let address = admin.local_addr().unwrap();
    let (stop, signals) = Signals::manual();
    let mut tasks = Tasks::new();
    admin.spawn_into(&mut tasks);
    let (token, (finish_tx, finish_rx)) = (tasks.token(), tokio::sync::oneshot::channel::<()>());
    tasks.spawn("session", OnEnd::StopService, async move {
        token.cancelled().await;
        finish_rx.await?;
        Ok(())
    });
    let running = tokio::spawn(tasks.run_until_shutdown(signals, Duration::from_secs(10)));
    stop.send(Signal::Terminate).await.unwrap();
    while readiness.is_ready() {
        tokio::task::yield_now().await;
    }

    let answer = get_path(address, "/readyz").await;

    assert_eq!(
        (answer.status.as_str(), answer.body.as_str()),
        ("503", "draining\n")
    );
    finish_tx.send(()).unwrap();
    running.await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the endpoints end last, but they end"
    );
}
