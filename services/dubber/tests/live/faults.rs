//! What the worker and an operator see when the provider fails, and what is refused before anything is dialled.
use crate::programme::{self, Programme, Twin, dubbed, heard_of, open};
use crate::support::{Service, metrics};
use crate::{DIALOGUE, TRANSLATE_HOLD};
use dub_proto::dub::v1::{BreakerState, ErrorClass, EventKind, SettlementStatus};
use service_kit::tasks::Signal;
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn a_refused_key_is_told_with_its_remedy_and_tried_once_while_the_programme_goes_on() {
    let twin = Twin::start("keys = [\"another key\"]");
    let service = twin.dubber(&[]).await;
    let programme = Programme::of(2, 500);
    let heard = dubbed(&service, &programme, TRANSLATE_HOLD).await;
    assert!(heard.speech.is_empty() && heard.end.is_none());
    let faults = heard.events(EventKind::Fault);
    assert_eq!(faults.len(), 1, "one incident, one alert: {faults:?}");
    assert_eq!(faults[0].error_class(), ErrorClass::Auth);
    assert!(faults[0].message.contains("WORKER_GEMINI_API_KEY"), "{faults:?}");
    let breaker = heard.events(EventKind::Breaker);
    assert_eq!(
        breaker.iter().map(|event| event.breaker()).collect::<Vec<_>>(),
        [BreakerState::Open]
    );
    assert!(heard.settlements.len() >= 3);
    for settlement in &heard.settlements {
        assert_eq!(settlement.status(), SettlementStatus::Failed);
        let error = settlement.error.as_ref().unwrap();
        assert_eq!((error.error_class(), error.retryable), (ErrorClass::Auth, false));
        assert!(
            settlement.queued.unwrap().seconds < 3,
            "it fails at once: {settlement:?}"
        );
    }
    let link = programme::session(&service, "derby").await.link.unwrap();
    assert_eq!((link.connections_total, link.halted.as_str()), (1, "key_refused"));
    assert!(link.remedy.contains("WORKER_GEMINI_API_KEY"), "{}", link.remedy);
    let page = metrics(service.admin).await;
    assert!(
        page.contains("dubber_provider_failures_total{cause=\"key_refused\"} 1\n"),
        "{page}"
    );
}

#[tokio::test]
async fn a_breaker_is_seen_open_in_numbers_and_view_and_closes_when_the_model_speaks_again() {
    let twin = Twin::start("[[fault]]\nname = \"http_503\"\ntimes = 3");
    let settings = [
        ("WORKER_GEMINI_BREAKER_FAILURES", "2"),
        ("WORKER_GEMINI_BREAKER_OPEN_FOR", "2s"),
    ];
    let service = twin.dubber(&settings).await;
    let mut dub = service.stream().await;
    dub.say(open(TRANSLATE_HOLD, "es")).await;
    dub.opened().await;
    let programme = Programme::of(5, 500);
    let (heard, seen) = tokio::join!(heard_of(&mut dub, &programme, TRANSLATE_HOLD), async {
        loop {
            let session = programme::session(&service, "derby").await;
            if session.breaker() == BreakerState::Open {
                return (session, metrics(service.admin).await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (session, page) = seen;
    let link = session.link.unwrap();
    assert!(link.failures_total >= 2 && !link.remedy.is_empty(), "{link:?}");
    assert!(
        page.contains("dubber_breaker_sessions{state=\"open\"} 1\n"),
        "{page}"
    );
    let states: Vec<BreakerState> = heard
        .events(EventKind::Breaker)
        .iter()
        .map(|event| event.breaker())
        .collect();
    assert_eq!(states.first(), Some(&BreakerState::Open));
    assert_eq!(states.last(), Some(&BreakerState::Closed), "{states:?}");
    assert_eq!(
        heard.events(EventKind::Fault).len(),
        1,
        "one incident, one alert: {:?}",
        heard.events
    );
    let last = *programme.numbers().last().unwrap();
    assert!(
        heard.phrases().whole.contains(&last),
        "the dub is back: {:?}",
        heard.phrases()
    );
    let after = programme::session(&service, "derby").await;
    assert_eq!(
        (after.breaker(), after.link.unwrap().remedy.as_str()),
        (BreakerState::Closed, "")
    );
}

#[tokio::test]
async fn what_a_broken_connection_owes_is_said_to_be_answered_anew_and_is() {
    let twin = Twin::start("[[fault]]\nname = \"tcp_reset\"\nafter = \"6s\"\nconnection = 1");
    let service = twin.dubber(&[]).await;
    let programme = Programme::of(6, 600);
    let heard = dubbed(&service, &programme, TRANSLATE_HOLD).await;
    assert_eq!(heard.supersedes.len(), 1, "{:?}", heard.supersedes);
    assert_eq!(heard.supersedes[0].connection, 2);
    // Every phrase is whole on one of the connections.
    let whole = heard.whole_on_any();
    assert_eq!(whole, programme.numbers());
    assert!(
        heard
            .settlements
            .iter()
            .all(|settlement| settlement.status() == SettlementStatus::Delivered)
    );
    let link = programme::session(&service, "derby").await.link.unwrap();
    assert_eq!((link.replays_total, link.failures_total), (1, 1));
}

/// The status with which a session is refused.
async fn refused(service: &Service, hold: Duration, target_lang: &str) -> tonic::Status {
    let mut dub = service.stream().await;
    dub.say(open(hold, target_lang)).await;
    dub.end().await.unwrap_err()
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_when_the_session_opens_with_field_and_remedy() {
    let twin = Twin::start("");
    let translate = twin.dubber(&[]).await;
    let status = refused(&translate, TRANSLATE_HOLD, "tlh").await;
    assert_eq!(status.code(), Code::InvalidArgument);
    for part in ["settings.target_lang", "tlh", "zh-Hans", "WORKER_TARGET_LANG"] {
        assert!(status.message().contains(part), "{part}: {}", status.message());
    }
    let dialogue = twin.dubber(&[DIALOGUE]).await;
    let status = refused(&dialogue, Duration::from_secs(5), "tlh").await;
    for part in ["settings.hold", "6s", "WORKER_BUFFER_TARGET"] {
        assert!(status.message().contains(part), "{part}: {}", status.message());
    }
}

#[tokio::test]
async fn a_stop_of_the_process_answers_what_is_under_way_and_ends_in_time() {
    let twin = Twin::start("");
    let service = twin.dubber(&[("DUBBER_DRAIN_LIMIT", "3s")]).await;
    let mut dub = service.stream().await;
    dub.say(open(TRANSLATE_HOLD, "es")).await;
    dub.opened().await;
    let programme = Programme::of(4, 500);
    let signals = service.signals.clone();
    let (heard, ()) = tokio::join!(heard_of(&mut dub, &programme, TRANSLATE_HOLD), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        signals.send(Signal::Terminate).await.unwrap();
    });
    assert_eq!(heard.events(EventKind::Draining).len(), 1);
    assert_eq!(
        heard.end.as_ref().map(tonic::Status::code),
        Some(Code::Unavailable)
    );
    assert_eq!(
        heard.phrases().whole.first(),
        programme.numbers().first(),
        "{:?}",
        heard.phrases()
    );
    let settled: Vec<u64> = heard
        .settlements
        .iter()
        .map(|settlement| settlement.fragment_seq)
        .collect();
    assert!(settled.len() >= 3 && settled.is_sorted(), "{settled:?}");
    let late = heard.settlements.last().unwrap();
    assert!(
        late.error.as_ref().is_some_and(|error| error.retryable),
        "{late:?}"
    );
    assert_eq!(service.running.await.unwrap(), std::process::ExitCode::SUCCESS);
}
