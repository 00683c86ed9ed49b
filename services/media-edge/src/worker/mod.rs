//! The keeper of the air: one stream per process.
//!
//! One thread owns all of it ([`run`]): what has arrived, the hold, the air plan, the mix and the output. Whatever
//! blocks lives elsewhere and sends events through one bounded queue: the frames of ingest (a thread), orders (a
//! thread), the session with the dubber (a task), the encoder and the output (GStreamer's threads). The loop never
//! waits for anybody: towards ingest a full queue is back-pressure, everywhere else what does not fit is shed by a
//! written rule and counted.
mod air;
mod dub_link;
mod event;
mod hearing;
mod ingest_child;
mod publish;
mod reports;
mod run;
mod traces;

use crate::{
    config::WorkerConfig,
    link::lines::{Order, Start},
};
use anyhow::{Context, Result, bail};
use event::WorkerEvent;
use service_kit::{
    exit::code,
    telemetry::{self, Identity, LogStream},
};
use std::{io::BufRead, sync::mpsc::sync_channel};

/// Runs a worker whose orders come on standard input; returns the exit code of the process.
pub fn run(config: WorkerConfig) -> i32 {
    let start = match first_order() {
        Ok(start) => start,
        Err(error) => {
            report_early(&error);
            return i32::from(code::CONFIG);
        }
    };
    match serve_run(config, start) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "worker failed");
            report_early(&error);
            i32::from(service_kit::exit::code_of(&error))
        }
    }
}

/// There is no telemetry yet, or no more: the parent passes standard error on.
#[allow(clippy::print_stderr)]
fn report_early(error: &anyhow::Error) {
    eprintln!("worker: {error:#}");
}

fn first_order() -> Result<Start> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("no order on standard input")?;
    match serde_json::from_str(&line).context("first order is not understood")? {
        Order::Start(start) => Ok(*start),
        Order::UpdateSource(_) | Order::SetAir { .. } | Order::Stop { .. } => {
            bail!("first order is not `start`")
        }
    }
}

fn serve_run(config: WorkerConfig, start: Start) -> Result<i32> {
    // The network's work is small: one thread carries it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("worker-net")
        .enable_all()
        .build()
        .context("no runtime")?;
    let identity = Identity {
        service: "media-edge",
        instance_id: start.instance_id.clone(),
        stream_id: Some(start.stream_id.to_string()),
        run_id: Some(start.run_id.to_string()),
    };
    let guard = runtime.enter();
    let telemetry = telemetry::init(&config.telemetry, &identity, LogStream::Stderr)?;
    crate::gst::init()?;
    let (events, queue) = sync_channel::<WorkerEvent>(event::QUEUE);
    let code = run::Worker::new(config, start, events, &runtime).map(|worker| worker.run(&queue));
    drop(guard);
    runtime.block_on(telemetry.shutdown());
    runtime.shutdown_background();
    code
}
