//! What the machine says: orders, its next waking, and how things stand.
use super::{StreamLifecycle, Worker};
use crate::publisher::Presence;
use crate::{Action, Source, State, WorkerPhase};
use media_types::{RunId, Tick};

/// Outputs.
impl StreamLifecycle {
    /// The next order; drain to nothing after every input.
    pub fn poll_output(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Tick> {
        let worker = match &self.worker {
            Worker::Absent | Worker::Starting { .. } | Worker::Doubtful { .. } | Worker::Running { .. } => {
                None
            }
            Worker::Waiting { until } => {
                (self.can_call() && self.publisher.source().is_some()).then_some(*until)
            }
            Worker::Stopping { resend_at, .. } => self.can_call().then_some(*resend_at),
        };
        let forget = match &self.ended {
            Some((_, _, at)) if self.run.is_none() && self.publisher.source().is_none() => {
                Some(at.after(self.policy.forget_after))
            }
            Some(_) | None => None,
        };
        [worker, self.grace_until, forget].into_iter().flatten().min()
    }

    /// Where the stream stands.
    pub fn state(&self) -> State {
        match &self.worker {
            Worker::Running {
                phase: WorkerPhase::Starting,
                ..
            } => State::Starting,
            Worker::Running { .. } => State::Running,
            Worker::Stopping { .. } => State::Stopping,
            Worker::Waiting { .. } | Worker::Starting { .. } | Worker::Doubtful { .. } => State::Starting,
            Worker::Absent if self.degraded => State::Stopped,
            Worker::Absent if self.want_worker() && self.publisher.source().is_some() => State::Starting,
            // Recalled: whether its worker runs will be seen.
            Worker::Absent if self.recalled && self.want_worker() => State::Starting,
            Worker::Absent if self.run.is_some() || self.ended.is_some() => State::Stopped,
            Worker::Absent => State::Idle,
        }
    }

    /// Whether a worker should run.
    pub fn want_worker(&self) -> bool {
        !self.halted
            && match self.publisher.presence() {
                Presence::Present(_) => true,
                Presence::Absent => self.run.is_some() && self.grace_until.is_some(),
                Presence::Unknown => self.run.is_some(),
            }
    }

    /// Whether a worker runs, may run, or should run: what counts against a limit of workers.
    pub fn is_active(&self) -> bool {
        self.run.is_some() || self.want_worker()
    }

    /// The present or last run and the epoch of its newest worker.
    pub fn run(&self) -> Option<(&RunId, u32)> {
        match (&self.run, &self.ended) {
            (Some(run), _) => Some((&run.id, run.epoch)),
            (None, Some((run, epoch, _))) => Some((run, *epoch)),
            (None, None) => None,
        }
    }

    /// The publisher, when one is known to be there.
    pub fn source(&self) -> Option<&Source> {
        self.publisher.source()
    }

    /// Whether the worker failed too often.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// Restarts of the worker in the present or last run.
    pub fn restarts_total(&self) -> u32 {
        self.restarts_total
    }

    /// Workers that went unasked and starts that were refused, since the machine was made.
    pub fn failures_total(&self) -> u64 {
        self.failures_total
    }

    /// Whether a fresh machine would know as much.
    pub fn is_forgettable(&self) -> bool {
        self.state() == State::Idle && self.publisher.source().is_none() && self.memory().is_none()
    }

    /// When the grace period ends, while it runs.
    pub fn grace_until(&self) -> Option<Tick> {
        self.grace_until
    }

    /// Why the stream stands where it stands.
    pub fn detail(&self) -> &'static str {
        self.detail
    }
}
