#![allow(clippy::unwrap_used, clippy::panic)]
//! A collector that is away disturbs nothing. One test a file, because a process has one telemetry.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::Value;
use service_kit::{Env, Identity, LogStream, Reader, TelemetryConfig, telemetry};

#[tokio::test]
async fn a_collector_that_is_away_costs_one_warning_and_a_bounded_end() {
    let nobody = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let directory = tempfile::tempdir().unwrap();
    let env = Env::from_pairs([
        ("LOG_STDOUT", "false"),
        ("LOG_LEVEL", "debug"),
        ("LOG_DIR", directory.path().to_str().unwrap()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
    ]);
    let mut reader = Reader::new(&env);
    let config = TelemetryConfig::read(&mut reader);
    reader.finish().unwrap();
    let id = Identity {
        service: "dubber",
        instance_id: "dubber-1".to_owned(),
        ..Identity::default()
    };

    let began = Instant::now();
    let running = telemetry::init(&config, &id, LogStream::Stdout).unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "the start does not wait for a collector"
    );
    // More than one batch, so that more than one of them fails.
    for fragment in 0..1500_u64 {
        tracing::info_span!("process dub.fragment", fragment).in_scope(|| tracing::debug!("dubbed"));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    running.shutdown().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "the end waits {:?}",
        began.elapsed()
    );

    let text = std::fs::read_to_string(directory.path().join("dubber.dubber-1.log")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().all(|line| line["level"] != "error"), "{text}");
    let warnings: Vec<&Value> = lines.iter().filter(|line| line["level"] == "warn").collect();
    assert!(warnings.len() <= 1, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .all(|line| line["message"] == "traces cannot be exported"),
        "{warnings:?}"
    );
    assert_eq!(
        lines.iter().filter(|line| line["message"] == "dubbed").count(),
        1500
    );
}
