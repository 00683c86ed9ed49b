//! The services of one stack, asked by their own gRPC and pages, wherever the stack runs on this machine.

use crate::http::http_get;
use anyhow::{Context as _, Result, bail};
use dub_proto::{
    dub::v1::dub_service_client::DubServiceClient,
    edge::v1::{
        GetWorkerRequest, SetAirRequest, Worker, WorkerState, edge_service_client::EdgeServiceClient,
    },
    media::v1::AirState,
    orchestrator::v1::{
        GetStreamRequest, StopStreamRequest, Stream, orchestrator_service_client::OrchestratorServiceClient,
    },
};
use local_stack::Ports;
use media_judge::publish::srt_publish_url;
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The services behind one set of ports.
#[derive(Clone, Copy, Debug)]
pub struct Services {
    ports: Ports,
}

impl Services {
    /// Those that listen there.
    pub fn at(ports: Ports) -> Self {
        Self { ports }
    }

    /// Their ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// RTMP address of `live/<id>/in`.
    pub fn input(&self, id: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{id}/in", self.ports.rtmp)
    }

    /// RTMP address of `live/<id>/out`.
    pub fn output(&self, id: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{id}/out", self.ports.rtmp)
    }

    /// RTSP address of `live/<id>/in`.
    pub fn rtsp_input(&self, id: &str) -> String {
        format!("rtsp://127.0.0.1:{}/live/{id}/in", self.ports.rtsp)
    }

    /// SRT address of `live/<id>/in`.
    pub fn srt_input(&self, id: &str) -> String {
        srt_publish_url("127.0.0.1", self.ports.srt, &format!("live/{id}/in"))
    }

    fn channel(port: u16) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
            .timeout(Duration::from_secs(5))
            .connect_lazy())
    }

    /// media-edge.
    pub fn edge(&self) -> Result<EdgeServiceClient<Channel>> {
        Ok(EdgeServiceClient::new(Self::channel(self.ports.media_edge_grpc)?))
    }

    /// dubber.
    pub fn dubber(&self) -> Result<DubServiceClient<Channel>> {
        Ok(DubServiceClient::new(Self::channel(self.ports.dubber_grpc)?))
    }

    /// orchestrator.
    pub fn orchestrator(&self) -> Result<OrchestratorServiceClient<Channel>> {
        Ok(OrchestratorServiceClient::new(Self::channel(
            self.ports.orchestrator_grpc,
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

    /// Wants no worker for a stream any more.
    pub async fn stop_stream(&self, id: &str) -> Result<()> {
        let request = StopStreamRequest {
            stream_id: id.to_owned(),
        };
        self.orchestrator()?.stop_stream(request).await?;
        Ok(())
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
}
