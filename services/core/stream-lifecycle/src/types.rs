//! What goes in and out of the machine.
use media_types::{FragmentSeq, RunId};
use std::time::Duration;

/// Numbers that the machine goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a run waits for its publisher to come back.
    pub grace: Duration,
    /// Restarts of a worker within `restart_window`; one more makes the stream degraded.
    pub restarts_max: usize,
    /// Window over which restarts are counted.
    pub restart_window: Duration,
    /// Wait before the second restart; the first is immediate, each later one waits twice as long.
    pub backoff_min: Duration,
    /// Longest wait before a restart.
    pub backoff_max: Duration,
    /// How often an unanswered stop is said again.
    pub stop_resend: Duration,
    /// How long a worker may play out what it holds before it is stopped at once. Longer than the longest hold.
    pub drain_max: Duration,
    /// How long a stopped stream is remembered.
    pub forget_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            restarts_max: 6,
            restart_window: Duration::from_secs(600),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            stop_resend: Duration::from_secs(2),
            drain_max: Duration::from_secs(75),
            forget_after: Duration::from_secs(600),
        }
    }
}

/// A publisher as MediaMTX knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Id of the publisher's connection; every connection has its own.
    pub source_id: String,
    /// Kind of the connection, for example `rtmpConn`.
    pub source_type: String,
    /// Codec names of its tracks; empty when not known.
    pub tracks: Vec<String>,
}

/// Where a worker stands by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerPhase {
    /// The process runs, the source is not connected yet.
    Starting,
    /// The source is connected.
    Running,
    /// The source is gone; what is held plays on.
    SourceLost,
    /// What is held plays out, then the worker ends.
    Draining,
}

/// A worker that the edge has for this stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningWorker {
    /// Its run.
    pub run: RunId,
    /// The how-manieth worker of the run.
    pub epoch: u32,
    /// Where it stands.
    pub phase: WorkerPhase,
    /// Number of its newest fragment.
    pub last_fragment_seq: FragmentSeq,
    /// The source that it was last told of.
    pub source: Source,
}

/// Why a start did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFailure {
    /// Refused; the same start may succeed later.
    Retryable,
    /// Refused; the same start will always be refused.
    Final,
    /// Refused because the edge has a worker of this stream already.
    Conflict,
    /// No answer: the worker may run or not.
    Unanswered,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing runs, nothing should, nothing is remembered.
    Idle,
    /// A worker is being started, or waits for its restart.
    Starting,
    /// A worker runs.
    Running,
    /// The worker is being stopped.
    Stopping,
    /// The worker is gone.
    Stopped,
}

impl State {
    /// One word, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// What of a stream survives the death of whoever runs its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The publisher that was there last.
    pub source_id: String,
    /// The run that had not ended.
    pub run: Option<RememberedRun>,
    /// Whether an operator's stop was in force.
    pub halted: bool,
}

/// A run that had not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedRun {
    /// Its id.
    pub id: RunId,
    /// The how-manieth worker it had come to.
    pub epoch: u32,
    /// No fragment had a higher number, as far as was told.
    pub last_fragment_seq: FragmentSeq,
}

/// An order to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker.
    StartWorker {
        /// Its run.
        run: RunId,
        /// The how-manieth worker of the run, from 1.
        epoch: u32,
        /// Number that its first fragment gets.
        first_fragment_seq: FragmentSeq,
        /// The source as it is now.
        source: Source,
    },
    /// Stop the worker. May be said more than once.
    StopWorker {
        /// Its run.
        run: RunId,
        /// Whether what is held plays out first.
        drain: bool,
    },
    /// Tell the worker what its source now is.
    UpdateSource {
        /// Its run.
        run: RunId,
        /// The source as it is now.
        source: Source,
    },
}
