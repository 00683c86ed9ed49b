//! A stop that cannot hang: the state change to NULL runs in a thread of its own, since a stuck connection blocks it.
use gstreamer::prelude::*;
use gstreamer::{Pipeline, State};
use std::sync::mpsc;
use std::time::Duration;

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The pipeline is in NULL.
    Clean,
    /// The state change failed.
    Failed,
    /// It did not come back in time; its thread is left behind.
    TimedOut,
}

/// Sets `pipeline` to NULL and waits for it `within` a limit.
///
/// After [`Stopped::TimedOut`] the pipeline and its connections may live on until the process ends.
pub fn to_null(pipeline: &Pipeline, within: Duration) -> Stopped {
    let (done_tx, done_rx) = mpsc::sync_channel(1);
    let pipeline = pipeline.clone();
    let spawned = std::thread::Builder::new()
        .name("gst-stop".into())
        .spawn(move || {
            let done = pipeline.set_state(State::Null).is_ok();
            let _ = done_tx.send(done);
        });
    if spawned.is_err() {
        return Stopped::Failed;
    }
    match done_rx.recv_timeout(within) {
        Ok(true) => Stopped::Clean,
        Ok(false) | Err(mpsc::RecvTimeoutError::Disconnected) => Stopped::Failed,
        Err(mpsc::RecvTimeoutError::Timeout) => Stopped::TimedOut,
    }
}
