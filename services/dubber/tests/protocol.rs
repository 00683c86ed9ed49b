//! What a peer may not say, and how it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1::dub_request::Payload;
use dub_proto::dub::v1::{Audio, Close, Control, DubRequest, FragmentEnd, FragmentStart, Open, PcmFormat};
use dub_proto::media::v1::{MediaTime as WireTime, StreamSettings};
use media_types::MediaTime;
use std::time::Duration;
use support::{Service, open};
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn at(frames: i64) -> Option<WireTime> {
    Some(time_to_wire(MediaTime::from_frames(frames)))
}

fn start(seq: u64, frames: i64) -> Payload {
    Payload::FragmentStart(FragmentStart {
        fragment_seq: seq,
        start: at(frames),
        trace: None,
    })
}

fn audio(frames: i64, bytes: usize) -> Payload {
    Payload::Audio(Audio {
        start: at(frames),
        pcm: vec![0; bytes].into(),
        speech_probability: None,
    })
}

fn end(seq: u64, frames: i64) -> Payload {
    Payload::FragmentEnd(FragmentEnd {
        fragment_seq: seq,
        end: at(frames),
    })
}

fn probability(value: f32) -> Payload {
    Payload::Audio(Audio {
        start: at(0),
        pcm: vec![0; 4].into(),
        speech_probability: Some(value),
    })
}

fn opening(change: impl FnOnce(&mut Open)) -> Payload {
    let Payload::Open(mut message) = open("derby") else {
        unreachable!()
    };
    change(&mut message);
    Payload::Open(message)
}

/// The stable reason and the field to blame.
fn blamed(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let reason = details.error_info().unwrap().reason.clone();
    let field = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first())
        .map(|first| first.field.clone());
    (reason, field.unwrap_or_default())
}

async fn refused(service: &Service, messages: Vec<Payload>) -> (String, String) {
    let mut dub = service.stream().await;
    for message in messages {
        dub.say(message).await;
    }
    blamed(&dub.end().await.unwrap_err())
}

#[tokio::test]
async fn what_is_no_session_is_refused_with_its_reason_and_field() {
    let service = Service::start(&[]).await;
    let pcm = |rate, channels| {
        Some(PcmFormat {
            sample_rate_hz: rate,
            channels,
        })
    };
    let long_hold = StreamSettings {
        hold: Some(prost_types::Duration {
            seconds: 61,
            nanos: 0,
        }),
        fragment_duration: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
        ..StreamSettings::default()
    };
    for (reason, field, first) in [
        ("PROTOCOL", "open", start(1, 0)),
        ("PROTOCOL", "open", Payload::Close(Close::default())),
        ("INVALID_FIELD", "open.pcm", opening(|open| open.pcm = None)),
        (
            "INVALID_FIELD",
            "open.pcm",
            opening(|open| open.pcm = pcm(44_100, 2)),
        ),
        (
            "INVALID_FIELD",
            "open.pcm",
            opening(|open| open.pcm = pcm(48_000, 1)),
        ),
        (
            "INVALID_FIELD",
            "open.stream_id",
            opening(|open| open.stream_id = "live/../in".to_owned()),
        ),
        (
            "INVALID_FIELD",
            "open.stream_id",
            opening(|open| open.stream_id = "x".repeat(10_000)),
        ),
        (
            "INVALID_FIELD",
            "open.run_id",
            opening(|open| open.run_id.clear()),
        ),
        (
            "INVALID_FIELD",
            "settings.hold",
            opening(|open| open.settings = Some(long_hold.clone())),
        ),
    ] {
        assert_eq!(
            refused(&service, vec![first]).await,
            (reason.to_owned(), field.to_owned())
        );
    }
}

#[tokio::test]
async fn what_breaks_a_session_is_refused_with_its_reason_and_field() {
    let service = Service::start(&[]).await;
    let nowhere = Payload::FragmentStart(FragmentStart {
        fragment_seq: 1,
        start: Some(WireTime { ticks: 0, rate: 0 }),
        trace: None,
    });
    for (reason, field, rest) in [
        ("PROTOCOL", "open", vec![open("derby")]),
        ("PROTOCOL", "audio", vec![audio(0, 4)]),
        ("PROTOCOL", "fragment_end", vec![end(1, 0)]),
        ("PROTOCOL", "fragment_start", vec![start(1, 0), start(2, 0)]),
        ("PROTOCOL", "audio.start", vec![start(1, 0), audio(1, 4)]),
        (
            "PROTOCOL",
            "audio.start",
            vec![start(1, 0), audio(0, 400), audio(99, 4)],
        ),
        (
            "PROTOCOL",
            "fragment_end.end",
            vec![start(1, 0), audio(0, 400), end(1, 101)],
        ),
        (
            "PROTOCOL",
            "fragment_end.fragment_seq",
            vec![start(1, 0), audio(0, 400), end(2, 100)],
        ),
        (
            "PROTOCOL",
            "fragment_start",
            vec![Payload::Close(Close::default()), start(1, 0)],
        ),
        (
            "PROTOCOL",
            "control.order",
            vec![Payload::Control(Control { order: None })],
        ),
        ("INVALID_FIELD", "fragment_start.start", vec![nowhere]),
        ("INVALID_FIELD", "audio.pcm", vec![start(1, 0), audio(0, 5)]),
        (
            "INVALID_FIELD",
            "audio.speech_probability",
            vec![start(1, 0), probability(1.5)],
        ),
        (
            "INVALID_FIELD",
            "audio.speech_probability",
            vec![start(1, 0), probability(f32::NAN)],
        ),
    ] {
        // What is under way keeps a closing session open until the next message is seen.
        let before = vec![open("derby"), start(0, -10), audio(-10, 40), end(0, 0)];
        let said = format!("{rest:?}");
        let messages = before.into_iter().chain(rest).collect();
        assert_eq!(
            refused(&service, messages).await,
            (reason.to_owned(), field.to_owned()),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_message_that_says_nothing_is_refused() {
    let service = Service::start(&[]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.requests
        .as_ref()
        .unwrap()
        .send(DubRequest { payload: None })
        .await
        .unwrap();
    assert_eq!(
        blamed(&dub.end().await.unwrap_err()),
        ("PROTOCOL".to_owned(), "payload".to_owned())
    );
}

#[tokio::test]
async fn one_bad_session_leaves_the_others_alone() {
    let service = Service::start(&[]).await;
    let mut good = service.open("good").await;
    good.opened().await;
    assert_eq!(
        refused(&service, vec![open("bad"), audio(0, 4)]).await.0,
        "PROTOCOL"
    );
    good.fragment(1).await;
    assert!(good.result().await.speech.is_some());
}

#[tokio::test]
async fn a_place_is_taken_once_and_free_again_when_the_peer_is_gone() {
    let service = Service::start(&[("DUBBER_MAX_SESSIONS", "1")]).await;
    let mut first = service.open("first").await;
    first.opened().await;
    let (_requests, rx) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(rx);
    let status = service.client().await.dub(requests).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("DUBBER_MAX_SESSIONS"), "{status:?}");
    drop(first);
    for _ in 0..200 {
        let (_requests, rx) = tokio::sync::mpsc::channel(1);
        let requests = tokio_stream::wrappers::ReceiverStream::new(rx);
        if service.client().await.dub(requests).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a peer that is gone stays taken");
}
