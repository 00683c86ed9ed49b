//! Fragments on their way to the dubber and back.
use super::Worker;
use crate::{
    link::lines::{Breaker, FragmentReport, Report},
    worker::{
        air::{Deciding, DubStep, PhraseDecided},
        dub_link::reason_of,
        event::{DubEvent, Topic},
    },
};
use dub_placement::{Placed, Speech};
use dub_proto::media::v1 as media;
use media_types::{ErrorClass, FragmentSeq, MediaTime, Reason, StsMode, Tick};
use std::time::Duration;

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
        self.tell_phrases();
        self.send(now, steps);
    }

    fn tell_phrases(&mut self) {
        for event in self.hearing.phrases() {
            self.air.phrase(event);
        }
    }

    /// The source is gone: the dubber gets the rest.
    pub(super) fn offer_last(&mut self, now: Tick) {
        let steps = self.air.source_lost();
        self.offer(now, steps);
        let rest = self.hearing.finish();
        self.tell_phrases();
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
                self.air.tear(seq, reason);
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
        let in_flight = match self.air.deciding() {
            // The fragment that begins now counts for itself.
            Deciding::ByFragment => {
                let (in_flight, _) = self.air.in_flight();
                in_flight.saturating_sub(self.start.settings.fragment_duration)
            }
            // What is unanswered is the dubber's to judge: an answer is to a phrase, and says nothing of a fragment.
            Deciding::ByPhrase => Duration::ZERO,
        };
        self.dub
            .begin(seq, start, in_flight, trace)
            .map_err(|reason| (seq, reason))?;
        self.offered.insert(seq, now);
        Ok(())
    }

    pub(super) fn on_dub(&mut self, now: Tick, event: DubEvent) {
        match event {
            DubEvent::Connected {
                session_id,
                provider,
                deciding,
                requests,
            } => {
                tracing::info!(session_id, provider, ?deciding, "dub session open");
                self.dub.connected(requests);
                self.air.session_opened(deciding);
            }
            DubEvent::Disconnected { message } => {
                let was_connected = self.dub.is_connected();
                for seq in self.dub.disconnected() {
                    self.air.blame(seq, Reason::Error);
                    self.traces.settled(now, seq, Some("session lost"));
                }
                if was_connected {
                    tracing::warn!(cause = message, "dub session lost, the original airs");
                } else {
                    tracing::debug!(cause = message, "dubber is not there");
                }
            }
            DubEvent::Speech(speech) => self.on_speech(now, *speech),
            DubEvent::Superseded {
                connection,
                from,
                asked,
            } => {
                let (from_ms, asked_ms) = (from.millis(), asked.millis());
                tracing::info!(connection, from_ms, asked_ms, "source is answered anew");
                self.air.supersede(connection, from, asked);
            }
            DubEvent::Said {
                topic,
                message,
                breaker,
                class,
            } => self.on_said(now, topic, &message, breaker, class),
            DubEvent::Settled {
                seq,
                error,
                message,
                provider_round_trip,
            } => self.on_settled(now, seq, error, &message, provider_round_trip),
            DubEvent::Sent { seq } => self.traces.sent(now, seq),
        }
        self.air.unanswered(self.dub.unanswered());
    }

    fn on_speech(&mut self, arrived: Tick, speech: Speech) {
        let fragment = speech.fragment;
        let _inside = fragment.and_then(|seq| self.traces.inside(seq));
        let placed = self.air.speech(speech);
        match (placed, fragment) {
            (Placed::At(_), Some(seq)) => self.traces.placed(arrived, self.now(), seq),
            (Placed::At(_) | Placed::Taken, _) => {}
            (Placed::Late | Placed::Unplaceable | Placed::OutOfReach, Some(seq)) => {
                tracing::warn!(fragment = %seq, ?placed, "dub is dropped");
            }
            // A phrase comes in many pieces: one line for all that are dropped alike.
            (Placed::Late | Placed::Unplaceable | Placed::OutOfReach, None) => {
                if self.faults.is_news(arrived, &format!("{placed:?}")) {
                    tracing::warn!(?placed, "dubbed speech is dropped");
                }
            }
        }
    }

    fn on_said(
        &mut self,
        now: Tick,
        topic: Topic,
        message: &str,
        breaker: Option<Breaker>,
        class: Option<ErrorClass>,
    ) {
        let class = class.map(ErrorClass::as_str);
        if let Some(state) = breaker
            && self.dub.breaker_is(state)
        {
            match state {
                Breaker::Open => tracing::warn!(class, cause = message, "breaker is open, the fallback airs"),
                Breaker::HalfOpen => tracing::info!(cause = message, "breaker lets one try through"),
                Breaker::Closed => tracing::info!(cause = message, "breaker is closed"),
            }
        }
        match topic {
            Topic::Fault if self.faults.is_news(now, message) => {
                tracing::warn!(class, cause = message, "dubber tells of a fault");
            }
            Topic::Turn => tracing::info!(cause = message, "dubber says"),
            Topic::Fault | Topic::Breaker | Topic::Other => {
                tracing::debug!(class, cause = message, "dubber says")
            }
        }
    }

    fn on_settled(
        &mut self,
        now: Tick,
        seq: FragmentSeq,
        error: Option<ErrorClass>,
        message: &str,
        provider_round_trip: Option<Duration>,
    ) {
        let _inside = self.traces.inside(seq);
        self.dub.settled(seq);
        if let Some(offered) = self.offered.remove(&seq) {
            self.air.settled(seq, now.since(offered));
        }
        if let Some(class) = error {
            if self.dub.breaker() == Breaker::Open {
                // One state, told once; the fragment is one of many that it costs.
                tracing::debug!(fragment = %seq, class = class.as_str(), cause = message, "fragment failed, the breaker is open");
                self.air.blame(seq, Reason::BreakerOpen);
            } else {
                tracing::warn!(fragment = %seq, class = class.as_str(), cause = message, "fragment failed at the provider");
                self.air.blame(seq, reason_of(class));
            }
        } else {
            let provider_ms = provider_round_trip.map(|length| length.as_secs_f64() * 1e3);
            tracing::debug!(fragment = %seq, provider_ms, "fragment settled");
        }
        self.traces.settled(now, seq, error.map(ErrorClass::as_str));
    }

    /// A phrase begins to air; each of its fragments shows in its trace that its dub has a place.
    pub(super) fn on_phrase(&mut self, now: Tick, decided: &PhraseDecided) {
        if decided.fell_back.is_none() {
            for seq in &decided.fragments {
                self.traces.phrase_placed(now, *seq);
            }
        }
        if decided.first {
            tracing::debug!(
                phrase = decided.phrase,
                fragment = decided.fragments.first().map(|seq| seq.0),
                from_ms = decided.part.start.millis(),
                reason = decided.fell_back.map(Reason::as_str),
                "phrase begins to air"
            );
        }
    }

    pub(super) fn report_fragment(&mut self, report: FragmentReport) {
        self.reports.send(&Report::Fragment(report));
    }
}
