//! One task owns all workers: what runs, what has just ended, and who watches. It never waits for a worker, and a
//! worker that is stuck is stuck alone.

use super::ladder::Limits;
use super::logs::LogSink;
use super::process::{self, Program};
use super::snapshot::{Exit, Snapshot};
use super::worker_task::{self, COMMANDS_MAX, Command};
use crate::link::lines::{Source, Start, StopMode};
use crate::metrics::Metrics;
use dub_proto::status::ErrorCode;
use media_types::{AirState, MediaTime, RunId, StreamId};
use service_kit::exit::code;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Calls and reports under way. Each worker reports four times a second and waits for room, so a full mailbox slows
/// the reports of healthy workers for a moment and loses nothing.
const MAILBOX_MAX: usize = 256;
/// Changes that a watcher may be behind; one that is further behind gets the newest state of all instead.
const CHANGES_MAX: usize = 256;
/// How often ended workers are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Why a call to the supervisor fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another worker has the stream.
    #[error("stream {stream_id} has the worker of run {run_id}, epoch {epoch}")]
    Conflict {
        /// The programme.
        stream_id: StreamId,
        /// Run of the worker there is.
        run_id: RunId,
        /// Epoch of the worker there is.
        epoch: u32,
    },
    /// As many workers as allowed.
    #[error("{0} workers run, and MEDIA_EDGE_MAX_WORKERS allows no more")]
    Limit(usize),
    /// No such worker.
    #[error("no such worker runs")]
    Unknown,
    /// It does not answer in time.
    #[error("the worker does not answer")]
    Unresponsive,
    /// It will not.
    #[error("{0}")]
    Refused(String),
    /// The process could not be started.
    #[error("worker cannot be started: {0}")]
    Spawn(String),
    /// This process is about to end.
    #[error("media-edge is draining")]
    Draining,
}

impl Error {
    /// Its place in the one table of codes.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Conflict { .. } => ErrorCode::WorkerConflict,
            Self::Limit(_) => ErrorCode::WorkerLimit,
            Self::Unknown => ErrorCode::WorkerUnknown,
            Self::Unresponsive => ErrorCode::WorkerUnresponsive,
            Self::Refused(_) => ErrorCode::InvalidField,
            Self::Spawn(_) => ErrorCode::Internal,
            Self::Draining => ErrorCode::Draining,
        }
    }
}

/// All that the supervisor hears.
pub enum Message {
    /// Start a worker.
    Start(Box<Start>, oneshot::Sender<Result<Arc<Snapshot>, Error>>),
    /// Stop the worker of a stream, of this run only where one is named.
    Stop(StreamId, Option<RunId>, StopMode, oneshot::Sender<bool>),
    /// The source of a run changed.
    UpdateSource(StreamId, RunId, Source, oneshot::Sender<Result<(), Error>>),
    /// The operator's switch.
    SetAir(
        StreamId,
        AirState,
        String,
        oneshot::Sender<Result<MediaTime, Error>>,
    ),
    /// All workers, by stream.
    List(oneshot::Sender<Vec<Arc<Snapshot>>>),
    /// All workers now, and every change from here on.
    Watch(oneshot::Sender<Watch>),
    /// A worker changed.
    Changed(Arc<Snapshot>),
    /// A worker ended.
    Exited(Arc<Snapshot>),
}

/// All workers at one instant, and every change since.
pub struct Watch {
    /// All workers, by stream.
    pub now: Vec<Arc<Snapshot>>,
    /// A receiver that is too far behind is told so, and watches anew.
    pub changes_rx: broadcast::Receiver<Arc<Snapshot>>,
}

/// Sends to the supervisor.
#[derive(Clone)]
pub struct Handle {
    mailbox_tx: mpsc::Sender<Message>,
}

impl Handle {
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Error> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.mailbox_tx
            .send(message(reply_tx))
            .await
            .map_err(|_| Error::Draining)?;
        reply_rx.await.map_err(|_| Error::Draining)
    }

    /// Starts a worker. The same run and epoch again starts nothing and shows what there is.
    pub async fn start(&self, start: Start) -> Result<Arc<Snapshot>, Error> {
        self.ask(|reply| Message::Start(Box::new(start), reply)).await?
    }

    /// Stops a worker; false when there is none.
    pub async fn stop(
        &self,
        stream_id: StreamId,
        run_id: Option<RunId>,
        mode: StopMode,
    ) -> Result<bool, Error> {
        self.ask(|reply| Message::Stop(stream_id, run_id, mode, reply))
            .await
    }

    /// Tells a worker what its source is made of now.
    pub async fn update_source(
        &self,
        stream_id: StreamId,
        run_id: RunId,
        source: Source,
    ) -> Result<(), Error> {
        self.ask(|reply| Message::UpdateSource(stream_id, run_id, source, reply))
            .await?
    }

    /// Throws the switch; the answer is the worker's own, or comes after `limit`.
    pub async fn set_air(
        &self,
        stream_id: StreamId,
        state: AirState,
        author: String,
        limit: Duration,
    ) -> Result<MediaTime, Error> {
        let asked = self.ask(|reply| Message::SetAir(stream_id, state, author, reply));
        tokio::time::timeout(limit, asked)
            .await
            .map_err(|_| Error::Unresponsive)??
    }

    /// Waits until the supervisor has ended.
    pub async fn ended(&self) {
        self.mailbox_tx.closed().await;
    }

    /// All workers, by stream.
    pub async fn list(&self) -> Result<Vec<Arc<Snapshot>>, Error> {
        self.ask(Message::List).await
    }

    /// All workers now, and every change from here on, without a gap between the two.
    pub async fn watch(&self) -> Result<Watch, Error> {
        self.ask(Message::Watch).await
    }
}

/// What the supervisor works with.
pub struct Parts {
    /// What is started for a worker.
    pub program: Program,
    /// Most workers at a time.
    pub workers_max: Option<usize>,
    /// From a worker's start to its connected source.
    pub ready_timeout: Duration,
    /// Of the stop ladder.
    pub limits: Limits,
    /// How long an ended worker is still shown.
    pub linger: Duration,
    /// Where log lines of workers go.
    pub logs: LogSink,
    /// What is counted.
    pub metrics: Metrics,
}

struct Entry {
    snapshot: Arc<Snapshot>,
    commands_tx: mpsc::Sender<Command>,
    ended_at: Option<Instant>,
}

/// The owner of all workers.
pub struct Task {
    parts: Parts,
    mailbox_tx: mpsc::Sender<Message>,
    mailbox_rx: mpsc::Receiver<Message>,
    changes_tx: broadcast::Sender<Arc<Snapshot>>,
    entries: BTreeMap<StreamId, Entry>,
    workers: JoinSet<()>,
    streams: HashMap<Id, StreamId>,
    is_draining: bool,
}

impl Task {
    /// A supervisor without workers, and the way to reach it.
    pub fn new(parts: Parts) -> (Self, Handle) {
        let (mailbox_tx, mailbox_rx) = mpsc::channel(MAILBOX_MAX);
        let handle = Handle {
            mailbox_tx: mailbox_tx.clone(),
        };
        let task = Self {
            parts,
            mailbox_tx,
            mailbox_rx,
            changes_tx: broadcast::Sender::new(CHANGES_MAX),
            entries: BTreeMap::new(),
            workers: JoinSet::new(),
            streams: HashMap::new(),
            is_draining: false,
        };
        (task, handle)
    }

    /// Runs until `token` is cancelled and every worker has ended since.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !(self.is_draining && self.live() == 0) {
            tokio::select! {
                Some(message) = self.mailbox_rx.recv() => self.on_message(message),
                Some(ended) = self.workers.join_next_with_id() => self.on_task_ended(ended),
                _ = sweep.tick() => self.sweep(),
                () = token.cancelled(), if !self.is_draining => self.drain(),
            }
        }
        Ok(())
    }

    fn live(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.snapshot.is_live())
            .count()
    }

    fn all(&self) -> Vec<Arc<Snapshot>> {
        self.entries
            .values()
            .map(|entry| Arc::clone(&entry.snapshot))
            .collect()
    }

    /// A caller who is gone does not want the answer, so a reply that cannot be sent is none lost.
    fn on_message(&mut self, message: Message) {
        match message {
            Message::Start(start, reply) => drop(reply.send(self.start(*start))),
            Message::Stop(stream_id, run_id, mode, reply) => {
                let _ = reply.send(self.stop(&stream_id, run_id.as_ref(), mode));
            }
            Message::UpdateSource(stream_id, run_id, source, reply) => {
                let result = self
                    .live_entry(&stream_id, Some(&run_id))
                    .ok_or(Error::Unknown)
                    .and_then(|entry| {
                        let sent = entry.commands_tx.try_send(Command::UpdateSource(source));
                        sent.map_err(|_| Error::Unresponsive)
                    });
                drop(reply.send(result));
            }
            Message::SetAir(stream_id, state, author, reply) => match self.live_entry(&stream_id, None) {
                None => drop(reply.send(Err(Error::Unknown))),
                Some(entry) => {
                    let sent = entry
                        .commands_tx
                        .try_send(Command::SetAir { state, author, reply });
                    if let Err(error) = sent
                        && let Command::SetAir { reply, .. } = error.into_inner()
                    {
                        drop(reply.send(Err(Error::Unresponsive)));
                    }
                }
            },
            Message::List(reply) => drop(reply.send(self.all())),
            Message::Watch(reply) => {
                let (now, changes_rx) = (self.all(), self.changes_tx.subscribe());
                drop(reply.send(Watch { now, changes_rx }));
            }
            Message::Changed(snapshot) => self.show(snapshot, None),
            Message::Exited(snapshot) => self.show(snapshot, Some(Instant::now())),
        }
    }

    fn live_entry(&self, stream_id: &StreamId, run_id: Option<&RunId>) -> Option<&Entry> {
        self.entries.get(stream_id).filter(|entry| {
            entry.snapshot.is_live() && run_id.is_none_or(|run_id| entry.snapshot.start.run_id == *run_id)
        })
    }

    fn start(&mut self, start: Start) -> Result<Arc<Snapshot>, Error> {
        if self.is_draining {
            return Err(Error::Draining);
        }
        if let Some(there) = self.there(&start) {
            return there;
        }
        if let Some(max) = self.parts.workers_max.filter(|max| self.live() >= *max) {
            return Err(Error::Limit(max));
        }
        self.spawn(start)
    }

    /// The answer when the stream has a worker that decides it: the same one again, or another that is in the way.
    /// One that has ended is in nobody's way but its own's: a start that is told twice starts once.
    fn there(&self, start: &Start) -> Option<Result<Arc<Snapshot>, Error>> {
        let entry = self.entries.get(&start.stream_id)?;
        let known = &entry.snapshot.start;
        let is_same_run = known.run_id == start.run_id;
        if is_same_run && known.epoch == start.epoch {
            return Some(Ok(Arc::clone(&entry.snapshot)));
        }
        let is_past = is_same_run && start.epoch < known.epoch;
        (entry.snapshot.is_live() || is_past).then(|| {
            Err(Error::Conflict {
                stream_id: known.stream_id.clone(),
                run_id: known.run_id.clone(),
                epoch: known.epoch,
            })
        })
    }

    fn spawn(&mut self, start: Start) -> Result<Arc<Snapshot>, Error> {
        let child = self
            .parts
            .program
            .spawn(&start.stream_id, &start.run_id)
            .map_err(|error| Error::Spawn(error.to_string()))?;
        let stream_id = start.stream_id.clone();
        let snapshot = Snapshot::new(Arc::new(start), child.id().unwrap_or_default(), SystemTime::now());
        let (commands_tx, commands_rx) = mpsc::channel(COMMANDS_MAX);
        let task = worker_task::Task::new(
            child,
            worker_task::Parts {
                snapshot: snapshot.clone(),
                commands_rx,
                supervisor_tx: self.mailbox_tx.clone(),
                logs: self.parts.logs.clone(),
                metrics: self.parts.metrics.clone(),
                limits: self.parts.limits,
                ready_timeout: self.parts.ready_timeout,
            },
        )?;
        tracing::info!(
            %stream_id, run_id = %snapshot.start.run_id, epoch = snapshot.start.epoch,
            worker = %snapshot.start.instance_id, pid = snapshot.pid, "worker started"
        );
        self.parts.metrics.worker_started();
        let id = self.workers.spawn(task.run()).id();
        self.streams.insert(id, stream_id.clone());
        let snapshot = Arc::new(snapshot);
        self.entries.insert(
            stream_id,
            Entry {
                snapshot: Arc::clone(&snapshot),
                commands_tx,
                ended_at: None,
            },
        );
        let _ = self.changes_tx.send(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    fn stop(&mut self, stream_id: &StreamId, run_id: Option<&RunId>, mode: StopMode) -> bool {
        match self.live_entry(stream_id, run_id) {
            None => false,
            Some(entry) => {
                // A full queue belongs to a task that is stuck; its process is ended from here.
                if entry.commands_tx.try_send(Command::Stop(mode)).is_err() {
                    process::kill_group(entry.snapshot.pid);
                }
                true
            }
        }
    }

    /// Takes the newest state of a worker; the word of one that was replaced since is old.
    fn show(&mut self, snapshot: Arc<Snapshot>, ended_at: Option<Instant>) {
        let start = &snapshot.start;
        let Some(entry) = self.entries.get_mut(&start.stream_id) else {
            return;
        };
        if entry.snapshot.start.instance_id != start.instance_id || !entry.snapshot.is_live() {
            return;
        }
        entry.snapshot = Arc::clone(&snapshot);
        entry.ended_at = ended_at;
        // Nobody may be watching.
        let _ = self.changes_tx.send(snapshot);
    }

    /// A worker's task is done once it has told the end of its process. One that panicked has not; its child was
    /// killed with it, and the end is told here.
    fn on_task_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(stream_id) = self.streams.remove(&id) else {
            return;
        };
        let Err(error) = ended else { return };
        let Some(entry) = self.live_entry(&stream_id, None) else {
            return;
        };
        tracing::error!(%stream_id, %error, "task of a worker panicked");
        let code = i32::from(code::INTERNAL);
        let mut snapshot = (*entry.snapshot).clone();
        process::kill_group(snapshot.pid);
        self.parts.metrics.worker_exited(&stream_id, code);
        snapshot.apply_exit(Exit {
            code,
            detail: "its supervision failed".to_owned(),
        });
        self.show(Arc::new(snapshot), Some(Instant::now()));
    }

    fn sweep(&mut self) {
        let linger = self.parts.linger;
        self.entries
            .retain(|_, entry| entry.ended_at.is_none_or(|ended_at| ended_at.elapsed() < linger));
    }

    /// What workers hold is discarded: the process must be gone within its drain limit.
    fn drain(&mut self) {
        self.is_draining = true;
        let live: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.snapshot.is_live())
            .collect();
        let streams: Vec<_> = live.into_iter().map(|(stream_id, _)| stream_id.clone()).collect();
        tracing::info!(workers = streams.len(), "workers are stopped");
        for stream_id in streams {
            self.stop(&stream_id, None, StopMode::Now);
        }
    }
}
