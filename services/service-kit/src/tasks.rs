//! Tasks with an owner: every end is seen, and the drain has one order.
//!
//! Drain: hooks run (readiness off) → the token is cancelled → tasks are joined until the deadline → what is left
//! is aborted → the tasks of [`Tasks::spawn_to_the_last`] (the admin endpoints) end. A second signal leaves at once.

use std::collections::HashMap;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::exit::{code, code_of};

type Hook = Box<dyn FnOnce() + Send>;
type Ended = Result<(Id, anyhow::Result<()>), JoinError>;

/// What the end of a task means for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEnd {
    /// The service stops: with the code of the task's error, or with 0 when the task is done.
    StopService,
    /// The end is logged and the service goes on.
    Log,
}

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// Requests to stop, from the system or from a test.
#[derive(Debug)]
pub struct Signals {
    rx: mpsc::Receiver<Signal>,
    exits_process: bool,
    _listener: JoinSet<()>,
}

impl Signals {
    /// Two, because the third request changes nothing.
    const CAPACITY: usize = 2;

    /// Listens for SIGTERM and SIGINT. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (tx, rx) = mpsc::channel(Self::CAPACITY);
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            loop {
                let received = tokio::select! {
                    Some(()) = terminate.recv() => Signal::Terminate,
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    else => return,
                };
                // A full queue already asks for the fastest end; a closed one has no reader left.
                if let Err(mpsc::error::TrySendError::Closed(_)) = tx.try_send(received) {
                    return;
                }
            }
        });
        Ok(Self {
            rx,
            exits_process: true,
            _listener: listener,
        })
    }

    /// Signals that a test sends itself; the second one returns instead of ending the process.
    #[must_use]
    pub fn manual() -> (mpsc::Sender<Signal>, Self) {
        let (tx, rx) = mpsc::channel(Self::CAPACITY);
        (
            tx,
            Self {
                rx,
                exits_process: false,
                _listener: JoinSet::new(),
            },
        )
    }

    /// The next request; never returns when no more can come.
    pub async fn next(&mut self) -> Signal {
        match self.rx.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

struct Entry {
    name: String,
    on_end: OnEnd,
    abort: AbortHandle,
}

/// The tasks of a service, under one owner.
pub struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    entries: HashMap<Id, Entry>,
    last: JoinSet<()>,
    token: CancellationToken,
    hooks: Vec<Hook>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// No task yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            set: JoinSet::new(),
            entries: HashMap::new(),
            last: JoinSet::new(),
            token: CancellationToken::new(),
            hooks: Vec::new(),
        }
    }

    /// Cancelled when the drain begins.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task with a written policy for its end.
    pub fn spawn<F>(&mut self, name: impl Into<String>, on_end: OnEnd, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let abort = self.set.spawn(task);
        self.entries.insert(
            abort.id(),
            Entry {
                name: name.into(),
                on_end,
                abort,
            },
        );
    }

    /// Starts a task that outlives the drain of all others, such as the admin endpoints, and is ended last.
    pub fn spawn_to_the_last<F>(&mut self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.last.spawn(task);
    }

    /// Runs `hook` when the drain begins, before the token is cancelled.
    pub fn on_drain(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.push(Box::new(hook));
    }

    /// Waits for a signal, the token, or the end of a `StopService` task, then drains. Returns the exit code.
    pub async fn run_until_shutdown(mut self, mut signals: Signals, drain: Duration) -> ExitCode {
        let mut exit = self.serve(&mut signals).await;
        tracing::info!(
            drain_ms_max = duration_ms(drain),
            tasks = self.set.len(),
            "draining"
        );
        for hook in self.hooks.drain(..) {
            hook();
        }
        self.token.cancel();
        let deadline = tokio::time::sleep(drain);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                second = signals.next() => return self.leave_at_once(second, signals.exits_process),
                ended = self.set.join_next_with_id() => match ended {
                    Some(ended) => {
                        let own = self.observe(ended).map_or(code::DONE, |(_, own)| own);
                        exit = if exit == code::DONE { own } else { exit };
                    }
                    None => break,
                },
                () = &mut deadline => {
                    self.abort_rest();
                    exit = if exit == code::DONE { code::FAILED } else { exit };
                    break;
                }
            }
        }
        self.last.shutdown().await;
        tracing::info!(exit_code = exit, "stopped");
        ExitCode::from(exit)
    }

    /// Until something ends the service; the exit code so far.
    async fn serve(&mut self, signals: &mut Signals) -> u8 {
        let token = self.token.clone();
        loop {
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(?signal, "signal received");
                    return code::DONE;
                }
                () = token.cancelled() => return code::DONE,
                Some(ended) = self.set.join_next_with_id() => {
                    if let Some((OnEnd::StopService, own)) = self.observe(ended) {
                        return own;
                    }
                }
            }
        }
    }

    /// Logs how a task ended; its policy and the exit code that follows from it.
    fn observe(&mut self, ended: Ended) -> Option<(OnEnd, u8)> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Entry { name, on_end, .. } = self.entries.remove(&id)?;
        let own = match ended {
            Ok((_, Ok(()))) => {
                tracing::debug!(task = name, "task done");
                code::DONE
            }
            Ok((_, Err(error))) => {
                match on_end {
                    OnEnd::StopService => {
                        tracing::error!(task = name, error = format!("{error:#}"), "task failed")
                    }
                    OnEnd::Log => tracing::warn!(task = name, error = format!("{error:#}"), "task failed"),
                }
                code_of(&error)
            }
            Err(error) if error.is_panic() => {
                tracing::error!(task = name, "task panicked");
                code::INTERNAL
            }
            Err(_) => code::DONE,
        };
        match on_end {
            OnEnd::StopService => Some((on_end, own)),
            // Only a service's own tasks decide its exit code.
            OnEnd::Log => Some((on_end, code::DONE)),
        }
    }

    fn abort_rest(&mut self) {
        for entry in self.entries.values() {
            tracing::warn!(task = entry.name, "task did not end in time and is aborted");
            entry.abort.abort();
        }
    }

    fn leave_at_once(mut self, signal: Signal, exits_process: bool) -> ExitCode {
        tracing::warn!(?signal, tasks = self.set.len(), "second signal: leaving at once");
        self.set.abort_all();
        if exits_process {
            crate::telemetry::flush_logs();
            std::process::exit(i32::from(code::FAILED));
        }
        ExitCode::from(code::FAILED)
    }
}

fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
