//! One dub session of one stream with Gemini Live, over as many connections as it takes.
//!
//! [`Session`] promises:
//! - every sample of source speech is heard by the provider once, or again on a later connection after a
//!   [`Supersession`] has said so, or is counted as dropped; a rotation loses and doubles nothing;
//! - every piece of returned speech names its connection and the earliest and latest source instant that it can
//!   answer, and pieces leave in the order of the source, whatever the connections do;
//! - settlements leave in the order of fragments, each exactly once;
//! - nothing is concluded from a connection that merely opened: failures are forgotten when the model says something;
//! - expected ends never feed the breaker; a refused key stops at once, with its remedy, and is never tried again.
//!
//! It demands: `now` never runs backwards, [`Session::poll_output`] is drained after every call, every
//! [`Output::Send`] is answered by one [`Input::MessageWritten`] once the socket has taken it, and
//! [`Session::handle_timeout`] is called at [`Session::poll_timeout`].
#![deny(missing_docs)]

mod breaker;
mod config;
mod ears;
mod feed;
mod fragments;
mod leg;
mod session;
mod setup;
mod types;
mod usage;
mod windows;

pub use config::{
    Backoff, BreakerConfig, Config, ConfigError, Dialogue, Family, Lifetimes, Pace, Translate, Watchdogs,
};
pub use session::Session;
pub use types::{
    BreakerState, Cause, ConnectionId, Event, FragmentError, Input, Outcome, Output, Settlement, Side,
    Speech, State, Supersession, Text, View, Watchdog,
};
pub use usage::{Direction, Price, PriceTable, Usage};
