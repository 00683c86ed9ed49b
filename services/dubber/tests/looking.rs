//! What an operator sees: sessions listed, shown, watched; numbers; and a drain that ends everything cleanly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1::dub_request::Payload;
use dub_proto::dub::v1::dub_response::Payload as Answer;
use dub_proto::dub::v1::{
    BreakerState, ErrorClass, EventKind, FragmentStart, GetSessionRequest, ListSessionsRequest, Playhead,
    Session, SessionState, WatchSessionsRequest,
};
use media_types::MediaTime;
use service_kit::tasks::Signal;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use support::{PATIENCE, Service, metrics, start_of};
use tokio::time::timeout;
use tonic::{Code, Streaming};
use tonic_types::StatusExt;

async fn list(
    service: &Service,
    stream_id: &str,
    page_size: i32,
    page_token: &str,
) -> (Vec<Session>, String) {
    let request = ListSessionsRequest {
        stream_id: stream_id.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let page = service
        .client()
        .await
        .list_sessions(request)
        .await
        .unwrap()
        .into_inner();
    (page.sessions, page.next_page_token)
}

async fn get(service: &Service, session_id: &str) -> Result<Session, tonic::Status> {
    let request = GetSessionRequest {
        session_id: session_id.to_owned(),
    };
    Ok(service
        .client()
        .await
        .get_session(request)
        .await?
        .into_inner()
        .session
        .unwrap())
}

#[tokio::test]
async fn a_session_shows_what_it_heard_and_answered_and_stays_to_be_seen_when_it_is_over() {
    let service = Service::start(&[]).await;
    let mut dub = service.open("derby").await;
    let id = dub.opened().await.session_id;
    for seq in 7..=9 {
        dub.fragment(seq).await;
        dub.result().await;
    }
    let position = Some(time_to_wire(MediaTime::from_millis(1234)));
    dub.say(Payload::Playhead(Playhead { position })).await;
    // The view changes right behind the answer, so the last change is waited for.
    let seen = loop {
        let seen = get(&service, &id).await.unwrap();
        if seen.playhead.is_some() && seen.fragments_delivered_total == 3 {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (seen.stream_id.as_str(), seen.run_id.as_str(), seen.epoch),
        ("derby", "run-1", 1)
    );
    assert_eq!(
        (seen.state(), seen.breaker()),
        (SessionState::Streaming, BreakerState::Closed)
    );
    assert_eq!(
        (seen.provider.as_str(), seen.target_lang.as_str()),
        ("mock", "es")
    );
    assert_eq!(
        (
            seen.fragments_received_total,
            seen.fragments_failed_total,
            seen.last_fragment_seq
        ),
        (3, 0, 9)
    );
    let three_quarters = Some(prost_types::Duration {
        seconds: 0,
        nanos: 750_000_000,
    });
    assert_eq!((seen.audio_in, seen.audio_out), (three_quarters, three_quarters));
    assert_eq!(seen.in_flight, Some(prost_types::Duration::default()));
    assert!(seen.last_round_trip.is_some() && seen.opened_at.is_some() && seen.closed_at.is_none());
    assert_eq!(seen.playhead, position);
    dub.close().await;
    dub.end().await.unwrap();
    let ended = loop {
        let seen = get(&service, &id).await.unwrap();
        if seen.state() == SessionState::Closed {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    assert!(ended.closed_at.is_some());
    assert_eq!(list(&service, "", 0, "").await.0.len(), 1);
}

#[tokio::test]
async fn pages_are_newest_first_and_bad_questions_are_refused() {
    let service = Service::start(&[]).await;
    let mut open = Vec::new();
    for stream_id in ["a", "b", "a", "a"] {
        let mut dub = service.open(stream_id).await;
        open.push((dub.opened().await.session_id, dub));
    }
    let ids = |sessions: &[Session]| {
        sessions
            .iter()
            .map(|session| session.session_id.clone())
            .collect::<Vec<_>>()
    };
    let (first, token) = list(&service, "", 3, "").await;
    assert_eq!(ids(&first), [3, 2, 1].map(|n: usize| open[n].0.clone()));
    let (second, end) = list(&service, "", 3, &token).await;
    assert_eq!((ids(&second), end), (vec![open[0].0.clone()], String::new()));
    assert_eq!(list(&service, "b", 0, "").await.0.len(), 1);
    assert_eq!(get(&service, "nobody").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(get(&service, "").await.unwrap_err().code(), Code::InvalidArgument);
    for (page_size, page_token) in [(-1, ""), (1001, ""), (10, "next")] {
        let request = ListSessionsRequest {
            stream_id: String::new(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let status = service.client().await.list_sessions(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{page_size} {page_token}");
    }
}

async fn watched(
    views: &mut Streaming<dub_proto::dub::v1::WatchSessionsResponse>,
    wanted: impl Fn(&Session) -> bool,
) -> Session {
    timeout(PATIENCE, async {
        loop {
            let session = views
                .message()
                .await
                .unwrap()
                .expect("the watch goes on")
                .session
                .unwrap();
            if wanted(&session) {
                return session;
            }
        }
    })
    .await
    .expect("the change is seen")
}

#[tokio::test]
async fn a_watcher_sees_who_is_open_who_comes_and_who_goes() {
    let service = Service::start(&[]).await;
    let mut ended = service.open("derby").await;
    ended.opened().await;
    ended.close().await;
    ended.end().await.unwrap();
    let mut first = service.open("derby").await;
    let first_id = first.opened().await.session_id;
    let request = WatchSessionsRequest {
        stream_id: "derby".to_owned(),
    };
    let mut views = service
        .client()
        .await
        .watch_sessions(request)
        .await
        .unwrap()
        .into_inner();
    let seen = watched(&mut views, |_| true).await;
    assert_eq!(
        (seen.session_id.as_str(), seen.state()),
        (first_id.as_str(), SessionState::Streaming)
    );

    let mut other = service.open("other").await;
    other.opened().await;
    let mut second = service.open("derby").await;
    let second_id = second.opened().await.session_id;
    watched(&mut views, |session| {
        assert_ne!(session.stream_id, "other");
        session.session_id == second_id
    })
    .await;
    second.fragment(1).await;
    watched(&mut views, |session| {
        session.session_id == second_id && session.fragments_delivered_total == 1
    })
    .await;
    drop(first);
    let gone = watched(&mut views, |session| session.session_id == first_id).await;
    assert_eq!(gone.state(), SessionState::Closed);
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_ends_every_stream_with_unavailable() {
    let service = Service::start(&[("DUBBER_MOCK_DELAY", "400ms")]).await;
    let mut watch = service.client().await;
    let mut views = watch
        .watch_sessions(WatchSessionsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment(1).await;
    let half = FragmentStart {
        fragment_seq: 2,
        start: Some(time_to_wire(start_of(2))),
        trace: None,
    };
    dub.say(Payload::FragmentStart(half)).await;
    let received = |session: &Session| session.fragments_received_total == 2;
    watched(&mut views, received).await;
    let began = Instant::now();
    service.signals.send(Signal::Terminate).await.unwrap();
    let Some(Answer::Event(event)) = dub.next().await.unwrap() else {
        panic!("the drain is told first")
    };
    assert_eq!(event.kind(), EventKind::Draining);
    let result = dub.result().await;
    assert_eq!(
        (result.settlement.fragment_seq, result.speech.is_some()),
        (1, true)
    );
    let error = dub.result().await.settlement.error.unwrap();
    assert_eq!((error.error_class(), error.retryable), (ErrorClass::Closed, true));
    let status = dub.end().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message().starts_with("draining")),
        (Code::Unavailable, true)
    );
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "DRAINING"
    );
    let end = loop {
        match timeout(PATIENCE, views.message()).await.unwrap() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a watch ends with its reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable);
    drop((dub, views, watch));
    let exit = timeout(PATIENCE, service.running).await.unwrap().unwrap();
    assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::SUCCESS));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_drain_never_waits_longer_than_its_limit() {
    let settings = [("DUBBER_MOCK_LOSS", "1"), ("DUBBER_DRAIN_LIMIT", "300ms")];
    let service = Service::start(&settings).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment(1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    service.signals.send(Signal::Terminate).await.unwrap();
    let settlement = dub.result().await.settlement;
    assert_eq!(settlement.error.unwrap().error_class(), ErrorClass::Closed);
    assert_eq!(dub.end().await.unwrap_err().code(), Code::Unavailable);
    drop(dub);
    let exit = timeout(PATIENCE, service.running).await.unwrap().unwrap();
    assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[tokio::test]
async fn the_numbers_have_their_names() {
    let service = Service::start(&[]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment(1).await;
    dub.result().await;
    // Counted right behind the answer.
    let text = loop {
        let text = metrics(service.admin).await;
        if text.contains("dubber_fragments_total{status=\"delivered\"} 1") {
            break text;
        }
        tokio::task::yield_now().await;
    };
    for line in [
        "dubber_sessions_active 1",
        "dubber_fragments_total{status=\"failed\"} 0",
        "dubber_provider_rtt_ms_count 1",
        "dubber_audio_seconds_total{direction=\"in\"} 0.25",
        "dubber_audio_seconds_total{direction=\"out\"} 0.25",
        "dubber_errors_total{error_class=\"timeout\"} 0",
        "dubber_queue_pushed_total{queue=\"mailbox\"}",
        "dubber_queue_popped_total{queue=\"mailbox\"}",
        "dubber_queue_pushed_total{queue=\"responses\"}",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    dub.close().await;
    dub.end().await.unwrap();
    loop {
        let text = metrics(service.admin).await;
        if text.contains("dubber_sessions_active 0") {
            assert!(
                text.contains("dubber_sessions_total{outcome=\"closed\"} 1"),
                "{text}"
            );
            return;
        }
        tokio::task::yield_now().await;
    }
}
