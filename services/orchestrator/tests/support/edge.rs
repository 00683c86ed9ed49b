//! A media-edge whose workers are entries of a map.
use dub_proto::edge::v1::edge_service_server::{EdgeService, EdgeServiceServer};
use dub_proto::edge::v1::{
    GetWorkerRequest, GetWorkerResponse, ListWorkersRequest, ListWorkersResponse, SetAirRequest,
    SetAirResponse, StartWorkerRequest, StartWorkerResponse, StopWorkerRequest, StopWorkerResponse,
    UpdateSourceRequest, UpdateSourceResponse, WatchWorkersRequest, WatchWorkersResponse, Worker,
    WorkerState,
};
use dub_proto::status::ErrorCode;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::{Request, Response, Status};

#[derive(Default)]
pub struct EdgeState {
    pub workers: BTreeMap<String, Worker>,
    pub starts: Vec<StartWorkerRequest>,
    pub stops: Vec<StopWorkerRequest>,
    pub updates: Vec<UpdateSourceRequest>,
    pub conflicts: usize,
    pub refusal: Option<ErrorCode>,
}

pub struct FakeEdge {
    service: Workers,
    address: SocketAddr,
    process: Mutex<Option<Runtime>>,
}

#[derive(Clone)]
struct Workers {
    state: Arc<Mutex<EdgeState>>,
    changes: broadcast::Sender<Worker>,
}

impl FakeEdge {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .into_std()
            .unwrap();
        let service = Workers {
            state: Arc::default(),
            changes: broadcast::channel(64).0,
        };
        let fake = Self {
            service,
            address: listener.local_addr().unwrap(),
            process: Mutex::default(),
        };
        fake.serve(listener);
        fake
    }

    /// On a runtime of its own, because only that can be killed with its open connections.
    fn serve(&self, listener: std::net::TcpListener) {
        let process = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let service = EdgeServiceServer::new(self.service.clone());
        process.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let server = tonic::transport::Server::builder().add_service(service);
            server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        *self.process.lock().unwrap() = Some(process);
    }

    /// The process dies with its workers.
    pub fn die(&self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            process.shutdown_background();
        }
        self.state().workers.clear();
    }

    /// A new process on the same port.
    pub async fn come_back(&self) {
        let listener = loop {
            match tokio::net::TcpListener::bind(self.address).await {
                Ok(listener) => break listener.into_std().unwrap(),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        self.serve(listener);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, EdgeState> {
        self.service.state()
    }

    /// A worker's process ends.
    pub fn kill_worker(&self, stream_id: &str, code: i32) {
        self.service.end(stream_id, code);
    }

    pub fn tell_fragment(&self, stream_id: &str, seq: u64) {
        let mut state = self.state();
        let worker = state.workers.get_mut(stream_id).unwrap();
        worker.last_fragment_seq = seq;
        let _ = self.service.changes.send(worker.clone());
    }
}

impl Drop for FakeEdge {
    fn drop(&mut self) {
        self.die();
    }
}

impl Workers {
    fn state(&self) -> MutexGuard<'_, EdgeState> {
        self.state.lock().unwrap()
    }

    fn end(&self, stream_id: &str, code: i32) {
        let Some(mut worker) = self.state().workers.remove(stream_id) else {
            return;
        };
        worker.state = WorkerState::Exited.into();
        worker.exit_code = Some(code);
        let _ = self.changes.send(worker);
    }
}

#[tonic::async_trait]
impl EdgeService for Workers {
    type WatchWorkersStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<WatchWorkersResponse, Status>> + Send>>;

    async fn start_worker(
        &self,
        request: Request<StartWorkerRequest>,
    ) -> Result<Response<StartWorkerResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.starts.push(request.clone());
        if let Some(code) = state.refusal {
            return Err(code.status("refused", None));
        }
        if state.workers.contains_key(&request.stream_id) {
            state.conflicts += 1;
            return Err(ErrorCode::WorkerConflict.status("there is one", None));
        }
        let worker = Worker {
            stream_id: request.stream_id.clone(),
            run_id: request.run_id,
            epoch: request.epoch,
            state: WorkerState::Running.into(),
            settings: request.settings,
            source: request.source,
            last_fragment_seq: request.first_fragment_seq,
            ..Worker::default()
        };
        state.workers.insert(request.stream_id, worker.clone());
        let _ = self.changes.send(worker.clone());
        Ok(Response::new(StartWorkerResponse { worker: Some(worker) }))
    }

    async fn stop_worker(
        &self,
        request: Request<StopWorkerRequest>,
    ) -> Result<Response<StopWorkerResponse>, Status> {
        let request = request.into_inner();
        self.state().stops.push(request.clone());
        let stopping = self.state().workers.contains_key(&request.stream_id);
        self.end(&request.stream_id, 0);
        Ok(Response::new(StopWorkerResponse { stopping }))
    }

    async fn update_source(
        &self,
        request: Request<UpdateSourceRequest>,
    ) -> Result<Response<UpdateSourceResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        if let Some(worker) = state.workers.get_mut(&request.stream_id) {
            worker.source.clone_from(&request.source);
        }
        state.updates.push(request);
        Ok(Response::new(UpdateSourceResponse {}))
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        Ok(Response::new(ListWorkersResponse {
            workers: self.state().workers.values().cloned().collect(),
        }))
    }

    async fn get_worker(&self, _: Request<GetWorkerRequest>) -> Result<Response<GetWorkerResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn watch_workers(
        &self,
        _: Request<WatchWorkersRequest>,
    ) -> Result<Response<Self::WatchWorkersStream>, Status> {
        let changes = BroadcastStream::new(self.changes.subscribe()).filter_map(Result::ok);
        Ok(Response::new(Box::pin(changes.map(|worker| {
            Ok(WatchWorkersResponse { worker: Some(worker) })
        }))))
    }

    async fn set_air(&self, _: Request<SetAirRequest>) -> Result<Response<SetAirResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}
