//! The whole service over real gRPC against Gemini Live as the twin plays it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a test owns the task that it joins")]

mod programme;
#[path = "../support/mod.rs"]
mod support;

use dub_proto::dub::v1::SettlementStatus;
use programme::{Heard, Programme, Twin, dubbed};
use std::time::Duration;

const TRANSLATE_HOLD: Duration = Duration::from_secs(10);

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

#[tokio::test]
async fn the_translate_model_hears_every_phrase_and_is_heard_whole() {
    let twin = Twin::start("");
    let service = twin.dubber(&[]).await;
    let programme = Programme::of(4, 700);
    let heard = dubbed(&service, &programme, TRANSLATE_HOLD).await;
    assert_whole(&heard, &programme);
}
