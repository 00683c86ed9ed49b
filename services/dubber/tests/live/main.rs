//! The whole service over real gRPC against Gemini Live as the twin plays it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a test owns the task that it joins")]

mod faults;
#[path = "../dial/place.rs"]
#[allow(dead_code, reason = "each test file takes its part")]
mod place;
mod process;
mod programme;
mod repeating;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod unknown;

use dub_proto::dub::v1::{EventKind, Session, SettlementStatus, TextSide};
use media_types::MediaTime;
use programme::{Heard, Programme, Twin, dubbed};
use std::time::Duration;
use support::metrics;

pub const TRANSLATE_HOLD: Duration = Duration::from_secs(10);
pub const DIALOGUE_HOLD: Duration = Duration::from_secs(20);
pub const DIALOGUE: (&str, &str) = ("WORKER_GEMINI_MODEL", "gemini-3.8-live");

/// Every phrase is heard once, whole and in its order, and every fragment is settled once and in order.
fn assert_whole(heard: &Heard, programme: &Programme) {
    let told = heard.phrases();
    assert_eq!(told.whole, programme.numbers(), "{told:?}");
    assert_eq!(
        (told.partial, told.doubled, told.out_of_order),
        (vec![], vec![], vec![])
    );
    let settled: Vec<u64> = heard
        .settlements
        .iter()
        .map(|settlement| settlement.fragment_seq)
        .collect();
    assert_eq!(settled, (0..settled.len() as u64).collect::<Vec<_>>());
    for settlement in &heard.settlements {
        assert_eq!(settlement.status(), SettlementStatus::Delivered, "{settlement:?}");
    }
    assert_eq!(heard.end.as_ref().map(tonic::Status::message), None);
}

/// Each piece says which source it can answer, and the phrases that it does answer lie there.
fn assert_evidence(heard: &Heard, programme: &Programme) {
    let mut ids = std::collections::BTreeSet::new();
    let end = programme.phrases.last().unwrap().1.1 as i64;
    for speech in &heard.speech {
        assert!(ids.insert(&speech.speech_id), "{} comes twice", speech.speech_id);
        let (earliest, latest) = (speech.earliest.unwrap().ticks, speech.latest.unwrap().ticks);
        assert!(
            !speech.exact && earliest < latest && earliest < end,
            "{earliest} to {latest}"
        );
    }
}

fn value(page: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn the_translate_model_hears_every_phrase_and_is_heard_whole_and_its_cost_is_told() {
    let twin = Twin::start("");
    let service = twin.dubber(&[]).await;
    let programme = Programme::of(4, 700);
    let heard = dubbed(&service, &programme, TRANSLATE_HOLD).await;
    assert_whole(&heard, &programme);
    assert_evidence(&heard, &programme);
    for side in [TextSide::Source, TextSide::Target] {
        assert!(
            heard
                .texts
                .iter()
                .any(|text| text.side() == side && text.range.is_some())
        );
    }
    assert!(
        heard
            .speech
            .iter()
            .all(|speech| speech.turn.is_none() && speech.connection == 1)
    );
    assert!(
        heard
            .settlements
            .iter()
            .all(|settlement| settlement.provider_round_trip.is_none())
    );
    let session = programme::session(&service, "derby").await;
    let link = session.link.unwrap();
    assert_eq!(
        (link.connections_total, link.failures_total, link.state.as_str()),
        (1, 0, "closed")
    );
    assert_eq!(link.model, "gemini-3.5-live-translate-preview");
    let usage = session.usage.unwrap();
    let sent = usage.audio_sent.unwrap().seconds;
    assert!(
        sent >= 12 && usage.cost_usd > 0.0 && usage.cost_usd_per_hour > 1.0,
        "{usage:?}"
    );
    assert!(
        usage
            .tokens
            .iter()
            .any(|tokens| tokens.direction == "output" && tokens.count > 0)
    );
    let page = metrics(service.admin).await;
    assert_eq!(value(&page, "dubber_provider_connections_total"), 1.0);
    let cost = value(&page, "dubber_provider_cost_usd_total");
    assert!(
        (cost - usage.cost_usd).abs() < 1e-6,
        "{cost} and {}",
        usage.cost_usd
    );
    assert!(value(&page, "dubber_provider_audio_seconds_total{direction=\"sent\"}") >= 12.0);
}

#[tokio::test]
async fn the_dialogue_model_answers_windows_and_is_heard_whole() {
    let twin = Twin::start("");
    let service = twin.dubber(&[DIALOGUE]).await;
    let programme = Programme::of(4, 900);
    let heard = dubbed(&service, &programme, DIALOGUE_HOLD).await;
    assert_whole(&heard, &programme);
    assert_evidence(&heard, &programme);
    let turns: Vec<u64> = heard
        .speech
        .iter()
        .map(|speech| speech.turn.expect("a turn"))
        .collect();
    assert!(turns.is_sorted() && turns.first() < turns.last(), "{turns:?}");
    assert!(
        heard
            .settlements
            .iter()
            .all(|settlement| settlement.provider_round_trip.is_some())
    );
}

/// Connections that live six seconds, while nothing announces their end.
const SHORT_LIVES: [(&str, &str); 2] = [
    ("WORKER_GEMINI_SESSION_AGE", "6s"),
    ("WORKER_GEMINI_SESSION_AGE_LIMIT", "20s"),
];

async fn rotates(settings: &[(&str, &str)], hold: Duration, programme: Programme) -> (Heard, Session) {
    let twin = Twin::start("");
    let all: Vec<(&str, &str)> = SHORT_LIVES.iter().chain(settings).copied().collect();
    let service = twin.dubber(&all).await;
    let heard = dubbed(&service, &programme, hold).await;
    assert_whole(&heard, &programme);
    assert_evidence(&heard, &programme);
    assert!(heard.supersedes.is_empty(), "nothing is answered anew");
    let session = programme::session(&service, "derby").await;
    let told = heard.events(EventKind::Rotation).len() as u64;
    assert!(told >= 2, "{:?}", heard.events);
    assert_eq!(session.link.as_ref().unwrap().rotations_total, told);
    (heard, session)
}

#[tokio::test]
async fn the_translate_model_changes_its_connection_and_no_word_is_lost_or_doubled() {
    let (heard, session) = rotates(&[], TRANSLATE_HOLD, Programme::of(8, 500)).await;
    let connections: Vec<u64> = heard.speech.iter().map(|speech| speech.connection).collect();
    assert!(
        connections.is_sorted() && connections.last() >= Some(&3),
        "{connections:?}"
    );
    assert_eq!(session.link.unwrap().failures_total, 0);
}

#[tokio::test]
async fn the_dialogue_model_changes_its_connection_between_two_windows() {
    rotates(&[DIALOGUE], DIALOGUE_HOLD, Programme::of(8, 900)).await;
}

#[tokio::test]
async fn sound_lies_where_it_is_said_to_lie() {
    let twin = Twin::start("[voice]\nlag = \"1200ms\"\njitter = \"0ms\"");
    let service = twin.dubber(&[]).await;
    let programme = Programme::of(3, 1500);
    let heard = dubbed(&service, &programme, TRANSLATE_HOLD).await;
    assert_whole(&heard, &programme);
    // What the model answers to a phrase begins behind the phrase's onset, and the evidence of the piece that begins it
    // holds that onset.
    let (_, (start, _)) = programme.phrases[1];
    let onset = MediaTime::from_frames(start as i64);
    let holds = heard.speech.iter().any(|speech| {
        let ticks =
            |time: Option<dub_proto::media::v1::MediaTime>| MediaTime::from_frames(time.unwrap().ticks);
        ticks(speech.earliest) <= onset && onset <= ticks(speech.latest)
    });
    assert!(holds, "no piece can answer the phrase at {onset:?}");
}
