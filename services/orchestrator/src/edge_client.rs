//! media-edge: orders to it, and what it says about its workers.
use crate::registry::{Input, Registry};
use dub_proto::edge::v1::edge_service_client::EdgeServiceClient;
use dub_proto::edge::v1::{
    self as wire, ListWorkersRequest, StartWorkerRequest, StopWorkerRequest, UpdateSourceRequest,
    WatchWorkersRequest, WorkerState,
};
use dub_proto::media::v1::{StreamSettings, Track};
use dub_proto::status::ErrorCode;
use media_types::{FragmentSeq, RunId, StreamId, Tick};
use service_kit::Clock;
use std::future::Future;
use std::time::Duration;
use stream_lifecycle::{RunningWorker, Source, StartFailure, WorkerPhase};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};
use tonic_types::StatusExt as _;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a start: the child is spawned before the answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for any other answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that vanished without a word is noticed after the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A worker as media-edge shows it.
#[derive(Clone, Debug)]
pub struct SeenWorker {
    /// Its stream.
    pub stream_id: StreamId,
    /// Its run, epoch, and where it stands; for one that is gone only run and epoch count.
    pub worker: RunningWorker,
    /// Whether its process is gone.
    pub exited: bool,
    /// Exit code, when it is gone and somebody saw it go.
    pub exit_code: Option<i32>,
    /// Settings in force.
    pub settings: Option<StreamSettings>,
    /// Why it stands where it stands.
    pub detail: String,
}

impl SeenWorker {
    fn from_wire(worker: wire::Worker) -> Result<Self, media_types::InvalidId> {
        let (phase, exited) = match WorkerState::try_from(worker.state).unwrap_or_default() {
            WorkerState::Unspecified | WorkerState::Starting => (WorkerPhase::Starting, false),
            WorkerState::Running => (WorkerPhase::Running, false),
            WorkerState::SourceLost => (WorkerPhase::SourceLost, false),
            WorkerState::Draining => (WorkerPhase::Draining, false),
            WorkerState::Exited => (WorkerPhase::Draining, true),
        };
        let source = worker.source.unwrap_or_default();
        Ok(Self {
            stream_id: StreamId::new(worker.stream_id)?,
            worker: RunningWorker {
                run: RunId::new(worker.run_id)?,
                epoch: worker.epoch,
                phase,
                last_fragment_seq: FragmentSeq(worker.last_fragment_seq),
                source: Source {
                    source_id: source.source_id,
                    source_type: source.source_type,
                    tracks: source.tracks.into_iter().map(|track| track.codec).collect(),
                },
            },
            exited,
            exit_code: worker.exit_code,
            settings: worker.settings,
            detail: worker.detail,
        })
    }
}

/// A source as it travels.
pub fn source_to_wire(source: &Source) -> wire::Source {
    wire::Source {
        source_id: source.source_id.clone(),
        source_type: source.source_type.clone(),
        tracks: source
            .tracks
            .iter()
            .map(|codec| Track { codec: codec.clone() })
            .collect(),
    }
}

/// Calls media-edge; cheap to clone.
#[derive(Clone, Debug)]
pub struct EdgeClient(EdgeServiceClient<Channel>);

impl EdgeClient {
    /// Connects with the first call, and again whenever the connection is lost.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self(EdgeServiceClient::new(endpoint.connect_lazy())))
    }

    /// Starts a worker.
    pub async fn start(mut self, request: StartWorkerRequest) -> Result<(), (StartFailure, Status)> {
        answer(START_TIMEOUT, self.0.start_worker(request))
            .await
            .map(|_| ())
            .map_err(|status| (classify(&status), status))
    }

    /// Stops a worker; false when there was none.
    pub async fn stop(mut self, request: StopWorkerRequest) -> Result<bool, Status> {
        Ok(answer(CALL_TIMEOUT, self.0.stop_worker(request)).await?.stopping)
    }

    /// Tells a worker what its source now is.
    pub async fn update_source(mut self, request: UpdateSourceRequest) -> Result<(), Status> {
        answer(CALL_TIMEOUT, self.0.update_source(request))
            .await
            .map(|_| ())
    }

    async fn list(&mut self) -> Result<Vec<wire::Worker>, Status> {
        Ok(answer(CALL_TIMEOUT, self.0.list_workers(ListWorkersRequest {}))
            .await?
            .workers)
    }

    async fn watch(&mut self) -> Result<Streaming<wire::WatchWorkersResponse>, Status> {
        answer(
            CALL_TIMEOUT,
            self.0.watch_workers(WatchWorkersRequest {
                stream_id: String::new(),
            }),
        )
        .await
    }
}

async fn answer<T>(
    wait: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(wait, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {wait:?}"))),
    }
}

/// What a refused start means for the next one.
fn classify(status: &Status) -> StartFailure {
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    let code = ErrorCode::ALL.iter().find(|code| code.as_str() == reason);
    if code == Some(&ErrorCode::WorkerConflict) {
        return StartFailure::Conflict;
    }
    match status.code() {
        Code::AlreadyExists => StartFailure::Conflict,
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented | Code::OutOfRange => {
            if code.is_some_and(|code| code.is_retryable()) {
                StartFailure::Retryable
            } else {
                StartFailure::Final
            }
        }
        Code::ResourceExhausted | Code::PermissionDenied | Code::Unauthenticated | Code::NotFound => {
            StartFailure::Retryable
        }
        Code::Internal | Code::Aborted | Code::DataLoss => StartFailure::Retryable,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Unavailable => {
            StartFailure::Unanswered
        }
    }
}

/// Follows the workers for the registry: the watch for promptness, the listing for completeness.
pub struct EdgeLink {
    client: EdgeClient,
    registry: Registry,
    clock: Clock,
    interval: Duration,
    answers: Option<bool>,
}

impl EdgeLink {
    /// A link that is not yet followed.
    pub fn new(client: EdgeClient, registry: Registry, clock: Clock, interval: Duration) -> Self {
        Self {
            client,
            registry,
            clock,
            interval,
            answers: None,
        }
    }

    /// Follows until the token is cancelled.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = self.follow() => {}
            }
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    /// Until the watch breaks.
    async fn follow(&mut self) {
        let mut changes = match self.client.watch().await {
            Ok(changes) => changes,
            Err(_) => {
                self.list().await;
                return;
            }
        };
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.list().await,
                change = changes.message() => match change {
                    Ok(Some(change)) => {
                        for worker in seen(change.worker) {
                            self.registry.send(Input::WorkerChanged(worker)).await;
                        }
                    }
                    Ok(None) | Err(_) => {
                        // Whatever is missing from the next listing went with media-edge itself.
                        self.registry.send(Input::EdgeLost).await;
                        self.list().await;
                        return;
                    }
                },
            }
        }
    }

    async fn list(&mut self) {
        let asked_at = Tick::from_nanos(self.clock.now());
        let listing = self.client.list().await;
        let answered = listing.is_ok();
        match listing {
            Ok(workers) => {
                if self.answers != Some(true) {
                    tracing::info!(workers = workers.len(), "media-edge answers");
                }
                self.registry
                    .send(Input::Workers {
                        asked_at,
                        workers: seen(workers),
                    })
                    .await;
            }
            Err(status) => {
                if self.answers != Some(false) {
                    let error = status.message();
                    tracing::warn!(error, "media-edge does not answer; workers are taken to run on");
                }
                self.registry.send(Input::EdgeLost).await;
            }
        }
        self.answers = Some(answered);
    }
}

fn seen(workers: impl IntoIterator<Item = wire::Worker>) -> Vec<SeenWorker> {
    let checked = workers.into_iter().map(SeenWorker::from_wire);
    checked
        .filter_map(|worker| {
            worker
                .inspect_err(|error| tracing::warn!(%error, "worker has no valid id"))
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_start_is_told_from_one_that_nobody_answered() {
        for (status, expected) in [
            (ErrorCode::WorkerConflict.status("", None), StartFailure::Conflict),
            (
                ErrorCode::VideoCodecUnsupported.status("", None),
                StartFailure::Final,
            ),
            (ErrorCode::InvalidField.status("", None), StartFailure::Final),
            (ErrorCode::WorkerLimit.status("", None), StartFailure::Retryable),
            (ErrorCode::Draining.status("", None), StartFailure::Unanswered),
            (Status::deadline_exceeded(""), StartFailure::Unanswered),
            (Status::internal(""), StartFailure::Retryable),
        ] {
            assert_eq!(classify(&status), expected, "{status:?}");
        }
    }
}
