//! What the dubber says, checked: behind this file nothing of a peer is out of bounds.
use crate::{
    link::lines::Breaker,
    worker::{
        air::Deciding,
        event::{DubEvent, Topic},
    },
};
use dub_placement::Speech;
use dub_proto::{
    convert,
    dub::v1::{self as wire, dub_response},
};
use media_types::{CHANNELS, ErrorClass, FragmentSeq, Reason};

/// Longest message for a person that is kept: it goes into the log.
const MESSAGE_CHARS_MAX: usize = 512;

/// A peer's text, as long as we keep it.
pub(super) fn text(said: &str) -> String {
    said.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// How a session is decided. A dubber that does not say answers as those before it: by fragment.
pub(super) const fn deciding_of(answering: wire::Answering) -> Deciding {
    match answering {
        wire::Answering::Speech => Deciding::ByPhrase,
        wire::Answering::Fragments | wire::Answering::Unspecified => Deciding::ByFragment,
    }
}

fn speech_from_wire(speech: &wire::Speech) -> Result<Speech, convert::ConvertError> {
    let refused = |field: &str, value: String, allowed: &str| convert::ConvertError::OutOfBounds {
        field: field.to_owned(),
        value,
        allowed: allowed.to_owned(),
    };
    let pcm: Vec<i16> = speech
        .pcm
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    if !speech.pcm.len().is_multiple_of(2 * CHANNELS) {
        let value = format!("{} bytes", speech.pcm.len());
        return Err(refused("speech.pcm", value, "whole stereo frames"));
    }
    let earliest = convert::time_from_wire(speech.earliest.as_ref(), "speech.earliest")?;
    let latest = convert::time_from_wire(speech.latest.as_ref(), "speech.latest")?;
    if latest < earliest {
        let value = format!("{} frames before speech.earliest", (earliest - latest).frames());
        return Err(refused(
            "speech.latest",
            value,
            "no instant before speech.earliest",
        ));
    }
    Ok(Speech {
        earliest,
        latest,
        exact: speech.exact,
        fragment: speech.fragment_seq.map(FragmentSeq),
        connection: speech.connection,
        at: speech
            .at
            .as_ref()
            .map(|at| convert::time_from_wire(Some(at), "speech.at"))
            .transpose()?,
        turn: speech.turn,
        pcm,
    })
}

fn said(event: &wire::Event) -> DubEvent {
    let topic = match event.kind() {
        wire::EventKind::Rotation | wire::EventKind::Draining => Topic::Turn,
        wire::EventKind::Breaker => Topic::Breaker,
        wire::EventKind::Fault => Topic::Fault,
        wire::EventKind::Usage | wire::EventKind::Unspecified => Topic::Other,
    };
    let breaker = match event.breaker() {
        wire::BreakerState::Unspecified => None,
        wire::BreakerState::Closed => Some(Breaker::Closed),
        wire::BreakerState::HalfOpen => Some(Breaker::HalfOpen),
        wire::BreakerState::Open => Some(Breaker::Open),
    };
    let class = event.error_class();
    DubEvent::Said {
        topic,
        message: text(&event.message),
        breaker,
        class: (class != wire::ErrorClass::Unspecified).then(|| error_class(class)),
    }
}

pub(super) fn from_wire(payload: dub_response::Payload) -> Result<Option<DubEvent>, convert::ConvertError> {
    Ok(match payload {
        dub_response::Payload::Speech(speech) => Some(DubEvent::Speech(Box::new(speech_from_wire(&speech)?))),
        dub_response::Payload::Settlement(settlement) => {
            let delivered = settlement.status() == wire::SettlementStatus::Delivered;
            let error = settlement.error.unwrap_or_default();
            Some(DubEvent::Settled {
                seq: FragmentSeq(settlement.fragment_seq),
                error: (!delivered).then(|| error_class(error.error_class())),
                message: text(&error.message),
                provider_round_trip: convert::duration_from_wire(
                    settlement.provider_round_trip.as_ref(),
                    "rtt",
                )
                .ok(),
            })
        }
        dub_response::Payload::Event(event) => Some(said(&event)),
        dub_response::Payload::Supersede(supersede) => {
            let from = convert::time_from_wire(supersede.from.as_ref(), "supersede.from")?;
            let asked = match &supersede.asked {
                Some(asked) => convert::time_from_wire(Some(asked), "supersede.asked")?,
                None => from,
            };
            Some(DubEvent::Superseded {
                connection: supersede.connection,
                from,
                asked,
            })
        }
        dub_response::Payload::Opened(_) | dub_response::Payload::Text(_) => None,
    })
}

const fn error_class(class: wire::ErrorClass) -> ErrorClass {
    match class {
        wire::ErrorClass::Timeout | wire::ErrorClass::Unspecified => ErrorClass::Timeout,
        wire::ErrorClass::RateLimit => ErrorClass::RateLimit,
        wire::ErrorClass::Auth => ErrorClass::Auth,
        wire::ErrorClass::InvalidInput => ErrorClass::InvalidInput,
        wire::ErrorClass::Overloaded => ErrorClass::Overloaded,
        wire::ErrorClass::Closed => ErrorClass::Closed,
    }
}

/// What a failed settlement is to the air.
pub const fn reason_of(class: ErrorClass) -> Reason {
    match class {
        ErrorClass::Timeout => Reason::Timeout,
        ErrorClass::RateLimit | ErrorClass::Overloaded => Reason::Overload,
        ErrorClass::InvalidInput => Reason::InvalidOutput,
        ErrorClass::Auth | ErrorClass::Closed => Reason::Error,
    }
}
