//! One dub session: what is heard, what is under way, what is answered, in order.
//!
//! * [`input`] is where a peer's bytes become facts; [`intake`] puts them together to fragments.
//! * [`ledger`] knows every fragment that has no settlement on the wire yet, and releases them in order.
//! * [`task`] owns all of it, and one provider; nothing of a session is shared but its [`crate::directory`] view.
//! * [`live`] is the other kind of session: its provider hears the source as it comes, and answers as it goes.
mod entry;
pub mod input;
pub mod intake;
pub mod ledger;
pub mod live;

pub mod reply;
mod settle;
pub mod task;
pub mod trace;

use media_types::{MediaTime, RunId, StreamId};
use std::time::Duration;

/// Who a session is, on every line of its log and every span of its fragments.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Id of the session.
    pub session_id: String,
    /// The programme.
    pub stream_id: StreamId,
    /// Live session of the programme.
    pub run_id: RunId,
    /// The how-manieth worker of the run.
    pub epoch: u32,
}

/// What a session waits for, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An answer that takes longer is said.
    pub soft_budget: Duration,
    /// An answer that takes longer has failed.
    pub hard_budget: Duration,
    /// Source speech at the provider at once.
    pub in_flight: MediaTime,
    /// What is under way at the begin of a drain may take so long.
    pub drain: Duration,
}
