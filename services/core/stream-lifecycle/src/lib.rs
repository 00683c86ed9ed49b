//! One live stream: what should run for it, what does run, and the next step from one to the other.
//!
//! [`StreamLifecycle`] promises:
//! - at most one worker: between two [`Action::StartWorker`] there is always the word that the first is gone;
//! - hooks are hints: they may be doubled, missed or out of order, the Control API's listing heals them;
//! - nothing is concluded from silence: while nobody lists publishers or workers, nothing is stopped or started;
//! - a run lives on over worker restarts and over a publisher's return within the grace period;
//! - what [`StreamLifecycle::memory`] tells is all that a later machine needs to go on ([`StreamLifecycle::recall`]).
//!
//! It demands: `now` never runs backwards, [`StreamLifecycle::poll_output`] is drained after every call, and
//! every [`Action`] is carried out in the order given, one at a time, with its outcome handed back.
#![deny(missing_docs)]

mod lifecycle;
mod publisher;
mod restarts;
mod types;

pub use lifecycle::StreamLifecycle;
pub use types::{
    Action, Memory, Policy, RememberedRun, RunningWorker, Source, StartFailure, State, WorkerPhase,
};
