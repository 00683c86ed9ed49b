//! The real service on free ports, and a worker that speaks to it over a real connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, reason = "each test file takes its part")]
#![allow(clippy::disallowed_methods, reason = "a test owns the task that it joins")]

use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1::dub_request::Payload;
use dub_proto::dub::v1::dub_response::Payload as Answer;
use dub_proto::dub::v1::dub_service_client::DubServiceClient;
use dub_proto::dub::v1::{
    Audio, Close, DubRequest, DubResponse, FragmentEnd, FragmentStart, Open, Opened, PcmFormat, Settlement,
    Speech,
};
use dub_proto::media::v1::TraceContext;
use dubber::app::App;
use dubber::config::Config;
use media_types::MediaTime;
use service_kit::tasks::Signal;
use service_kit::{Env, Signals};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Length of a test fragment: 250 ms.
pub const FRAMES: usize = 12_000;

/// The program, with no setting but free ports.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubber"));
    command
        .env_clear()
        .env("DUBBER_GRPC_ADDR", "127.0.0.1:0")
        .env("DUBBER_ADMIN_ADDR", "127.0.0.1:0");
    command
}

/// Starts a program, and reads what it logs.
pub fn spawn(command: &mut Command) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map_while(std::result::Result::ok))
}

/// Asks a program to end.
pub fn terminate(child: &Child) {
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

/// A text of a JSON line.
pub fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let (_, rest) = line.split_once(&format!("\"{name}\":\"")).expect("the field");
    rest.split('"').next().unwrap()
}

pub struct Service {
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    pub signals: mpsc::Sender<Signal>,
    pub running: JoinHandle<ExitCode>,
}

impl Service {
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let fixed = [
            ("DUBBER_GRPC_ADDR", "127.0.0.1:0"),
            ("DUBBER_ADMIN_ADDR", "127.0.0.1:0"),
            ("WORKER_STS_PROVIDER", "mock"),
            ("DUBBER_MOCK_DELAY", "20ms"),
        ];
        let env = Env::from_pairs(fixed.into_iter().chain(settings.iter().copied()));
        let app = App::build(Config::read(&env).unwrap()).await.unwrap();
        let (grpc, admin) = (app.grpc_addr().unwrap(), app.admin_addr().unwrap());
        let (signals, from_test) = Signals::manual();
        Self {
            grpc,
            admin,
            signals,
            running: tokio::spawn(app.run(from_test)),
        }
    }

    pub async fn client(&self) -> DubServiceClient<Channel> {
        client(self.grpc).await
    }

    pub async fn open(&self, stream_id: &str) -> Dub {
        let dub = self.stream().await;
        dub.say(open(stream_id)).await;
        dub
    }

    pub async fn stream(&self) -> Dub {
        stream(self.grpc).await
    }
}

pub async fn client(grpc: SocketAddr) -> DubServiceClient<Channel> {
    DubServiceClient::connect(format!("http://{grpc}")).await.unwrap()
}

pub async fn stream(grpc: SocketAddr) -> Dub {
    let (requests, rx) = mpsc::channel(64);
    let responses = client(grpc)
        .await
        .dub(ReceiverStream::new(rx))
        .await
        .unwrap()
        .into_inner();
    Dub {
        requests: Some(requests),
        responses,
    }
}

pub fn open(stream_id: &str) -> Payload {
    Payload::Open(Open {
        stream_id: stream_id.to_owned(),
        run_id: "run-1".to_owned(),
        epoch: 1,
        settings: None,
        pcm: Some(PcmFormat {
            sample_rate_hz: 48_000,
            channels: 2,
        }),
        trace: None,
    })
}

/// The worker's end of one session.
pub struct Dub {
    pub requests: Option<mpsc::Sender<DubRequest>>,
    pub responses: Streaming<DubResponse>,
}

/// What came back for one fragment.
#[derive(Debug)]
pub struct Result {
    pub speech: Option<Speech>,
    pub settlement: Settlement,
}

impl Dub {
    pub async fn say(&self, payload: Payload) {
        let message = DubRequest {
            payload: Some(payload),
        };
        // A stream that ended says so in its answer.
        let _ = self.requests.as_ref().unwrap().send(message).await;
    }

    pub async fn fragment(&self, seq: u64) {
        self.fragment_of(seq, &pcm(seq, FRAMES), None).await;
    }

    pub async fn fragment_of(&self, seq: u64, pcm: &[u8], trace: Option<TraceContext>) {
        let start = start_of(seq);
        let at = |bytes: usize| Some(time_to_wire(start + MediaTime::from_frames((bytes / 4) as i64)));
        self.say(Payload::FragmentStart(FragmentStart {
            fragment_seq: seq,
            start: at(0),
            trace,
        }))
        .await;
        let piece = 4 * 4800;
        for (n, part) in pcm.chunks(piece).enumerate() {
            let audio = Audio {
                start: at(n * piece),
                pcm: part.to_vec().into(),
                speech_probability: Some(0.5),
            };
            self.say(Payload::Audio(audio)).await;
        }
        self.say(Payload::FragmentEnd(FragmentEnd {
            fragment_seq: seq,
            end: at(pcm.len()),
        }))
        .await;
    }

    pub async fn close(&self) {
        self.say(Payload::Close(Close {
            reason: "stopped".to_owned(),
        }))
        .await;
    }

    pub async fn next(&mut self) -> std::result::Result<Option<Answer>, Status> {
        let message = timeout(PATIENCE, self.responses.message())
            .await
            .expect("the service answers")?;
        Ok(message.map(|message| message.payload.expect("a payload")))
    }

    pub async fn opened(&mut self) -> Opened {
        let Some(Answer::Opened(opened)) = self.next().await.unwrap() else {
            panic!("Opened comes first")
        };
        opened
    }

    /// The next result; events are passed over.
    pub async fn result(&mut self) -> Result {
        let mut speech = None;
        loop {
            match self.next().await.unwrap().expect("a settlement comes first") {
                Answer::Speech(said) => assert!(speech.replace(said).is_none(), "speech twice"),
                Answer::Settlement(settlement) => return Result { speech, settlement },
                Answer::Event(_) => {}
                other @ (Answer::Opened(_) | Answer::Text(_) | Answer::Supersede(_)) => {
                    panic!("unexpected {other:?}")
                }
            }
        }
    }

    pub async fn end(&mut self) -> std::result::Result<(), Status> {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(status) => return Err(status),
            }
        }
    }
}

/// Where a test fragment stands.
pub fn start_of(seq: u64) -> MediaTime {
    MediaTime::from_frames((seq * FRAMES as u64) as i64)
}

/// Samples that tell their fragment.
pub fn pcm(seq: u64, frames: usize) -> Vec<u8> {
    (0..frames * 2)
        .flat_map(|n| ((n as u64 * 37 + seq * 1009) as i16).to_le_bytes())
        .collect()
}

pub fn samples(pcm: &[u8]) -> Vec<i16> {
    pcm.chunks_exact(4)
        .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
        .collect()
}

/// `GET /metrics`.
pub async fn metrics(admin: SocketAddr) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
