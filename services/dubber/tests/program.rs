//! The program itself: what it refuses, and how it stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use dub_proto::media::v1::TraceContext;
use support::{FRAMES, field, open, pcm, program, spawn, stream, terminate};

#[test]
fn wrong_settings_are_all_named_and_the_exit_code_is_64() {
    let output = program()
        .env("WORKER_STS_PROVIDER", "gemini")
        .env("DUBBER_MOCK_MODE", "fixtures")
        .env("DUBBER_MOCK_FIXTURES_DIR", "/nowhere/at/all")
        .env("DUBBER_MOCK_LOSS", "2")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [
        "WORKER_STS_PROVIDER",
        "which has: gemini-live, mock",
        "/nowhere/at/all",
        "DUBBER_MOCK_LOSS",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
}

#[test]
fn a_port_in_use_is_refused_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program().env("DUBBER_GRPC_ADDR", &address).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("DUBBER_GRPC_ADDR") && said.contains(&taken.local_addr().unwrap().port().to_string()),
        "{said}"
    );
}

#[test]
fn it_warns_once_without_a_provider_and_stops_with_0_on_sigterm() {
    let (mut child, mut lines) = spawn(&mut program());
    let mut warnings = 0;
    for line in lines.by_ref() {
        warnings += usize::from(line.contains("\"warn\"") && line.contains("NOTHING IS TRANSLATED"));
        if line.contains("readiness changed") {
            break;
        }
    }
    assert_eq!(warnings, 1);
    terminate(&child);
    // Reading to the end keeps the program from meeting a closed pipe.
    let rest = lines.count();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest} lines followed");
}

#[tokio::test]
async fn the_log_line_of_a_fragment_carries_its_trace_and_its_session() {
    let (mut child, mut lines) = spawn(program().env("LOG_LEVEL", "debug"));
    let bound = lines.find(|line| line.contains("grpc_addr")).unwrap();
    let mut dub = stream(field(&bound, "grpc_addr").parse().unwrap()).await;
    dub.say(open("derby")).await;
    let session_id = dub.opened().await.session_id;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let trace = TraceContext {
        traceparent,
        tracestate: String::new(),
    };
    dub.fragment_of(42, &pcm(42, FRAMES), Some(trace)).await;
    dub.result().await;
    dub.close().await;
    dub.end().await.unwrap();
    let line = lines.find(|line| line.contains("fragment delivered")).unwrap();
    for part in [
        "\"debug\"",
        "0af7651916cd43dd8448eb211c80319c",
        "derby",
        "run-1",
        &session_id,
        "\"fragment\":42",
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    terminate(&child);
    lines.count();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
