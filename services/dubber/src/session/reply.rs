//! What a session says, as messages.
use super::ledger::Settled;
use super::live::voice;
use crate::provider::ProviderError;
use crate::repair::Fitted;
use bytes::Bytes;
use dub_proto::convert::{duration_to_wire, range_to_wire, time_to_wire};
use dub_proto::dub::v1 as wire;
use dub_proto::dub::v1::dub_response::Payload;
use gemini_session::{BreakerState, Side, Supersession, Text};
use media_types::{ErrorClass, FragmentSeq, MediaRange, MediaTime};
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

fn response(payload: Payload) -> wire::DubResponse {
    wire::DubResponse {
        payload: Some(payload),
    }
}

/// The session is open.
pub fn opened(session_id: &str, provider: &str, answering: wire::Answering) -> wire::DubResponse {
    response(Payload::Opened(wire::Opened {
        session_id: session_id.to_owned(),
        provider: provider.to_owned(),
        answering: answering.into(),
    }))
}

/// Dubbed speech that answers exactly its fragment.
pub fn speech(seq: FragmentSeq, range: MediaRange, pcm: Bytes) -> wire::DubResponse {
    response(Payload::Speech(wire::Speech {
        speech_id: format!("f{seq}"),
        pcm,
        earliest: Some(time_to_wire(range.start)),
        latest: Some(time_to_wire(range.end)),
        exact: true,
        fragment_seq: Some(seq.0),
        connection: 0,
        at: None,
        turn: None,
    }))
}

/// What became of a fragment.
pub fn settlement(session_id: &str, settled: &Settled) -> wire::DubResponse {
    let (status, error) = match &settled.outcome {
        Ok(_) => (wire::SettlementStatus::Delivered, None),
        Err(error) => (wire::SettlementStatus::Failed, Some(error_to_wire(error))),
    };
    let fitted: Option<&Fitted> = settled.outcome.as_ref().ok();
    response(Payload::Settlement(wire::Settlement {
        fragment_seq: settled.seq.0,
        status: status.into(),
        error,
        queued: settled.queued.map(duration_to_wire),
        provider_round_trip: settled.round_trip.map(duration_to_wire),
        alignment_delta: fitted.map(|fitted| signed_to_wire(fitted.alignment_delta)),
        repaired: fitted.is_some_and(|fitted| fitted.repaired),
        session_id: session_id.to_owned(),
    }))
}

/// Something about the session itself, of a provider that has no breaker.
pub fn event(kind: wire::EventKind, message: impl Into<String>) -> wire::DubResponse {
    let breaker = wire::BreakerState::Closed.into();
    response(Payload::Event(wire::Event {
        kind: kind.into(),
        message: message.into(),
        breaker,
        error_class: wire::ErrorClass::Unspecified.into(),
    }))
}

/// Something about the session itself, of a provider that has a breaker.
pub fn event_of(
    kind: wire::EventKind,
    message: impl Into<String>,
    breaker: BreakerState,
    class: Option<ErrorClass>,
) -> wire::DubResponse {
    response(Payload::Event(wire::Event {
        kind: kind.into(),
        message: message.into(),
        breaker: breaker_to_wire(breaker).into(),
        error_class: class.map_or(wire::ErrorClass::Unspecified, class_to_wire).into(),
    }))
}

/// Dubbed speech that says which source it can answer.
pub fn live_speech(piece: voice::Piece) -> wire::DubResponse {
    response(Payload::Speech(wire::Speech {
        speech_id: piece.id,
        pcm: piece.pcm,
        earliest: Some(time_to_wire(piece.earliest)),
        latest: Some(time_to_wire(piece.latest)),
        exact: false,
        fragment_seq: None,
        connection: piece.connection.0,
        at: Some(time_to_wire(piece.at)),
        turn: piece.turn,
    }))
}

/// More words. None of them is taken back.
pub fn text(text: &Text) -> wire::DubResponse {
    let side = match text.side {
        Side::Source => wire::TextSide::Source,
        Side::Target => wire::TextSide::Target,
    };
    response(Payload::Text(wire::Text {
        side: side.into(),
        text: text.text.clone(),
        range: Some(range_to_wire(text.range)),
        r#final: true,
    }))
}

/// Source that is answered anew.
pub fn supersede(supersession: &Supersession) -> wire::DubResponse {
    response(Payload::Supersede(wire::Supersede {
        connection: supersession.connection.0,
        from: Some(time_to_wire(supersession.from)),
        asked: Some(time_to_wire(supersession.asked)),
    }))
}

/// What became of a fragment whose answer is not a piece of its own.
pub fn live_settlement(
    session_id: &str,
    seq: FragmentSeq,
    error: Option<&ProviderError>,
    queued: Option<Duration>,
    round_trip: Option<Duration>,
) -> wire::DubResponse {
    let status = match error {
        None => wire::SettlementStatus::Delivered,
        Some(_) => wire::SettlementStatus::Failed,
    };
    response(Payload::Settlement(wire::Settlement {
        fragment_seq: seq.0,
        status: status.into(),
        error: error.map(error_to_wire),
        queued: queued.map(duration_to_wire),
        provider_round_trip: round_trip.map(duration_to_wire),
        alignment_delta: None,
        repaired: false,
        session_id: session_id.to_owned(),
    }))
}

fn error_to_wire(error: &ProviderError) -> wire::FragmentError {
    wire::FragmentError {
        stage: error.stage.to_owned(),
        error_class: class_to_wire(error.class).into(),
        retryable: error.retryable,
        message: error.message.clone(),
    }
}

/// State of a breaker.
pub const fn breaker_to_wire(state: BreakerState) -> wire::BreakerState {
    match state {
        BreakerState::Closed => wire::BreakerState::Closed,
        BreakerState::HalfOpen => wire::BreakerState::HalfOpen,
        BreakerState::Open => wire::BreakerState::Open,
    }
}

/// A length that may be negative; seconds and nanos then carry the same sign.
fn signed_to_wire(length: MediaTime) -> prost_types::Duration {
    let nanos = length.nanos();
    prost_types::Duration {
        seconds: nanos / NANOS_PER_SECOND,
        nanos: i32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0),
    }
}

const fn class_to_wire(class: ErrorClass) -> wire::ErrorClass {
    match class {
        ErrorClass::Timeout => wire::ErrorClass::Timeout,
        ErrorClass::RateLimit => wire::ErrorClass::RateLimit,
        ErrorClass::Auth => wire::ErrorClass::Auth,
        ErrorClass::InvalidInput => wire::ErrorClass::InvalidInput,
        ErrorClass::Overloaded => wire::ErrorClass::Overloaded,
        ErrorClass::Closed => wire::ErrorClass::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gemini_session::ConnectionId;

    #[test]
    fn a_negative_length_keeps_its_sign_in_both_parts() {
        let wire = signed_to_wire(MediaTime::from_millis(-1500));
        assert_eq!((wire.seconds, wire.nanos), (-1, -500_000_000));
    }

    #[test]
    fn a_supersession_says_what_is_owed_and_what_of_it_is_asked_anew() {
        let said = supersede(&Supersession {
            connection: ConnectionId(2),
            from: MediaTime::from_millis(1_000),
            asked: MediaTime::from_millis(4_000),
        });
        let at = |millis| Some(time_to_wire(MediaTime::from_millis(millis)));
        let expected = wire::Supersede {
            connection: 2,
            from: at(1_000),
            asked: at(4_000),
        };
        assert_eq!(said.payload, Some(Payload::Supersede(expected)));
    }
}
