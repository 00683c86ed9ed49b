//! EdgeService over gRPC: checks what is asked, asks the supervisor, answers.

use super::snapshot::Snapshot;
use super::supervisor::{Error, Handle, Watch};
use super::view::worker_to_wire;
use crate::config::unsupported_video;
use crate::link::lines::{Source, Start, StopMode};
use dub_proto::convert::{ConvertError, air_from_wire, settings_from_wire, time_to_wire};
use dub_proto::edge::v1 as wire;
use dub_proto::edge::v1::edge_service_server::EdgeService;
use dub_proto::media::v1::{AirState as WireAirState, TraceContext as WireTraceContext};
use dub_proto::status::ErrorCode;
use media_types::{AirState, FragmentSeq, RunId, StreamId, StreamSettings};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status as SpanStatus, TraceContextExt, Tracer};
use service_kit::telemetry::trace;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

/// Longest wait for the worker's word on the switch.
const SWITCH_LIMIT: Duration = Duration::from_secs(1);
/// Answers on their way to one watcher; behind them wait the changes of the supervisor.
const WATCH_ANSWERS_MAX: usize = 16;
/// Tracks of a source, and bytes of a name: bounds that no honest peer comes near.
const TRACKS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;
/// A longer trace context is dropped: tracing never refuses a start.
const TRACE_BYTES_MAX: usize = 512;

/// The service.
pub struct Control {
    supervisor: Handle,
    watchers: TaskTracker,
}

impl Control {
    /// Answers for this supervisor; the tasks that feed watchers are tracked by `watchers`.
    pub fn new(supervisor: Handle, watchers: TaskTracker) -> Self {
        Self { supervisor, watchers }
    }
}

fn status(error: &Error) -> Status {
    error.code().status(error.to_string(), None)
}

fn invalid(field: &'static str, problem: impl std::fmt::Display) -> Status {
    ErrorCode::InvalidField.status(format!("{field}: {problem}"), Some(field))
}

fn stream_id(text: String) -> Result<StreamId, Status> {
    StreamId::new(text).map_err(|error| invalid("stream_id", error))
}

fn run_id(text: String) -> Result<RunId, Status> {
    RunId::new(text).map_err(|error| invalid("run_id", error))
}

fn source(source: Option<wire::Source>) -> Result<Source, Status> {
    let wire::Source {
        source_id,
        tracks,
        source_type,
    } = source.unwrap_or_default();
    if source_id.len() > NAME_BYTES_MAX || source_type.len() > NAME_BYTES_MAX {
        return Err(invalid(
            "source.source_id",
            format!("or source_type has more than {NAME_BYTES_MAX} bytes"),
        ));
    }
    if tracks.len() > TRACKS_MAX || tracks.iter().any(|track| track.codec.len() > NAME_BYTES_MAX) {
        return Err(invalid(
            "source.tracks",
            format!("more than {TRACKS_MAX}, or a name over {NAME_BYTES_MAX} bytes"),
        ));
    }
    let tracks: Vec<_> = tracks.into_iter().map(|track| track.codec).collect();
    match unsupported_video(&tracks) {
        Some(reason) => Err(ErrorCode::VideoCodecUnsupported.status(reason, Some("source.tracks"))),
        None => Ok(Source {
            source_id,
            source_type,
            tracks,
        }),
    }
}

fn trace_context(said: Option<WireTraceContext>) -> trace::TraceContext {
    let WireTraceContext {
        traceparent,
        tracestate,
    } = said.unwrap_or_default();
    if traceparent.len() > TRACE_BYTES_MAX || tracestate.len() > TRACE_BYTES_MAX {
        return trace::TraceContext::default();
    }
    trace::TraceContext {
        traceparent,
        tracestate,
    }
}

fn start(request: wire::StartWorkerRequest) -> Result<Start, Status> {
    if request.epoch == 0 {
        return Err(invalid("epoch", "is 0, allowed is 1 and above"));
    }
    Ok(Start {
        stream_id: stream_id(request.stream_id)?,
        run_id: run_id(request.run_id)?,
        epoch: request.epoch,
        instance_id: uuid::Uuid::now_v7().to_string(),
        first_fragment_seq: FragmentSeq(request.first_fragment_seq),
        settings: settings_from_wire(request.settings.as_ref(), &StreamSettings::default())
            .map_err(|error: ConvertError| error.status())?,
        source: source(request.source)?,
        traceparent: String::new(),
        tracestate: String::new(),
    })
}

/// States that an operator may ask for.
fn air_state(state: i32) -> Result<AirState, Status> {
    match air_from_wire(state) {
        Some(state @ (AirState::Dub | AirState::VoiceOver | AirState::Original | AirState::Mute)) => {
            Ok(state)
        }
        Some(AirState::Bed) => {
            let message = "this version does not separate the programme sound from speech";
            Err(ErrorCode::BedUnavailable.status(message, Some("state")))
        }
        Some(AirState::Outage) | None => {
            let said = WireAirState::try_from(state)
                .map_or_else(|_| state.to_string(), |s| s.as_str_name().to_owned());
            Err(invalid(
                "state",
                format!("is {said}, allowed are dub, voice-over, original and mute"),
            ))
        }
    }
}

fn author(text: String) -> Result<String, Status> {
    if text.len() > NAME_BYTES_MAX || text.contains(char::is_control) {
        return Err(invalid(
            "author",
            format!("has control characters or more than {NAME_BYTES_MAX} bytes"),
        ));
    }
    Ok(if text.is_empty() {
        "operator".to_owned()
    } else {
        text
    })
}

#[tonic::async_trait]
impl EdgeService for Control {
    async fn start_worker(
        &self,
        request: Request<wire::StartWorkerRequest>,
    ) -> Result<Response<wire::StartWorkerResponse>, Status> {
        let mut request = request.into_inner();
        let parent = trace::extract(&trace_context(request.trace.take()));
        let mut start = start(request)?;
        let tracer = trace::tracer();
        let span = tracer
            .span_builder("start worker")
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("stream_id", start.stream_id.to_string()),
                KeyValue::new("run_id", start.run_id.to_string()),
                KeyValue::new("epoch", i64::from(start.epoch)),
            ])
            .start_with_context(&tracer, &parent);
        let context = parent.with_span(span);
        // The worker links its fragments to this span.
        let trace::TraceContext {
            traceparent,
            tracestate,
        } = trace::inject(&context);
        (start.traceparent, start.tracestate) = (traceparent, tracestate);
        let started = self.supervisor.start(start).await;
        if let Err(error) = &started {
            context.span().set_status(SpanStatus::error(error.to_string()));
            tracing::warn!(%error, code = error.code().as_str(), "worker not started");
        }
        context.span().end();
        let worker = started.map_err(|error| status(&error))?;
        Ok(Response::new(wire::StartWorkerResponse {
            worker: Some(worker_to_wire(&worker)),
        }))
    }

    async fn stop_worker(
        &self,
        request: Request<wire::StopWorkerRequest>,
    ) -> Result<Response<wire::StopWorkerResponse>, Status> {
        let request = request.into_inner();
        let mode = match request.mode() {
            wire::StopMode::Unspecified | wire::StopMode::Drain => StopMode::Drain,
            wire::StopMode::Now => StopMode::Now,
        };
        let run_id = if request.run_id.is_empty() {
            None
        } else {
            Some(run_id(request.run_id)?)
        };
        let stopping = self
            .supervisor
            .stop(stream_id(request.stream_id)?, run_id, mode)
            .await;
        Ok(Response::new(wire::StopWorkerResponse {
            stopping: stopping.map_err(|error| status(&error))?,
        }))
    }

    async fn update_source(
        &self,
        request: Request<wire::UpdateSourceRequest>,
    ) -> Result<Response<wire::UpdateSourceResponse>, Status> {
        let request = request.into_inner();
        let (stream_id, run_id) = (stream_id(request.stream_id)?, run_id(request.run_id)?);
        let updated = self
            .supervisor
            .update_source(stream_id, run_id, source(request.source)?)
            .await;
        updated.map_err(|error| status(&error))?;
        Ok(Response::new(wire::UpdateSourceResponse {}))
    }

    async fn list_workers(
        &self,
        _request: Request<wire::ListWorkersRequest>,
    ) -> Result<Response<wire::ListWorkersResponse>, Status> {
        let workers = self.supervisor.list().await.map_err(|error| status(&error))?;
        let workers = workers.iter().map(|worker| worker_to_wire(worker)).collect();
        Ok(Response::new(wire::ListWorkersResponse { workers }))
    }

    async fn get_worker(
        &self,
        request: Request<wire::GetWorkerRequest>,
    ) -> Result<Response<wire::GetWorkerResponse>, Status> {
        let stream_id = stream_id(request.into_inner().stream_id)?;
        let workers = self.supervisor.list().await.map_err(|error| status(&error))?;
        let worker = workers.iter().find(|worker| worker.start.stream_id == stream_id);
        let worker = worker.ok_or_else(|| status(&Error::Unknown))?;
        Ok(Response::new(wire::GetWorkerResponse {
            worker: Some(worker_to_wire(worker)),
        }))
    }

    type WatchWorkersStream = ReceiverStream<Result<wire::WatchWorkersResponse, Status>>;

    async fn watch_workers(
        &self,
        request: Request<wire::WatchWorkersRequest>,
    ) -> Result<Response<Self::WatchWorkersStream>, Status> {
        let only = request.into_inner().stream_id;
        let only = if only.is_empty() {
            None
        } else {
            Some(stream_id(only)?)
        };
        let (answers_tx, answers_rx) = mpsc::channel(WATCH_ANSWERS_MAX);
        let watcher = Watcher {
            supervisor: self.supervisor.clone(),
            only,
            answers_tx,
        };
        self.watchers.spawn(watcher.run());
        Ok(Response::new(ReceiverStream::new(answers_rx)))
    }

    async fn set_air(
        &self,
        request: Request<wire::SetAirRequest>,
    ) -> Result<Response<wire::SetAirResponse>, Status> {
        let request = request.into_inner();
        let stream_id = stream_id(request.stream_id)?;
        let (state, author) = (air_state(request.state)?, author(request.author)?);
        let in_force_from = self
            .supervisor
            .set_air(stream_id, state, author, SWITCH_LIMIT)
            .await;
        let in_force_from = in_force_from.map_err(|error| match &error {
            Error::Refused(reason) => invalid("state", reason),
            Error::Conflict { .. }
            | Error::Limit(_)
            | Error::Unknown
            | Error::Unresponsive
            | Error::Spawn(_)
            | Error::Draining => status(&error),
        })?;
        Ok(Response::new(wire::SetAirResponse {
            in_force_from: Some(time_to_wire(in_force_from)),
        }))
    }
}

/// Feeds one watcher: all workers now, then each change. One that reads too slowly misses changes and gets the
/// newest state of all workers again.
struct Watcher {
    supervisor: Handle,
    only: Option<StreamId>,
    answers_tx: mpsc::Sender<Result<wire::WatchWorkersResponse, Status>>,
}

impl Watcher {
    async fn run(self) {
        let Err(error) = self.feed().await else { return };
        // The caller may be gone as well, or may not read: neither holds up the drain.
        let _ = self.answers_tx.try_send(Err(status(&error)));
    }

    /// Until the caller is gone, or the supervisor is.
    async fn feed(&self) -> Result<(), Error> {
        loop {
            let Watch { now, mut changes_rx } = self.supervisor.watch().await?;
            for worker in now {
                self.answer(&worker).await;
            }
            loop {
                let change = tokio::select! {
                    () = self.answers_tx.closed() => return Ok(()),
                    change = changes_rx.recv() => change,
                };
                match change {
                    Ok(worker) => self.answer(&worker).await,
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Err(Error::Draining),
                }
            }
        }
    }

    async fn answer(&self, worker: &Arc<Snapshot>) {
        if self
            .only
            .as_ref()
            .is_none_or(|only| worker.start.stream_id == *only)
        {
            let answer = wire::WatchWorkersResponse {
                worker: Some(worker_to_wire(worker)),
            };
            tokio::select! {
                biased;
                // A caller who is gone is noticed by the loop, and so is a supervisor who is.
                _ = self.answers_tx.send(Ok(answer)) => {}
                () = self.supervisor.ended() => {}
            }
        }
    }
}
