//! The ingest child as its worker runs it: an order in, frames and an exit code out. Needs no server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use media_edge::ingest::{IngestOrder, Protocol};
use media_edge::link::frames::{EndReason, Frame, read_frame};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

fn start(order: &str) -> (Child, ChildStdin, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_media-edge"))
        .arg("ingest")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{order}").unwrap();
    (child, stdin, ours)
}

fn order(protocol: Protocol, url: String) -> String {
    serde_json::to_string(&IngestOrder::new(protocol, url)).unwrap()
}

fn code_within(child: &mut Child, limit: Duration) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("still there after {limit:?}");
}

/// A server that accepts and never says a word.
fn mute_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_source_that_is_not_there_is_said_and_exits_69() {
    let (listener, address) = mute_server();
    drop(listener);
    for protocol in [Protocol::Rtmp, Protocol::Rtsp] {
        let line = order(protocol, format!("{protocol}://{address}/live/a/in"));
        let (mut child, _stdin, mut frames) = start(&line);
        let mut last = None;
        while let Some(frame) = read_frame(&mut frames).unwrap() {
            last = Some(frame);
        }
        let Some(Frame::Ended(ended)) = last else {
            panic!("{last:?}")
        };
        assert_eq!(ended.reason, EndReason::SourceGone, "{}", ended.message);
        assert_eq!(code_within(&mut child, Duration::from_secs(10)), Some(69));
    }
}

#[test]
fn a_wrong_order_exits_64() {
    let (mut child, _stdin, _frames) = start("{\"protocol\":\"rtmp\",\"url\":\"http://x/y\"}");
    assert_eq!(code_within(&mut child, Duration::from_secs(10)), Some(64));
}

#[test]
fn the_end_of_its_worker_ends_it_though_the_source_hangs() {
    let (_listener, address) = mute_server();
    for protocol in [Protocol::Rtmp, Protocol::Rtsp] {
        let line = order(protocol, format!("{protocol}://{address}/live/a/in"));
        let (mut child, stdin, _frames) = start(&line);
        std::thread::sleep(Duration::from_millis(500));
        drop(stdin);
        assert_eq!(code_within(&mut child, Duration::from_secs(10)), Some(0));
    }
}

#[test]
fn a_source_that_says_nothing_ends_after_the_limit_and_exits_75() {
    let (_listener, address) = mute_server();
    let url = format!("rtsp://{address}/live/a/in");
    let line = order(Protocol::Rtsp, url).replace("10000", "1000");
    let (mut child, _stdin, mut frames) = start(&line);
    let Some(Frame::Ended(ended)) = read_frame(&mut frames).unwrap() else {
        panic!("no last word")
    };
    assert_eq!(ended.reason, EndReason::NoData);
    assert_eq!(code_within(&mut child, Duration::from_secs(10)), Some(75));
}
