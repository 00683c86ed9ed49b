//! One worker: owns the child process, its three pipes and the snapshot of it. It ends when the process has ended,
//! and its last message says how.

use super::ladder::{Ladder, Limits, Step};
use super::lines::LineReader;
use super::logs::LogSink;
use super::process;
use super::snapshot::{Exit, Snapshot};
use super::supervisor::{Error, Message};
use crate::link::lines::{Order, Report, Source, Start, StopMode, View};
use crate::metrics::Metrics;
use media_types::{AirState, MediaTime};
use service_kit::exit::code;
use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Orders on their way to one worker: far more than an operator can type before the first is on the pipe. Full means
/// that this task is stuck, and the sender is refused.
pub const COMMANDS_MAX: usize = 16;
/// Bytes that may wait for a child that does not read its pipe.
const OUTGOING_BYTES_MAX: usize = 64 << 10;
/// Switches that may wait for their answer.
const SWITCHES_MAX: usize = 64;
/// What the pipes of an ended process still hold is read within this time; a grandchild may keep them open.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What a worker is asked for.
pub enum Command {
    /// Its source changed.
    UpdateSource(Source),
    /// The operator's switch.
    SetAir {
        /// State to air.
        state: AirState,
        /// Who asks.
        author: String,
        /// Answered by the worker's own word.
        reply: oneshot::Sender<Result<MediaTime, Error>>,
    },
    /// Stop, or stop faster.
    Stop(StopMode),
}

struct Switch {
    state: AirState,
    author: String,
    reply: oneshot::Sender<Result<MediaTime, Error>>,
}

/// The owner of one child.
pub struct Task {
    snapshot: Snapshot,
    child: Child,
    pid: u32,
    stdin: Option<ChildStdin>,
    stdout: LineReader<ChildStdout>,
    stderr: LineReader<ChildStderr>,
    outgoing: Vec<u8>,
    commands_rx: mpsc::Receiver<Command>,
    is_supervised: bool,
    supervisor_tx: mpsc::Sender<Message>,
    logs: LogSink,
    metrics: Metrics,
    limits: Limits,
    ready_timeout: Duration,
    ready_deadline: Option<Instant>,
    missed_ready: Option<String>,
    ladder: Option<Ladder>,
    switches: BTreeMap<u64, Switch>,
    switch_id: u64,
    last_word: Option<String>,
}

/// What a task is built from besides its child.
pub struct Parts {
    /// The worker as it is at its start.
    pub snapshot: Snapshot,
    /// What it is asked for.
    pub commands_rx: mpsc::Receiver<Command>,
    /// Where changes and the end are told.
    pub supervisor_tx: mpsc::Sender<Message>,
    /// Where its log lines go.
    pub logs: LogSink,
    /// What is counted.
    pub metrics: Metrics,
    /// Of the stop ladder.
    pub limits: Limits,
    /// From the start to the connected source.
    pub ready_timeout: Duration,
}

enum Event {
    Command(Option<Command>),
    Report(String),
    Log(String),
    Written(std::io::Result<usize>),
    Deadline,
    Ended(std::io::Result<ExitStatus>),
}

impl Task {
    /// Takes over a child that was just started, and puts its first line on the pipe.
    pub fn new(mut child: Child, parts: Parts) -> Result<Self, Error> {
        let no_pipe = || Error::Spawn("the child has no pipes".to_owned());
        let Parts {
            snapshot,
            commands_rx,
            supervisor_tx,
            logs,
            metrics,
            limits,
            ready_timeout,
        } = parts;
        let mut task = Self {
            pid: child.id().ok_or_else(no_pipe)?,
            stdin: child.stdin.take(),
            stdout: LineReader::new(child.stdout.take().ok_or_else(no_pipe)?),
            stderr: LineReader::new(child.stderr.take().ok_or_else(no_pipe)?),
            child,
            outgoing: Vec::new(),
            commands_rx,
            is_supervised: true,
            supervisor_tx,
            logs,
            metrics,
            limits,
            ready_timeout,
            ready_deadline: Some(Instant::now() + ready_timeout),
            missed_ready: None,
            ladder: None,
            switches: BTreeMap::new(),
            switch_id: 0,
            last_word: None,
            snapshot,
        };
        let start = Order::Start(Box::new((*task.snapshot.start).clone()));
        if task.post(&start) {
            Ok(task)
        } else {
            Err(Error::Spawn("the start is too long for the pipe".to_owned()))
        }
    }

    /// Runs until the process has ended and its end is told.
    pub async fn run(mut self) {
        let ended = loop {
            match self.next().await {
                Event::Command(command) => {
                    self.on_command(command);
                    self.tell_change().await;
                }
                Event::Report(line) => self.on_report(&line).await,
                Event::Log(line) => self.logs.try_line(line),
                Event::Written(Ok(count)) => drop(self.outgoing.drain(..count.min(self.outgoing.len()))),
                Event::Written(Err(error)) => self.on_pipe_broken(&error),
                Event::Deadline => {
                    self.on_deadline();
                    self.tell_change().await;
                }
                Event::Ended(status) => break status,
            }
        };
        self.finish(ended).await;
    }

    async fn next(&mut self) -> Event {
        let deadline = self
            .ladder
            .map_or(self.ready_deadline, |ladder| ladder.deadline());
        let Self {
            child,
            stdin,
            stdout,
            stderr,
            outgoing,
            commands_rx,
            is_supervised,
            ..
        } = self;
        tokio::select! {
            command = commands_rx.recv(), if *is_supervised => Event::Command(command),
            Some(line) = stdout.next(), if stdout.is_open() => Event::Report(line),
            Some(line) = stderr.next(), if stderr.is_open() => Event::Log(line),
            written = write_some(stdin, outgoing), if !outgoing.is_empty() => Event::Written(written),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Event::Deadline,
            status = child.wait() => Event::Ended(status),
        }
    }

    fn on_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::UpdateSource(source)) => {
                self.snapshot.source.clone_from(&source);
                if !self.post(&Order::UpdateSource(source)) {
                    tracing::warn!(stream_id = %self.snapshot.start.stream_id, "worker does not read its orders");
                }
            }
            Some(Command::SetAir { state, author, reply }) => self.set_air(Switch { state, author, reply }),
            Some(Command::Stop(mode)) => self.stop(mode),
            // The supervisor is gone: nobody is left to keep the air for.
            None => {
                self.is_supervised = false;
                self.stop(StopMode::Now);
            }
        }
    }

    fn set_air(&mut self, switch: Switch) {
        // A caller who has given up waiting makes room.
        self.switches.retain(|_, switch| !switch.reply.is_closed());
        self.switch_id += 1;
        let id = self.switch_id;
        let order = Order::SetAir {
            id,
            state: switch.state,
            author: switch.author.clone(),
        };
        if self.switches.len() < SWITCHES_MAX && self.post(&order) {
            self.switches.insert(id, switch);
        } else {
            let _ = switch.reply.send(Err(Error::Unresponsive));
        }
    }

    /// Queues one order for the pipe; false when the child does not read.
    fn post(&mut self, order: &Order) -> bool {
        let Ok(mut line) = serde_json::to_vec(order) else {
            return false;
        };
        line.push(b'\n');
        if self.stdin.is_none() || self.outgoing.len() + line.len() > OUTGOING_BYTES_MAX {
            return false;
        }
        self.outgoing.extend_from_slice(&line);
        true
    }

    fn stop(&mut self, mode: StopMode) {
        let now = Instant::now();
        let step = match &mut self.ladder {
            None => {
                let (ladder, step) = Ladder::begin(mode, self.snapshot.start.settings.hold, self.limits, now);
                self.ladder = Some(ladder);
                Some(step)
            }
            Some(ladder) if mode == StopMode::Now => ladder.hurry(now),
            Some(_) => None,
        };
        self.snapshot.stopping = true;
        if let Some(step) = step {
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        let start = &self.snapshot.start;
        tracing::info!(
            stream_id = %start.stream_id, run_id = %start.run_id, worker = %start.instance_id, ?step, "worker is stopped"
        );
        match step {
            // An order that does not fit is not missed: the ladder goes on without it.
            Step::Order(mode) => drop(self.post(&Order::Stop { mode })),
            Step::Terminate => process::terminate(self.pid),
            Step::Kill => process::kill_group(self.pid),
        }
    }

    fn on_deadline(&mut self) {
        match &mut self.ladder {
            Some(ladder) => {
                let step = ladder.descend(Instant::now());
                self.take(step);
            }
            None => {
                self.ready_deadline = None;
                let said = &self.snapshot.view.detail;
                let why = if said.is_empty() {
                    "the worker did not say why"
                } else {
                    said
                };
                self.missed_ready = Some(format!(
                    "source not connected within {:?}: {why}",
                    self.ready_timeout
                ));
                self.stop(StopMode::Now);
            }
        }
    }

    fn on_pipe_broken(&mut self, error: &std::io::Error) {
        tracing::debug!(stream_id = %self.snapshot.start.stream_id, %error, "worker has closed its orders");
        self.stdin = None;
        self.outgoing.clear();
    }

    async fn on_report(&mut self, line: &str) {
        let Ok(report) = serde_json::from_str::<Report>(line) else {
            self.metrics.report_unreadable();
            let stream_id = &self.snapshot.start.stream_id;
            tracing::warn!(%stream_id, bytes = line.len(), "worker sent a line that is no report");
            return;
        };
        match report {
            Report::View(view) => self.on_view(*view),
            Report::Fragment(report) => {
                self.metrics.fragment_reported(&report);
                self.snapshot.apply_fragment(report);
            }
            Report::AirSet { id, in_force_from } => self.on_air_set(id, in_force_from),
            Report::AirRefused { id, message } => {
                if let Some(switch) = self.switches.remove(&id) {
                    let _ = switch.reply.send(Err(Error::Refused(message)));
                }
                return;
            }
            Report::Exiting { code, detail } => {
                tracing::debug!(stream_id = %self.snapshot.start.stream_id, code, %detail, "worker is about to end");
                self.last_word = Some(detail);
                return;
            }
        }
        self.tell_change().await;
    }

    fn on_view(&mut self, view: View) {
        let before = self.snapshot.apply_view(view);
        let Snapshot { start, view, .. } = &self.snapshot;
        self.metrics
            .worker_viewed(&start.stream_id, start.settings.sts_mode, &before, view);
        if before.state != view.state {
            tracing::info!(
                stream_id = %start.stream_id, run_id = %start.run_id, from = ?before.state, to = ?view.state,
                protocol = %view.input_protocol, detail = %view.detail, "worker changed its state"
            );
        }
        if self.snapshot.is_ready() {
            self.ready_deadline = None;
        }
    }

    fn on_air_set(&mut self, id: u64, in_force_from: MediaTime) {
        let Some(switch) = self.switches.remove(&id) else {
            return;
        };
        let start = &self.snapshot.start;
        tracing::info!(
            stream_id = %start.stream_id, run_id = %start.run_id, state = %switch.state, author = %switch.author,
            in_force_from_ms = in_force_from.millis(), "air state set"
        );
        self.snapshot.apply_air(switch.state);
        let _ = switch.reply.send(Ok(in_force_from));
    }

    async fn tell_change(&self) {
        // Without a supervisor nobody wants to know.
        let _ = self
            .supervisor_tx
            .send(Message::Changed(Arc::new(self.snapshot.clone())))
            .await;
    }

    /// The process has ended: reads what its pipes still hold, then tells the end.
    async fn finish(mut self, ended: std::io::Result<ExitStatus>) {
        process::kill_group(self.pid);
        let _ = timeout(LAST_LINES, async {
            while let Some(line) = self.stdout.next().await {
                self.on_report(&line).await;
            }
            while let Some(line) = self.stderr.next().await {
                self.logs.try_line(line);
            }
        })
        .await;
        let (code, detail) = match ended {
            Ok(status) => process::code_and_detail(status),
            Err(error) => (
                i32::from(code::INTERNAL),
                format!("its end could not be read: {error}"),
            ),
        };
        let exit = match self.missed_ready.take() {
            Some(detail) => Exit {
                code: i32::from(code::TRY_AGAIN),
                detail,
            },
            None => Exit {
                code,
                detail: self.last_word.take().unwrap_or(detail),
            },
        };
        for (_, switch) in std::mem::take(&mut self.switches) {
            let _ = switch.reply.send(Err(Error::Unknown));
        }
        let start = &self.snapshot.start;
        self.metrics.worker_exited(&start.stream_id, exit.code);
        log_exit(start, &exit);
        self.snapshot.apply_exit(exit);
        let _ = self
            .supervisor_tx
            .send(Message::Exited(Arc::new(self.snapshot)))
            .await;
    }
}

fn log_exit(start: &Start, Exit { code, detail }: &Exit) {
    let Start {
        stream_id,
        run_id,
        instance_id,
        ..
    } = start;
    if *code == i32::from(code::DONE) {
        tracing::info!(%stream_id, %run_id, worker = %instance_id, code, detail, "worker ended");
    } else {
        tracing::warn!(%stream_id, %run_id, worker = %instance_id, code, detail, "worker failed");
    }
}

/// Writes as much as the pipe takes; a wait that is dropped has written nothing.
async fn write_some(stdin: &mut Option<ChildStdin>, outgoing: &[u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(outgoing).await,
        None => std::future::pending().await,
    }
}
