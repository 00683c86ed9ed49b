//! The real service on free ports, between a MediaMTX and a media-edge that only pretend.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    dead_code
)]
pub mod edge;
pub mod mediamtx;

use dub_proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use dub_proto::orchestrator::v1::{ListStreamsRequest, Stream};
use edge::FakeEdge;
use mediamtx::FakeMediaMtx;
use orchestrator::app::{Addresses, App};
use orchestrator::config::Config;
use service_kit::tasks::Signal;
use service_kit::{Env, Signals};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Longer than anything in these tests takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Service {
    pub addresses: Addresses,
    stop_tx: mpsc::Sender<Signal>,
    running: JoinHandle<ExitCode>,
}

impl Service {
    pub async fn start(edge: &FakeEdge, mediamtx: &FakeMediaMtx, settings: &[(&str, &str)]) -> Self {
        let (edge_url, api_url) = (edge.url(), mediamtx.url());
        let mut pairs = vec![
            ("ORCH_HTTP_ADDR", "127.0.0.1:0"),
            ("ORCH_GRPC_ADDR", "127.0.0.1:0"),
            ("ORCH_ADMIN_ADDR", "127.0.0.1:0"),
            ("ORCH_EDGE_URL", &edge_url),
            ("ORCH_MEDIAMTX_API_URL", &api_url),
            ("ORCH_RECONCILE_INTERVAL", "100ms"),
            ("ORCH_GRACE_PERIOD", "1s"),
        ];
        pairs.extend(settings);
        let config = Config::from_env(&Env::from_pairs(pairs)).unwrap();
        let app = App::build(config).await.unwrap();
        let addresses = app.addresses();
        let (stop_tx, signals) = Signals::manual();
        Self {
            addresses,
            stop_tx,
            running: tokio::spawn(app.run(signals)),
        }
    }

    pub async fn post(&self, event: &str, body: impl Into<reqwest::Body>) -> (u16, serde_json::Value) {
        let url = format!("http://{}/v1/mediamtx/events/{event}", self.addresses.http);
        let response = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        let id = response
            .headers()
            .get("x-request-id")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let status = response.status().as_u16();
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["requestId"], id);
        (status, body)
    }

    pub async fn hook(&self, event: &str, path: &str, source_id: &str, query: &str) -> u16 {
        let body = serde_json::json!({
            "path": path, "query": query, "sourceType": "rtmpConn", "sourceId": source_id,
        });
        self.post(event, body.to_string()).await.0
    }

    pub async fn client(&self) -> OrchestratorServiceClient<Channel> {
        OrchestratorServiceClient::connect(format!("http://{}", self.addresses.grpc))
            .await
            .unwrap()
    }

    pub async fn streams(&self) -> Vec<Stream> {
        self.client()
            .await
            .list_streams(ListStreamsRequest {})
            .await
            .unwrap()
            .into_inner()
            .streams
    }

    pub async fn stream(&self) -> Stream {
        self.streams().await.pop().unwrap_or_default()
    }

    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.addresses.admin);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// Stops as SIGTERM does.
    pub async fn stop(self) -> ExitCode {
        self.stop_tx.send(Signal::Terminate).await.unwrap();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap()
    }
}

/// Waits until it holds, and says what does not.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) -> Duration {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}
