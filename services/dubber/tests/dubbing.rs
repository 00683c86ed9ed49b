//! A worker's promises: what goes in comes back dubbed, in order, once, whatever happens on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1::{ErrorClass, EventKind, SettlementStatus, dub_response};
use std::path::Path;
use std::time::Duration;
use support::{Dub, FRAMES, Service, metrics, pcm, samples, start_of};

/// Level of one frequency in a signal, full scale 1.0 (Goertzel).
fn level(samples: &[i16], frequency_hz: f64) -> f64 {
    let w = std::f64::consts::TAU * frequency_hz / 48_000.0;
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        re += f64::from(*sample) / 32_768.0 * (w * n as f64).cos();
        im += f64::from(*sample) / 32_768.0 * (w * n as f64).sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// The frequency that fragment `seq` shall carry in coded mode, as the judge has it.
fn coded_frequency_hz(seq: u64) -> f64 {
    400.0 + 50.0 * ((seq / 2) % 32) as f64
}

#[tokio::test]
async fn pass_through_returns_every_sample_to_the_bit_with_its_evidence() {
    let service = Service::start(&[]).await;
    let mut dub = service.open("derby").await;
    let opened = dub.opened().await;
    assert_eq!(opened.provider, "mock");
    for seq in 1..=5 {
        dub.fragment(seq).await;
        let result = dub.result().await;
        let speech = result.speech.expect("speech comes before its settlement");
        assert_eq!(speech.pcm, pcm(seq, FRAMES));
        assert_eq!((speech.exact, speech.fragment_seq), (true, Some(seq)));
        assert_eq!(speech.earliest, Some(time_to_wire(start_of(seq))));
        assert_eq!(speech.latest, Some(time_to_wire(start_of(seq + 1))));
        let settlement = result.settlement;
        assert_eq!(
            (settlement.fragment_seq, settlement.status()),
            (seq, SettlementStatus::Delivered)
        );
        assert_eq!((settlement.error, settlement.repaired), (None, false));
        assert_eq!(settlement.alignment_delta, Some(prost_types::Duration::default()));
        assert_eq!(settlement.session_id, opened.session_id);
        let round_trip = Duration::try_from(settlement.provider_round_trip.unwrap()).unwrap();
        assert!(round_trip >= Duration::from_millis(20), "{round_trip:?}");
        assert!(settlement.queued.is_some());
    }
    dub.close().await;
    assert!(
        dub.end().await.is_ok(),
        "what was asked to close ends without an error"
    );
}

async fn seqs(dub: &mut Dub, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(dub.result().await.settlement.fragment_seq);
    }
    seqs
}

#[tokio::test]
async fn answers_that_come_in_any_order_leave_in_order() {
    let settings = [
        ("DUBBER_MOCK_JITTER", "150ms"),
        ("DUBBER_MOCK_REORDER", "0.4"),
        ("DUBBER_MOCK_SEED", "7"),
        ("DUBBER_IN_FLIGHT_MAX", "1m"),
    ];
    let service = Service::start(&settings).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    for seq in 100..130 {
        dub.fragment(seq).await;
    }
    dub.close().await;
    assert_eq!(seqs(&mut dub, 30).await, (100..130).collect::<Vec<_>>());
    assert!(dub.end().await.is_ok());
}

#[tokio::test]
async fn a_lost_answer_fails_by_timeout_and_the_stream_goes_on() {
    let settings = [
        ("DUBBER_MOCK_LOSS", "0.3"),
        ("DUBBER_MOCK_SEED", "3"),
        ("DUBBER_HARD_BUDGET", "400ms"),
        ("DUBBER_IN_FLIGHT_MAX", "1m"),
    ];
    let service = Service::start(&settings).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    for seq in 1..=20 {
        dub.fragment(seq).await;
    }
    let (mut delivered, mut lost) = (0, 0);
    for seq in 1..=20 {
        let result = dub.result().await;
        assert_eq!(result.settlement.fragment_seq, seq);
        match result.settlement.error {
            None => {
                assert_eq!(result.speech.unwrap().pcm, pcm(seq, FRAMES));
                delivered += 1;
            }
            Some(error) => {
                assert_eq!(
                    (error.error_class(), error.stage.as_str()),
                    (ErrorClass::Timeout, "provider")
                );
                assert_eq!(result.settlement.status, i32::from(SettlementStatus::Failed));
                assert!(result.speech.is_none());
                lost += 1;
            }
        }
    }
    assert!(lost >= 2 && delivered >= 8, "{lost} lost, {delivered} delivered");
    let text = metrics(service.admin).await;
    assert!(
        text.contains(&format!("dubber_fragments_total{{status=\"failed\"}} {lost}")),
        "{text}"
    );
    assert!(
        text.contains(&format!("dubber_errors_total{{error_class=\"timeout\"}} {lost}")),
        "{text}"
    );
}

#[tokio::test]
async fn coded_answers_tell_the_number_of_odd_fragments_and_leave_even_ones_alone() {
    let service = Service::start(&[("DUBBER_MOCK_MODE", "coded")]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    for seq in 1001..=1006 {
        dub.fragment(seq).await;
        let speech = dub.result().await.speech.unwrap();
        if seq % 2 == 0 {
            assert_eq!(speech.pcm, pcm(seq, FRAMES));
            continue;
        }
        let heard = samples(&speech.pcm);
        let right = level(&heard, coded_frequency_hz(seq));
        assert!(
            (0.24..=0.26).contains(&right),
            "fragment {seq} carries its tone at {right}"
        );
        for neighbour in [seq - 2, seq + 2] {
            let wrong = level(&heard, coded_frequency_hz(neighbour));
            assert!(
                wrong < 0.02,
                "fragment {seq} carries the tone of {neighbour} at {wrong}"
            );
        }
    }
}

#[tokio::test]
async fn the_tone_is_440_hz_over_the_whole_fragment() {
    let service = Service::start(&[("DUBBER_MOCK_MODE", "tone")]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment(2).await;
    let result = dub.result().await;
    let heard = samples(&result.speech.unwrap().pcm);
    assert_eq!((heard.len(), result.settlement.repaired), (FRAMES, false));
    for part in heard.chunks_exact(FRAMES / 4) {
        let level = level(part, 440.0);
        assert!((0.23..=0.26).contains(&level), "{level}");
    }
}

fn record(path: &Path, channels: u16, sample_rate: u32, frames: usize) {
    let spec = hound::WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..frames {
        let value = 8000.0 * (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(sample_rate)).sin();
        for _ in 0..channels {
            writer.write_sample(value as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
}

#[tokio::test]
async fn recordings_are_cut_or_padded_to_their_fragment_and_said_to_be_repaired() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("0-long.wav"), 2, 48_000, 2 * FRAMES);
    record(&dir.path().join("1-short-mono.wav"), 1, 22_050, 2205);
    let settings = [
        ("DUBBER_MOCK_MODE", "fixtures"),
        ("DUBBER_MOCK_FIXTURES_DIR", dir.path().to_str().unwrap()),
    ];
    let service = Service::start(&settings).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    for seq in 10..14 {
        dub.fragment(seq).await;
        let result = dub.result().await;
        let heard = samples(&result.speech.unwrap().pcm);
        assert_eq!((heard.len(), result.settlement.repaired), (FRAMES, true));
        let delta = result.settlement.alignment_delta.unwrap();
        assert!((0.22..0.26).contains(&level(&heard[..4000], 440.0)));
        if seq % 2 == 0 {
            assert_eq!((delta.seconds, delta.nanos), (0, 250_000_000));
            assert_eq!(heard[FRAMES - 1], 0, "cut with a fade");
        } else {
            assert_eq!((delta.seconds, delta.nanos / 1_000_000), (0, -150));
            assert!(
                heard[4900..].iter().all(|sample| *sample == 0),
                "followed by silence"
            );
        }
    }
}

#[tokio::test]
async fn a_number_that_is_sent_again_is_never_answered_twice() {
    let service = Service::start(&[]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    for seq in [5, 5, 6, 5, 7] {
        dub.fragment(seq).await;
    }
    dub.close().await;
    assert_eq!(seqs(&mut dub, 3).await, [5, 6, 7]);
    assert!(dub.end().await.is_ok());
}

#[tokio::test]
async fn more_speech_than_may_be_in_flight_is_refused_as_overloaded_and_in_order() {
    let settings = [("DUBBER_MOCK_DELAY", "600ms"), ("DUBBER_IN_FLIGHT_MAX", "500ms")];
    let service = Service::start(&settings).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    for seq in 1..=3 {
        dub.fragment(seq).await;
    }
    for seq in 1..=3 {
        let settlement = dub.result().await.settlement;
        assert_eq!(settlement.fragment_seq, seq);
        let class = settlement
            .error
            .as_ref()
            .map(|error| (error.error_class(), error.retryable));
        assert_eq!(class, (seq == 3).then_some((ErrorClass::Overloaded, true)));
    }
}

#[tokio::test]
async fn an_empty_fragment_is_invalid_input_and_harms_nobody() {
    let service = Service::start(&[]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment_of(1, &[], None).await;
    dub.fragment(2).await;
    let error = dub.result().await.settlement.error.unwrap();
    assert_eq!(
        (error.error_class(), error.stage.as_str()),
        (ErrorClass::InvalidInput, "receive")
    );
    assert!(dub.result().await.speech.is_some());
}

#[tokio::test]
async fn a_slow_answer_is_told_once_and_still_delivered() {
    let settings = [
        ("DUBBER_MOCK_DELAY", "300ms"),
        ("DUBBER_SOFT_BUDGET", "100ms"),
        ("DUBBER_HARD_BUDGET", "5s"),
    ];
    let service = Service::start(&settings).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment(1).await;
    dub.fragment(2).await;
    dub.close().await;
    let (mut faults, mut speeches) = (0, 0);
    while let Some(answer) = dub.next().await.unwrap() {
        match answer {
            dub_response::Payload::Event(event) => {
                assert_eq!(event.kind(), EventKind::Fault);
                faults += 1;
            }
            dub_response::Payload::Speech(_) => speeches += 1,
            dub_response::Payload::Opened(_)
            | dub_response::Payload::Text(_)
            | dub_response::Payload::Supersede(_) => panic!("{answer:?}"),
            dub_response::Payload::Settlement(_) => {}
        }
    }
    assert_eq!((faults, speeches), (1, 2));
}

#[tokio::test]
async fn a_stream_that_ends_without_close_gets_what_is_under_way() {
    let service = Service::start(&[("DUBBER_MOCK_DELAY", "200ms")]).await;
    let mut dub = service.open("derby").await;
    dub.opened().await;
    dub.fragment(1).await;
    dub.requests = None;
    assert!(dub.result().await.speech.is_some());
    assert!(dub.end().await.is_ok());
}
