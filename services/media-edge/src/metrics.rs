//! What `serve` tells Prometheus. Counters are sums over all workers and survive each of them; gauges that belong to
//! one worker carry its `stream_id` and go with it.

use crate::link::lines::{Breaker, FragmentReport, Phrases, State, View};
use media_types::{Fate, Reason, StreamId, StsMode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::{sync::atomic::AtomicU64, time::Duration};

/// From 50 ms (the mock) past the hard budget of a fragment.
const ROUND_TRIP_BUCKETS_MS: [f64; 14] = [
    50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0, 6_000.0, 8_000.0, 10_000.0,
    12_000.0, 20_000.0,
];
/// From a bypass without hold to the longest hold and the longest fragment; dense around the default hold.
const END_TO_END_BUCKETS_MS: [f64; 15] = [
    250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0, 10_000.0, 11_000.0, 12_000.0, 13_000.0,
    15_000.0, 20_000.0, 40_000.0, 70_000.0,
];
/// Reasons that count as a fallback: something failed. The operator's wish, a bypass and a source that is not there
/// are none.
const FALLBACK_REASONS: [Reason; 5] = [
    Reason::Timeout,
    Reason::Error,
    Reason::Overload,
    Reason::InvalidOutput,
    Reason::BreakerOpen,
];

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabel {
    stream_id: String,
}

impl From<&StreamId> for StreamLabel {
    fn from(stream_id: &StreamId) -> Self {
        Self {
            stream_id: stream_id.as_str().to_owned(),
        }
    }
}

/// Every metric of media-edge; a clone counts into the same ones.
#[derive(Clone)]
pub struct Metrics {
    fragments: Family<StatusLabel, Counter>,
    fallbacks: Family<ReasonLabel, Counter>,
    bus_errors: Counter,
    bus_warnings: Counter,
    in_flight_fragments: Family<StreamLabel, Gauge>,
    av_sync_delta_ms: Family<StreamLabel, FloatGauge>,
    video_queue_ms: Family<StreamLabel, Gauge>,
    audio_queue_ms: Family<StreamLabel, Gauge>,
    breaker_state: Family<StreamLabel, Gauge>,
    phrases: Family<ResultLabel, Counter>,
    speech_late: Counter,
    provider_lag_ms: Family<StreamLabel, Gauge>,
    dub_backlog_ms: Family<StreamLabel, Gauge>,
    round_trip_ms: Histogram,
    end_to_end_ms: Histogram,
    workers_active: Gauge,
    worker_starts: Counter,
    worker_exits: Family<CodeLabel, Counter>,
    ingest_starts: Counter,
    publish_starts: Counter,
    events: Family<EventLabel, Counter>,
    speech_seconds: Counter<f64, AtomicU64>,
}

impl Metrics {
    /// Makes and registers all of them. Every status and reason shows from the start, so that a rate over it is
    /// right from its first count.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::unregistered();
        for fate in Fate::ALL {
            let _ = metrics.fragments.get_or_create(&StatusLabel {
                status: fate.as_str(),
            });
        }
        for reason in FALLBACK_REASONS {
            let _ = metrics.fallbacks.get_or_create(&ReasonLabel {
                reason: reason.as_str(),
            });
        }
        for (result, _) in Phrases::default().by_result() {
            let _ = metrics.phrases.get_or_create(&ResultLabel { result });
        }
        metrics.register_worker(registry);
        metrics.register_phrases(registry);
        metrics.register_service(registry);
        metrics
    }

    fn unregistered() -> Self {
        Self {
            fragments: Family::default(),
            fallbacks: Family::default(),
            bus_errors: Counter::default(),
            bus_warnings: Counter::default(),
            in_flight_fragments: Family::default(),
            av_sync_delta_ms: Family::default(),
            video_queue_ms: Family::default(),
            audio_queue_ms: Family::default(),
            breaker_state: Family::default(),
            phrases: Family::default(),
            speech_late: Counter::default(),
            provider_lag_ms: Family::default(),
            dub_backlog_ms: Family::default(),
            round_trip_ms: Histogram::new(ROUND_TRIP_BUCKETS_MS),
            end_to_end_ms: Histogram::new(END_TO_END_BUCKETS_MS),
            workers_active: Gauge::default(),
            worker_starts: Counter::default(),
            worker_exits: Family::default(),
            ingest_starts: Counter::default(),
            publish_starts: Counter::default(),
            events: Family::default(),
            speech_seconds: Counter::default(),
        }
    }

    fn register_worker(&self, to: &mut Registry) {
        to.register(
            "worker_audio_fragments",
            "Fragments by their final outcome",
            self.fragments.clone(),
        );
        to.register(
            "worker_fallback",
            "Fragments without their whole dub, by reason",
            self.fallbacks.clone(),
        );
        to.register(
            "worker_gst_bus_errors",
            "Errors on the buses of the pipelines",
            self.bus_errors.clone(),
        );
        to.register(
            "worker_gst_bus_warnings",
            "Warnings on the buses of the pipelines",
            self.bus_warnings.clone(),
        );
        to.register(
            "worker_inflight_fragments",
            "Fragments not yet settled",
            self.in_flight_fragments.clone(),
        );
        to.register(
            "worker_av_sync_delta_ms",
            "Audio minus video at the output against the source's own relation",
            self.av_sync_delta_ms.clone(),
        );
        to.register("worker_video_queue_ms", "Video held", self.video_queue_ms.clone());
        to.register("worker_audio_queue_ms", "Audio held", self.audio_queue_ms.clone());
        to.register(
            "worker_gemini_breaker_state",
            "Breaker towards the provider: 0 closed, 1 half-open, 2 open or the dubber is gone",
            self.breaker_state.clone(),
        );
        to.register(
            "worker_gemini_rtt_ms",
            "From a fragment's first audio offered to the dubber to its settlement",
            self.round_trip_ms.clone(),
        );
        to.register(
            "worker_chunk_end_to_end_latency_ms",
            "From the arrival of a fragment's first sample to the last of it on air",
            self.end_to_end_ms.clone(),
        );
        to.register(
            "worker_speech_seconds",
            "Source sound in which somebody spoke",
            self.speech_seconds.clone(),
        );
        to.register(
            "worker_events",
            "Whatever else workers count, by name",
            self.events.clone(),
        );
    }

    fn register_phrases(&self, to: &mut Registry) {
        to.register(
            "worker_phrases",
            "Phrases that began to air: with their dub, without an answer, or dropped because of the backlog",
            self.phrases.clone(),
        );
        to.register(
            "worker_speech_late",
            "Dubs that came when their original had begun to air",
            self.speech_late.clone(),
        );
        to.register(
            "worker_provider_lag_ms",
            "From the start of a phrase to the start of its answer at the provider, median of late",
            self.provider_lag_ms.clone(),
        );
        to.register(
            "worker_dub_backlog_ms",
            "How far the newest dub starts behind its own phrase",
            self.dub_backlog_ms.clone(),
        );
    }

    fn register_service(&self, to: &mut Registry) {
        to.register(
            "media_edge_workers_active",
            "Workers that run",
            self.workers_active.clone(),
        );
        to.register(
            "media_edge_worker_starts",
            "Workers started",
            self.worker_starts.clone(),
        );
        to.register(
            "media_edge_worker_exits",
            "Workers that ended, by exit code",
            self.worker_exits.clone(),
        );
        to.register(
            "media_edge_ingest_starts",
            "Starts of ingest children",
            self.ingest_starts.clone(),
        );
        to.register(
            "media_edge_publish_starts",
            "Connections to the output",
            self.publish_starts.clone(),
        );
    }

    /// A worker was started.
    pub fn worker_started(&self) {
        self.worker_starts.inc();
        self.workers_active.inc();
    }

    /// A worker is gone, and its gauges with it.
    pub fn worker_exited(&self, stream_id: &StreamId, code: i32) {
        self.worker_exits.get_or_create(&CodeLabel { code }).inc();
        self.workers_active.dec();
        let label = StreamLabel::from(stream_id);
        self.in_flight_fragments.remove(&label);
        self.av_sync_delta_ms.remove(&label);
        self.video_queue_ms.remove(&label);
        self.audio_queue_ms.remove(&label);
        self.breaker_state.remove(&label);
        self.provider_lag_ms.remove(&label);
        self.dub_backlog_ms.remove(&label);
    }

    /// A worker told how it stands; its counters count from its own start, so only what came on top is added.
    pub fn worker_viewed(&self, stream_id: &StreamId, sts_mode: StsMode, before: &View, now: &View) {
        let more = |before: u64, now: u64| now.saturating_sub(before);
        self.bus_errors
            .inc_by(more(before.bus_errors_total, now.bus_errors_total));
        self.bus_warnings
            .inc_by(more(before.bus_warnings_total, now.bus_warnings_total));
        self.ingest_starts.inc_by(more(
            before.ingest_starts_total.into(),
            now.ingest_starts_total.into(),
        ));
        self.publish_starts.inc_by(more(
            before.publish_starts_total.into(),
            now.publish_starts_total.into(),
        ));
        let spoken_ms = more(before.speech_ms_total, now.speech_ms_total);
        self.speech_seconds
            .inc_by(Duration::from_millis(spoken_ms).as_secs_f64());
        for (event, total) in &now.counters {
            let added = more(before.counters.get(event).copied().unwrap_or(0), *total);
            self.events
                .get_or_create(&EventLabel { event: event.clone() })
                .inc_by(added);
        }
        let results = before
            .phrases
            .by_result()
            .into_iter()
            .zip(now.phrases.by_result());
        for ((result, before), (_, now)) in results {
            self.phrases
                .get_or_create(&ResultLabel { result })
                .inc_by(more(before, now));
        }
        self.speech_late
            .inc_by(more(before.speech_late_total, now.speech_late_total));
        self.gauges(stream_id, sts_mode, now);
    }

    fn gauges(&self, stream_id: &StreamId, sts_mode: StsMode, now: &View) {
        let label = StreamLabel::from(stream_id);
        self.in_flight_fragments
            .get_or_create(&label)
            .set(now.in_flight_fragments.into());
        self.av_sync_delta_ms
            .get_or_create(&label)
            .set(now.av_sync_delta_ms);
        self.video_queue_ms
            .get_or_create(&label)
            .set(now.video_queue_ms.into());
        self.audio_queue_ms
            .get_or_create(&label)
            .set(now.audio_queue_ms.into());
        self.breaker_state
            .get_or_create(&label)
            .set(breaker_state(sts_mode, now));
        self.dub_backlog_ms
            .get_or_create(&label)
            .set(now.phrases.backlog_ms.into());
        if let Some(lag_ms) = now.phrases.provider_lag_ms {
            self.provider_lag_ms.get_or_create(&label).set(lag_ms.into());
        }
    }

    /// A fragment was cut or has aired; only the second has a fate and counts.
    pub fn fragment_reported(&self, report: &FragmentReport) {
        let Some(fate) = report.fate else { return };
        self.fragments
            .get_or_create(&StatusLabel {
                status: fate.as_str(),
            })
            .inc();
        if let Some(reason) = report.reason.filter(|reason| FALLBACK_REASONS.contains(reason)) {
            self.fallbacks
                .get_or_create(&ReasonLabel {
                    reason: reason.as_str(),
                })
                .inc();
        }
        if let Some(round_trip_ms) = report.round_trip_ms {
            self.round_trip_ms.observe(round_trip_ms);
        }
        if let Some(end_to_end_ms) = report.end_to_end_ms {
            self.end_to_end_ms.observe(end_to_end_ms);
        }
    }

    /// A line of a worker that is no report.
    pub fn report_unreadable(&self) {
        self.events
            .get_or_create(&EventLabel {
                event: "unreadable_report".to_owned(),
            })
            .inc();
    }
}

/// A worker that wants the dubber and does not have it airs the fallback with reason `breaker_open`; the gauge says
/// the same. A worker that has not begun, or that asks for no dub, has nothing to break.
fn breaker_state(sts_mode: StsMode, view: &View) -> i64 {
    let wants_dub = sts_mode == StsMode::Enabled && view.state != State::Starting;
    let state = if wants_dub && !view.dub_connected {
        Breaker::Open
    } else {
        view.breaker
    };
    match state {
        Breaker::Closed => 0,
        Breaker::HalfOpen => 1,
        Breaker::Open => 2,
    }
}

#[cfg(test)]
mod tests;
