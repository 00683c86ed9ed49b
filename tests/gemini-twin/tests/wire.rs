//! The program on real sockets: what only sockets can show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Error, Message, WebSocket};

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
const SETUP: &str = r#"{"setup":{"model":"models/gemini-3.5-live-translate-preview","generationConfig":{"responseModalities":["AUDIO"],"translationConfig":{"targetLanguageCode":"es"}},"outputAudioTranscription":{}}}"#;

/// A twin that ends with the test.
struct Twin {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Twin {
    fn start(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scenario.toml");
        std::fs::write(&file, scenario).unwrap();
        Self::run(folder, &["--scenario", file.to_str().unwrap()])
    }

    fn run(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gemini-twin"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the line that says it is ready")
            .to_owned();
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn open(&self) -> Result<WebSocket<TcpStream>, Box<Error>> {
        let mut request = format!("ws://{}{PATH}", self.address)
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("x-goog-api-key", "KEY".parse().unwrap());
        match tungstenite::client(request, self.stream()) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("no answer to the upgrade"),
        }
    }

    /// A session that stands.
    fn session(&self) -> WebSocket<TcpStream> {
        let mut socket = self.open().unwrap();
        socket.send(Message::text(SETUP)).unwrap();
        assert_eq!(
            data(&mut socket).into_text().unwrap().as_str(),
            "{\n  \"setupComplete\": {}\n}\n"
        );
        socket
    }
}

/// The next message that is no control frame.
fn data(socket: &mut WebSocket<TcpStream>) -> Message {
    loop {
        let message = socket.read().unwrap();
        if message.is_text() || message.is_binary() {
            return message;
        }
    }
}

fn silence() -> Message {
    let data = "A".repeat(4_268);
    Message::text(format!(
        r#"{{"realtimeInput":{{"audio":{{"data":"{data}","mimeType":"audio/pcm;rate=16000"}}}}}}"#
    ))
}

#[test]
fn messages_come_in_binary_frames_and_pings_are_answered() {
    let twin = Twin::start("");
    let mut socket = twin.session();
    socket.send(silence()).unwrap();
    assert!(data(&mut socket).is_binary());
    socket.send(Message::Ping(b"here".as_slice().into())).unwrap();
    let pong = loop {
        let message = socket.read().unwrap();
        if message.is_pong() {
            break message;
        }
    };
    assert_eq!(pong.into_data().as_ref(), b"here");
}

#[test]
fn late_pongs_and_text_frames_and_fragments_reach_the_wire() {
    let scenario = "scale = 25.0\n[[fault]]\nname = \"late_pong\"\n[[fault]]\nname = \"text_frames\"\n\
                    [[fault]]\nname = \"fragmented\"\n";
    let twin = Twin::start(scenario);
    let mut socket = twin.open().unwrap();
    socket.send(Message::text(SETUP)).unwrap();
    let (mut pings, mut texts) = (0, 0);
    let sent = Instant::now();
    socket.send(Message::Ping(b"late".as_slice().into())).unwrap();
    loop {
        match socket.read().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Text(_) => texts += 1,
            Message::Pong(_) => break,
            other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => panic!("{other}"),
        }
    }
    assert!(sent.elapsed() >= Duration::from_secs(1), "25 s, 25 times faster");
    assert!(
        pings > 0 && texts > 0,
        "pings between fragments: {pings}, messages in text frames: {texts}"
    );
}

#[test]
fn a_reset_comes_in_the_middle_of_a_frame() {
    let twin = Twin::start("[[fault]]\nname = \"tcp_reset\"\nafter = \"300ms\"\n");
    let mut stream = twin.session().into_inner();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(
        bytes.ends_with(&[b' '; 1_000]),
        "half a frame: {} bytes",
        bytes.len()
    );
}

#[test]
fn a_half_open_socket_neither_reads_nor_writes_nor_ends() {
    let twin = Twin::start("[[fault]]\nname = \"half_open\"\nafter = \"100ms\"\n");
    let mut stream = twin.session().into_inner();
    std::thread::sleep(Duration::from_millis(300));
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|count| count == 1) {}
    assert_eq!(stream.read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
    let chunk = vec![0_u8; 1 << 20];
    let stuck = (0..64).find_map(|_| stream.write_all(&chunk).err());
    assert_eq!(
        stuck.map(|error| error.kind()),
        Some(ErrorKind::WouldBlock),
        "what is sent is not read"
    );
}

#[test]
fn a_slow_reader_is_felt_by_the_sender() {
    let twin = Twin::start("[[fault]]\nname = \"slow_server_reader\"\nafter = \"50ms\"\n");
    let mut socket = twin.session();
    std::thread::sleep(Duration::from_millis(200));
    socket
        .get_mut()
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    while socket.send(silence()).is_ok() && sent < 8_000 {
        sent += 1;
    }
    assert!(sent < 8_000, "sending was never held up");
}

#[test]
fn upgrades_are_refused_with_a_status_and_retry_after() {
    let twin = Twin::start("[[fault]]\nname = \"http_429\"\n");
    let Err(error) = twin.open() else {
        panic!("it was upgraded")
    };
    let Error::Http(response) = *error else {
        panic!("{error}")
    };
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "5");
    assert!(twin.open().is_ok(), "once");
}

#[test]
fn a_wrong_path_is_not_found_and_models_are_listed() {
    let twin = Twin::start("keys = [\"good\"]\n");
    let ask = |target: &str| {
        let mut stream = twin.stream();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/ws/nothing").starts_with("HTTP/1.1 404 "));
    assert!(ask("/v1beta/models?key=good").contains("gemini-3.5-live-translate-preview"));
    assert!(ask("/v1beta/models?key=bad").starts_with("HTTP/1.1 400 "));
}

#[test]
fn closes_reach_the_client_with_code_and_reason() {
    let twin = Twin::start("[[fault]]\nname = \"quota_at_start\"\n");
    let mut socket = twin.session();
    let frame = loop {
        if let Message::Close(Some(frame)) = socket.read().unwrap() {
            break frame;
        }
    };
    assert_eq!(u16::from(frame.code), 1011);
    assert_eq!(frame.reason.len(), 123);
    assert!(frame.reason.starts_with("You exceeded your current quota"));
}

#[test]
fn a_recording_is_replayed_over_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchange.jsonl");
    let recording = r#"{"t_ms":0,"direction":"client","frame":{"text":"{\"setup\":{}}"}}
{"t_ms":50,"direction":"server","frame":{"binary":"{\n  \"setupComplete\": {}\n}\n"}}
{"t_ms":90,"direction":"server","frame":{"text":"{\"goAway\":{\"timeLeft\":\"49.999999s\"}}"}}
{"t_ms":120,"direction":"server","frame":{"close":{"code":1008,"reason":"The operation was aborted."}}}
"#;
    std::fs::write(&file, recording).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let twin = Twin::run(folder, &["--replay", &path]);
    let mut socket = twin.session();
    assert_eq!(
        socket.read().unwrap(),
        Message::text(r#"{"goAway":{"timeLeft":"49.999999s"}}"#)
    );
    assert!(
        matches!(socket.read().unwrap(), Message::Close(Some(frame)) if frame.reason == "The operation was aborted.")
    );
}

fn program(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gemini-twin"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_program_lists_its_faults_and_explains_itself() {
    let (done, faults, _) = program(&["faults"]);
    assert!(done);
    for fault in gemini_twin::faults::all() {
        assert!(
            faults
                .lines()
                .any(|line| line.contains(&format!(" {} ", fault.name))),
            "{}",
            fault.name
        );
    }
    let (done, help, _) = program(&["--help"]);
    assert!(done && help.contains("--scenario") && help.contains("faults") && help.contains("listen"));
    let (done, _, error) = program(&[]);
    assert!(!done && error.contains("--listen"), "{error}");
    let (done, _, error) = program(&["--listen", "127.0.0.1:0", "--scenario", "/nowhere.toml"]);
    assert!(!done && error.contains("cannot read /nowhere.toml"), "{error}");
    assert!(!Path::new("/nowhere.toml").exists());
}
