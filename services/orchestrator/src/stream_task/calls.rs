//! What runs beside a stream's task, and what comes of it.
use super::StreamTask;
use crate::edge_client::source_to_wire;
use crate::hooks::Hook;
use crate::start_trace;
use dub_proto::convert::settings_to_wire;
use dub_proto::edge::v1::{StartWorkerRequest, StopMode, StopWorkerRequest, UpdateSourceRequest};
use media_types::{RunId, Tick};
use opentelemetry::Context;
use stream_lifecycle::{Action, Source, StartFailure, WorkerPhase};
use tonic::Status;

/// What came of a job.
#[derive(Debug)]
pub(super) enum Done {
    /// A publisher that a hook told of, with its tracks where the Control API knows them.
    Described { source: Source, hook: Box<Hook> },
    /// A publisher that a listing told of, with the query of its URL if the Control API knows it.
    Asked {
        asked_at: Tick,
        source: Source,
        query: Option<String>,
    },
    /// A start.
    Started {
        run: RunId,
        epoch: u32,
        outcome: Result<(), (StartFailure, Status)>,
    },
    /// A stop.
    Stopped(Result<(), Status>),
    /// A source told.
    Updated(Result<(), Status>),
}

impl StreamTask {
    /// Makes one call to media-edge.
    pub(super) fn call(&mut self, action: Action) {
        let edge = self.shared.edge.clone();
        let stream_id = self.id.to_string();
        match action {
            Action::StartWorker {
                run,
                epoch,
                first_fragment_seq,
                source,
            } => {
                let trace = self.start_trace(&source);
                let settings = self.settings_of(&run, &source);
                let inside = trace.clone().attach();
                tracing::info!(
                    stream_id, run_id = %run, epoch, first_fragment_seq = %first_fragment_seq,
                    source_id = source.source_id, tracks = ?source.tracks, request_id = self.request_id,
                    "starting worker"
                );
                drop(inside);
                let request = StartWorkerRequest {
                    stream_id,
                    run_id: run.to_string(),
                    epoch,
                    first_fragment_seq: first_fragment_seq.0,
                    settings: Some(settings_to_wire(&settings)),
                    source: Some(source_to_wire(&source)),
                    trace: Some(start_trace::to_wire(&trace)),
                };
                self.jobs.spawn(async move {
                    Done::Started {
                        run,
                        epoch,
                        outcome: edge.start(request).await,
                    }
                });
            }
            Action::StopWorker { run, drain } => {
                tracing::info!(stream_id, run_id = %run, drain, request_id = self.request_id, "stopping worker");
                let mode = if drain { StopMode::Drain } else { StopMode::Now };
                let request = StopWorkerRequest {
                    stream_id,
                    run_id: run.to_string(),
                    mode: mode.into(),
                };
                self.jobs
                    .spawn(async move { Done::Stopped(edge.stop(request).await.map(|_| ())) });
            }
            Action::UpdateSource { run, source } => {
                tracing::info!(
                    stream_id, run_id = %run, source_id = source.source_id, tracks = ?source.tracks,
                    request_id = self.request_id, "worker is told of its source"
                );
                let request = UpdateSourceRequest {
                    stream_id,
                    run_id: run.to_string(),
                    source: Some(source_to_wire(&source)),
                };
                self.jobs
                    .spawn(async move { Done::Updated(edge.update_source(request).await) });
            }
        }
    }

    /// Says the order for somebody else to carry out, and takes it as done.
    pub(super) fn announce(&mut self, action: Action) {
        let now = self.now();
        let stream_id = self.id.clone();
        match action {
            Action::StartWorker {
                run,
                epoch,
                first_fragment_seq,
                source,
            } => {
                let _inside = self.start_trace(&source).attach();
                let settings = self.settings_of(&run, &source);
                tracing::info!(
                    %stream_id, run_id = %run, epoch, first_fragment_seq = %first_fragment_seq,
                    source_id = source.source_id, tracks = ?source.tracks, ?settings, "worker wanted"
                );
                self.lifecycle.handle_worker_started(now, &run, epoch);
                self.lifecycle.handle_worker_report(
                    now,
                    &run,
                    epoch,
                    WorkerPhase::Running,
                    first_fragment_seq,
                );
            }
            Action::StopWorker { run, drain } => {
                tracing::info!(%stream_id, run_id = %run, drain, "worker no longer wanted");
                if let Some(epoch) = self.lifecycle.run().map(|(_, epoch)| epoch) {
                    self.lifecycle.handle_worker_exited(now, &run, epoch, Some(0));
                }
            }
            Action::UpdateSource { run, source } => {
                tracing::info!(
                    %stream_id, run_id = %run, source_id = source.source_id, tracks = ?source.tracks,
                    "source of the worker changed"
                );
            }
        }
    }

    /// The trace of the hook that caused the start, or one of its own.
    fn start_trace(&mut self, source: &Source) -> Context {
        self.trace
            .get_or_insert_with(|| {
                start_trace::begin(
                    &Context::new(),
                    self.id.as_str(),
                    &source.source_id,
                    &self.request_id,
                )
            })
            .clone()
    }
}
