//! A worker as an operator sees it: domain to wire.

use super::snapshot::Snapshot;
use crate::link::lines::{Breaker, FragmentReport, Source, State};
use dub_proto::convert::{
    air_to_wire, duration_to_wire, range_to_wire, settings_to_wire, time_to_wire, timestamp_to_wire,
};
use dub_proto::dub::v1::BreakerState;
use dub_proto::edge::v1 as wire;
use dub_proto::media::v1::{AirState as WireAirState, Track};
use media_types::Fate;
use std::time::Duration;

/// The whole worker.
pub fn worker_to_wire(snapshot: &Snapshot) -> wire::Worker {
    let Snapshot { start, view, .. } = snapshot;
    wire::Worker {
        stream_id: start.stream_id.to_string(),
        run_id: start.run_id.to_string(),
        epoch: start.epoch,
        instance_id: start.instance_id.clone(),
        pid: snapshot.pid,
        ingest_pid: view.ingest_pid,
        state: state_to_wire(snapshot).into(),
        settings: Some(settings_to_wire(&start.settings)),
        source: Some(source_to_wire(&snapshot.source)),
        input_protocol: view.input_protocol.clone(),
        started_at: Some(timestamp_to_wire(snapshot.started_at)),
        air_state: view
            .air_state
            .map_or(WireAirState::Unspecified, air_to_wire)
            .into(),
        playhead: view.playhead.map(time_to_wire),
        publish_origin: view.publish_origin.map(time_to_wire),
        source_origin: view.source_origin.map(time_to_wire),
        publishing: view.publishing,
        dub_connected: view.dub_connected,
        last_fragment_seq: snapshot.last_fragment_seq.0,
        recent_fragments: snapshot.fragments.iter().map(fragment_to_wire).collect(),
        fragments_total: snapshot
            .fragments_total
            .iter()
            .map(|(fate, n)| (fate.to_string(), *n))
            .collect(),
        fallbacks_total: snapshot
            .fallbacks_total
            .iter()
            .map(|(reason, n)| (reason.to_string(), *n))
            .collect(),
        ingest_starts_total: view.ingest_starts_total,
        publish_starts_total: view.publish_starts_total,
        video_queue_ms: view.video_queue_ms,
        audio_queue_ms: view.audio_queue_ms,
        av_sync_delta_ms: view.av_sync_delta_ms,
        in_flight: Some(duration_to_wire(length(view.in_flight_ms))),
        exit_code: snapshot.exit.as_ref().map(|exit| exit.code),
        detail: snapshot
            .exit
            .as_ref()
            .map_or_else(|| view.detail.clone(), |exit| exit.detail.clone()),
        breaker: breaker_to_wire(view.breaker).into(),
        phrases_total: view
            .phrases
            .by_result()
            .map(|(result, n)| (result.to_owned(), n))
            .into(),
        speech_late_total: view.speech_late_total,
        provider_lag: view
            .phrases
            .provider_lag_ms
            .map(|millis| duration_to_wire(length(millis))),
        dub_backlog: Some(duration_to_wire(length(view.phrases.backlog_ms))),
    }
}

fn length(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

fn breaker_to_wire(breaker: Breaker) -> BreakerState {
    match breaker {
        Breaker::Closed => BreakerState::Closed,
        Breaker::HalfOpen => BreakerState::HalfOpen,
        Breaker::Open => BreakerState::Open,
    }
}

/// Only forward: a worker that was told to stop drains whatever its last word was.
fn state_to_wire(snapshot: &Snapshot) -> wire::WorkerState {
    if !snapshot.is_live() {
        return wire::WorkerState::Exited;
    }
    if snapshot.stopping {
        return wire::WorkerState::Draining;
    }
    match snapshot.view.state {
        State::Starting => wire::WorkerState::Starting,
        State::Running => wire::WorkerState::Running,
        State::SourceLost => wire::WorkerState::SourceLost,
        State::Draining => wire::WorkerState::Draining,
    }
}

fn source_to_wire(source: &Source) -> wire::Source {
    wire::Source {
        source_id: source.source_id.clone(),
        source_type: source.source_type.clone(),
        tracks: source
            .tracks
            .iter()
            .map(|codec| Track { codec: codec.clone() })
            .collect(),
    }
}

fn fragment_to_wire(report: &FragmentReport) -> wire::Fragment {
    wire::Fragment {
        fragment_seq: report.seq.0,
        range: Some(range_to_wire(report.range)),
        fate: match report.fate {
            None => wire::Fate::Unspecified,
            Some(Fate::Success) => wire::Fate::Success,
            Some(Fate::Partial) => wire::Fate::Partial,
            Some(Fate::Failed) => wire::Fate::Failed,
            Some(Fate::Fallback) => wire::Fate::Fallback,
        }
        .into(),
        reason: report
            .reason
            .map_or_else(String::new, |reason| reason.to_string()),
        end_to_end: report
            .end_to_end_ms
            .map(|ms| duration_to_wire(length_of_millis(ms))),
        round_trip: report
            .round_trip_ms
            .map(|ms| duration_to_wire(length_of_millis(ms))),
    }
}

/// What is no length (negative, not a number) shows as zero.
fn length_of_millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::snapshot::tests::{fragment, start};
    use super::super::snapshot::{Exit, Snapshot};
    use super::*;
    use crate::link::lines::{Phrases, View};
    use media_types::{AirState, MediaTime, Reason};
    use std::sync::Arc;
    use std::time::SystemTime;

    #[test]
    fn every_state_has_its_word_and_the_exit_is_the_last() {
        let mut snapshot = Snapshot::new(Arc::new(start("derby", "run", 3)), 7, SystemTime::UNIX_EPOCH);
        let state = |snapshot: &Snapshot| worker_to_wire(snapshot).state();
        assert_eq!(state(&snapshot), wire::WorkerState::Starting);
        snapshot.view.state = State::SourceLost;
        assert_eq!(state(&snapshot), wire::WorkerState::SourceLost);
        snapshot.stopping = true;
        assert_eq!(state(&snapshot), wire::WorkerState::Draining);
        snapshot.apply_exit(Exit {
            code: 137,
            detail: "killed".to_owned(),
        });
        let worker = worker_to_wire(&snapshot);
        assert_eq!(
            (worker.state(), worker.pid, worker.exit_code),
            (wire::WorkerState::Exited, 0, Some(137))
        );
        assert_eq!((worker.detail.as_str(), worker.epoch), ("killed", 3));
    }

    #[test]
    fn numbers_keep_their_units() {
        let mut snapshot = Snapshot::new(Arc::new(start("derby", "run", 1)), 7, SystemTime::UNIX_EPOCH);
        snapshot.apply_view(View {
            playhead: Some(MediaTime::from_millis(1_000)),
            air_state: Some(AirState::VoiceOver),
            in_flight_ms: 4_200,
            breaker: Breaker::HalfOpen,
            phrases: Phrases {
                dubbed_total: 7,
                overflowed_total: 1,
                provider_lag_ms: Some(1_250),
                ..Phrases::default()
            },
            ..View::default()
        });
        snapshot.apply_fragment(fragment(4, Some(Fate::Partial), Some(Reason::InvalidOutput)));
        let worker = worker_to_wire(&snapshot);
        assert_eq!(worker.playhead.unwrap().ticks, 48_000);
        assert_eq!(worker.air_state, i32::from(WireAirState::VoiceOver));
        let in_flight = worker.in_flight.unwrap();
        assert_eq!((in_flight.seconds, in_flight.nanos), (4, 200_000_000));
        let phrases = ["dubbed", "fallback", "overflow"].map(|result| worker.phrases_total[result]);
        assert_eq!((worker.breaker(), phrases), (BreakerState::HalfOpen, [7, 0, 1]));
        assert_eq!(worker.provider_lag.unwrap().nanos, 250_000_000);
        let fragment = &worker.recent_fragments[0];
        assert_eq!(
            (fragment.fate(), fragment.reason.as_str()),
            (wire::Fate::Partial, "invalid_output")
        );
        assert_eq!(fragment.round_trip.unwrap().nanos, 200_500_000);
        assert_eq!(fragment.end_to_end, None);
        assert_eq!(worker.fallbacks_total["invalid_output"], 1);
    }
}
