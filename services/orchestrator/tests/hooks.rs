//! Hooks over real sockets: what is accepted, what is refused, and with which words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
mod support;

use serde_json::json;
use support::edge::FakeEdge;
use support::mediamtx::FakeMediaMtx;
use support::{Service, eventually};

const LIVE: [&str; 2] = ["H264", "MPEG-4 Audio"];

#[tokio::test]
async fn a_bad_event_is_refused_with_a_stable_code_and_changes_nothing() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    let service = Service::start(&edge, &mediamtx, &[]).await;
    let event = |path: &str| {
        json!({"path": path, "query": "", "sourceType": "rtmpConn", "sourceId": "a"}).to_string()
    };
    let long_id = "x".repeat(10_000);
    let cases: Vec<(String, u16, &str)> = vec![
        (String::new(), 400, "INVALID_BODY"),
        ("{".to_owned(), 400, "INVALID_BODY"),
        ("[]".to_owned(), 400, "INVALID_BODY"),
        ("\"live/a/in\"".to_owned(), 400, "INVALID_BODY"),
        (json!({"path": "live/a/in"}).to_string(), 400, "INVALID_BODY"),
        (
            json!({"path": 1, "query": "", "sourceType": "", "sourceId": ""}).to_string(),
            400,
            "INVALID_BODY",
        ),
        (
            event("live/a/in").replace("\"a\"", &format!("{long_id:?}")),
            400,
            "INVALID_BODY",
        ),
        (event("live/../in"), 400, "INVALID_PATH"),
        (event("live//in"), 400, "INVALID_PATH"),
        (event("live/a%2Fb/in"), 400, "INVALID_PATH"),
        (event("live/a b/in"), 400, "INVALID_PATH"),
        (event("live/a/b/in"), 400, "INVALID_PATH"),
        (event("other/a/in"), 400, "INVALID_PATH"),
        (event(""), 400, "INVALID_PATH"),
        (event(&format!("live/{long_id}/in")), 400, "INVALID_PATH"),
        (event(&"x".repeat(70_000)), 413, "BODY_TOO_LARGE"),
    ];
    for (body, status, code) in cases {
        for name in ["ready", "not-ready"] {
            let (answered, answer) = service.post(name, body.clone()).await;
            let shown: String = body.chars().take(80).collect();
            assert_eq!(
                (answered, answer["code"].as_str()),
                (status, Some(code)),
                "{shown}: {answer}"
            );
            let message = answer["message"].as_str().unwrap();
            assert!(!message.is_empty() && message.len() < 1000, "{message}");
        }
    }
    let (status, answer) = service.post("ready", vec![0xFF, 0xFE, b'{']).await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("INVALID_BODY")));
    assert_eq!(service.streams().await, []);
    assert_eq!(edge.state().starts.len(), 0);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("orchestrator_hook_events_total{event=\"ready\",outcome=\"invalid_path\"} 8"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_body_far_over_the_limit_does_not_reach_the_memory() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    let service = Service::start(&edge, &mediamtx, &[]).await;
    let (status, answer) = service.post("ready", vec![b'x'; 3 * 1024 * 1024]).await;
    assert_eq!((status, answer["code"].as_str()), (413, Some("BODY_TOO_LARGE")));
}

#[tokio::test]
async fn a_ready_event_starts_one_worker_however_often_it_is_said() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    let service = Service::start(&edge, &mediamtx, &[]).await;
    mediamtx.set_query("a", "lang=fr&hold=90s");
    mediamtx.publish("live/derby/in", "a", &LIVE);
    let said = (0..20).map(|_| service.hook("ready", "live/derby/in", "a", "lang%3Dfr%26hold%3D90s"));
    for status in said {
        assert_eq!(status.await, 202);
    }
    eventually("a worker", || async { !edge.state().workers.is_empty() }).await;
    eventually("running", || async { service.stream().await.state == 3 }).await;
    assert_eq!(edge.state().starts.len(), 1);
    assert_eq!(edge.state().conflicts, 0);
    let start = edge.state().starts[0].clone();
    assert_eq!(
        (start.epoch, start.first_fragment_seq, start.stream_id.as_str()),
        (1, 0, "derby")
    );
    let source = start.source.as_ref().unwrap();
    assert_eq!(source.source_id, "a");
    assert_eq!(
        source
            .tracks
            .iter()
            .map(|track| track.codec.as_str())
            .collect::<Vec<_>>(),
        LIVE
    );
    let settings = start.settings.as_ref().unwrap();
    assert_eq!(
        (
            settings.target_lang.as_str(),
            settings.hold.as_ref().unwrap().seconds
        ),
        ("fr", 10)
    );
    let metrics = service.metrics().await;
    for line in [
        "orchestrator_active_workers 1",
        "orchestrator_worker_starts_total 1",
        "orchestrator_worker_stops_total 0",
        "orchestrator_worker_restarts_total 0",
        "orchestrator_worker_failures_total 0",
        "orchestrator_degraded_streams 0",
        "orchestrator_settings_rejected_total 1",
        "orchestrator_hook_events_total{event=\"ready\",outcome=\"accepted\"} 20",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
}

#[tokio::test]
async fn an_event_of_the_output_is_recorded_and_starts_nothing() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    let service = Service::start(&edge, &mediamtx, &[]).await;
    assert_eq!(service.hook("ready", "live/derby/out", "w", "").await, 202);
    assert_eq!(service.hook("not-ready", "live/derby/out", "w", "").await, 202);
    assert_eq!(service.streams().await, []);

    mediamtx.publish("live/derby/in", "a", &LIVE);
    service.hook("ready", "live/derby/in", "a", "").await;
    eventually("a stream", || async { service.stream().await.state == 3 }).await;
    assert!(!service.stream().await.output_available);
    mediamtx.publish("live/derby/out", "w", &LIVE);
    eventually("output", || async { service.stream().await.output_available }).await;
    mediamtx.unpublish("live/derby/out");
    service.hook("not-ready", "live/derby/out", "w", "").await;
    eventually("no output", || async { !service.stream().await.output_available }).await;
    assert_eq!(edge.state().starts.len(), 1);
}

#[tokio::test]
async fn over_the_limit_of_workers_an_event_is_refused_until_one_ends() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    let service = Service::start(
        &edge,
        &mediamtx,
        &[("ORCH_MAX_WORKERS", "2"), ("ORCH_GRACE_PERIOD", "0s")],
    )
    .await;
    for id in ["a", "b", "c"] {
        mediamtx.publish(&format!("live/{id}/in"), id, &LIVE);
    }
    let mut statuses = Vec::new();
    for id in ["a", "b", "c"] {
        statuses.push(service.hook("ready", &format!("live/{id}/in"), id, "").await);
    }
    // The listing may have been faster than the hooks; then c may be one of the two.
    eventually("two workers", || async { edge.state().workers.len() == 2 }).await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(edge.state().workers.len(), 2);
    assert!(statuses.contains(&429), "{statuses:?}");

    let first = edge.state().workers.keys().next().unwrap().clone();
    mediamtx.unpublish(&format!("live/{first}/in"));
    service
        .hook("not-ready", &format!("live/{first}/in"), &first, "")
        .await;
    eventually("the third takes the place", || async {
        let state = edge.state();
        state.workers.len() == 2 && !state.workers.contains_key(&first)
    })
    .await;
}

#[tokio::test]
async fn without_any_peer_the_service_is_ready_and_takes_hooks() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    // Nobody listens on port 1.
    let nobody = [
        ("ORCH_EDGE_URL", "http://127.0.0.1:1"),
        ("ORCH_MEDIAMTX_API_URL", "http://127.0.0.1:1"),
    ];
    let service = Service::start(&edge, &mediamtx, &nobody).await;
    eventually("healthy", || async {
        let admin = service.addresses.admin.to_string();
        let asked = tokio::task::spawn_blocking(move || {
            std::process::Command::new(env!("CARGO_BIN_EXE_orchestrator"))
                .args(["healthcheck", "--set", &format!("ORCH_ADMIN_ADDR={admin}")])
                .env_clear()
                .status()
        });
        asked.await.unwrap().unwrap().success()
    })
    .await;
    assert_eq!(service.hook("ready", "live/derby/in", "a", "").await, 202);
    let stream = service.stream().await;
    assert_eq!(stream.stream_id, "derby");
}
