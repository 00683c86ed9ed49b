//! What the worker tells its parent of itself.
use super::Worker;
use crate::link::lines::{Phrases, Report};
use media_types::{MediaTime, Tick};
use std::time::Duration;

impl Worker {
    pub(super) fn send_view(&mut self, now: Tick) {
        let (video, audio) = self.air.held(now);
        let (in_flight, in_flight_fragments) = self.air.in_flight();
        let millis = |length: Duration| u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        let counts = self.air.counts;
        self.view.ingest_pid = self.ingest.pid();
        self.view.air_state = Some(self.air.air_state());
        self.view.playhead = self.air.playhead(now);
        self.view.publish_origin = self.publisher.origin();
        self.view.source_origin = self.air.source_origin();
        let publishing = self.publisher.is_publishing(now);
        if publishing && !self.view.publishing && self.publisher.starts() > 1 {
            "output takes the stream again".clone_into(&mut self.view.detail);
        }
        self.view.publishing = publishing;
        self.view.dub_connected = self.dub.is_connected();
        self.view.breaker = self.dub.breaker();
        let figures = self.air.figures();
        let length = |at: MediaTime| millis(at.to_duration());
        self.view.phrases = Phrases {
            dubbed_total: figures.phrases_dubbed_total,
            fell_back_total: figures.phrases_fell_back_total,
            overflowed_total: figures.phrases_overflowed_total,
            provider_lag_ms: figures.provider_lag.map(length),
            backlog_ms: length(figures.backlog),
        };
        self.view.speech_late_total = self.air.speech_late_total();
        self.view.last_fragment_seq = self.air.last_seq();
        self.view.publish_starts_total = self.publisher.starts();
        self.view.video_queue_ms = millis(video);
        self.view.audio_queue_ms = millis(audio);
        self.view.av_sync_delta_ms = self.air.av_sync_delta_ms();
        self.view.in_flight_ms = millis(in_flight);
        self.view.speech_ms_total = u64::try_from(self.hearing.spoken().as_millis()).unwrap_or(u64::MAX);
        self.view.in_flight_fragments = in_flight_fragments;
        self.view.counters = [
            ("late_audio_frames", counts.late_audio_frames),
            ("missing_audio_frames", counts.missing_audio_frames),
            ("dropped_video_units", counts.dropped_video_units),
            ("refused_speech", counts.refused_speech),
            ("replaced_speech", figures.speech_replaced_total),
            ("dropped_speech", figures.speech_dropped_total),
            ("unmatched_speech", figures.speech_unmatched_total),
            ("broken_off_dub", figures.dubs_broken_off_total),
            ("overload_incidents", self.dub.overloads),
            ("shed_fragments", self.dub.shed),
            ("dropped_reports", self.reports.dropped),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
        self.reports.send(&Report::View(Box::new(self.view.clone())));
    }
}
