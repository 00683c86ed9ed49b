//! What the edge says about workers, and what that means.
use super::{Run, StreamLifecycle, Worker};
use crate::publisher::Presence;
use crate::{RunningWorker, WorkerPhase};
use media_types::Tick;

/// Exit code of a worker whose job can never succeed.
const EXIT_CONFIG: i32 = 64;

impl StreamLifecycle {
    pub(super) fn confirm(&mut self, now: Tick, said: WorkerPhase) {
        match &mut self.worker {
            Worker::Starting { source } => {
                let told = Some(source.clone());
                self.worker = Worker::Running {
                    since: now,
                    told,
                    phase: said,
                };
                self.detail = "worker runs";
            }
            Worker::Doubtful { .. } => {
                self.worker = Worker::Running {
                    since: now,
                    told: None,
                    phase: said,
                };
                self.detail = "worker runs";
            }
            // The answer to a start can come after the first report: it never takes a phase back.
            Worker::Running { phase, .. } if said != WorkerPhase::Starting => *phase = said,
            Worker::Stopping { acknowledged, .. } => *acknowledged |= said == WorkerPhase::Draining,
            Worker::Running { .. } | Worker::Absent | Worker::Waiting { .. } => {}
        }
    }

    pub(super) fn listed(&mut self, now: Tick, asked_at: Tick, worker: RunningWorker) {
        let same = self.is_current(&worker.run, worker.epoch);
        if same {
            self.note_fragment(worker.last_fragment_seq);
        }
        match &self.worker {
            Worker::Absent | Worker::Waiting { .. } | Worker::Doubtful { .. } => self.adopt(now, worker),
            // Its answer is still under way, and will say what to think of another worker.
            Worker::Starting { .. } if !same => {}
            Worker::Running { since, .. } | Worker::Stopping { since, .. } if !same => {
                if *since <= asked_at {
                    self.adopt(now, worker);
                }
            }
            Worker::Starting { .. } | Worker::Running { .. } | Worker::Stopping { .. } => {
                self.confirm(now, worker.phase);
            }
        }
    }

    pub(super) fn unlisted(&mut self, now: Tick, asked_at: Tick, was_up: bool) {
        match &self.worker {
            Worker::Doubtful { since } if *since <= asked_at => {
                self.lose_worker(now, was_up, "the start did not happen");
            }
            Worker::Running { since, .. } | Worker::Stopping { since, .. } if *since <= asked_at => {
                self.exited(now, None, was_up);
            }
            Worker::Doubtful { .. } | Worker::Running { .. } | Worker::Stopping { .. } => {}
            Worker::Absent | Worker::Waiting { .. } | Worker::Starting { .. } => {}
        }
    }

    fn adopt(&mut self, now: Tick, worker: RunningWorker) {
        if self.run.as_ref().is_none_or(|run| run.id != worker.run) {
            self.restarts_total = worker.epoch.saturating_sub(1);
            self.run = Some(Run {
                id: worker.run,
                epoch: 0,
                last_fragment_seq: None,
            });
        }
        if let Some(run) = &mut self.run {
            run.epoch = worker.epoch;
        }
        self.note_fragment(worker.last_fragment_seq);
        self.degraded = false;
        self.recalled = false;
        self.detail = "worker was running already";
        self.publisher.remember(&worker.source.source_id);
        if *self.publisher.presence() == Presence::Absent && self.grace_until.is_none() {
            self.grace_until = Some(now.after(self.policy.grace));
        }
        self.worker = Worker::Running {
            since: now,
            told: Some(worker.source),
            phase: worker.phase,
        };
    }

    /// `counted` is false when the edge itself was away: that is not the worker's failure.
    pub(super) fn exited(&mut self, now: Tick, code: Option<i32>, counted: bool) {
        self.gone = self.run.as_ref().map(|run| (run.id.clone(), run.epoch));
        if matches!(self.worker, Worker::Stopping { .. }) {
            self.end_run(now);
            return;
        }
        self.failures_total = self.failures_total.saturating_add(1);
        if code == Some(EXIT_CONFIG) {
            self.degrade("the worker refused its job");
        } else {
            self.lose_worker(now, counted, "the worker is gone");
        }
    }

    pub(super) fn lose_worker(&mut self, now: Tick, counted: bool, detail: &'static str) {
        self.worker = Worker::Absent;
        self.detail = detail;
        if self.publisher.source().is_none() || !self.want_worker() {
            return;
        }
        let wait = if counted {
            self.restarts.take(now, &self.policy)
        } else {
            Some(Default::default())
        };
        match wait {
            Some(wait) => {
                self.worker = Worker::Waiting {
                    until: now.after(wait),
                }
            }
            None => self.degrade("the worker failed too often"),
        }
    }
}
