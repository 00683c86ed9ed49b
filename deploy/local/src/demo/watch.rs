//! Watching a stream from outside: media-edge's worker over gRPC, MediaMTX's paths over its Control API.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use dub_proto::edge::v1::edge_service_client::EdgeServiceClient;
use dub_proto::edge::v1::{Fragment, GetWorkerRequest, Worker, WorkerState};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::{Ports, http};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long one look may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Looks at one worker and keeps every fragment that it has shown: a worker shows only the newest.
#[derive(Debug)]
pub struct Watcher {
    client: EdgeServiceClient<Channel>,
    stream: String,
    fragments: BTreeMap<u64, Fragment>,
}

impl Watcher {
    /// Connects to media-edge.
    pub async fn connect(ports: Ports, stream: &str) -> Result<Self> {
        let address = format!("http://127.0.0.1:{}", ports.media_edge_grpc);
        let channel = Channel::from_shared(address.clone())
            .context("address of media-edge")?
            .timeout(ANSWER_WITHIN)
            .connect()
            .await
            .with_context(|| format!("connecting to media-edge at {address}"))?;
        let client = EdgeServiceClient::new(channel);
        Ok(Self {
            client,
            stream: stream.to_owned(),
            fragments: BTreeMap::new(),
        })
    }

    /// The worker as it is now; `None` while there is none.
    pub async fn look(&mut self) -> Result<Option<Worker>> {
        let request = GetWorkerRequest {
            stream_id: self.stream.clone(),
        };
        match self.client.get_worker(request).await {
            Ok(answer) => {
                let worker = answer.into_inner().worker;
                if let Some(worker) = &worker {
                    self.fragments.extend(
                        worker
                            .recent_fragments
                            .iter()
                            .map(|fragment| (fragment.fragment_seq, fragment.clone())),
                    );
                }
                Ok(worker)
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status).context("asking media-edge for the worker"),
        }
    }

    /// Waits until the worker of the stream runs.
    pub async fn running_worker(&mut self, within: Duration) -> Result<Worker> {
        let deadline = Instant::now() + within;
        let mut last = "no worker was started".to_owned();
        while Instant::now() < deadline {
            if let Some(worker) = self.look().await? {
                if worker.state() == WorkerState::Running {
                    return Ok(worker);
                }
                last = format!("the worker is {:?}: {}", worker.state(), worker.detail);
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("no running worker for {} within {within:?}: {last}", self.stream)
    }

    /// Every fragment seen so far, the oldest first.
    pub fn into_fragments(self) -> Vec<Fragment> {
        self.fragments.into_values().collect()
    }
}

/// What a worker holds back.
pub fn hold(worker: &Worker) -> Duration {
    worker
        .settings
        .as_ref()
        .and_then(|settings| settings.hold)
        .map(as_duration)
        .unwrap_or_default()
}

/// A duration of the wire; a negative one is none.
pub fn as_duration(wire: prost_types::Duration) -> Duration {
    Duration::try_from(wire).unwrap_or_default()
}

/// Waits until MediaMTX has a publisher on `path`.
pub async fn path_ready(ports: Ports, path: &str, within: Duration) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.mediamtx_api));
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        let answer = http::get(address, &format!("/v3/paths/get/{path}"), ANSWER_WITHIN).await;
        if answer.is_ok_and(|answer| answer.is_ok() && is_available(&answer.body)) {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("nothing is published to {path} within {within:?}")
}

fn is_available(body: &str) -> bool {
    let Ok(path) = serde_json::from_str::<serde_json::Value>(body) else {
        return false;
    };
    path.get("available")
        .or_else(|| path.get("ready"))
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(false)
}
