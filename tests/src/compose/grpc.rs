//! What an operator asks with grpcurl from this machine.

use super::Bench;
use super::air::OnAir;
use super::project::Setup;
use crate::processes;
use anyhow::{Result, ensure};
use local_stack::tools::{self, Tool};
use serde_json::Value;
use service_kit::settings::Env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest time of one call.
const CALL: Duration = Duration::from_secs(15);

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    bench.up(&Setup::coded())?;
    bench.verdicts.step("getting grpcurl ready");
    let binary = tools::ensure(Tool::Grpcurl, &Env::from_process())?.path;
    bench.verdicts.step("publishing, and calling the services");
    let on_air = OnAir::start(bench, "operated", 60).await?;
    let asked = ask_all(bench, &binary, "operated");
    on_air.end(bench).await?;
    asked
}

fn ask_all(bench: &mut Bench, binary: &Path, id: &str) -> Result<()> {
    let ports = bench.services.ports();
    let services = [
        (ports.orchestrator_grpc, "orchestrator.v1.OrchestratorService"),
        (ports.media_edge_grpc, "edge.v1.EdgeService"),
        (ports.dubber_grpc, "dub.v1.DubService"),
    ];
    for (port, service) in services {
        let listed = call(binary, port, None, "list");
        let found = listed
            .as_ref()
            .map_or_else(ToString::to_string, |text| words(text));
        let holds = listed.is_ok_and(|text| text.lines().any(|line| line == service));
        bench
            .verdicts
            .bar(&format!("list on port {port}"), found, service, holds);
    }
    let streams = call_json(
        binary,
        ports.orchestrator_grpc,
        "{}",
        "orchestrator.v1.OrchestratorService/ListStreams",
    )?;
    let stream = entry(&streams["streams"], id);
    let by_id = format!("{{\"streamId\":\"{id}\"}}");
    let worker = &call_json(
        binary,
        ports.media_edge_grpc,
        &by_id,
        "edge.v1.EdgeService/GetWorker",
    )?["worker"];
    let sessions = call_json(binary, ports.dubber_grpc, "{}", "dub.v1.DubService/ListSessions")?;
    let session = entry(&sessions["sessions"], id);
    for (call, state, found) in [
        ("ListStreams", "STREAM_STATE_RUNNING", &stream),
        ("GetWorker", "WORKER_STATE_RUNNING", worker),
    ] {
        let word = found["state"].as_str().unwrap_or("not there");
        bench.verdicts.bar(call, word, state, word == state);
    }
    let run = &worker["runId"];
    let same = run.is_string() && *run == stream["runId"] && *run == session["runId"];
    let found = format!("{}, {}, {}", stream["runId"], run, session["runId"]);
    bench.verdicts.bar(
        "one run in ListStreams, GetWorker, ListSessions",
        found,
        "the same",
        same,
    );
    Ok(())
}

fn entry(list: &Value, id: &str) -> Value {
    let entries = list.as_array().cloned().unwrap_or_default();
    let own = entries.into_iter().find(|entry| entry["streamId"] == id);
    own.unwrap_or_default()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn call_json(binary: &Path, port: u16, request: &str, method: &str) -> Result<Value> {
    Ok(serde_json::from_str(&call(binary, port, Some(request), method)?)?)
}

fn call(binary: &Path, port: u16, request: Option<&str>, symbol: &str) -> Result<String> {
    let mut command = Command::new(binary);
    command.arg("-plaintext");
    if let Some(request) = request {
        command.args(["-d", request]);
    }
    command.args([&format!("127.0.0.1:{port}"), symbol]);
    let ended = processes::run(&mut command, CALL)?;
    ensure!(
        ended.code == Some(0),
        "grpcurl {symbol} on port {port}: {}{}",
        ended.stdout,
        ended.stderr
    );
    Ok(ended.stdout)
}
