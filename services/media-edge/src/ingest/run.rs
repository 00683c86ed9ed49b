//! The loop: watches bus and data, decides why and how the process ends.
use super::outlet::Outlet;
use super::wire::{LAST_WORD_WAIT_MAX, Wire};
use super::{Event, IngestOrder, OrderError, Protocol, pull};
use crate::gst::bus::{self, BusEvent};
use crate::gst::stop;
use crate::link::frames::{BusNotice, EndReason, Ended};
use gstreamer::prelude::*;
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// Exit codes, as every program of the house has them.
mod code {
    pub const DONE: i32 = 0;
    pub const CONFIG: i32 = 64;
    pub const UNAVAILABLE: i32 = 69;
    pub const TRY_AGAIN: i32 = 75;
}

/// Events come in handfuls; what does not fit follows an event that already ends the process.
const EVENTS_MAX: usize = 256;
/// Grain of the watchdog.
const TICK: Duration = Duration::from_millis(250);
/// A connection that hangs is left to the kernel.
const STOP_WAIT_MAX: Duration = Duration::from_millis(500);
/// A worker that is dead cannot unblock us.
const ORPHAN_WAIT_MAX: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    code: i32,
    /// `None` when nobody reads any more.
    ended: Option<Ended>,
}

impl Outcome {
    fn new(code: i32, reason: EndReason, message: impl Into<String>) -> Self {
        Self {
            code,
            ended: Some(Ended {
                reason,
                message: message.into(),
            }),
        }
    }

    fn alone() -> Self {
        Self {
            code: code::DONE,
            ended: None,
        }
    }
}

/// Reads the order from standard input and carries it out; the exit code.
pub fn run_from_stdin() -> i32 {
    // A buffer of our own: the order is one line, what follows it is only waited for.
    let mut input = BufReader::new(std::io::stdin());
    let order = match IngestOrder::read(&mut input) {
        Ok(order) => order,
        Err(OrderError::Missing) => return code::DONE,
        Err(error) => {
            tracing::error!(component = "ingest", %error, "order refused");
            return code::CONFIG;
        }
    };
    let (events_tx, events_rx) = mpsc::sync_channel(EVENTS_MAX);
    if let Err(error) = spawn_stdin_watch(input, events_tx.clone()) {
        tracing::error!(component = "ingest", %error, "cannot start a thread");
        return code::TRY_AGAIN;
    }
    carry_out(&order, events_tx, &events_rx)
}

/// Carries out an order whose worker's life is not watched; the exit code.
pub fn run(order: IngestOrder) -> i32 {
    let (events_tx, events_rx) = mpsc::sync_channel(EVENTS_MAX);
    carry_out(&order, events_tx, &events_rx)
}

fn spawn_stdin_watch(
    mut input: impl Read + Send + 'static,
    events: SyncSender<Event>,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut rest = [0_u8; 256];
        while matches!(input.read(&mut rest), Ok(length) if length > 0) {}
        drop(events.try_send(Event::WorkerDied));
        std::thread::sleep(ORPHAN_WAIT_MAX);
        std::process::exit(code::DONE);
    })?;
    Ok(())
}

fn carry_out(order: &IngestOrder, events_tx: SyncSender<Event>, events_rx: &Receiver<Event>) -> i32 {
    let wire = match Wire::from_stdout() {
        Ok(wire) => wire,
        Err(error) => {
            tracing::error!(component = "ingest", %error, "standard output is no socket");
            return code::TRY_AGAIN;
        }
    };
    let aligned = order.protocol == Protocol::Rtsp;
    let outlet = Arc::new(Outlet::new(wire, order.protocol, aligned, events_tx));
    let (outcome, pipeline) = match start(order, &outlet) {
        Ok(pipeline) => (watch(order, &outlet, events_rx), Some(pipeline)),
        Err(error) => {
            let message = format!("cannot build the pipeline: {error:#}");
            (
                Outcome::new(code::TRY_AGAIN, EndReason::PipelineError, message),
                None,
            )
        }
    };
    tracing::info!(component = "ingest", code = outcome.code, ended = ?outcome.ended, "ingest ends");
    if let Some(ended) = outcome.ended {
        say_last_word(&outlet, ended);
    }
    if let Some(pipeline) = pipeline {
        let stopped = stop::to_null(&pipeline, STOP_WAIT_MAX);
        tracing::debug!(component = "ingest", ?stopped, "pipeline stopped");
    }
    outcome.code
}

fn start(order: &IngestOrder, outlet: &Arc<Outlet>) -> anyhow::Result<gstreamer::Pipeline> {
    crate::gst::init()?;
    let pipeline = pull::build(order, outlet)?;
    let teller = outlet.clone();
    bus::watch(&pipeline, "ingest", move |event| teller.tell(Event::Bus(event)));
    // A failed start is told on the bus.
    let _ = pipeline.set_state(gstreamer::State::Playing);
    Ok(pipeline)
}

/// The last word must not wait for ever on a worker that does not read.
fn say_last_word(outlet: &Arc<Outlet>, ended: Ended) {
    let (done_tx, done_rx) = mpsc::sync_channel(1);
    let outlet = outlet.clone();
    let spawned = std::thread::Builder::new()
        .name("last-word".into())
        .spawn(move || {
            outlet.end(ended);
            let _ = done_tx.send(());
        });
    if spawned.is_ok() {
        let _ = done_rx.recv_timeout(LAST_WORD_WAIT_MAX);
    }
}

fn watch(order: &IngestOrder, outlet: &Outlet, events: &Receiver<Event>) -> Outcome {
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                if let Some(outcome) = judge(outlet, event) {
                    return outcome;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Outcome::alone(),
        }
        let idle = outlet.idle_for();
        if idle >= order.no_data_timeout() {
            let message = format!("nothing came for {} ms", idle.as_millis());
            return Outcome::new(code::TRY_AGAIN, EndReason::NoData, message);
        }
    }
}

/// What an event means; `None` goes on.
fn judge(outlet: &Outlet, event: Event) -> Option<Outcome> {
    match event {
        Event::Bus(event) => judge_bus(outlet, event),
        Event::TracksKnown if outlet.has_tracks() => None,
        Event::TracksKnown => Some(unsupported(
            "the source has neither H.264 nor audio that can be decoded".into(),
        )),
        Event::Ignored(caps) => {
            outlet.notice(BusNotice {
                error: false,
                element: "ingest".into(),
                message: format!("no use for {caps}"),
            });
            None
        }
        Event::Unsupported(problem) => Some(unsupported(problem)),
        Event::Broken(problem) => Some(Outcome::new(code::TRY_AGAIN, EndReason::PipelineError, problem)),
        Event::ClockJumped(how) => Some(Outcome::new(code::TRY_AGAIN, EndReason::ClockJump, how)),
        Event::WorkerGone(error) => {
            tracing::warn!(component = "ingest", error, "worker does not read any more");
            Some(Outcome::alone())
        }
        Event::WorkerDied => Some(Outcome::alone()),
    }
}

fn unsupported(problem: String) -> Outcome {
    Outcome::new(code::CONFIG, EndReason::Unsupported, problem)
}

fn judge_bus(outlet: &Outlet, event: BusEvent) -> Option<Outcome> {
    let has_data = outlet.has_data();
    match event {
        BusEvent::EndOfStream if has_data => Some(Outcome::new(
            code::DONE,
            EndReason::SourceGone,
            "the source ended",
        )),
        BusEvent::EndOfStream => Some(Outcome::new(
            code::UNAVAILABLE,
            EndReason::SourceGone,
            "the source is empty",
        )),
        BusEvent::Error { element, message, .. } => {
            outlet.notice(BusNotice {
                error: true,
                element: element.clone(),
                message: message.clone(),
            });
            let message = format!("{element}: {message}");
            Some(match (has_data, element == pull::SOURCE) {
                // Before the first byte of media every error means that there is nothing to pull.
                (false, _) => Outcome::new(code::UNAVAILABLE, EndReason::SourceGone, message),
                (true, true) => Outcome::new(code::DONE, EndReason::SourceGone, message),
                (true, false) => Outcome::new(code::TRY_AGAIN, EndReason::PipelineError, message),
            })
        }
        BusEvent::Warning { element, message } => {
            outlet.notice(BusNotice {
                error: false,
                element,
                message,
            });
            None
        }
        BusEvent::StateChanged { .. } => None,
    }
}
