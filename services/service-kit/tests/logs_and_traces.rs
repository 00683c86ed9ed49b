#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
//! Telemetry of a whole process: files that rotate visibly, lines that join a trace, spans that reach a collector.
//! One test a file, because a process has one telemetry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry::trace::{Span as _, Tracer as _};
use serde_json::Value;
use service_kit::{Env, Identity, LogStream, Reader, TelemetryConfig, telemetry, trace};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tracing::Instrument as _;

/// An OTLP collector that keeps the bytes it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl tonic::server::NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl tower::Service<Request<tonic::body::Body>> for Collector {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let kept = self.0.clone();
        Box::pin(async move {
            let bytes = to_bytes(Body::new(request.into_body()), 1 << 20).await.unwrap();
            kept.lock().unwrap().extend_from_slice(&bytes);
            let answer = Response::builder().header("content-type", "application/grpc");
            Ok(answer.body(Body::new(EmptyAnswer(0))).unwrap())
        })
    }
}

/// One empty message, then the status OK.
struct EmptyAnswer(u8);

impl http_body::Body for EmptyAnswer {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(http_body::Frame::data(bytes::Bytes::from_static(&[0; 5])))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(http_body::Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn a_process_leaves_rotated_log_files_and_its_spans_at_the_collector() {
    let collector = Collector::default();
    let server = service_kit::GrpcServer::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let endpoint = format!("http://{}", server.local_addr().unwrap());
    let mut routes = RoutesBuilder::default();
    routes.add_service(collector.clone());
    tokio::spawn(server.serve(routes, &[], CancellationToken::new()));

    let directory = tempfile::tempdir().unwrap();
    let env = Env::from_pairs([
        ("LOG_STDOUT", "false"),
        ("LOG_DIR", directory.path().to_str().unwrap()),
        ("LOG_FILE_BYTES_MAX", "4096"),
        ("LOG_FILES_MAX", "100"),
        ("LOG_LEVEL", "warn"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
    ]);
    let mut reader = Reader::new(&env);
    let config = TelemetryConfig::read(&mut reader);
    reader.finish().unwrap();
    let id = Identity {
        service: "dubber",
        instance_id: "dubber-1".to_owned(),
        ..Identity::default()
    };
    let running = telemetry::init(&config, &id, LogStream::Stdout).unwrap();
    assert!(matches!(
        telemetry::init(&config, &id, LogStream::Stdout),
        Err(telemetry::Error::AlreadyRunning)
    ));

    let span = tracing::info_span!("process dub.fragment", stream_id = "news");
    async {
        for fragment in 0..60_u64 {
            tracing::warn!(fragment, "late");
        }
        tracing::info!("below the level");
        let parent = tracing_opentelemetry::OpenTelemetrySpanExt::context(&tracing::Span::current());
        let mut after_the_fact = trace::tracer().start_with_context("provider call", &parent);
        after_the_fact.end();
        assert!(trace::inject(&parent).traceparent.starts_with("00-"));
    }
    .instrument(span)
    .await;
    running.shutdown().await;

    let mut lines: Vec<Value> = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.len() <= 4096 + 512, "{} bytes", text.len());
        lines.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()),
        );
    }
    let late: Vec<&Value> = lines.iter().filter(|line| line["message"] == "late").collect();
    assert_eq!(late.len(), 60);
    assert!(
        late.iter()
            .all(|line| line["stream_id"] == "news" && line["trace_id"] == late[0]["trace_id"])
    );
    assert!(late[0]["trace_id"].is_string());
    assert!(lines.iter().all(|line| line["message"] != "below the level"));
    assert!(
        lines
            .iter()
            .any(|line| line["message"] == "log file rotated" && line["kept_as"].is_string())
    );

    let sent = collector.0.lock().unwrap().clone();
    for word in ["process dub.fragment", "provider call", "dubber-1", "news"] {
        assert!(
            contains(&sent, word.as_bytes()),
            "{word} did not reach the collector"
        );
    }
    assert!(
        !contains(&sent, b"h2::"),
        "the transport's own spans stay at home"
    );
}
