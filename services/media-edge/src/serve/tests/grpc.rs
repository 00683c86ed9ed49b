//! The whole service over real sockets.

use super::super::{App, Deps};
use super::{LIMITS, PATIENCE, program};
use crate::config::ServeConfig;
use dub_proto::edge::v1 as wire;
use dub_proto::edge::v1::edge_service_client::EdgeServiceClient;
use dub_proto::media::v1::{AirState, StreamSettings, Track};
use service_kit::settings::Env;
use service_kit::tasks::{Signal, Signals};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

struct Service {
    client: EdgeServiceClient<Channel>,
    admin: SocketAddr,
    signals_tx: mpsc::Sender<Signal>,
    task: JoinSet<ExitCode>,
}

async fn service(mode: &str) -> Service {
    let env = Env::from_pairs([
        ("MEDIA_EDGE_GRPC_ADDR", "127.0.0.1:0"),
        ("MEDIA_EDGE_ADMIN_ADDR", "127.0.0.1:0"),
        ("MEDIA_EDGE_MAX_WORKERS", "2"),
    ]);
    let config = ServeConfig::read(&env).unwrap();
    let deps = Deps {
        program: program(mode),
        limits: LIMITS,
        linger: PATIENCE,
    };
    let app = App::build(config, deps).await.unwrap();
    let (grpc, admin) = (app.grpc_addr().unwrap(), app.admin_addr().unwrap());
    let (signals_tx, signals) = Signals::manual();
    let mut task = JoinSet::new();
    task.spawn(app.run(signals));
    let client = EdgeServiceClient::connect(format!("http://{grpc}"))
        .await
        .unwrap();
    Service {
        client,
        admin,
        signals_tx,
        task,
    }
}

impl Service {
    async fn start(
        &mut self,
        stream_id: &str,
        change: impl FnOnce(&mut wire::StartWorkerRequest),
    ) -> Result<wire::Worker, Status> {
        let mut request = wire::StartWorkerRequest {
            stream_id: stream_id.to_owned(),
            run_id: "run".to_owned(),
            epoch: 1,
            first_fragment_seq: 1,
            ..Default::default()
        };
        change(&mut request);
        Ok(self
            .client
            .start_worker(request)
            .await?
            .into_inner()
            .worker
            .unwrap())
    }

    async fn get(&mut self, stream_id: &str) -> Result<wire::Worker, Status> {
        let request = wire::GetWorkerRequest {
            stream_id: stream_id.to_owned(),
        };
        Ok(self
            .client
            .get_worker(request)
            .await?
            .into_inner()
            .worker
            .unwrap())
    }

    async fn running(&mut self, stream_id: &str) -> wire::Worker {
        let wait = async {
            loop {
                let worker = self.get(stream_id).await.unwrap();
                if worker.state() == wire::WorkerState::Running && !worker.recent_fragments.is_empty() {
                    return worker;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("never ran")
    }

    async fn set_air(&mut self, stream_id: &str, state: AirState) -> Result<wire::SetAirResponse, Status> {
        let request = wire::SetAirRequest {
            stream_id: stream_id.to_owned(),
            state: state.into(),
            author: String::new(),
        };
        self.client
            .set_air(request)
            .await
            .map(tonic::Response::into_inner)
    }

    async fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// The stable code and the field to blame.
fn blame(status: &Status) -> (String, Option<String>) {
    let details = status.get_error_details();
    let code = details.error_info().expect("a code").reason.clone();
    let field = details
        .bad_request()
        .and_then(|request| request.field_violations.first());
    (code, field.map(|violation| violation.field.clone()))
}

fn tracks(codecs: &[&str]) -> Option<wire::Source> {
    let tracks = codecs
        .iter()
        .map(|codec| Track {
            codec: (*codec).to_owned(),
        })
        .collect();
    Some(wire::Source {
        source_id: "1".to_owned(),
        source_type: "rtmpConn".to_owned(),
        tracks,
    })
}

#[tokio::test]
async fn a_worker_is_started_shown_and_stopped() {
    let mut service = service("normal").await;
    let started = service
        .start("derby", |request| {
            request.source = tracks(&["H264", "MPEG-4 Audio"])
        })
        .await
        .unwrap();
    assert_eq!(
        (started.state(), started.epoch, started.exit_code),
        (wire::WorkerState::Starting, 1, None)
    );
    let worker = service.running("derby").await;
    assert_eq!(
        (worker.pid, &worker.instance_id),
        (started.pid, &started.instance_id)
    );
    assert_eq!(
        (worker.last_fragment_seq, worker.fallbacks_total["overload"]),
        (1_001, 1)
    );
    assert_eq!(worker.source.unwrap().tracks.len(), 2);
    let listed = service
        .client
        .list_workers(wire::ListWorkersRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.workers.len(), 1);
    let metrics = service.http("/metrics").await;
    assert!(
        metrics.contains("worker_audio_fragments_total{status=\"fallback\"} 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("media_edge_workers_active 1\n"), "{metrics}");
    assert!(service.http("/readyz").await.starts_with("HTTP/1.1 200"));
    let stop = wire::StopWorkerRequest {
        stream_id: "derby".to_owned(),
        ..Default::default()
    };
    assert!(
        service
            .client
            .stop_worker(stop)
            .await
            .unwrap()
            .into_inner()
            .stopping
    );
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_by_code_and_field() {
    let mut service = service("normal").await;
    let refused = service.start("a/b", |_| {}).await.unwrap_err();
    assert_eq!(
        blame(&refused),
        ("INVALID_FIELD".to_owned(), Some("stream_id".to_owned()))
    );
    let refused = service
        .start("derby", |request| request.run_id.clear())
        .await
        .unwrap_err();
    assert_eq!(
        blame(&refused),
        ("INVALID_FIELD".to_owned(), Some("run_id".to_owned()))
    );
    let refused = service
        .start("derby", |request| request.epoch = 0)
        .await
        .unwrap_err();
    assert_eq!(
        blame(&refused),
        ("INVALID_FIELD".to_owned(), Some("epoch".to_owned()))
    );
    let long_hold = StreamSettings {
        hold: Some(dub_proto::convert::duration_to_wire(Duration::from_secs(61))),
        ..Default::default()
    };
    let refused = service
        .start("derby", |request| request.settings = Some(long_hold))
        .await
        .unwrap_err();
    assert_eq!(
        blame(&refused),
        ("INVALID_FIELD".to_owned(), Some("settings.hold".to_owned()))
    );
    let refused = service
        .start("derby", |request| request.source = tracks(&["H265", "Opus"]))
        .await
        .unwrap_err();
    assert_eq!(
        blame(&refused),
        (
            "VIDEO_CODEC_UNSUPPORTED".to_owned(),
            Some("source.tracks".to_owned())
        )
    );
    assert!(refused.message().contains("H265"), "{refused}");
    let too_many = vec!["Generic"; 65];
    let refused = service
        .start("derby", |request| request.source = tracks(&too_many))
        .await
        .unwrap_err();
    assert_eq!(blame(&refused).1.as_deref(), Some("source.tracks"));
    service.start("derby", |_| {}).await.unwrap();
    let refused = service
        .start("derby", |request| request.epoch = 2)
        .await
        .unwrap_err();
    assert_eq!(blame(&refused).0, "WORKER_CONFLICT");
    service.start("opera", |_| {}).await.unwrap();
    let refused = service.start("third", |_| {}).await.unwrap_err();
    assert_eq!(
        (blame(&refused).0.as_str(), refused.code()),
        ("WORKER_LIMIT", Code::ResourceExhausted)
    );
}

#[tokio::test]
async fn the_switch_knows_its_states() {
    let mut service = service("normal").await;
    assert_eq!(
        blame(&service.get("derby").await.unwrap_err()).0,
        "WORKER_UNKNOWN"
    );
    assert_eq!(
        blame(&service.set_air("derby", AirState::Mute).await.unwrap_err()).0,
        "WORKER_UNKNOWN"
    );
    service.start("derby", |_| {}).await.unwrap();
    service.running("derby").await;
    let thrown = service.set_air("derby", AirState::Original).await.unwrap();
    assert_eq!(thrown.in_force_from.unwrap().ticks, 4_800);
    assert_eq!(
        service.get("derby").await.unwrap().air_state(),
        AirState::Original
    );
    for state in [AirState::Unspecified, AirState::Outage, AirState::VoiceOver] {
        let refused = service.set_air("derby", state).await.unwrap_err();
        assert_eq!(
            blame(&refused),
            ("INVALID_FIELD".to_owned(), Some("state".to_owned())),
            "{state:?}"
        );
    }
    let refused = service.set_air("derby", AirState::Bed).await.unwrap_err();
    assert_eq!(blame(&refused).0, "BED_UNAVAILABLE");
    let unanswered = service.set_air("derby", AirState::Mute).await.unwrap_err();
    assert_eq!(
        (blame(&unanswered).0.as_str(), unanswered.code()),
        ("WORKER_UNRESPONSIVE", Code::Unavailable)
    );
}

#[tokio::test]
async fn a_watcher_hears_every_exit_and_then_the_drain() {
    let mut service = service("deaf").await;
    service.start("derby", |_| {}).await.unwrap();
    service.start("opera", |_| {}).await.unwrap();
    service.running("derby").await;
    let request = wire::WatchWorkersRequest {
        stream_id: "derby".to_owned(),
    };
    let mut watch = service.client.watch_workers(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap().worker.unwrap();
    assert_eq!(
        (first.stream_id.as_str(), first.state()),
        ("derby", wire::WorkerState::Running)
    );
    service.signals_tx.send(Signal::Terminate).await.unwrap();
    let mut last = first;
    let end = timeout(PATIENCE, async {
        loop {
            match watch.message().await {
                Ok(Some(answer)) => last = answer.worker.unwrap(),
                Ok(None) => panic!("the stream ended without a word"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(blame(&end.await.unwrap()).0, "DRAINING");
    assert_eq!(
        (last.state(), last.exit_code, last.stream_id.as_str()),
        (wire::WorkerState::Exited, Some(137), "derby")
    );
    drop((watch, service.client));
    let exit = timeout(PATIENCE, service.task.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[tokio::test]
async fn a_watcher_that_falls_behind_gets_the_newest_state() {
    let mut service = service("flood").await;
    let mut watch = service
        .client
        .watch_workers(wire::WatchWorkersRequest::default())
        .await
        .unwrap()
        .into_inner();
    service.start("derby", |_| {}).await.unwrap();
    service.running("derby").await;
    let mut answers = 0;
    let newest = timeout(PATIENCE, async {
        loop {
            let worker = watch.message().await.unwrap().unwrap().worker.unwrap();
            answers += 1;
            if worker.fragments_total.contains_key("fallback") {
                return worker;
            }
        }
    });
    assert_eq!(newest.await.unwrap().last_fragment_seq, 1_001);
    assert!(answers < 2_000, "{answers} answers: nothing was skipped");
}
