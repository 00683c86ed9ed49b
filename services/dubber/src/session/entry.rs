//! How a session begins and ends, whoever dubs.
use super::Identity;
use super::input::Opening;
use super::task::{End, Surroundings};
use crate::directory::{Directory, View};
use crate::metrics::Queue;
use dub_proto::convert::timestamp_to_wire;
use dub_proto::dub::v1 as wire;
use dub_proto::status::ErrorCode;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

/// Longest wait for a place in the queue for the last word.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Who a session is, and where it is seen.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) who: Identity,
    pub(super) view: View,
    /// Trace of the start of the run.
    pub(super) run: SpanContext,
}

/// A session has just been asked for.
pub(super) fn enter(opening: &Opening, provider: &str, directory: &Directory) -> Entered {
    let who = Identity {
        session_id: uuid::Uuid::now_v7().to_string(),
        stream_id: opening.stream_id.clone(),
        run_id: opening.run_id.clone(),
        epoch: opening.epoch,
    };
    let view = directory.enter(wire::Session {
        session_id: who.session_id.clone(),
        stream_id: who.stream_id.to_string(),
        run_id: who.run_id.to_string(),
        epoch: who.epoch,
        provider: provider.to_owned(),
        state: wire::SessionState::Streaming.into(),
        opened_at: Some(timestamp_to_wire(SystemTime::now())),
        source_lang: opening.settings.source_lang.clone(),
        target_lang: opening.settings.target_lang.clone(),
        audio_in: Some(prost_types::Duration::default()),
        speech_in: Some(prost_types::Duration::default()),
        audio_out: Some(prost_types::Duration::default()),
        in_flight: Some(prost_types::Duration::default()),
        breaker: wire::BreakerState::Closed.into(),
        ..wire::Session::default()
    });
    let run = service_kit::trace::extract(&opening.trace)
        .span()
        .span_context()
        .clone();
    Entered { who, view, run }
}

/// A session begins to serve.
pub(super) fn begun(who: &Identity, around: &Surroundings, provider: &str) {
    around.metrics.session_opened();
    let Identity {
        session_id,
        stream_id,
        run_id,
        epoch,
    } = who;
    tracing::info!(%session_id, %stream_id, %run_id, epoch, provider, "session opened");
}

/// A session is over: its last word, and what is known of it from now on.
pub(super) async fn leave(
    who: &Identity,
    around: &Surroundings,
    responses: &mpsc::Sender<Result<wire::DubResponse, Status>>,
    end: &End,
) {
    let status = match end {
        End::Closed | End::PeerGone => None,
        End::Drained => {
            Some(ErrorCode::Draining.status("draining: open a new session elsewhere or later", None))
        }
        End::Violated(status) => Some(status.clone()),
    };
    if let Some(status) = status {
        // A peer that does not take its farewell learns of the end from its connection.
        let _ = timeout(FAREWELL_MAX, responses.send(Err(status))).await;
        around.metrics.pushed(Queue::Responses);
    }
    let outcome = outcome(end);
    around.metrics.session_ended(outcome);
    let Identity {
        session_id,
        stream_id,
        run_id,
        epoch,
    } = who;
    if let End::Violated(status) = end {
        tracing::warn!(%session_id, %stream_id, %run_id, epoch, problem = status.message(), "session refused a message");
    }
    tracing::info!(%session_id, %stream_id, %run_id, epoch, outcome, "session ended");
}

const fn outcome(end: &End) -> &'static str {
    match end {
        End::Closed => "closed",
        End::Drained => "drained",
        End::Violated(_) => "protocol_error",
        End::PeerGone => "peer_gone",
    }
}
