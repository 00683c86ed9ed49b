//! Fragments on their way to the dubber and back.
use super::Worker;
use crate::{
    link::lines::{FragmentReport, Report},
    worker::{air::DubStep, dub_link::reason_of, event::DubEvent},
};
use dub_placement::Placed;
use dub_proto::media::v1 as media;
use media_types::{FragmentSeq, MediaTime, Reason, StsMode, Tick};

impl Worker {
    fn is_dubbing(&self) -> bool {
        self.start.settings.sts_mode == StsMode::Enabled
    }

    /// Sound has arrived: the dubber gets what is known of it.
    pub(super) fn offer(&mut self, now: Tick, steps: Vec<DubStep>) {
        let steps = if self.is_dubbing() {
            self.hearing.hear(steps)
        } else {
            steps
        };
        self.send(now, steps);
    }

    /// The source is gone: the dubber gets the rest.
    pub(super) fn offer_last(&mut self, now: Tick) {
        let steps = self.air.source_lost();
        self.offer(now, steps);
        let rest = self.hearing.finish();
        self.send(now, rest);
    }

    fn send(&mut self, now: Tick, steps: Vec<DubStep>) {
        let dubbing = self.is_dubbing();
        for step in steps {
            let lost = match step {
                DubStep::Open(seq, start) if dubbing => self.offer_begin(now, seq, start),
                DubStep::Audio(start, pcm, speech) if dubbing => self.dub.audio(start, pcm, speech),
                DubStep::Close(seq, range) => {
                    self.report_fragment(FragmentReport {
                        seq,
                        range,
                        fate: None,
                        reason: None,
                        end_to_end_ms: None,
                        round_trip_ms: None,
                    });
                    if dubbing { self.dub.end(seq, range) } else { Ok(()) }
                }
                DubStep::Open(..) | DubStep::Audio(..) => Ok(()),
            };
            if let Err((seq, reason)) = lost {
                self.air.blame(seq, reason);
                self.traces.settled(now, seq, Some(reason.as_str()));
            }
        }
    }

    pub(super) fn offer_begin(
        &mut self,
        now: Tick,
        seq: FragmentSeq,
        start: MediaTime,
    ) -> Result<(), (FragmentSeq, Reason)> {
        let trace = self.traces.begin(now, seq, start.millis());
        let trace = media::TraceContext {
            traceparent: trace.traceparent,
            tracestate: trace.tracestate,
        };
        let (in_flight, _) = self.air.in_flight();
        // The fragment that begins now counts for itself.
        let in_flight = in_flight.saturating_sub(self.start.settings.fragment_duration);
        self.dub
            .begin(seq, start, in_flight, trace)
            .map_err(|reason| (seq, reason))?;
        self.offered.insert(seq, now);
        Ok(())
    }

    pub(super) fn on_dub(&mut self, now: Tick, event: DubEvent) {
        match event {
            DubEvent::Connected { session_id, requests } => {
                tracing::info!(session_id, "dub session open");
                self.dub.connected(requests);
            }
            DubEvent::Disconnected { message } => {
                let was_connected = self.dub.is_connected();
                for seq in self.dub.disconnected() {
                    self.air.blame(seq, Reason::Error);
                    self.traces.settled(now, seq, Some("session lost"));
                }
                if was_connected {
                    tracing::warn!(message, "dub session lost, the original airs");
                } else {
                    tracing::debug!(message, "dubber is not there");
                }
            }
            DubEvent::Speech(speech) => {
                let _inside = speech.fragment.and_then(|seq| self.traces.inside(seq));
                let arrived = now;
                let placed = self.air.speech(&speech);
                match (placed, speech.fragment) {
                    (Placed::At(_), Some(seq)) => self.traces.placed(arrived, self.now(), seq),
                    (Placed::At(_) | Placed::Taken, _) => {}
                    (Placed::Late | Placed::Unplaceable | Placed::OutOfReach, fragment) => {
                        tracing::warn!(fragment = fragment.map(|seq| seq.0), ?placed, "dub is dropped");
                    }
                }
            }
            DubEvent::Settled {
                seq,
                error,
                message,
                provider_round_trip,
            } => {
                let _inside = self.traces.inside(seq);
                self.dub.settled(seq);
                if let Some(offered) = self.offered.remove(&seq) {
                    self.air.settled(seq, now.since(offered));
                }
                if let Some(class) = error {
                    tracing::warn!(fragment = %seq, class = class.as_str(), message, "fragment failed at the provider");
                    self.air.blame(seq, reason_of(class));
                } else {
                    let provider_ms = provider_round_trip.map(|length| length.as_secs_f64() * 1e3);
                    tracing::debug!(fragment = %seq, provider_ms, "fragment settled");
                }
                self.traces.settled(now, seq, error.map(|class| class.as_str()));
            }
            DubEvent::Sent { seq } => self.traces.sent(now, seq),
        }
    }

    pub(super) fn report_fragment(&mut self, report: FragmentReport) {
        self.reports.send(&Report::Fragment(report));
    }
}
