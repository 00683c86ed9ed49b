//! How a stream is seen from outside: by the registry, by operators, in logs and metrics.
use super::Shared;
use dub_proto::convert::{settings_to_wire, timestamp_to_wire};
use dub_proto::orchestrator::v1::{Stream, StreamState};
use media_types::{StreamId, StreamSettings, Tick};
use std::sync::Arc;
use stream_lifecycle::{State, StreamLifecycle};
use tokio::sync::watch;

/// A stream as it stands.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// For operators.
    pub stream: Stream,
    /// Whether it counts against the limit of workers.
    pub is_active: bool,
    /// Whether nothing is lost when it is forgotten.
    pub is_forgettable: bool,
    /// Inputs that it has taken.
    pub handled: u64,
}

/// Publishes the view, and says and counts what has changed.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    view_tx: watch::Sender<View>,
    stream_id: String,
    state: State,
    changed_at: Tick,
    is_working: bool,
    is_degraded: bool,
    grace_until: Option<Tick>,
    failures: u64,
    /// What the edge or the worker said about the newest failure.
    pub(super) cause: String,
    pub(super) handled: u64,
}

impl Publisher {
    pub(super) fn new(id: &StreamId, shared: &Arc<Shared>) -> (Self, watch::Receiver<View>) {
        let (view_tx, rx) = watch::channel(View {
            stream: Stream {
                stream_id: id.to_string(),
                state: StreamState::Idle.into(),
                ..Stream::default()
            },
            ..View::default()
        });
        let publisher = Self {
            shared: Arc::clone(shared),
            view_tx,
            stream_id: id.to_string(),
            state: State::Idle,
            changed_at: Tick::from_nanos(shared.clock.now()),
            is_working: false,
            is_degraded: false,
            grace_until: None,
            failures: 0,
            cause: String::new(),
            handled: 0,
        };
        (publisher, rx)
    }

    pub(super) fn stream(&self) -> Stream {
        self.view_tx.borrow().stream.clone()
    }

    pub(super) fn show(
        &mut self,
        lifecycle: &StreamLifecycle,
        settings: &StreamSettings,
        output: bool,
        is_forgettable: bool,
        request_id: &str,
    ) {
        self.say(lifecycle, request_id);
        self.tally(lifecycle);
        let stream = self.stream_of(lifecycle, settings, output);
        let is_changed = self.view_tx.borrow().stream != stream;
        if is_changed {
            // Nobody may be watching.
            let _ = self.shared.changes.send(stream.clone());
        }
        let is_active = lifecycle.is_active();
        self.view_tx.send_replace(View {
            stream,
            is_active,
            is_forgettable,
            handled: self.handled,
        });
    }

    fn say(&mut self, lifecycle: &StreamLifecycle, request_id: &str) {
        let (run_id, epoch) = lifecycle
            .run()
            .map_or((String::new(), 0), |(run, epoch)| (run.to_string(), epoch));
        let source_id = lifecycle.source().map_or("", |source| source.source_id.as_str());
        let (stream_id, detail) = (&self.stream_id, lifecycle.detail());
        let state = lifecycle.state();
        if state != self.state {
            let (from, to) = (self.state.as_str(), state.as_str());
            tracing::info!(
                stream_id,
                run_id,
                epoch,
                source_id,
                request_id,
                from,
                to,
                detail,
                "stream changed state"
            );
            self.changed_at = Tick::from_nanos(self.shared.clock.now());
        }
        if lifecycle.is_degraded() && !self.is_degraded {
            tracing::error!(
                stream_id,
                run_id,
                epoch,
                source_id,
                request_id,
                detail,
                cause = self.cause,
                "stream is degraded until its next publisher or an operator's start"
            );
        }
        if lifecycle.grace_until() != self.grace_until {
            let grace_ms = lifecycle
                .grace_until()
                .map(|_| self.shared.policy.grace.as_millis());
            match grace_ms {
                Some(grace_ms) => {
                    tracing::info!(stream_id, run_id, request_id, grace_ms, "grace period began")
                }
                None => tracing::info!(stream_id, run_id, source_id, request_id, "grace period ended"),
            }
        }
        self.state = state;
        self.grace_until = lifecycle.grace_until();
    }

    fn tally(&mut self, lifecycle: &StreamLifecycle) {
        let metrics = &self.shared.metrics;
        let is_working = matches!(self.state, State::Starting | State::Running | State::Stopping);
        match (self.is_working, is_working) {
            (false, true) => drop(metrics.active_workers.inc()),
            (true, false) => drop(metrics.active_workers.dec()),
            (true, true) | (false, false) => {}
        }
        match (self.is_degraded, lifecycle.is_degraded()) {
            (false, true) => drop(metrics.degraded_streams.inc()),
            (true, false) => drop(metrics.degraded_streams.dec()),
            (true, true) | (false, false) => {}
        }
        let failures = lifecycle.failures_total();
        metrics
            .worker_failures
            .inc_by(failures.saturating_sub(self.failures));
        self.failures = failures;
        self.is_working = is_working;
        self.is_degraded = lifecycle.is_degraded();
    }

    fn stream_of(&self, lifecycle: &StreamLifecycle, settings: &StreamSettings, output: bool) -> Stream {
        let wall = |at: Tick| timestamp_to_wire(self.shared.clock.wall(at.nanos()));
        let (run_id, epoch) = lifecycle
            .run()
            .map_or((String::new(), 0), |(run, epoch)| (run.to_string(), epoch));
        let source = lifecycle.source().cloned().unwrap_or_default();
        let state = match self.state {
            State::Idle => StreamState::Idle,
            State::Starting => StreamState::Starting,
            State::Running => StreamState::Running,
            State::Stopping => StreamState::Stopping,
            State::Stopped => StreamState::Stopped,
        };
        let detail = match lifecycle.detail() {
            detail if lifecycle.is_degraded() && !self.cause.is_empty() => {
                format!("{detail}: {}", self.cause)
            }
            detail => detail.to_owned(),
        };
        Stream {
            stream_id: self.stream_id.clone(),
            state: state.into(),
            run_id,
            epoch,
            want_worker: lifecycle.want_worker(),
            want_forwarder: false,
            publishing: lifecycle.source().is_some(),
            source_id: source.source_id,
            source_type: source.source_type,
            degraded: lifecycle.is_degraded(),
            restarts_total: lifecycle.restarts_total(),
            changed_at: Some(wall(self.changed_at)),
            grace_until: lifecycle.grace_until().map(wall),
            settings: Some(settings_to_wire(settings)),
            detail,
            output_available: output,
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.is_working {
            self.shared.metrics.active_workers.dec();
        }
        if self.is_degraded {
            self.shared.metrics.degraded_streams.dec();
        }
    }
}
