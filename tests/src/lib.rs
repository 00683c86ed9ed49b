//! What every end-to-end test needs: a stack of real processes on ports of its own, clips, publishers, readers and
//! the services' own gRPC. Nothing is judged here.

pub mod felt;
pub mod heard;
pub mod journal;
pub mod processes;
pub mod republisher;

pub mod bench;

use anyhow::{Context, Result, bail};
use dub_proto::{
    dub::v1::dub_service_client::DubServiceClient,
    edge::v1::{
        GetWorkerRequest, SetAirRequest, Worker, WorkerState, edge_service_client::EdgeServiceClient,
    },
    media::v1::AirState,
    orchestrator::v1::{GetStreamRequest, Stream, orchestrator_service_client::OrchestratorServiceClient},
};
use local_stack::Stack;
use media_judge::{
    Publisher, Recorder,
    live::RecordOptions,
    publish::{PublishOptions, srt_publish_url},
    source::{self, ClipSpec},
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tonic::transport::{Channel, Endpoint};

/// Seed of all coded noise in tests.
pub const NOISE_SEED: u64 = 7;
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Folder of clips and recordings, kept between tests.
pub fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/e2e")
}

/// A clip with a flash and a beep each second, made once.
pub fn flash_beep(spec: &ClipSpec, extension: &str) -> Result<PathBuf> {
    source::cached(
        &scratch().join("clips"),
        &spec.name("flash-beep", extension),
        |out| source::flash_beep(out, spec),
    )
}

/// A clip with flashes and coded noise, made once.
pub fn coded_noise(spec: &ClipSpec, extension: &str) -> Result<PathBuf> {
    source::cached(
        &scratch().join("clips"),
        &spec.name("coded-noise", extension),
        |out| source::coded_noise(out, spec, NOISE_SEED),
    )
}

/// A stack under test.
pub struct Live {
    /// The processes.
    pub stack: Stack,
    /// Folder of this test's recordings.
    pub dir: PathBuf,
}

impl Live {
    /// Starts a stack with these settings; `name` names its folder.
    pub async fn start(name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(name, settings, false).await
    }

    /// The same, with Jaeger where that is asked for.
    pub async fn start_with(name: &str, settings: &[(&str, &str)], jaeger: bool) -> Result<Self> {
        let dir = scratch().join(name);
        // What an earlier run left there says nothing about this one.
        std::fs::remove_dir_all(&dir).ok();
        std::fs::create_dir_all(&dir)?;
        let mut builder = Stack::builder().dir(dir.join("stack")).jaeger(jaeger);
        for (key, value) in settings {
            builder = builder.env(*key, *value);
        }
        Ok(Self {
            stack: builder.start().await?,
            dir,
        })
    }

    /// RTMP address of `live/<id>/in`.
    pub fn input(&self, id: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{id}/in", self.stack.ports().rtmp)
    }

    /// RTMP address of `live/<id>/out`.
    pub fn output(&self, id: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{id}/out", self.stack.ports().rtmp)
    }

    /// RTSP address of `live/<id>/in`.
    pub fn rtsp_input(&self, id: &str) -> String {
        format!("rtsp://127.0.0.1:{}/live/{id}/in", self.stack.ports().rtsp)
    }

    /// SRT address of `live/<id>/in`.
    pub fn srt_input(&self, id: &str) -> String {
        srt_publish_url("127.0.0.1", self.stack.ports().srt, &format!("live/{id}/in"))
    }

    /// Publishes a clip.
    pub fn publish(&self, clip: &Path, url: &str) -> Result<Publisher> {
        let log = self
            .dir
            .join(format!("publisher-{}.log", self.next_number("publisher")));
        Publisher::start(
            clip,
            url,
            &PublishOptions {
                log: Some(log),
                ..PublishOptions::default()
            },
        )
    }

    fn next_number(&self, stem: &str) -> usize {
        std::fs::read_dir(&self.dir).map_or(0, |entries| {
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(stem))
                .count()
        })
    }

    /// Reads a stream into `<name>.flv` of this test's folder; waits up to `patience` for the stream to appear.
    pub fn record(&self, url: &str, name: &str, patience: Duration) -> Result<Recorder> {
        let out = self.dir.join(format!("{name}.flv"));
        Recorder::start(
            url,
            Some(&out),
            RecordOptions {
                retry_for: patience,
                ..RecordOptions::default()
            },
        )
    }

    fn channel(port: u16) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
            .timeout(Duration::from_secs(5))
            .connect_lazy())
    }

    /// media-edge.
    pub fn edge(&self) -> Result<EdgeServiceClient<Channel>> {
        Ok(EdgeServiceClient::new(Self::channel(
            self.stack.ports().media_edge_grpc,
        )?))
    }

    /// dubber.
    pub fn dubber(&self) -> Result<DubServiceClient<Channel>> {
        Ok(DubServiceClient::new(Self::channel(
            self.stack.ports().dubber_grpc,
        )?))
    }

    /// orchestrator.
    pub fn orchestrator(&self) -> Result<OrchestratorServiceClient<Channel>> {
        Ok(OrchestratorServiceClient::new(Self::channel(
            self.stack.ports().orchestrator_grpc,
        )?))
    }

    /// The worker of a stream as it is now; an error when there is none.
    pub async fn worker(&self, id: &str) -> Result<Worker> {
        let request = GetWorkerRequest {
            stream_id: id.to_owned(),
        };
        let answer = self.edge()?.get_worker(request).await?.into_inner();
        answer.worker.context("answer without a worker")
    }

    /// The stream as it is now; an error when it is not known.
    pub async fn stream(&self, id: &str) -> Result<Stream> {
        let request = GetStreamRequest {
            stream_id: id.to_owned(),
        };
        let answer = self.orchestrator()?.get_stream(request).await?.into_inner();
        answer.stream.context("answer without a stream")
    }

    /// Waits for a worker that satisfies `wanted`.
    pub async fn worker_when(
        &self,
        id: &str,
        at_most: Duration,
        wanted: impl Fn(&Worker) -> bool,
    ) -> Result<Worker> {
        let until = Instant::now() + at_most;
        loop {
            let last = self.worker(id).await;
            match last {
                Ok(worker) if wanted(&worker) => return Ok(worker),
                last if Instant::now() > until => {
                    bail!("worker of {id} not as wanted after {at_most:?}: {last:#?}")
                }
                Ok(_) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits for a worker whose source is connected.
    pub async fn running_worker(&self, id: &str) -> Result<Worker> {
        self.worker_when(id, Duration::from_secs(20), |worker| {
            worker.state() == WorkerState::Running
        })
        .await
    }

    /// Waits until no worker serves a stream.
    pub async fn worker_gone(&self, id: &str, at_most: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            match self.worker(id).await {
                Ok(worker) if worker.state() != WorkerState::Exited => {
                    if begun.elapsed() > at_most {
                        bail!("worker of {id} is still there after {at_most:?}");
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Ok(_) | Err(_) => return Ok(begun.elapsed()),
            }
        }
    }

    /// Throws the operator's switch; returns how long the answer took.
    pub async fn set_air(&self, id: &str, state: AirState) -> Result<Duration> {
        let begun = Instant::now();
        let request = SetAirRequest {
            stream_id: id.to_owned(),
            state: state.into(),
            author: "test".to_owned(),
        };
        self.edge()?.set_air(request).await?;
        Ok(begun.elapsed())
    }

    /// Value of one series of a `/metrics` page, summed over its labels; `port` is one of the admin ports.
    pub fn metric(&self, port: u16, series: &str) -> Result<f64> {
        let page = http_get(port, "/metrics")?;
        let mut sum = 0.0;
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let matches = if series.contains('{') {
                name == series
            } else {
                name.split('{').next() == Some(series)
            };
            if matches {
                sum += value.parse::<f64>().unwrap_or(0.0);
            }
        }
        Ok(sum)
    }

    /// Lines of a part's log that say ERROR: a human must look, so a test that meets one has failed.
    pub fn error_lines(&self, part: &str) -> Vec<String> {
        let is_error = |line: &&str| line.contains("\"level\":\"error\"");
        self.stack
            .log_text(part)
            .lines()
            .filter(is_error)
            .map(str::to_owned)
            .collect()
    }

    /// The same of all our services.
    pub fn errors_of_services(&self) -> Vec<String> {
        ["orchestrator", "media-edge", "dubber"]
            .into_iter()
            .flat_map(|part| self.error_lines(part))
            .collect()
    }
}

/// Body of a GET on this machine.
pub fn http_get(port: u16, path: &str) -> Result<String> {
    http(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
    .map(|(_, body)| body)
}

/// Status and body of a POST of JSON on this machine.
pub fn http_post(port: u16, path: &str, body: &[u8]) -> Result<(u16, String)> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    exchange(port, &request)
}

fn http(port: u16, request: &str) -> Result<(u16, String)> {
    exchange(port, request.as_bytes())
}

fn exchange(port: u16, request: &[u8]) -> Result<(u16, String)> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    // A server that refuses a body early closes its side while we still write.
    let written = socket.write_all(request);
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    if answer.is_empty() {
        written?;
        read?;
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no HTTP status")?;
    Ok((
        status,
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            body.to_owned()
        },
    ))
}

fn unchunk(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let Some(chunk) = tail.get(..size).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        out.push_str(chunk);
        rest = tail.get(size + 2..).unwrap_or_default();
    }
    out
}
