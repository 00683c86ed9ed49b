//! What the dubber says, checked: behind this file nothing of a peer is out of bounds.
use crate::worker::event::DubEvent;
use dub_placement::Speech;
use dub_proto::{
    convert,
    dub::v1::{self as wire, dub_response},
};
use media_types::{CHANNELS, ErrorClass, FragmentSeq, Reason};

pub(super) fn from_wire(payload: dub_response::Payload) -> Result<Option<DubEvent>, convert::ConvertError> {
    Ok(match payload {
        dub_response::Payload::Speech(speech) => {
            let pcm: Vec<i16> = speech
                .pcm
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            if !pcm.len().is_multiple_of(CHANNELS) {
                return Err(convert::ConvertError::OutOfBounds {
                    field: "speech.pcm".to_owned(),
                    value: format!("{} bytes", speech.pcm.len()),
                    allowed: "whole stereo frames".to_owned(),
                });
            }
            Some(DubEvent::Speech(Box::new(Speech {
                earliest: convert::time_from_wire(speech.earliest.as_ref(), "speech.earliest")?,
                latest: convert::time_from_wire(speech.latest.as_ref(), "speech.latest")?,
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
            })))
        }
        dub_response::Payload::Settlement(settlement) => {
            let delivered = settlement.status() == wire::SettlementStatus::Delivered;
            let error = settlement.error.unwrap_or_default();
            Some(DubEvent::Settled {
                seq: FragmentSeq(settlement.fragment_seq),
                error: (!delivered).then(|| error_class(error.error_class())),
                message: error.message,
                provider_round_trip: convert::duration_from_wire(
                    settlement.provider_round_trip.as_ref(),
                    "rtt",
                )
                .ok(),
            })
        }
        dub_response::Payload::Event(event) => {
            tracing::info!(
                kind = event.kind().as_str_name(),
                message = event.message,
                "dubber says"
            );
            None
        }
        dub_response::Payload::Opened(_)
        | dub_response::Payload::Text(_)
        | dub_response::Payload::Supersede(_) => None,
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
