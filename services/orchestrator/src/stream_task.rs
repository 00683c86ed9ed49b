//! One task per stream: owns its [`StreamLifecycle`], brings it facts and carries out its orders.
//!
//! It never waits for a peer: questions and calls run beside it and come back as facts. Calls to media-edge are
//! made one at a time, in the order in which the lifecycle gave them.
mod calls;
mod source;
mod view;

pub use view::View;

use crate::config::WorkerMode;
use crate::edge_client::{EdgeClient, SeenWorker};
use crate::hooks::Hook;
use crate::mediamtx_client::MediaMtxClient;
use crate::metrics::Metrics;
use crate::registry::OrderReply;
use crate::state_dir::Keeper;
use calls::Done;
use dub_proto::convert::settings_from_wire;
use dub_proto::media::v1 as wire;
use dub_proto::orchestrator::v1::Stream;
use media_types::{RunId, StreamId, StreamSettings, Tick};
use opentelemetry::Context;
use service_kit::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use stream_lifecycle::{Action, Memory, Policy, Source, StartFailure, State, StreamLifecycle};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

/// A stream is remembered for this long after a hook: another one of the same visit may follow it.
const HOOKS_SPREAD: Duration = Duration::from_secs(5);

/// What all stream tasks share.
#[derive(Debug)]
pub struct Shared {
    /// Numbers of the lifecycle.
    pub policy: Policy,
    /// Settings of a stream that says nothing else.
    pub settings: StreamSettings,
    /// Who runs workers.
    pub worker_mode: WorkerMode,
    /// media-edge.
    pub edge: EdgeClient,
    /// MediaMTX.
    pub mediamtx: MediaMtxClient,
    /// What is counted.
    pub metrics: Metrics,
    /// The one clock.
    pub clock: Clock,
    /// Keeps what outlives this process.
    pub keeper: Keeper,
    /// Hears every change of every stream.
    pub changes: broadcast::Sender<Stream>,
}

/// Facts and orders for one stream.
#[derive(Debug)]
pub enum StreamInput {
    /// A hook says that a publisher is there.
    Ready(Hook),
    /// A hook says that a publisher is gone.
    NotReady {
        /// Which one.
        source_id: String,
        /// Correlation id.
        request_id: String,
    },
    /// A hook says whether the dubbed output is there.
    Output {
        /// Whether it is.
        is_there: bool,
    },
    /// MediaMTX's listing.
    Observed {
        /// When it was asked for.
        asked_at: Tick,
        /// The publisher.
        seen: Option<Source>,
        /// Whether the dubbed output is there.
        output: bool,
    },
    /// media-edge does not answer.
    EdgeLost,
    /// media-edge's listing.
    Workers {
        /// When it was asked for.
        asked_at: Tick,
        /// The worker of this stream.
        seen: Option<Box<SeenWorker>>,
    },
    /// The worker of this stream has changed.
    WorkerChanged(SeenWorker),
    /// An operator wants a worker.
    OperatorStart(Option<wire::StreamSettings>, OrderReply),
    /// An operator wants no worker.
    OperatorStop(OrderReply),
}

/// Owns one stream.
pub struct StreamTask {
    id: StreamId,
    shared: Arc<Shared>,
    mailbox: mpsc::Receiver<StreamInput>,
    lifecycle: StreamLifecycle,
    jobs: JoinSet<Done>,
    /// Orders that wait for the call before them. The lifecycle gives few, and none twice.
    calls: VecDeque<Action>,
    is_calling: bool,
    /// The source whose query is being asked for.
    asking: Option<String>,
    /// The source whose query nobody could tell; its hook may still do so before the next listing.
    unexplained: Option<String>,
    /// Query of the newest publisher, with its source id.
    query: Option<(String, String)>,
    /// Settings that an operator gave for the next run.
    ordered: Option<wire::StreamSettings>,
    /// The run that has its settings, and these.
    run_settings: Option<(RunId, StreamSettings)>,
    /// The newest worker whose stop was ordered.
    stopped: Option<(RunId, u32)>,
    /// What is kept of it on the disk.
    kept: Option<Memory>,
    /// Correlation id of the newest hook.
    request_id: String,
    /// When the newest hook came.
    hook_at: Option<Tick>,
    /// The trace of a start that is under way.
    trace: Option<Context>,
    output: bool,
    view: view::Publisher,
}

/// Runs until the registry lets go of it.
pub async fn run(mut task: StreamTask) -> StreamId {
    task.settle();
    loop {
        let due = task.lifecycle.poll_timeout();
        let wake_at = task.shared.clock.instant(due.map_or(0, Tick::nanos));
        tokio::select! {
            input = task.mailbox.recv() => match input {
                Some(input) => {
                    task.view.handled = task.view.handled.saturating_add(1);
                    task.take(input);
                }
                None => return task.id,
            },
            Some(done) = task.jobs.join_next() => match done {
                Ok(done) => task.finish(done),
                Err(error) => task.give_up_call(&error),
            },
            () = tokio::time::sleep_until(wake_at.into()), if due.is_some() => {
                let now = task.now();
                task.lifecycle.handle_timeout(now);
            }
        }
        task.settle();
    }
}

impl StreamTask {
    /// A task that does not run yet, and how its stream is seen from outside. `kept` is what a process before this one
    /// knew of it.
    pub fn new(
        id: StreamId,
        shared: Arc<Shared>,
        mailbox: mpsc::Receiver<StreamInput>,
        kept: Option<Memory>,
    ) -> (Self, watch::Receiver<View>) {
        let mut lifecycle = match kept.clone() {
            Some(memory) => StreamLifecycle::recall(shared.policy.clone(), memory),
            None => StreamLifecycle::new(shared.policy.clone()),
        };
        if shared.worker_mode == WorkerMode::External {
            // Nobody lists workers then: each order counts as carried out.
            let now = Tick::from_nanos(shared.clock.now());
            lifecycle.handle_edge_back(now, now, None);
        }
        let (view, rx) = view::Publisher::new(&id, &shared);
        let task = Self {
            id,
            shared,
            mailbox,
            lifecycle,
            jobs: JoinSet::new(),
            calls: VecDeque::new(),
            is_calling: false,
            asking: None,
            unexplained: None,
            query: None,
            ordered: None,
            run_settings: None,
            stopped: None,
            kept,
            request_id: String::new(),
            hook_at: None,
            trace: None,
            output: false,
            view,
        };
        (task, rx)
    }

    fn now(&self) -> Tick {
        Tick::from_nanos(self.shared.clock.now())
    }

    fn take(&mut self, input: StreamInput) {
        let now = self.now();
        match input {
            StreamInput::Ready(hook) => {
                self.hook_at = Some(now);
                self.ready(hook);
            }
            StreamInput::NotReady {
                source_id,
                request_id,
            } => {
                self.hook_at = Some(now);
                self.request_id = request_id;
                self.lifecycle.handle_publisher_gone(now, &source_id);
            }
            StreamInput::Output { is_there } => self.output = is_there,
            StreamInput::Observed {
                asked_at,
                seen,
                output,
            } => {
                self.output = output;
                self.observed(now, asked_at, seen);
            }
            StreamInput::EdgeLost => self.lifecycle.handle_edge_lost(now),
            StreamInput::Workers { asked_at, seen } => self.listed(now, asked_at, seen),
            StreamInput::WorkerChanged(seen) => self.worker_changed(now, &seen),
            StreamInput::OperatorStart(settings, reply) => {
                self.operator("start");
                self.ordered = settings.or(self.ordered.take());
                self.lifecycle.handle_operator_start(now, new_run_id(&self.id));
                self.settle();
                // An operator who has hung up has no need of the answer.
                let _ = reply.send(Ok(self.view.stream()));
            }
            StreamInput::OperatorStop(reply) => {
                self.operator("stop");
                self.lifecycle.handle_operator_stop(now);
                self.settle();
                let _ = reply.send(Ok(self.view.stream()));
            }
        }
    }

    fn operator(&self, order: &str) {
        tracing::info!(stream_id = %self.id, order, "operator's order");
    }

    fn listed(&mut self, now: Tick, asked_at: Tick, seen: Option<Box<SeenWorker>>) {
        if let Some(gone) = seen.as_ref().filter(|seen| seen.exited) {
            self.worker_changed(now, gone);
        }
        let running = seen.filter(|seen| !seen.exited);
        if let Some(seen) = &running
            && self
                .run_settings
                .as_ref()
                .is_none_or(|(run, _)| *run != seen.worker.run)
            && let Ok(settings) = settings_from_wire(seen.settings.as_ref(), &self.shared.settings)
        {
            self.run_settings = Some((seen.worker.run.clone(), settings));
        }
        self.lifecycle
            .handle_edge_back(now, asked_at, running.map(|seen| seen.worker));
    }

    fn worker_changed(&mut self, now: Tick, seen: &SeenWorker) {
        let worker = &seen.worker;
        if seen.exited {
            if self.lifecycle.run() == Some((&worker.run, worker.epoch)) {
                self.view.cause.clone_from(&seen.detail);
                tracing::info!(
                    stream_id = %self.id, run_id = %worker.run, epoch = worker.epoch, exit_code = seen.exit_code,
                    detail = seen.detail, "worker exited"
                );
            }
            self.lifecycle
                .handle_worker_exited(now, &worker.run, worker.epoch, seen.exit_code);
        } else {
            let last = worker.last_fragment_seq;
            self.lifecycle
                .handle_worker_report(now, &worker.run, worker.epoch, worker.phase, last);
        }
    }

    fn finish(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Described { source, hook } => self.described(now, source, *hook),
            Done::Asked {
                asked_at,
                source,
                query,
            } => self.asked(now, asked_at, source, query),
            Done::Started { run, epoch, outcome } => {
                self.is_calling = false;
                self.started(now, &run, epoch, outcome);
            }
            Done::Stopped(outcome) => {
                self.is_calling = false;
                if let Err(status) = outcome {
                    self.call_failed("stop", &status);
                }
            }
            Done::Updated(outcome) => {
                self.is_calling = false;
                if let Err(status) = outcome {
                    self.call_failed("update source", &status);
                    self.lifecycle.handle_source_update_failed(now);
                }
            }
        }
    }

    fn started(
        &mut self,
        now: Tick,
        run: &RunId,
        epoch: u32,
        outcome: Result<(), (StartFailure, tonic::Status)>,
    ) {
        let trace = self.trace.take().unwrap_or_default();
        let _inside = trace.attach();
        let (stream_id, request_id) = (&self.id, &self.request_id);
        match outcome {
            Ok(()) => {
                tracing::info!(%stream_id, run_id = %run, epoch, request_id, "worker started");
                self.view.cause.clear();
                self.lifecycle.handle_worker_started(now, run, epoch);
            }
            Err((failure, status)) => {
                let error = status.message();
                tracing::warn!(%stream_id, run_id = %run, epoch, request_id, ?failure, error, "worker not started");
                error.clone_into(&mut self.view.cause);
                self.lifecycle
                    .handle_worker_start_failed(now, run, epoch, failure);
            }
        }
    }

    fn call_failed(&self, call: &str, status: &tonic::Status) {
        tracing::warn!(stream_id = %self.id, call, error = status.message(), "call to media-edge failed");
    }

    /// A job of ours died: nobody knows what it did.
    fn give_up_call(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(stream_id = %self.id, %error, "job failed");
        self.asking = None;
        self.is_calling = false;
        let now = self.now();
        if let Some((run, epoch)) = self.lifecycle.run().map(|(run, epoch)| (run.clone(), epoch)) {
            self.lifecycle
                .handle_worker_start_failed(now, &run, epoch, StartFailure::Unanswered);
        }
    }

    /// Carries out what the lifecycle orders and shows how things stand.
    fn settle(&mut self) {
        while let Some(action) = self.lifecycle.poll_output() {
            self.count(&action);
            if self.shared.worker_mode == WorkerMode::External {
                self.announce(action);
            } else if !self.calls.contains(&action) {
                self.calls.push_back(action);
            }
        }
        let memory = self.lifecycle.memory();
        if memory != self.kept {
            self.shared.keeper.keep(&self.id, memory.clone());
            self.kept = memory;
        }
        if !self.is_calling
            && let Some(action) = self.calls.pop_front()
        {
            self.is_calling = true;
            self.call(action);
        }
        // A start that was asked for and is not under way now will not come: its trace ends.
        let is_starting = self.lifecycle.state() == State::Starting;
        self.trace = self.trace.take().filter(|_| is_starting);
        let settings = match (&self.run_settings, self.lifecycle.run()) {
            (Some((run, settings)), Some((current, _))) if run == current => settings,
            (Some(_) | None, Some(_) | None) => &self.shared.settings,
        };
        let now = self.now();
        let is_quiet = self.hook_at.is_none_or(|at| at.after(HOOKS_SPREAD) <= now);
        let is_forgettable = self.lifecycle.is_forgettable()
            && self.ordered.is_none()
            && self.unexplained.is_none()
            && self.jobs.is_empty()
            && is_quiet;
        self.view.show(
            &self.lifecycle,
            settings,
            self.output,
            is_forgettable,
            &self.request_id,
        );
    }

    fn count(&mut self, action: &Action) {
        match action {
            Action::StartWorker { epoch, .. } => {
                self.shared.metrics.worker_starts.inc();
                if 1 < *epoch {
                    self.shared.metrics.worker_restarts.inc();
                }
            }
            Action::StopWorker { run, .. } => {
                // A stop may be said more than once; a worker is stopped once.
                let worker = self.lifecycle.run().map(|(_, epoch)| (run.clone(), epoch));
                if self.stopped != worker {
                    self.shared.metrics.worker_stops.inc();
                    self.stopped = worker;
                }
            }
            Action::UpdateSource { .. } => {}
        }
    }
}

/// A new id, sortable by time.
fn new_run_id(stream_id: &StreamId) -> RunId {
    let id = uuid::Uuid::now_v7().to_string();
    // A UUID is a valid id; the type cannot know that.
    RunId::new(id).unwrap_or_else(|error| service_kit::fatal!(%stream_id, %error, "a uuid is no run id"))
}
