//! One module per promise: real processes, real sockets, real media, judged by what a reader of `/out` gets.
// What was measured goes to the test's log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod air;
mod bad_input;
mod bypass;
mod dubbing;
mod faults;
mod gemini;
mod inspection;
mod publisher;
mod recording;
mod sound;
mod sources;
mod speech;
mod stack;
