//! The machine of one stream: inputs and steps.
mod edge;
mod memory;
mod view;

use crate::publisher::{Change, Publisher};
use crate::restarts::Restarts;
use crate::{Action, Policy, RunningWorker, Source, StartFailure, WorkerPhase};
use media_types::{FragmentSeq, RunId, Tick};
use std::collections::VecDeque;

/// A killed worker took its count along: its successor begins this far behind the last number that was told.
/// At the shortest fragment that is four minutes of numbers, and numbers are told every second.
const FRAGMENT_SEQ_LEAP: u64 = 1000;

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    epoch: u32,
    last_fragment_seq: Option<FragmentSeq>,
}

#[derive(Clone, Debug)]
enum Worker {
    /// There is none, and none waits to be restarted.
    Absent,
    /// It is gone and comes back at this instant.
    Waiting { until: Tick },
    /// Its start is ordered and not yet answered.
    Starting { source: Source },
    /// Its start was ordered and never answered: only a listing can tell.
    Doubtful { since: Tick },
    /// It runs. `told` is the source that it knows of.
    Running {
        since: Tick,
        told: Option<Source>,
        phase: WorkerPhase,
    },
    /// Its stop is ordered.
    Stopping {
        since: Tick,
        resend_at: Tick,
        acknowledged: bool,
    },
}

/// One live stream.
#[derive(Clone, Debug)]
pub struct StreamLifecycle {
    policy: Policy,
    publisher: Publisher,
    grace_until: Option<Tick>,
    halted: bool,
    degraded: bool,
    edge_up: bool,
    /// A call to the edge failed: the next listing tells how things are.
    edge_doubted: bool,
    worker: Worker,
    run: Option<Run>,
    /// The run comes from a memory, and neither its worker nor its publisher has been seen yet.
    recalled: bool,
    ended: Option<(RunId, u32, Tick)>,
    /// The newest worker that is known to be gone; a listing that was under way meanwhile may still show it.
    gone: Option<(RunId, u32)>,
    next_run: Option<RunId>,
    restarts: Restarts,
    restarts_total: u32,
    failures_total: u64,
    detail: &'static str,
    actions: VecDeque<Action>,
}

/// Inputs.
impl StreamLifecycle {
    /// A stream of which nothing is known. Nothing starts before the first [`Self::handle_edge_back`].
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            publisher: Publisher::new(),
            grace_until: None,
            halted: false,
            degraded: false,
            edge_up: false,
            edge_doubted: false,
            worker: Worker::Absent,
            run: None,
            recalled: false,
            ended: None,
            gone: None,
            next_run: None,
            restarts: Restarts::default(),
            restarts_total: 0,
            failures_total: 0,
            detail: "",
            actions: VecDeque::new(),
        }
    }

    /// A hook says that a publisher is there. `run` is the id of the run that begins if one has to.
    pub fn handle_publisher_appeared(&mut self, now: Tick, source: Source, run: RunId) {
        self.next_run = Some(run);
        let change = self.publisher.appeared(now, source);
        self.apply(now, change);
    }

    /// A hook says that a publisher is gone.
    pub fn handle_publisher_gone(&mut self, now: Tick, source_id: &str) {
        let change = self.publisher.left(now, source_id);
        self.apply(now, change);
    }

    /// A complete listing of the Control API, asked for at `asked_at`, shows this publisher or none.
    pub fn handle_observed(&mut self, now: Tick, asked_at: Tick, seen: Option<Source>, run: RunId) {
        self.next_run = Some(run);
        let change = self.publisher.observed(asked_at, seen);
        self.apply(now, change);
    }

    /// The edge answered a start.
    pub fn handle_worker_started(&mut self, now: Tick, run: &RunId, epoch: u32) {
        if self.is_current(run, epoch) {
            self.confirm(now, WorkerPhase::Starting);
        }
        self.settle(now);
    }

    /// A start did not succeed.
    pub fn handle_worker_start_failed(&mut self, now: Tick, run: &RunId, epoch: u32, failure: StartFailure) {
        if self.is_current(run, epoch) && matches!(self.worker, Worker::Starting { .. }) {
            if matches!(failure, StartFailure::Retryable | StartFailure::Final) {
                self.failures_total = self.failures_total.saturating_add(1);
            }
            match failure {
                StartFailure::Unanswered => {
                    self.edge_up = false;
                    self.worker = Worker::Doubtful { since: now };
                    self.detail = "the edge did not answer the start";
                }
                StartFailure::Conflict => {
                    self.worker = Worker::Doubtful { since: now };
                    self.detail = "the edge has a worker of this stream already";
                }
                StartFailure::Retryable => self.lose_worker(now, true, "the edge refused the start for now"),
                StartFailure::Final => self.degrade("the edge refused the start for good"),
            }
        }
        self.settle(now);
    }

    /// A worker told where it stands.
    pub fn handle_worker_report(
        &mut self,
        now: Tick,
        run: &RunId,
        epoch: u32,
        phase: WorkerPhase,
        last_fragment_seq: FragmentSeq,
    ) {
        if self.is_current(run, epoch) {
            self.note_fragment(last_fragment_seq);
            self.confirm(now, phase);
        }
        self.settle(now);
    }

    /// A worker's process is gone; `code` is absent when nobody saw it go.
    pub fn handle_worker_exited(&mut self, now: Tick, run: &RunId, epoch: u32, code: Option<i32>) {
        if self.is_current(run, epoch) && self.may_run() {
            self.exited(now, code, true);
        }
        self.settle(now);
    }

    /// An operator wants a worker. `run` is the id of the run that begins if one has to.
    pub fn handle_operator_start(&mut self, now: Tick, run: RunId) {
        self.next_run = Some(run);
        self.halted = false;
        self.forgive(now);
        self.settle(now);
    }

    /// An operator wants no worker until the next start or the next publisher.
    pub fn handle_operator_stop(&mut self, now: Tick) {
        self.halted = true;
        self.detail = "stopped by an operator";
        self.settle(now);
    }

    /// The edge does not answer.
    pub fn handle_edge_lost(&mut self, now: Tick) {
        self.edge_up = false;
        self.settle(now);
    }

    /// A complete listing of the edge, asked for at `asked_at`, shows this worker of the stream or none.
    pub fn handle_edge_back(&mut self, now: Tick, asked_at: Tick, listed: Option<RunningWorker>) {
        let was_up = std::mem::replace(&mut self.edge_up, true);
        self.edge_doubted = false;
        match listed {
            Some(worker) if self.is_gone(&worker) => {}
            Some(worker) => self.listed(now, asked_at, worker),
            None => self.unlisted(now, asked_at, was_up),
        }
        self.settle(now);
    }

    /// The worker could not be told of its source.
    pub fn handle_source_update_failed(&mut self, now: Tick) {
        self.edge_doubted = true;
        if let Worker::Running { told, .. } = &mut self.worker {
            *told = None;
        }
        self.settle(now);
    }

    /// The instant of [`Self::poll_timeout`] is reached.
    pub fn handle_timeout(&mut self, now: Tick) {
        if self
            .ended
            .as_ref()
            .is_some_and(|(_, _, at)| at.after(self.policy.forget_after) <= now)
            && self.publisher.source().is_none()
        {
            self.ended = None;
            self.detail = "";
        }
        self.settle(now);
    }
}

/// Steps.
impl StreamLifecycle {
    fn apply(&mut self, now: Tick, change: Change) {
        match change {
            Change::Nothing => {}
            Change::NewSession => {
                self.drop_recalled();
                self.halted = false;
                self.grace_until = None;
                self.forgive(now);
                self.detail = "publisher is there";
            }
            Change::Returned => {
                self.grace_until = None;
                self.detail = "publisher is there";
            }
            Change::Gone => {
                self.drop_recalled();
                if self.run.is_some() {
                    self.grace_until = Some(now.after(self.policy.grace));
                }
                self.detail = "publisher is gone";
            }
        }
        self.settle(now);
    }

    /// Closes the difference between what should run and what runs, as far as that is possible now.
    fn settle(&mut self, now: Tick) {
        if self.grace_until.is_some_and(|until| until <= now) {
            self.grace_until = None;
        }
        match &self.worker {
            Worker::Absent if !self.want_worker() => self.end_run(now),
            Worker::Absent if !self.degraded => self.start(),
            Worker::Absent => {}
            Worker::Waiting { .. } if !self.want_worker() => self.end_run(now),
            Worker::Waiting { until } if *until <= now => self.start(),
            Worker::Waiting { .. } | Worker::Starting { .. } | Worker::Doubtful { .. } => {}
            Worker::Running { .. } if !self.want_worker() => {
                self.worker = Worker::Stopping {
                    since: now,
                    resend_at: now,
                    acknowledged: false,
                };
                self.stop(now);
            }
            Worker::Running { .. } => self.update_source(),
            Worker::Stopping { .. } => self.stop(now),
        }
    }

    fn start(&mut self) {
        let Some(source) = self.publisher.source().cloned().filter(|_| self.can_call()) else {
            return;
        };
        if self.run.is_none() {
            let Some(id) = self.next_run.take() else {
                return;
            };
            self.restarts_total = 0;
            self.run = Some(Run {
                id,
                epoch: 0,
                last_fragment_seq: None,
            });
        }
        let Some(run) = &mut self.run else {
            return;
        };
        self.recalled = false;
        run.epoch = run.epoch.saturating_add(1);
        if run.epoch > 1 {
            self.restarts_total = self.restarts_total.saturating_add(1);
        }
        let first = run
            .last_fragment_seq
            .map_or(0, |last| last.0.saturating_add(FRAGMENT_SEQ_LEAP));
        run.last_fragment_seq = Some(FragmentSeq(first));
        self.actions.push_back(Action::StartWorker {
            run: run.id.clone(),
            epoch: run.epoch,
            first_fragment_seq: FragmentSeq(first),
            source: source.clone(),
        });
        self.detail = "worker is being started";
        self.worker = Worker::Starting { source };
    }

    fn stop(&mut self, now: Tick) {
        let able = self.can_call();
        let (
            Worker::Stopping {
                since,
                resend_at,
                acknowledged,
            },
            Some(run),
        ) = (&mut self.worker, &self.run)
        else {
            return;
        };
        let overdue_at = since.after(self.policy.drain_max);
        let drain = now < overdue_at;
        if !able || now < *resend_at {
            return;
        }
        if !(drain && *acknowledged) {
            self.actions.push_back(Action::StopWorker {
                run: run.id.clone(),
                drain,
            });
        }
        let next = now.after(self.policy.stop_resend);
        *resend_at = if drain && *acknowledged { overdue_at } else { next };
    }

    fn update_source(&mut self) {
        let able = self.can_call();
        let (Worker::Running { told, .. }, Some(source), Some(run)) =
            (&mut self.worker, self.publisher.source(), &self.run)
        else {
            return;
        };
        let knows = told.as_ref().is_some_and(|told| {
            told.source_id == source.source_id && (source.tracks.is_empty() || told.tracks == source.tracks)
        });
        if able && !knows {
            *told = Some(source.clone());
            self.actions.push_back(Action::UpdateSource {
                run: run.id.clone(),
                source: source.clone(),
            });
        }
    }

    fn degrade(&mut self, detail: &'static str) {
        self.worker = Worker::Absent;
        self.degraded = true;
        self.detail = detail;
    }

    /// A new publisher or an operator gives the worker another chance.
    fn forgive(&mut self, now: Tick) {
        self.degraded = false;
        self.restarts.clear();
        if let Worker::Waiting { until } = &mut self.worker {
            *until = now;
        }
    }

    fn end_run(&mut self, now: Tick) {
        self.worker = Worker::Absent;
        self.recalled = false;
        self.grace_until = None;
        self.degraded = false;
        self.restarts.clear();
        if let Some(run) = self.run.take() {
            self.ended = Some((run.id, run.epoch, now));
            self.start_if_wanted();
        }
    }

    /// A publisher that came while the last run was ending gets its own run.
    fn start_if_wanted(&mut self) {
        if self.want_worker() {
            self.start();
        }
    }

    fn note_fragment(&mut self, seq: FragmentSeq) {
        if let Some(run) = &mut self.run {
            run.last_fragment_seq = run.last_fragment_seq.max(Some(seq));
        }
    }

    fn can_call(&self) -> bool {
        self.edge_up && !self.edge_doubted
    }

    fn is_current(&self, run: &RunId, epoch: u32) -> bool {
        self.run
            .as_ref()
            .is_some_and(|current| current.id == *run && current.epoch == epoch)
    }

    fn is_gone(&self, worker: &RunningWorker) -> bool {
        self.gone
            .as_ref()
            .is_some_and(|(run, epoch)| *run == worker.run && worker.epoch <= *epoch)
    }

    fn may_run(&self) -> bool {
        match &self.worker {
            Worker::Absent | Worker::Waiting { .. } => false,
            Worker::Starting { .. }
            | Worker::Doubtful { .. }
            | Worker::Running { .. }
            | Worker::Stopping { .. } => true,
        }
    }
}
