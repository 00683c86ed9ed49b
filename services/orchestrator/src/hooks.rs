//! MediaMTX's hooks: an event is checked, handed to the registry and answered at once.
use crate::error::{accepted, refused};
use crate::metrics::{HookLabels, Metrics};
use crate::path_pattern::{PathPattern, Side};
use crate::registry::Registry;
use crate::start_trace;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use dub_proto::status::ErrorCode;
use media_types::StreamId;
use opentelemetry::Context;
use serde::Deserialize;
use service_kit::trace;
use std::time::Duration;
use tokio_stream::StreamExt as _;

/// Largest body. The longest query that a publisher can send is far shorter.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What is read and thrown away of a larger one, so that its sender reads the answer instead of a reset.
const DISCARDED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Time for a body to arrive; a hook program gives up after five seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest id or kind of a source; MediaMTX's are 36 bytes.
const SOURCE_BYTES_MAX: usize = 128;
/// What a log line repeats of a path that is not valid.
const SHOWN_CHARS_MAX: usize = 200;

/// What a hook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// The path has a source.
    Ready,
    /// The path has lost it.
    NotReady,
}

impl HookEvent {
    /// As in the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
        }
    }
}

/// A checked event.
#[derive(Clone, Debug)]
pub struct Hook {
    /// What happened.
    pub event: HookEvent,
    /// To which stream.
    pub stream_id: StreamId,
    /// At which end of it.
    pub side: Side,
    /// The path as MediaMTX names it.
    pub path: String,
    /// Query of the publisher's URL, as MediaMTX hands it on.
    pub query: String,
    /// Kind of the publisher's connection.
    pub source_type: String,
    /// Id of the publisher's connection.
    pub source_id: String,
    /// Correlation id.
    pub request_id: String,
    /// Carries the span `stream start` for a ready event at the near end.
    pub trace: Context,
}

impl Hook {
    /// One line, inside the trace of the start that it may cause.
    fn log(&self) {
        let _inside = self.trace.clone().attach();
        tracing::info!(
            request_id = self.request_id,
            event = self.event.as_str(),
            stream_id = %self.stream_id,
            side = self.side.as_str(),
            source_id = self.source_id,
            source_type = self.source_type,
            "hook event"
        );
    }
}

/// What the routes share.
#[derive(Clone)]
pub struct Hooks {
    /// Takes the events.
    pub registry: Registry,
    /// Tells streams from paths.
    pub path_pattern: PathPattern,
    /// Counts them.
    pub metrics: Metrics,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventBody {
    path: String,
    #[serde(default)]
    query: String,
    source_type: String,
    source_id: String,
}

/// A refusal, for the caller to read.
struct Refusal(ErrorCode, String);

/// The routes of the hooks.
pub fn routes(hooks: Hooks) -> Router {
    let take = |event: HookEvent| {
        post(
            move |State(hooks): State<Hooks>, request: Request| async move { hooks.take(event, request).await },
        )
    };
    Router::new()
        .route("/v1/mediamtx/events/ready", take(HookEvent::Ready))
        .route("/v1/mediamtx/events/not-ready", take(HookEvent::NotReady))
        .with_state(hooks)
}

impl Hooks {
    async fn take(&self, event: HookEvent, request: Request) -> Response {
        let request_id = uuid::Uuid::now_v7().to_string();
        let outcome = self.accept(event, request, &request_id).await;
        let label = match &outcome {
            Ok(()) => "accepted".to_owned(),
            Err(Refusal(code, _)) => code.as_str().to_ascii_lowercase(),
        };
        let labels = HookLabels {
            event: event.as_str().to_owned(),
            outcome: label,
        };
        self.metrics.hook_events.get_or_create(&labels).inc();
        match outcome {
            Ok(()) => accepted(&request_id),
            Err(Refusal(code, message)) => {
                let (event, code_said) = (event.as_str(), code.as_str());
                tracing::warn!(
                    request_id,
                    event,
                    code = code_said,
                    problem = message,
                    "hook refused"
                );
                refused(code, &message, &request_id)
            }
        }
    }

    async fn accept(&self, event: HookEvent, request: Request, request_id: &str) -> Result<(), Refusal> {
        let (parts, body) = request.into_parts();
        let body = read(body).await?;
        let body: EventBody = serde_json::from_slice(&body).map_err(|error| {
            Refusal(
                ErrorCode::InvalidBody,
                format!("body is not an event as JSON: {error}"),
            )
        })?;
        if body.source_id.len() > SOURCE_BYTES_MAX || body.source_type.len() > SOURCE_BYTES_MAX {
            let message = format!("sourceId and sourceType have at most {SOURCE_BYTES_MAX} bytes");
            return Err(Refusal(ErrorCode::InvalidBody, message));
        }
        let (stream_id, side) = self.path_pattern.parse(&body.path).map_err(|error| {
            let shown: String = body.path.chars().take(SHOWN_CHARS_MAX).collect();
            Refusal(ErrorCode::InvalidPath, format!("{error}: {shown:?}"))
        })?;
        let trace = match (event, side) {
            (HookEvent::Ready, Side::In) => start_trace::begin(
                &parent(&parts.headers),
                stream_id.as_str(),
                &body.source_id,
                request_id,
            ),
            (HookEvent::Ready | HookEvent::NotReady, Side::In | Side::Out) => Context::new(),
        };
        let hook = Hook {
            event,
            stream_id,
            side,
            path: body.path,
            query: body.query,
            source_type: body.source_type,
            source_id: body.source_id,
            request_id: request_id.to_owned(),
            trace,
        };
        hook.log();
        self.registry
            .hook(hook)
            .await
            .map_err(|refused| Refusal(refused.code(), refused.to_string()))
    }
}

fn parent(headers: &HeaderMap) -> Context {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    trace::extract(&trace::TraceContext {
        traceparent: text("traceparent"),
        tracestate: text("tracestate"),
    })
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let too_large = || {
        Refusal(
            ErrorCode::BodyTooLarge,
            format!("body has more than {BODY_BYTES_MAX} bytes"),
        )
    };
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut total = 0_usize;
    let reading = async {
        while let Some(piece) = pieces.next().await {
            let Ok(piece) = piece else {
                return Err(Refusal(ErrorCode::InvalidBody, "body broke off".to_owned()));
            };
            total = total.saturating_add(piece.len());
            if total > DISCARDED_BYTES_MAX {
                return Err(too_large());
            }
            if total <= BODY_BYTES_MAX {
                bytes.extend_from_slice(&piece);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(())) if total > BODY_BYTES_MAX => Err(too_large()),
        Ok(Ok(())) => Ok(bytes),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal(
            ErrorCode::InvalidBody,
            format!("body did not arrive within {BODY_TIMEOUT:?}"),
        )),
    }
}
