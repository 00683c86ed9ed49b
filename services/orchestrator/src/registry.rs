//! The map of streams: one owner, one mailbox. It decides nothing about a stream; it knows which stream a fact
//! belongs to, keeps the limit of workers, and forgets streams that nobody asks for any more.
use crate::edge_client::SeenWorker;
use crate::hooks::{Hook, HookEvent};
use crate::mediamtx_client::LivePath;
use crate::path_pattern::{PathPattern, Side};
use crate::stream_task::{self, Shared, StreamInput, StreamTask, View};
use dub_proto::media::v1::StreamSettings;
use dub_proto::orchestrator::v1::Stream;
use dub_proto::status::ErrorCode;
use media_types::{StreamId, Tick};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream_lifecycle::{Memory, Source};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Facts and orders that wait for the registry. It never waits itself, so that a full mailbox means a burst of
/// hooks; their senders then wait their few microseconds.
const MAILBOX_MAX: usize = 256;
/// Facts that wait for one stream. A stream's task never waits either; what does not fit is lost as a hook can
/// be lost, and heals with the next listing.
const STREAM_MAILBOX_MAX: usize = 128;
/// Streams that are known at a time, so that invented ids cannot fill the memory.
const STREAMS_MAX: usize = 10_000;

/// Why a fact or an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The limit of workers, or of known streams.
    #[error("as many workers run as are allowed")]
    WorkerLimit,
    /// Nobody has heard of the stream.
    #[error("there is no such stream")]
    StreamUnknown,
    /// The process ends.
    #[error("the service is going away")]
    Draining,
}

impl Refused {
    /// As it stands on the wire.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::WorkerLimit => ErrorCode::WorkerLimit,
            Self::StreamUnknown => ErrorCode::StreamUnknown,
            Self::Draining => ErrorCode::Draining,
        }
    }
}

/// The answer to an operator's order.
pub type OrderReply = oneshot::Sender<Result<Stream, Refused>>;

/// Facts and orders.
#[derive(Debug)]
pub enum Input {
    /// A hook's event.
    Hook(Box<Hook>, oneshot::Sender<Result<(), Refused>>),
    /// A complete listing of MediaMTX's live paths.
    Paths {
        /// When it was asked for.
        asked_at: Tick,
        /// What it shows.
        paths: Vec<LivePath>,
    },
    /// media-edge does not answer.
    EdgeLost,
    /// A complete listing of media-edge's workers.
    Workers {
        /// When it was asked for.
        asked_at: Tick,
        /// What it shows.
        workers: Vec<SeenWorker>,
    },
    /// One worker has changed.
    WorkerChanged(SeenWorker),
    /// An operator wants all streams.
    List(oneshot::Sender<Vec<Stream>>),
    /// An operator wants one stream.
    Get(StreamId, OrderReply),
    /// An operator wants a worker.
    Start(StreamId, Option<StreamSettings>, OrderReply),
    /// An operator wants no worker.
    Stop(StreamId, OrderReply),
}

/// Speaks to the registry; cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(mpsc::Sender<Input>);

impl Registry {
    /// A registry that does not run yet. Call inside a tokio runtime: streams that a process before this one knew are
    /// known at once.
    pub fn new(
        path_pattern: PathPattern,
        workers_max: Option<usize>,
        shared: Arc<Shared>,
        kept: BTreeMap<StreamId, Memory>,
    ) -> (Self, RegistryTask) {
        let (tx, mailbox) = mpsc::channel(MAILBOX_MAX);
        let mut tasks = JoinSet::new();
        let streams = kept
            .into_iter()
            .map(|(id, memory)| {
                let entry = spawn(&id, Some(memory), &shared, &mut tasks, None);
                (id, entry)
            })
            .collect();
        let task = RegistryTask {
            mailbox,
            path_pattern,
            workers_max,
            shared,
            streams,
            tasks,
            last_workers: None,
            refused: BTreeSet::new(),
        };
        (Self(tx), task)
    }

    /// Hands over a hook's event; refused when the limit of workers is reached or the process drains.
    pub async fn hook(&self, hook: Hook) -> Result<(), Refused> {
        self.ask(|reply| Input::Hook(Box::new(hook), reply))
            .await
            .unwrap_or(Err(Refused::Draining))
    }

    /// Hands over a fact. A registry that is gone needs none.
    pub async fn send(&self, input: Input) {
        let _ = self.0.send(input).await;
    }

    /// Asks and waits for the answer; none when the process drains.
    pub async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(input(reply)).await.ok()?;
        answer.await.ok()
    }
}

struct Entry {
    tx: mpsc::Sender<StreamInput>,
    view: watch::Receiver<View>,
    /// Inputs sent so far.
    sent: u64,
    /// The newest input that may make the stream active.
    starting: u64,
}

impl Entry {
    fn send(&mut self, input: StreamInput) {
        match self.tx.try_send(input) {
            Ok(()) => self.sent = self.sent.saturating_add(1),
            Err(error) => {
                tracing::warn!(%error, "stream task is behind; the next listing heals what is lost")
            }
        }
    }

    fn send_start(&mut self, input: StreamInput) {
        self.send(input);
        self.starting = self.sent;
    }

    /// Whether it counts against the limit of workers, what is still in its mailbox included.
    fn is_active(&self) -> bool {
        let view = self.view.borrow();
        view.is_active || view.handled < self.starting
    }

    fn is_forgettable(&self) -> bool {
        let view = self.view.borrow();
        view.is_forgettable && view.handled == self.sent
    }
}

/// A listing of workers, with the instant at which it was asked for.
type Listing = (Tick, Vec<SeenWorker>);

/// Owns the map.
pub struct RegistryTask {
    mailbox: mpsc::Receiver<Input>,
    path_pattern: PathPattern,
    workers_max: Option<usize>,
    shared: Arc<Shared>,
    streams: BTreeMap<StreamId, Entry>,
    tasks: JoinSet<StreamId>,
    /// The newest listing of workers, for streams that are made known after it; none while media-edge is lost.
    last_workers: Option<Listing>,
    /// Publishers that were seen and got no worker because of the limit; each is said once.
    refused: BTreeSet<StreamId>,
}

impl RegistryTask {
    /// Runs until the token is cancelled. Workers are left as they are.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                input = self.mailbox.recv() => match input {
                    Some(input) => self.take(input),
                    None => return Ok(()),
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(stream_id) => tracing::debug!(%stream_id, "stream forgotten"),
                    Err(error) => {
                        tracing::error!(%error, "stream task failed; the next listing brings its stream back");
                        self.streams.retain(|_, entry| !entry.tx.is_closed());
                    }
                },
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Hook(hook, reply) => {
                // The caller may have given up; the event counts all the same.
                let _ = reply.send(self.hook(*hook));
            }
            Input::Paths { asked_at, paths } => self.paths(asked_at, paths),
            Input::EdgeLost => {
                self.last_workers = None;
                for entry in self.streams.values_mut() {
                    entry.send(StreamInput::EdgeLost);
                }
            }
            Input::Workers { asked_at, workers } => self.workers(asked_at, workers),
            Input::WorkerChanged(worker) => {
                if let Some(entry) = self.streams.get_mut(&worker.stream_id) {
                    entry.send(StreamInput::WorkerChanged(worker));
                }
            }
            Input::List(reply) => {
                let streams = self
                    .streams
                    .values()
                    .map(|entry| entry.view.borrow().stream.clone())
                    .collect();
                let _ = reply.send(streams);
            }
            Input::Get(id, reply) => {
                let found = self
                    .streams
                    .get(&id)
                    .map(|entry| entry.view.borrow().stream.clone());
                let _ = reply.send(found.ok_or(Refused::StreamUnknown));
            }
            Input::Start(id, settings, reply) => match self.admit(&id) {
                Ok(entry) => entry.send_start(StreamInput::OperatorStart(settings, reply)),
                Err(refused) => drop(reply.send(Err(refused))),
            },
            Input::Stop(id, reply) => match self.streams.get_mut(&id) {
                Some(entry) => entry.send(StreamInput::OperatorStop(reply)),
                None => drop(reply.send(Err(Refused::StreamUnknown))),
            },
        }
    }

    fn hook(&mut self, hook: Hook) -> Result<(), Refused> {
        let stream_id = hook.stream_id.clone();
        match (hook.side, hook.event) {
            (Side::Out, event) => {
                if let Some(entry) = self.streams.get_mut(&stream_id) {
                    entry.send(StreamInput::Output {
                        is_there: event == HookEvent::Ready,
                    });
                }
            }
            (Side::In, HookEvent::Ready) => self.admit(&stream_id)?.send_start(StreamInput::Ready(hook)),
            (Side::In, HookEvent::NotReady) => {
                // Of a stream that nobody knows, too: the ready of the same short visit may still be on its way.
                if self.streams.contains_key(&stream_id) || self.streams.len() < STREAMS_MAX {
                    self.entry(&stream_id).send(StreamInput::NotReady {
                        source_id: hook.source_id,
                        request_id: hook.request_id,
                    });
                }
            }
        }
        Ok(())
    }

    fn paths(&mut self, asked_at: Tick, paths: Vec<LivePath>) {
        let mut inputs: BTreeMap<StreamId, Source> = BTreeMap::new();
        let mut outputs = BTreeSet::new();
        for path in paths {
            match self.path_pattern.parse(&path.name) {
                Ok((id, Side::In)) => drop(inputs.insert(id, path.source)),
                Ok((id, Side::Out)) => drop(outputs.insert(id)),
                Err(error) => tracing::debug!(path = path.name, %error, "path is none of ours"),
            }
        }
        // Before the streams are told of this listing: one that has just been told something is not to be forgotten.
        self.forget();
        self.refused.retain(|id| inputs.contains_key(id));
        for id in inputs.keys() {
            if let Err(refused) = self.admit(id).map(|_| ())
                && self.refused.insert(id.clone())
            {
                tracing::warn!(stream_id = %id, code = refused.code().as_str(), "publisher gets no worker");
            }
        }
        for (id, entry) in &mut self.streams {
            let seen = inputs.remove(id).filter(|_| !self.refused.contains(id));
            let present = seen.is_some();
            let input = StreamInput::Observed {
                asked_at,
                seen,
                output: outputs.contains(id),
            };
            if present {
                entry.send_start(input)
            } else {
                entry.send(input)
            }
        }
    }

    fn workers(&mut self, asked_at: Tick, workers: Vec<SeenWorker>) {
        // A worker of a stream that nobody has told of yet: this process is younger than the worker.
        for worker in workers.iter().filter(|worker| !worker.exited) {
            self.entry(&worker.stream_id);
        }
        for (id, entry) in &mut self.streams {
            let seen = workers.iter().find(|worker| worker.stream_id == *id).cloned();
            entry.send(StreamInput::Workers {
                asked_at,
                seen: seen.map(Box::new),
            });
        }
        self.last_workers = Some((asked_at, workers));
    }

    /// The entry of a stream that may become active; none over the limit.
    fn admit(&mut self, id: &StreamId) -> Result<&mut Entry, Refused> {
        let is_active = self.streams.get(id).is_some_and(Entry::is_active);
        if !is_active && self.workers_max.is_some_and(|max| max <= self.active()) {
            return Err(Refused::WorkerLimit);
        }
        if !self.streams.contains_key(id) && STREAMS_MAX <= self.streams.len() {
            return Err(Refused::WorkerLimit);
        }
        self.refused.remove(id);
        Ok(self.entry(id))
    }

    fn active(&self) -> usize {
        self.streams.values().filter(|entry| entry.is_active()).count()
    }

    /// The entry of a stream, made known if it is not.
    fn entry(&mut self, id: &StreamId) -> &mut Entry {
        self.streams.entry(id.clone()).or_insert_with(|| {
            spawn(
                id,
                None,
                &self.shared,
                &mut self.tasks,
                self.last_workers.as_ref(),
            )
        })
    }

    fn forget(&mut self) {
        self.streams.retain(|_, entry| !entry.is_forgettable());
    }
}

/// Starts the task of a stream, which is told what is known of its worker.
fn spawn(
    id: &StreamId,
    kept: Option<Memory>,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<StreamId>,
    workers: Option<&Listing>,
) -> Entry {
    let (tx, mailbox) = mpsc::channel(STREAM_MAILBOX_MAX);
    let (task, view) = StreamTask::new(id.clone(), Arc::clone(shared), mailbox, kept);
    tasks.spawn(stream_task::run(task));
    let mut entry = Entry {
        tx,
        view,
        sent: 0,
        starting: 0,
    };
    if let Some((asked_at, workers)) = workers {
        let seen = workers.iter().find(|worker| worker.stream_id == *id).cloned();
        entry.send(StreamInput::Workers {
            asked_at: *asked_at,
            seen: seen.map(Box::new),
        });
    }
    entry
}
