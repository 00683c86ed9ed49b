#![allow(clippy::unwrap_used)]
use super::*;
use media_types::{FragmentSeq, MediaRange, MediaTime};
use prometheus_client::encoding::text::encode;

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|have| have == line)
}

#[test]
fn counters_survive_a_worker_and_its_gauges_do_not() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let stream = StreamId::new("derby").unwrap();
    let view = |errors, late| View {
        state: State::Running,
        bus_errors_total: errors,
        ingest_starts_total: 1,
        speech_ms_total: 250 * errors,
        video_queue_ms: 9_960,
        counters: [("refused_speech".to_owned(), late)].into(),
        speech_late_total: late,
        ..View::default()
    };
    for _ in 0..2 {
        metrics.worker_started();
        metrics.worker_viewed(&stream, StsMode::Enabled, &View::default(), &view(2, 1));
        metrics.worker_viewed(&stream, StsMode::Enabled, &view(2, 1), &view(3, 4));
        let live = text(&registry);
        assert!(
            has(&live, "worker_video_queue_ms{stream_id=\"derby\"} 9960"),
            "{live}"
        );
        assert!(
            has(&live, "worker_gemini_breaker_state{stream_id=\"derby\"} 2"),
            "{live}"
        );
        assert!(has(&live, "media_edge_workers_active 1"), "{live}");
        metrics.worker_exited(&stream, 137);
    }
    let after = text(&registry);
    assert!(!after.contains("stream_id"), "{after}");
    for line in [
        "worker_gst_bus_errors_total 6",
        "media_edge_ingest_starts_total 2",
        "worker_speech_seconds_total 1.5",
        "worker_events_total{event=\"refused_speech\"} 8",
        "worker_speech_late_total 8",
        "media_edge_worker_exits_total{code=\"137\"} 2",
        "media_edge_workers_active 0",
    ] {
        assert!(has(&after, line), "{line} is not in\n{after}");
    }
}

#[test]
fn a_fragment_counts_once_it_has_aired() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let mut report = FragmentReport {
        seq: FragmentSeq(1),
        range: MediaRange::new(MediaTime::ZERO, MediaTime::from_millis(2_000)),
        fate: None,
        reason: None,
        end_to_end_ms: None,
        round_trip_ms: None,
    };
    metrics.fragment_reported(&report);
    report = FragmentReport {
        fate: Some(Fate::Fallback),
        reason: Some(Reason::Timeout),
        end_to_end_ms: Some(12_001.0),
        round_trip_ms: Some(210.0),
        ..report
    };
    metrics.fragment_reported(&report);
    metrics.fragment_reported(&FragmentReport {
        reason: Some(Reason::Operator),
        round_trip_ms: None,
        ..report
    });
    let text = text(&registry);
    for line in [
        "worker_audio_fragments_total{status=\"fallback\"} 2",
        "worker_audio_fragments_total{status=\"success\"} 0",
        "worker_fallback_total{reason=\"timeout\"} 1",
        "worker_fallback_total{reason=\"breaker_open\"} 0",
        "worker_gemini_rtt_ms_count 1",
        "worker_chunk_end_to_end_latency_ms_count 2",
    ] {
        assert!(has(&text, line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("operator"), "{text}");
}
