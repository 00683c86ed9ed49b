//! What an operator sees with tools of others: grpcurl, Jaeger, a Prometheus scraper, and grep on the logs.
use dub_tests::{Live, flash_beep, http_get, processes};
use local_stack::tools::{self, Tool};
use media_judge::source::ClipSpec;
use serde_json::Value;
use service_kit::settings::Env;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);
/// Fragments that are back well within the hold.
const SHORT: [(&str, &str); 2] = [
    ("WORKER_BUFFER_TARGET", "2s"),
    ("WORKER_FRAGMENT_TARGET_DUR", "500ms"),
];

/// A real tool; the test that needs it fails with the way to get it.
pub fn tool(tool: Tool) -> std::path::PathBuf {
    let found = tools::find(tool, &Env::from_process());
    found
        .unwrap_or_else(|| panic!("no {tool} at hand: run `local-stack tools {}` once", tool.name()))
        .path
}

/// What grpcurl prints.
fn grpcurl(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new(tool(Tool::Grpcurl));
    // Flags stand in front of the address, symbols behind it.
    let flags = arguments
        .iter()
        .position(|word| !word.starts_with('-'))
        .unwrap_or(arguments.len());
    let flags = if arguments.first() == Some(&"-d") {
        2
    } else {
        flags
    };
    command
        .arg("-plaintext")
        .args(&arguments[..flags])
        .arg(format!("127.0.0.1:{port}"))
        .args(&arguments[flags..]);
    let ended = processes::run(&mut command, 15 * SECOND).unwrap();
    assert_eq!(
        ended.code,
        Some(0),
        "{command:?}: {}{}",
        ended.stdout,
        ended.stderr
    );
    ended.stdout
}

pub fn grpcurl_json(port: u16, request: &str, method: &str) -> Value {
    serde_json::from_str(&grpcurl(port, &["-d", request, method])).unwrap()
}

#[tokio::test]
async fn grpcurl_lists_the_services_and_shows_a_live_stream_worker_and_session() {
    let live = Live::start("grpcurl", &SHORT).await.unwrap();
    let ports = live.stack.ports();
    let _publisher = live
        .publish(
            &flash_beep(&ClipSpec::small(40), "flv").unwrap(),
            &live.input("derby"),
        )
        .unwrap();
    live.worker_when("derby", 20 * SECOND, |worker| {
        worker.publishing && worker.dub_connected
    })
    .await
    .unwrap();
    let services = [
        (
            ports.orchestrator_grpc,
            "orchestrator.v1.OrchestratorService",
            "rpc ListStreams",
        ),
        (ports.media_edge_grpc, "edge.v1.EdgeService", "rpc SetAir"),
        (ports.dubber_grpc, "dub.v1.DubService", "rpc ListSessions"),
    ];
    for (port, service, method) in services {
        let listed = grpcurl(port, &["list"]);
        for wanted in [service, "grpc.health.v1.Health"] {
            assert!(
                listed.lines().any(|line| line == wanted),
                "{wanted} is not among {listed}"
            );
        }
        let described = grpcurl(port, &["describe", service]);
        assert!(described.contains(method), "{described}");
        let health = grpcurl_json(
            port,
            &format!("{{\"service\":\"{service}\"}}"),
            "grpc.health.v1.Health/Check",
        );
        assert_eq!(health["status"], "SERVING", "{service}");
        eprintln!("grpcurl: {service} listed, described and serving");
    }
    let message = grpcurl(ports.media_edge_grpc, &["describe", "edge.v1.Worker"]);
    assert!(message.contains("av_sync_delta_ms"), "{message}");

    let streams = grpcurl_json(
        ports.orchestrator_grpc,
        "{}",
        "orchestrator.v1.OrchestratorService/ListStreams",
    );
    let stream = &streams["streams"][0];
    let by_id = r#"{"streamId":"derby"}"#;
    let worker = &grpcurl_json(ports.media_edge_grpc, by_id, "edge.v1.EdgeService/GetWorker")["worker"];
    let sessions = grpcurl_json(ports.dubber_grpc, "{}", "dub.v1.DubService/ListSessions");
    let session = &sessions["sessions"][0];
    eprintln!("grpcurl: stream {stream:#}\nworker {worker:#}\nsession {session:#}");
    assert_eq!(
        (&stream["streamId"], &stream["state"]),
        (&"derby".into(), &"STREAM_STATE_RUNNING".into())
    );
    assert_eq!(
        (&worker["streamId"], &worker["state"]),
        (&"derby".into(), &"WORKER_STATE_RUNNING".into())
    );
    assert_eq!(
        (&session["streamId"], &session["provider"]),
        (&"derby".into(), &"mock".into())
    );
    assert!(
        stream["runId"].is_string()
            && stream["runId"] == worker["runId"]
            && worker["runId"] == session["runId"]
    );
    let one = format!("{{\"sessionId\":{}}}", session["sessionId"]);
    let shown = grpcurl_json(ports.dubber_grpc, &one, "dub.v1.DubService/GetSession");
    assert_eq!(shown["session"]["runId"], worker["runId"]);
    live.stack.stop().await;
}

/// A value of a list of key and value, as Jaeger writes tags.
pub fn tag<'t>(span: &'t Value, key: &str) -> Option<&'t Value> {
    span["tags"]
        .as_array()?
        .iter()
        .find(|tag| tag["key"] == key)
        .map(|tag| &tag["value"])
}

fn parent(span: &Value) -> Option<&Value> {
    span["references"]
        .as_array()?
        .iter()
        .find(|reference| reference["refType"] == "CHILD_OF")
}

/// Names of the spans of a trace by service.
fn names(trace: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for span in trace["spans"].as_array().into_iter().flatten() {
        let service =
            trace["processes"][span["processID"].as_str().unwrap_or_default()]["serviceName"].as_str();
        let of_service = names.entry(service.unwrap_or_default().to_owned()).or_default();
        of_service.insert(span["operationName"].as_str().unwrap_or_default().to_owned());
    }
    names
}

fn is_complete(trace: &Value) -> bool {
    let names = names(trace);
    let has = |service: &str, wanted: &[&str]| {
        names
            .get(service)
            .is_some_and(|names| wanted.iter().all(|name| names.contains(*name)))
    };
    has(
        "media-edge",
        &["fragment", "queue", "hop", "placement", "hold", "mix", "publish"],
    ) && has("dubber", &["process dub.fragment", "generate_content mock"])
}

fn span<'t>(trace: &'t Value, name: &str) -> &'t Value {
    trace["spans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|span| span["operationName"] == name)
        .unwrap()
}

/// What the span is under: the name of its parent.
fn under<'t>(trace: &'t Value, name: &str) -> &'t str {
    let parent = &parent(span(trace, name)).unwrap()["spanID"];
    let above = trace["spans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|span| span["spanID"] == *parent)
        .unwrap();
    above["operationName"].as_str().unwrap()
}

#[tokio::test]
async fn the_trace_of_a_fragment_is_read_back_from_jaeger_with_every_stage_and_a_link_to_the_start() {
    tool(Tool::Jaeger);
    let live = Live::start_with("jaeger", &[SHORT[0], SHORT[1], ("LOG_LEVEL", "debug")], true)
        .await
        .unwrap();
    assert!(live.stack.is_traced());
    let jaeger = live.stack.ports().jaeger;
    let _publisher = live
        .publish(
            &flash_beep(&ClipSpec::small(40), "flv").unwrap(),
            &live.input("a"),
        )
        .unwrap();
    live.worker_when("a", 20 * SECOND, |worker| {
        worker.fragments_total.contains_key("success")
    })
    .await
    .unwrap();
    let aired = Instant::now();
    let trace = loop {
        let answer = http_get(
            jaeger,
            "/api/traces?service=media-edge&operation=fragment&limit=50&lookback=1h",
        );
        let answer: Value = serde_json::from_str(&answer.unwrap_or_default()).unwrap_or_default();
        let traces = answer["data"].as_array().cloned().unwrap_or_default();
        if let Some(trace) = traces.iter().find(|trace| is_complete(trace)) {
            break trace.clone();
        }
        let seen: Vec<_> = traces.iter().map(names).collect();
        assert!(
            aired.elapsed() < 30 * SECOND,
            "no whole trace of a fragment; seen: {seen:#?}"
        );
        tokio::time::sleep(SECOND / 2).await;
    };
    let root = span(&trace, "fragment");
    let stages = [
        "queue",
        "hop",
        "placement",
        "hold",
        "mix",
        "publish",
        "process dub.fragment",
        "generate_content mock",
    ];
    for stage in stages {
        let duration = span(&trace, stage)["duration"].as_f64().unwrap() / 1000.0;
        eprintln!("jaeger: {stage} under {}, {duration:.1} ms", under(&trace, stage));
    }
    eprintln!(
        "jaeger: fragment {} us, readable {:?} after a fragment aired",
        root["duration"],
        aired.elapsed()
    );
    for stage in ["queue", "hop", "placement", "hold", "mix", "publish"] {
        assert_eq!(under(&trace, stage), "fragment");
    }
    assert_eq!(under(&trace, "process dub.fragment"), "hop");
    assert_eq!(under(&trace, "generate_content mock"), "process dub.fragment");
    assert!(
        parent(root).is_none() && tag(root, "dub.fragment.seq").is_some(),
        "{root:#}"
    );
    assert_eq!(tag(root, "dub.fate"), Some(&"success".into()));
    // The hold is the greatest part of two seconds and a fragment.
    assert!(span(&trace, "hold")["duration"].as_f64().unwrap() > 1_000_000.0);

    let link = root["references"]
        .as_array()
        .unwrap()
        .iter()
        .find(|reference| reference["refType"] != "CHILD_OF");
    let started = link.expect("the fragment has no link to the start")["traceID"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer: Value =
        serde_json::from_str(&http_get(jaeger, &format!("/api/traces/{started}")).unwrap()).unwrap();
    let start = names(&answer["data"][0]);
    eprintln!("jaeger: linked to the trace {started} of {start:?}");
    assert!(start["orchestrator"].contains("stream start") && start["media-edge"].contains("start worker"));
    assert_eq!(under(&answer["data"][0], "start worker"), "stream start");

    // The same ids stand in the logs.
    let of_trace = |part: &str, id: &str| {
        let log = live.stack.log_text(part);
        let wanted = format!("\"trace_id\":\"{id}\"");
        log.lines().filter(|line| line.contains(&wanted)).count()
    };
    let fragment = trace["traceID"].as_str().unwrap();
    for (part, id) in [
        ("orchestrator", started.as_str()),
        ("media-edge", &started),
        ("media-edge", fragment),
        ("dubber", fragment),
    ] {
        let lines = of_trace(part, id);
        eprintln!("logs: {part} has {lines} lines of trace {id}");
        assert!(lines > 0, "{part} logs nothing of trace {id}");
    }
    live.stack.stop().await;
}

/// Names that dashboards are built on, by service.
const METRICS: [(&str, &[&str]); 3] = [
    (
        "media-edge",
        &[
            "worker_audio_fragments_total",
            "worker_fallback_total",
            "worker_gst_bus_errors_total",
            "worker_gst_bus_warnings_total",
            "worker_inflight_fragments",
            "worker_av_sync_delta_ms",
            "worker_video_queue_ms",
            "worker_audio_queue_ms",
            "worker_gemini_breaker_state",
            "worker_gemini_rtt_ms",
            "worker_chunk_end_to_end_latency_ms",
        ],
    ),
    (
        "orchestrator",
        &[
            "orchestrator_active_workers",
            "orchestrator_worker_starts_total",
            "orchestrator_worker_stops_total",
            "orchestrator_worker_restarts_total",
            "orchestrator_worker_failures_total",
            "orchestrator_degraded_streams",
            "orchestrator_hook_events_total",
        ],
    ),
    ("dubber", &["dubber_sessions_active", "dubber_fragments_total"]),
];

#[tokio::test]
async fn metrics_have_their_names_logs_are_json_and_neither_tells_a_secret() {
    let (key, token) = ("sk-0123456789-of-the-test", "token-of-the-publisher");
    let settings = [
        SHORT[0],
        SHORT[1],
        ("WORKER_GEMINI_API_KEY", key),
        ("WORKER_STS_PROVIDER", "mock"),
        ("LOG_LEVEL", "debug"),
    ];
    let live = Live::start("observability", &settings).await.unwrap();
    let clip = flash_beep(&ClipSpec::small(40), "flv").unwrap();
    let input = format!("{}?token={token}&hold=soon", live.input("a"));
    let _publisher = live.publish(&clip, &input).unwrap();
    live.worker_when("a", 20 * SECOND, |worker| {
        worker.fragments_total.contains_key("success")
    })
    .await
    .unwrap();
    let ports = live.stack.ports();
    for (service, wanted) in METRICS {
        let port = match service {
            "orchestrator" => ports.orchestrator_admin,
            "media-edge" => ports.media_edge_admin,
            _ => ports.dubber_admin,
        };
        let page = http_get(port, "/metrics").unwrap();
        let series: BTreeSet<&str> = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        for name in wanted {
            let found = series
                .iter()
                .any(|have| have == name || have.strip_suffix("_bucket") == Some(name));
            assert!(found, "{service} has no {name}, only {series:#?}");
        }
        assert!(page.ends_with("# EOF\n") && !page.contains(key), "{service}");
        eprintln!(
            "metrics: {service} has {} series, {} of them fixed by name",
            series.len(),
            wanted.len()
        );
    }
    // A setting that was ignored is told and counted.
    assert_eq!(
        live.metric(ports.orchestrator_admin, "orchestrator_settings_rejected_total")
            .unwrap(),
        1.0
    );
    for part in ["orchestrator", "media-edge", "dubber", "mediamtx"] {
        let log = live.stack.log_text(part);
        let lines: Vec<Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let odd: Vec<&str> = log
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_err())
            .collect();
        assert!(
            odd.is_empty() && lines.len() > 2,
            "{part} writes lines that are no JSON: {odd:#?}"
        );
        if part != "mediamtx" {
            let fields = ["timestamp", "level", "component", "message", "instance_id"];
            let whole = |line: &Value| fields.iter().all(|field| line[field].is_string());
            assert!(
                lines.iter().all(whole),
                "{part}: {:#?}",
                lines.iter().find(|line| !whole(line))
            );
        }
        for secret in [key, token] {
            let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(told.is_empty(), "{part} tells a secret: {told:#?}");
        }
        assert!(
            live.error_lines(part).is_empty(),
            "{part}: {:#?}",
            live.error_lines(part)
        );
        eprintln!("logs: {part} wrote {} lines of JSON", lines.len());
    }
    live.stack.stop().await;
}
