//! DubService: one `Dub` stream is one session; the other calls look at the directory.
use crate::config::ProviderConfig;
use crate::directory::{Directory, is_closed, is_of};
use crate::gemini::dial::probe;
use crate::metrics::Queue;
use crate::provider::mock::Mock;
use crate::session::input::{Input, Opening, parse, parse_opening};
use crate::session::live;
use crate::session::task::{Ends, Surroundings, Task};
use dub_proto::dub::v1 as wire;
use dub_proto::dub::v1::dub_service_server::DubService;
use dub_proto::status::ErrorCode;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_stream::{Stream, StreamExt, StreamMap};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

/// Messages between the reader of a stream and its session. Audio comes in pieces of 20 to 100 ms, so this is a
/// fraction of a second: enough to ride out one pass of the session's loop, and little enough that a session that
/// falls behind is felt by the worker, whose own queue knows what to do about it. Full means that the reader stops
/// and HTTP/2 flow control holds the worker back; nothing is dropped.
const MAILBOX: usize = 8;
/// Answers on their way to the worker. A fragment is two messages (speech, settlement), so eight fragments may wait
/// for a slow connection, some 16 s of speech; full means that the session waits with its loop.
const RESPONSES: usize = 16;
/// Views on their way to a watcher. A slow watcher misses steps in between, so more would only be older.
const WATCHED: usize = 16;
/// A stream that does not say what it is for so long is closed.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Entries of a page when nothing is said, and at most.
const PAGE_SIZE: (usize, usize) = (100, 1000);

type BoxedStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What all calls share.
#[derive(Debug)]
pub struct Shared {
    /// Who dubs.
    pub provider: ProviderConfig,
    /// What a session gets.
    pub surroundings: Surroundings,
    /// Who is dubbing.
    pub directory: Directory,
    /// Every session and every watcher, so that a drain can wait for them.
    pub tracker: TaskTracker,
    /// Free places; none means that there is no limit.
    pub places: Option<Arc<Semaphore>>,
}

/// The service.
#[derive(Clone, Debug)]
pub struct Service(pub Arc<Shared>);

#[tonic::async_trait]
impl DubService for Service {
    type DubStream = BoxedStream<wire::DubResponse>;
    type WatchSessionsStream = BoxedStream<wire::WatchSessionsResponse>;

    async fn dub(
        &self,
        request: Request<Streaming<wire::DubRequest>>,
    ) -> Result<Response<Self::DubStream>, Status> {
        let shared = Arc::clone(&self.0);
        let admitted = shared.refuse_while_draining().and_then(|()| shared.take_place());
        let place = admitted.inspect_err(|_| shared.surroundings.metrics.session_refused())?;
        let (responses, answers) = mpsc::channel(RESPONSES);
        // The answer begins at once: a client that waits for it before it says Open would wait for ever.
        self.0
            .tracker
            .spawn(serve_stream(shared, request.into_inner(), responses, place));
        let metrics = self.0.surroundings.metrics.clone();
        let answers = ReceiverStream::new(answers).map(move |answer| {
            metrics.popped(Queue::Responses);
            answer
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn list_sessions(
        &self,
        request: Request<wire::ListSessionsRequest>,
    ) -> Result<Response<wire::ListSessionsResponse>, Status> {
        let asked = request.into_inner();
        let size = page_size(asked.page_size)?;
        let before = page_token(&asked.page_token)?;
        let (sessions, more) = self.0.directory.list(&asked.stream_id, before, size);
        let last = sessions.last().filter(|_| more);
        let next_page_token = last.map(|session| session.session_id.clone()).unwrap_or_default();
        Ok(Response::new(wire::ListSessionsResponse {
            sessions,
            next_page_token,
        }))
    }

    async fn get_session(
        &self,
        request: Request<wire::GetSessionRequest>,
    ) -> Result<Response<wire::GetSessionResponse>, Status> {
        let id = request.into_inner().session_id;
        if id.is_empty() {
            return Err(ErrorCode::InvalidField.status("session_id is empty", Some("session_id")));
        }
        let session = self.0.directory.get(&id);
        let unknown =
            || ErrorCode::SessionUnknown.status("no session with this id is known here", Some("session_id"));
        Ok(Response::new(wire::GetSessionResponse {
            session: Some(session.ok_or_else(unknown)?),
        }))
    }

    async fn watch_sessions(
        &self,
        request: Request<wire::WatchSessionsRequest>,
    ) -> Result<Response<Self::WatchSessionsStream>, Status> {
        self.0.refuse_while_draining()?;
        let stream_id = request.into_inner().stream_id;
        let (views, watched) = mpsc::channel(WATCHED);
        let shared = Arc::clone(&self.0);
        self.0.tracker.spawn(async move {
            let token = shared.surroundings.token.clone();
            let farewell = views.clone();
            tokio::select! {
                () = token.cancelled() => {
                    // A watcher that has not taken what was sent so far learns of the end from its connection.
                    let _ = farewell.try_send(Err(ErrorCode::Draining.status("draining", None)));
                }
                () = farewell.closed() => {}
                () = follow(&shared.directory, &stream_id, views) => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(watched))))
    }
}

impl Shared {
    fn refuse_while_draining(&self) -> Result<(), Status> {
        if self.surroundings.token.is_cancelled() {
            return Err(ErrorCode::Draining.status("draining: open a session elsewhere or later", None));
        }
        Ok(())
    }

    fn take_place(&self) -> Result<Option<OwnedSemaphorePermit>, Status> {
        let Some(places) = &self.places else {
            return Ok(None);
        };
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| {
            let said = "every place of this dubber is taken: raise DUBBER_MAX_SESSIONS or open it elsewhere";
            ErrorCode::WorkerLimit.status(said, None)
        })?;
        Ok(Some(place))
    }
}

/// Serves one stream from its first message to its end.
async fn serve_stream(
    shared: Arc<Shared>,
    mut requests: Streaming<wire::DubRequest>,
    responses: mpsc::Sender<Result<wire::DubResponse, Status>>,
    _place: Option<OwnedSemaphorePermit>,
) {
    let opening = match open(&shared, &mut requests).await {
        Ok(Some(opening)) => opening,
        Ok(None) => return shared.surroundings.metrics.session_refused(),
        Err(status) => return refuse(&shared, &responses, status),
    };
    let provider = match plan(&shared, &opening) {
        Ok(provider) => provider,
        Err(status) => return refuse(&shared, &responses, status),
    };
    if let Err(status) = prove(&shared, &provider).await {
        return refuse(&shared, &responses, status);
    }
    let (mailbox_tx, mailbox) = mpsc::channel(MAILBOX);
    let (ends, around) = (Ends { mailbox, responses }, shared.surroundings.clone());
    let reader = read(&shared, requests, mailbox_tx);
    let session = async {
        match provider {
            Planned::Mock(mock) => {
                Task::new(&opening, mock, ends, around, &shared.directory)
                    .run()
                    .await
            }
            Planned::Live(live) => live.enter(&opening, ends, around, &shared.directory).run().await,
        }
    };
    // The reader ends when the session drops its mailbox.
    let (_end, ()) = tokio::join!(session, reader);
}

/// Who dubs one session.
enum Planned {
    Mock(Mock),
    Live(Box<live::Ready>),
}

/// Who dubs this session, with all that it needs; a status where the provider cannot do what the stream asks for.
fn plan(shared: &Shared, opening: &Opening) -> Result<Planned, Status> {
    match &shared.provider {
        ProviderConfig::Mock(config) => Ok(Planned::Mock(Mock::new(config.clone()))),
        ProviderConfig::GeminiLive(config) => {
            live::Ready::new(opening, config).map(|ready| Planned::Live(Box::new(ready)))
        }
    }
}

/// Whether the provider can be reached at all. What is wrong with a key or a model is known only when it answers.
async fn prove(shared: &Shared, provider: &Planned) -> Result<(), Status> {
    let target = match provider {
        Planned::Mock(_) => return Ok(()),
        Planned::Live(live) => live.target(),
    };
    tokio::select! {
        reached = probe(target) => {
            reached.map_err(|problem| ErrorCode::ProviderUnreachable.status(problem.to_string(), None))
        }
        () = shared.surroundings.token.cancelled() => Err(ErrorCode::Draining.status("draining", None)),
    }
}

/// A stream never becomes a session.
fn refuse(shared: &Shared, responses: &mpsc::Sender<Result<wire::DubResponse, Status>>, status: Status) {
    shared.surroundings.metrics.session_refused();
    tracing::warn!(problem = status.message(), "stream refused");
    // The channel is empty, so this fails only when the peer is gone.
    let _ = responses.try_send(Err(status));
    shared.surroundings.metrics.pushed(Queue::Responses);
}

/// The first message; nothing when the peer left without one.
async fn open(
    shared: &Shared,
    requests: &mut Streaming<wire::DubRequest>,
) -> Result<Option<Opening>, Status> {
    let first = tokio::select! {
        first = timeout(OPEN_WITHIN, requests.message()) => first,
        () = shared.surroundings.token.cancelled() => return Err(ErrorCode::Draining.status("draining", None)),
    };
    match first {
        Ok(Ok(Some(message))) => parse_opening(message).map(Some),
        Ok(Ok(None) | Err(_)) => Ok(None),
        Err(_) => {
            let said = format!(
                "the first message must be Open, and come within {} s",
                OPEN_WITHIN.as_secs()
            );
            Err(ErrorCode::Protocol.status(said, Some("open")))
        }
    }
}

/// Reads a stream into the mailbox of its session, until either ends.
async fn read(shared: &Shared, mut requests: Streaming<wire::DubRequest>, mailbox: mpsc::Sender<Input>) {
    loop {
        let message = tokio::select! {
            message = requests.message() => message,
            () = mailbox.closed() => return,
        };
        let (input, last) = match message {
            Ok(Some(message)) => match parse(message) {
                Ok(input) => (input, false),
                Err(status) => (Input::Violated(status), true),
            },
            Ok(None) => (Input::HalfClosed, true),
            Err(_) => (Input::PeerLost, true),
        };
        if mailbox.send(input).await.is_err() {
            return;
        }
        shared.surroundings.metrics.pushed(Queue::Mailbox);
        if last {
            return;
        }
    }
}

/// Sends every open session now, and each session again when it changes.
async fn follow(
    directory: &Directory,
    stream_id: &str,
    views: mpsc::Sender<Result<wire::WatchSessionsResponse, Status>>,
) {
    let mut table = directory.follow();
    let mut sessions: StreamMap<String, WatchStream<wire::Session>> = StreamMap::new();
    // Ids rise, so the newest one that is known tells which entries of a new table are new.
    let mut newest: Option<String> = None;
    let known = table.borrow_and_update().clone();
    for (id, view) in known.iter() {
        if !is_closed(&view.borrow()) && is_of(&view.borrow(), stream_id) {
            sessions.insert(id.clone(), watched(view));
        }
        newest = Some(id.clone());
    }
    drop(known);
    loop {
        tokio::select! {
            changed = table.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = table.borrow_and_update().clone();
                for (id, view) in now.iter().filter(|(id, _)| newest.as_ref().is_none_or(|newest| *id > newest)) {
                    if is_of(&view.borrow(), stream_id) {
                        sessions.insert(id.clone(), watched(view));
                    }
                }
                newest = now.last_key_value().map(|(id, _)| id.clone()).or(newest);
            }
            Some((_, session)) = sessions.next(), if !sessions.is_empty() => {
                let response = wire::WatchSessionsResponse { session: Some(session) };
                if views.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn watched(view: &watch::Receiver<wire::Session>) -> WatchStream<wire::Session> {
    WatchStream::new(view.clone())
}

fn page_size(asked: i32) -> Result<usize, Status> {
    let (usual, most) = PAGE_SIZE;
    match usize::try_from(asked) {
        Ok(0) => Ok(usual),
        Ok(size) if size <= most => Ok(size),
        Ok(_) | Err(_) => {
            let said = format!("page_size is {asked}, allowed is 1 to {most}, or 0 for {usual}");
            Err(ErrorCode::InvalidField.status(said, Some("page_size")))
        }
    }
}

fn page_token(asked: &str) -> Result<Option<&str>, Status> {
    if asked.is_empty() {
        return Ok(None);
    }
    if uuid::Uuid::try_parse(asked).is_err() {
        let said = "page_token is not one that a page of this call ended with";
        return Err(ErrorCode::InvalidField.status(said, Some("page_token")));
    }
    Ok(Some(asked))
}
