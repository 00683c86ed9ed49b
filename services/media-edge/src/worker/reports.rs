//! Orders from the parent and reports to it, as JSON lines.
use super::event::{Sender, WorkerEvent};
use crate::link::lines::{Order, Report};
use anyhow::{Context, Result};
use std::{
    io::{BufRead, Write},
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
};

/// Reports that may wait for the parent: a few seconds of views. A parent that does not read loses reports, never the air.
const QUEUE: usize = 64;

/// Sends reports without waiting.
pub struct Reports {
    lines: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    /// Reports that the parent did not take.
    pub dropped: u64,
}

impl Reports {
    /// Starts to write to standard output.
    pub fn start() -> Result<Self> {
        let (lines, queue) = sync_channel::<String>(QUEUE);
        let writer = std::thread::Builder::new()
            .name("reports".to_owned())
            .spawn(move || {
                let mut out = std::io::stdout().lock();
                for line in queue {
                    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                        return;
                    }
                }
            })
            .context("no thread for reports")?;
        Ok(Self {
            lines: Some(lines),
            writer: Some(writer),
            dropped: 0,
        })
    }

    /// Sends one report, or counts it as dropped.
    pub fn send(&mut self, report: &Report) {
        let Ok(line) = serde_json::to_string(report) else {
            return;
        };
        match self.lines.as_ref().map(|lines| lines.try_send(line)) {
            Some(Err(TrySendError::Full(_))) => self.dropped += 1,
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) | None => {}
        }
    }

    /// Writes what is left.
    pub fn finish(mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            writer.join().ok();
        }
    }
}

/// Reads orders from standard input until it ends.
pub fn read_orders(events: Sender) -> Result<()> {
    std::thread::Builder::new()
        .name("orders".to_owned())
        .spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str::<Order>(&line) {
                    Ok(order) => {
                        if events.send(WorkerEvent::Order(order)).is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "order is not understood"),
                }
            }
            events.send(WorkerEvent::ParentGone).ok();
        })
        .context("no thread for orders")?;
    Ok(())
}
