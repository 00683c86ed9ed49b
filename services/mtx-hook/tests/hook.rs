//! The real program against a real listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn hook(command: &str, base_url: &str) -> Command {
    let mut hook = Command::new(env!("CARGO_BIN_EXE_mtx-hook"));
    hook.arg(command)
        .env("ORCH_HOOK_BASE_URL", base_url)
        .env("MTX_PATH", "live/derby/in")
        .env("MTX_QUERY", "lang%3Den%2522%2527%2524%2528reboot%2529")
        .env("MTX_SOURCE_TYPE", "rtmpConn")
        .env("MTX_SOURCE_ID", "a\"b\n$(id)")
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    hook
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Head and body of one request.
fn receive(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.parse().unwrap());
            if length <= body.len() {
                return (head.to_owned(), body.to_owned());
            }
        }
        assert!(read > 0, "the hook hung up");
    }
}

fn answer(mut stream: TcpStream, status: &str, body: &str) -> (String, String) {
    let request = receive(&mut stream);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    request
}

fn ended(hook: Child) -> (Output, serde_json::Value) {
    let output = hook.wait_with_output().unwrap();
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(line.lines().count() <= 1, "{line}");
    let line = serde_json::from_str(line.trim()).unwrap_or(serde_json::Value::Null);
    (output, line)
}

#[test]
fn what_mediamtx_says_arrives_as_json_whatever_it_holds() {
    let (listener, url) = listen();
    let child = hook("ready", &format!("{url}/")).spawn().unwrap();
    let (head, body) = answer(listener.accept().unwrap().0, "202 Accepted", "{}");
    assert!(
        head.starts_with("POST /v1/mediamtx/events/ready HTTP/1.1\r\n"),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "path": "live/derby/in",
        "query": "lang%3Den%2522%2527%2524%2528reboot%2529",
        "sourceType": "rtmpConn",
        "sourceId": "a\"b\n$(id)",
    });
    assert_eq!(body, expected);
    let (output, _) = ended(child);
    assert!(output.status.success());
    assert!(output.stderr.is_empty() && output.stdout.is_empty());
}

#[test]
fn a_server_error_is_tried_again_and_a_refusal_is_not() {
    let (listener, url) = listen();
    let child = hook("not-ready", &url).spawn().unwrap();
    answer(listener.accept().unwrap().0, "503 Service Unavailable", "");
    drop(listener.accept().unwrap());
    let (head, _) = answer(listener.accept().unwrap().0, "200 OK", "");
    assert!(head.starts_with("POST /v1/mediamtx/events/not-ready "), "{head}");
    assert!(ended(child).0.status.success());

    let child = hook("ready", &url).spawn().unwrap();
    answer(
        listener.accept().unwrap().0,
        "429 Too Many Requests",
        "{\"code\":\"WORKER_LIMIT\"}",
    );
    let (output, line) = ended(child);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (&line["level"], &line["component"]),
        (&"error".into(), &"mtx-hook".into())
    );
    assert!(line["error"].as_str().unwrap().contains("WORKER_LIMIT"), "{line}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a refusal was tried again");
}

#[test]
fn a_peer_that_is_silent_or_absent_costs_no_more_than_five_seconds() {
    let (silent, silent_url) = listen();
    let (absent, absent_url) = listen();
    drop(absent);
    let started = Instant::now();
    let children = [
        hook("ready", &silent_url).spawn().unwrap(),
        hook("ready", &absent_url).spawn().unwrap(),
    ];
    for child in children {
        let (output, line) = ended(child);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(line["path"], "live/derby/in");
    }
    assert!(
        started.elapsed() < Duration::from_millis(5500),
        "{:?}",
        started.elapsed()
    );
    drop(silent);
}

#[test]
fn sigint_does_not_break_off_a_request() {
    let (listener, url) = listen();
    let child = hook("ready", &url).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    std::thread::sleep(Duration::from_millis(100));
    answer(stream, "202 Accepted", "");
    assert!(ended(child).0.status.success());
}

#[test]
fn an_address_that_is_not_plain_http_is_named() {
    for bad in [
        "https://orchestrator:8080",
        "orchestrator:8080",
        "http://",
        "http://a b",
        "http://a:x",
    ] {
        let (output, line) = ended(hook("ready", bad).spawn().unwrap());
        assert_eq!(output.status.code(), Some(1), "{bad}");
        assert!(
            line["error"].as_str().unwrap().contains("ORCH_HOOK_BASE_URL"),
            "{bad}: {line}"
        );
    }
}

#[test]
fn an_unknown_word_is_a_usage_error() {
    let (output, line) = ended(hook("now", "http://127.0.0.1:1").spawn().unwrap());
    assert_eq!(output.status.code(), Some(64));
    assert!(line["error"].as_str().unwrap().contains("usage"));
}

#[test]
fn health_asks_the_control_api() {
    let (listener, url) = listen();
    let child = hook("health", "")
        .env("MTX_HEALTH_URL", format!("{url}/v3/info"))
        .spawn()
        .unwrap();
    let (head, _) = answer(listener.accept().unwrap().0, "200 OK", "{}");
    assert!(head.starts_with("GET /v3/info HTTP/1.1"), "{head}");
    assert!(ended(child).0.status.success());

    let port = listener.local_addr().unwrap().port().to_string();
    let child = hook("health", "").env("MTX_API_PORT", port).spawn().unwrap();
    answer(listener.accept().unwrap().0, "401 Unauthorized", "");
    assert_eq!(ended(child).0.status.code(), Some(1));
}
