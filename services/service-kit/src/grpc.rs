//! The gRPC server of a service: its routes, plus health, plus reflection (v1 and v1alpha).
//!
//! * Health knows `""` and every mounted service of the descriptor sets; all say NOT_SERVING once the drain begins.
//! * Reflection lists what is mounted, not everything that the descriptor sets describe.
//! * At drain the listener closes, handlers get [`GrpcServer::with_grace`] to end their streams in their own words, then what
//!   is open ends with `UNAVAILABLE draining`. Health and reflection streams end at once.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt as _;

use crate::net::Endpoint;

/// What open calls hear when the service goes away.
pub const DRAINING: &str = "draining";

/// How long handlers have to end their streams themselves.
const GRACE: Duration = Duration::from_secs(2);

/// Lets a health watcher hear NOT_SERVING before its stream ends.
const HEALTH_LAST_WORD: Duration = Duration::from_millis(50);

/// A peer that vanished without a word is noticed after the sum of both.
const KEEPALIVE_PERIOD: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER_MAX: Duration = Duration::from_secs(5);

const REFLECTION_V1: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Marks an answer of the fallback, to tell a missing service from a missing method.
const NOT_MOUNTED: HeaderName = HeaderName::from_static("x-not-mounted");

/// Routes or their builder.
pub trait IntoRoutes {
    /// The routes.
    fn into_routes(self) -> Routes;
}

impl IntoRoutes for Routes {
    fn into_routes(self) -> Routes {
        self
    }
}

impl IntoRoutes for RoutesBuilder {
    fn into_routes(self) -> Routes {
        self.routes()
    }
}

/// A gRPC listener, bound and not yet answering.
#[derive(Debug)]
pub struct GrpcServer {
    listener: TcpListener,
    grace: Duration,
}

impl GrpcServer {
    /// Binds `endpoint` (an address, or setting and address).
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(endpoint: impl Into<Endpoint>) -> anyhow::Result<Self> {
        Ok(Self {
            listener: crate::net::bind(endpoint).await?,
            grace: GRACE,
        })
    }

    /// Sets how long handlers have to end their streams themselves at drain.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `token` is cancelled and open calls have ended.
    ///
    /// # Errors
    /// When a descriptor set cannot be read or the listener fails.
    pub async fn serve(
        self,
        routes: impl IntoRoutes,
        descriptor_sets: &[&'static [u8]],
        token: CancellationToken,
    ) -> anyhow::Result<()> {
        let own = routes
            .into_routes()
            .prepare()
            .into_axum_router()
            .fallback(not_mounted);
        let mounted = mounted_services(&own, described_services(descriptor_sets)?).await;
        let (health, health_service) = tonic_health::server::health_reporter();
        set_all(&health, &mounted, ServingStatus::Serving).await;
        let v1 = reflection_of(descriptor_sets, &mounted)
            .with_service_name(REFLECTION_V1)
            .build_v1()?;
        let v1alpha = reflection_of(descriptor_sets, &mounted)
            .with_service_name(REFLECTION_V1ALPHA)
            .build_v1alpha()?;
        let drain = Drain {
            quick: CancellationToken::new(),
            patient: CancellationToken::new(),
        };
        let router = Routes::from(own)
            .add_service(health_service)
            .add_service(v1)
            .add_service(v1alpha)
            .into_axum_router()
            .layer(from_fn_with_state(drain.clone(), end_at_drain));

        let closing = drain.quick.clone();
        let serving = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_PERIOD))
            .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER_MAX))
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(self.listener).with_nodelay(Some(true)),
                closing.cancelled_owned(),
            );
        let draining = async {
            token.cancelled().await;
            set_all(&health, &mounted, ServingStatus::NotServing).await;
            tokio::time::sleep(HEALTH_LAST_WORD).await;
            drain.quick.cancel();
            tokio::time::sleep(self.grace).await;
            drain.patient.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = serving => served.context("gRPC server failed"),
            () = draining => Ok(()),
        }
    }
}

/// Names of all services that the descriptor sets describe.
fn described_services(descriptor_sets: &[&'static [u8]]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for bytes in descriptor_sets {
        let set = FileDescriptorSet::decode(*bytes).context("descriptor set cannot be read")?;
        for file in &set.file {
            names.extend(
                file.service
                    .iter()
                    .map(|service| format!("{}.{}", file.package(), service.name())),
            );
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Those of `names` that the router answers for itself.
async fn mounted_services(router: &Router, names: Vec<String>) -> Vec<String> {
    let mut mounted = Vec::new();
    for name in names {
        let Ok(probe) = Request::post(format!("/{name}/-")).body(Body::empty()) else {
            continue;
        };
        let Ok(answer) = router.clone().oneshot(probe).await;
        if !answer.headers().contains_key(NOT_MOUNTED) {
            mounted.push(name);
        }
    }
    mounted
}

async fn not_mounted(request: Request) -> Response {
    let service = request.uri().path().split('/').nth(1).unwrap_or_default();
    let mut answer =
        Status::unimplemented(format!("service {service:?} is not served here")).into_http::<Body>();
    answer
        .headers_mut()
        .insert(NOT_MOUNTED, HeaderValue::from_static("true"));
    answer
}

async fn set_all(health: &HealthReporter, mounted: &[String], status: ServingStatus) {
    for name in std::iter::once("").chain(mounted.iter().map(String::as_str)) {
        health.set_service_status(name, status).await;
    }
}

/// A reflection builder that knows all descriptors and lists what is mounted.
fn reflection_of(
    descriptor_sets: &[&'static [u8]],
    mounted: &[String],
) -> tonic_reflection::server::Builder<'static> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    for bytes in descriptor_sets {
        builder = builder.register_encoded_file_descriptor_set(bytes);
    }
    for name in mounted {
        builder = builder.with_service_name(name);
    }
    builder
}

#[derive(Debug, Clone)]
struct Drain {
    /// Cancelled when the listener closes.
    quick: CancellationToken,
    /// Cancelled when the handlers' time is over.
    patient: CancellationToken,
}

/// Ends a call when its time is over: before the answer with a status, within the answer with trailers.
async fn end_at_drain(State(drain): State<Drain>, request: Request, next: Next) -> Response {
    let is_infrastructure = request.uri().path().starts_with("/grpc.");
    let over = if is_infrastructure {
        drain.quick
    } else {
        drain.patient
    };
    tokio::select! {
        biased;
        answer = next.run(request) => {
            let over = Box::pin(over.cancelled_owned());
            answer.map(|inner| Body::new(EndsAtDrain { inner, over, ended: false }))
        }
        () = over.cancelled() => Status::unavailable(DRAINING).into_http(),
    }
}

/// A body that ends with `UNAVAILABLE draining` when its time is over.
struct EndsAtDrain {
    inner: Body,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl http_body::Body for EndsAtDrain {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if frame.is_pending() && self.over.as_mut().poll(context).is_ready() {
            self.ended = true;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(match Status::unavailable(DRAINING).add_header(&mut trailers) {
                Ok(()) => Some(Ok(Frame::trailers(trailers))),
                Err(_) => None,
            });
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
#[path = "grpc_tests.rs"]
mod tests;
