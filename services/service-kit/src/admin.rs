//! Admin endpoints on their own address: `/metrics` (OpenMetrics), `/livez`, `/readyz`; and the `healthcheck`
//! subcommand that asks them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::info::Info;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::exit::code;
use crate::net::Endpoint;
use crate::settings::{Env, Reader, Setting};
use crate::tasks::Tasks;

/// The registry of a process: built at start, handed over once.
pub type Metrics = prometheus_client::registry::Registry;

/// What `/metrics` answers with.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Longest wait of one healthcheck step.
const HEALTHCHECK_STEP: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ready {
    ready: bool,
    reason: String,
}

/// Whether work may be sent here, and why not. Starts as not ready.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<Ready>>);

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Not ready: `starting`.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Ready {
            ready: false,
            reason: "starting".to_owned(),
        })))
    }

    /// Changes the answer; a change is logged once.
    pub fn set(&self, ready: bool, reason: impl Into<String>) {
        let next = Ready {
            ready,
            reason: reason.into(),
        };
        let changed = self.0.send_if_modified(|current| {
            let changed = *current != next;
            current.clone_from(&next);
            changed
        });
        if changed {
            tracing::info!(ready, reason = next.reason, "readiness changed");
        }
    }

    /// Whether work may be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().ready
    }

    /// Why, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        self.0.borrow().reason.clone()
    }

    /// Waits until the answer is `ready`.
    pub async fn wait_until_ready(&self) {
        let mut rx = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = rx.wait_for(|current| current.ready).await;
    }
}

/// The admin listener, bound and not yet answering.
pub struct Admin {
    listener: TcpListener,
    router: Router,
    readiness: Readiness,
}

#[derive(Clone)]
struct Shared {
    registry: Arc<Metrics>,
    readiness: Readiness,
}

impl Admin {
    /// Binds `endpoint` (an address, or setting and address) and takes the registry, to which `build_info` is added.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        endpoint: impl Into<Endpoint>,
        mut registry: Metrics,
        readiness: Readiness,
    ) -> anyhow::Result<Self> {
        let listener = crate::net::bind(endpoint).await?;
        register_build_info(&mut registry);
        registry.register_collector(Box::new(LogLines));
        let shared = Shared {
            registry: Arc::new(registry),
            readiness: readiness.clone(),
        };
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(readyz))
            .with_state(shared);
        Ok(Self {
            listener,
            router,
            readiness,
        })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `token` is cancelled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, token: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = token.cancelled() => Ok(()),
            served = async { axum::serve(self.listener, self.router).await } => Ok(served?),
        }
    }

    /// Answers until everything else has drained; the drain turns readiness off.
    pub fn spawn_into(self, tasks: &mut Tasks) {
        let readiness = self.readiness.clone();
        tasks.on_drain(move || readiness.set(false, "draining"));
        tasks.spawn_to_the_last(async move {
            if let Err(error) = self.serve(CancellationToken::new()).await {
                tracing::error!(error = format!("{error:#}"), "admin endpoints failed");
            }
        });
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let status = if shared.readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, format!("{}\n", shared.readiness.reason())).into_response()
}

/// `build_info{service,version,revision} 1`.
fn register_build_info(registry: &mut Metrics) {
    let labels = vec![
        ("service", crate::telemetry::service_name()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "revision",
            option_env!("DUB_BUILD_REVISION").unwrap_or("unknown").to_owned(),
        ),
    ];
    registry.register("build", "What runs here", Info::new(labels));
}

/// `log_lines_dropped_total`: what the log lost because its stream or disk stood still.
#[derive(Debug)]
struct LogLines;

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let dropped = ConstCounter::new(crate::telemetry::dropped_log_lines());
        let help = "Log lines lost because stream or disk stood still.";
        let metric = encoder.encode_descriptor("log_lines_dropped", help, None, dropped.metric_type())?;
        dropped.encode(metric)
    }
}

/// The `healthcheck` subcommand: `GET /readyz` of the own admin address. Exit code 0 when ready, 1 otherwise with
/// the reason on stderr. Blocking and without a runtime, because a container asks often.
#[must_use]
pub fn healthcheck(env: &Env, admin_addr: &Setting) -> ExitCode {
    let mut reader = Reader::new(env);
    let address = reader.address(admin_addr);
    let outcome = match reader.finish() {
        Ok(()) => ask_readyz(address),
        Err(errors) => Err(errors.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::from(code::DONE),
        Err(reason) => {
            // Nothing is left to do when stderr is closed.
            let _ = writeln!(std::io::stderr(), "not ready: {reason}");
            ExitCode::from(code::FAILED)
        }
    }
}

/// Asks `/readyz` at `address`; the reason when the answer is not 200.
///
/// # Errors
/// The reason in words.
pub fn ask_readyz(address: SocketAddr) -> Result<(), String> {
    let address = reachable(address);
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_STEP)?;
        stream.set_read_timeout(Some(HEALTHCHECK_STEP))?;
        stream.set_write_timeout(Some(HEALTHCHECK_STEP))?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.take(16 * 1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{address}: {error}"))?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    let status = answer.lines().next().unwrap_or("no answer").to_owned();
    let body = answer
        .split_once("\r\n\r\n")
        .map_or("", |(_, body)| body)
        .trim()
        .to_owned();
    Err(if body.is_empty() { status } else { body })
}

/// A wildcard address is asked on the loopback address of its family.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
