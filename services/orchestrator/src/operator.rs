//! The gRPC service for operators.
use crate::registry::{Input, OrderReply, Refused, Registry};
use crate::state_dir::Keeper;
use dub_proto::convert::settings_from_wire;
use dub_proto::orchestrator::v1::orchestrator_service_server::OrchestratorService;
use dub_proto::orchestrator::v1::{
    GetStreamRequest, GetStreamResponse, ListStreamsRequest, ListStreamsResponse, StartStreamRequest,
    StartStreamResponse, StopStreamRequest, StopStreamResponse, Stream, WatchStreamsRequest,
    WatchStreamsResponse,
};
use dub_proto::status::ErrorCode;
use media_types::{StreamId, StreamSettings};
use std::pin::Pin;
use tokio::sync::broadcast;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status};

/// Changes that wait for one watcher: a burst over a thousand streams. A watcher that is further behind is told
/// to watch again.
pub const CHANGES_MAX: usize = 1024;

/// Answers operators.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Knows the streams.
    pub registry: Registry,
    /// Settings of a stream that says nothing else.
    pub settings: StreamSettings,
    /// Tells every change of every stream.
    pub changes: broadcast::Sender<Stream>,
    /// An order is answered when it would survive this process.
    pub keeper: Keeper,
}

fn stream_id(text: &str) -> Result<StreamId, Status> {
    let refused = |error| ErrorCode::InvalidField.status(format!("stream_id: {error}"), Some("stream_id"));
    StreamId::new(text).map_err(refused)
}

impl Operator {
    async fn order(&self, input: impl FnOnce(OrderReply) -> Input) -> Result<Option<Stream>, Status> {
        let answer = self.registry.ask(input).await;
        let refused = |refused: Refused| refused.code().status(refused.to_string(), None);
        answer.ok_or_else(draining)?.map(Some).map_err(refused)
    }

    async fn all(&self) -> Result<Vec<Stream>, Status> {
        self.registry.ask(Input::List).await.ok_or_else(draining)
    }
}

fn draining() -> Status {
    Refused::Draining
        .code()
        .status(Refused::Draining.to_string(), None)
}

#[tonic::async_trait]
impl OrchestratorService for Operator {
    type WatchStreamsStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<WatchStreamsResponse, Status>> + Send>>;

    async fn list_streams(
        &self,
        _: Request<ListStreamsRequest>,
    ) -> Result<Response<ListStreamsResponse>, Status> {
        Ok(Response::new(ListStreamsResponse {
            streams: self.all().await?,
        }))
    }

    async fn get_stream(
        &self,
        request: Request<GetStreamRequest>,
    ) -> Result<Response<GetStreamResponse>, Status> {
        let id = stream_id(&request.into_inner().stream_id)?;
        Ok(Response::new(GetStreamResponse {
            stream: self.order(|reply| Input::Get(id, reply)).await?,
        }))
    }

    async fn watch_streams(
        &self,
        request: Request<WatchStreamsRequest>,
    ) -> Result<Response<Self::WatchStreamsStream>, Status> {
        let only = request.into_inner().stream_id;
        if !only.is_empty() {
            stream_id(&only)?;
        }
        // Changes are heard before the list is taken, so that none falls between the two.
        let changes = BroadcastStream::new(self.changes.subscribe());
        let behind = |_| Status::aborted("too far behind; watch again");
        let now = tokio_stream::iter(self.all().await?).map(Ok);
        let streams = now.chain(changes.map(move |change| change.map_err(behind)));
        let wanted = streams.filter(move |stream: &Result<Stream, Status>| {
            stream
                .as_ref()
                .map_or(true, |stream| only.is_empty() || stream.stream_id == only)
        });
        let answers = wanted.map(|stream| stream.map(|stream| WatchStreamsResponse { stream: Some(stream) }));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn start_stream(
        &self,
        request: Request<StartStreamRequest>,
    ) -> Result<Response<StartStreamResponse>, Status> {
        let StartStreamRequest {
            stream_id: id,
            settings,
        } = request.into_inner();
        let id = stream_id(&id)?;
        settings_from_wire(settings.as_ref(), &self.settings).map_err(|error| error.status())?;
        let stream = self.order(|reply| Input::Start(id, settings, reply)).await?;
        self.keeper.settled().await;
        Ok(Response::new(StartStreamResponse { stream }))
    }

    async fn stop_stream(
        &self,
        request: Request<StopStreamRequest>,
    ) -> Result<Response<StopStreamResponse>, Status> {
        let id = stream_id(&request.into_inner().stream_id)?;
        let stream = self.order(|reply| Input::Stop(id, reply)).await?;
        self.keeper.settled().await;
        Ok(Response::new(StopStreamResponse { stream }))
    }
}
