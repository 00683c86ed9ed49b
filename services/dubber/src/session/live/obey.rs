//! What the session orders, done.
use super::{Live, VOICE_PAUSE, voice};
use crate::metrics::{Direction, FragmentStatus};
use crate::pcm;
use crate::provider::ProviderError;
use crate::resample::ResampleError;
use crate::session::settle::{add_length, failure};
use crate::session::trace::FragmentTrace;
use crate::session::{Identity, reply};
use dub_proto::convert::duration_to_wire;
use gemini_session::{Outcome, Output, Settlement, Speech};
use media_types::FragmentSeq;
use opentelemetry::KeyValue;
use std::time::Duration;
use tokio::time::Instant;

impl Live {
    /// Does all that is ordered by now.
    pub(super) fn obey(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open { connection } => self.links.open(connection),
                Output::Send { connection, message } => self.links.send(connection, message),
                Output::Ping { connection } => self.links.ping(connection),
                Output::Close { connection } => self.links.close(connection),
                Output::Speak(speech) => self.speak(speech),
                Output::Write(text) => self.say(reply::text(&text)),
                Output::Settle(settlement) => self.settle(&settlement),
                Output::Supersede(supersession) => {
                    // What is held back belongs to what was said before.
                    self.end_voice();
                    self.say(reply::supersede(&supersession));
                }
                Output::Report(event) => self.report(&event),
            }
        }
    }

    fn speak(&mut self, speech: Speech) {
        self.reports.answered(&self.who);
        self.voice_pause = Some(Instant::now() + VOICE_PAUSE);
        match self.voice.take(speech) {
            Ok(pieces) => pieces.into_iter().for_each(|piece| self.hand_over(piece)),
            Err(error) => self.warn_of_sound("dubbed sound cannot be converted", &error),
        }
    }

    /// No sound came for a while: it is over, if none is held back that goes on with it.
    pub(super) fn end_voice_unless_unsure(&mut self) {
        if self.machine.is_unsure() {
            self.voice_pause = Some(Instant::now() + VOICE_PAUSE);
        } else {
            self.end_voice();
        }
    }

    /// A sound is over: its end.
    pub(super) fn end_voice(&mut self) {
        self.voice_pause = None;
        match self.voice.finish() {
            Ok(piece) => piece.into_iter().for_each(|piece| self.hand_over(piece)),
            Err(error) => self.warn_of_sound("dubbed sound cannot be converted", &error),
        }
    }

    fn hand_over(&mut self, piece: voice::Piece) {
        let length = pcm::length(piece.pcm.len());
        self.around.metrics.audio(Direction::Out, length);
        self.view
            .update(|session| add_length(&mut session.audio_out, length));
        self.say(reply::live_speech(piece));
    }

    pub(super) fn warn_of_sound(&mut self, what: &'static str, error: &ResampleError) {
        self.reports.unusable_sound(&self.who, what, error);
    }

    fn settle(&mut self, settlement: &Settlement) {
        let seq = settlement.fragment;
        let Some(spans) = self.book.remove(&seq) else {
            return;
        };
        let error = match &settlement.outcome {
            Outcome::Delivered => None,
            Outcome::Failed(error) => Some(failure(error.class, "provider", error.retryable, error.message)),
        };
        // Without turns nobody knows when an answer is complete.
        let round_trip = self.plan.has_turns && error.is_none();
        let round_trip = round_trip.then_some(settlement.provider_round_trip);
        let mut figures = self.shown.used_since_last(&self.machine);
        figures.extend(
            settlement
                .connection
                .map(|connection| KeyValue::new("dub.connection", i64::try_from(connection.0).unwrap_or(0))),
        );
        spans.call_note(figures);
        self.settle_as(
            seq,
            Some(spans),
            error.as_ref(),
            Some(settlement.queued),
            round_trip,
        );
    }

    /// Says what became of a fragment, and counts it.
    pub(super) fn settle_as(
        &mut self,
        seq: FragmentSeq,
        spans: Option<FragmentTrace>,
        error: Option<&ProviderError>,
        queued: Option<Duration>,
        round_trip: Option<Duration>,
    ) {
        let settled = reply::live_settlement(&self.who.session_id, seq, error, queued, round_trip);
        self.say(settled);
        let metrics = &self.around.metrics;
        let _in_trace = spans.as_ref().map(|spans| spans.context().clone().attach());
        let Identity {
            session_id,
            stream_id,
            run_id,
            ..
        } = &self.who;
        let (fragment, round_trip_ms) = (seq.0, round_trip.map(|time| time.as_millis()));
        match error {
            None => {
                metrics.fragment(FragmentStatus::Delivered);
                if let Some(round_trip) = round_trip {
                    metrics.round_trip(round_trip);
                }
                self.view.update(|session| {
                    session.fragments_delivered_total += 1;
                    if let Some(round_trip) = round_trip {
                        session.last_round_trip = Some(duration_to_wire(round_trip));
                    }
                });
                tracing::debug!(%session_id, %stream_id, %run_id, fragment, round_trip_ms, "fragment delivered");
            }
            Some(error) => {
                metrics.fragment(FragmentStatus::Failed);
                metrics.error(error.class);
                self.view.update(|session| {
                    session.fragments_failed_total += 1;
                    *session
                        .errors_total
                        .entry(error.class.as_str().to_owned())
                        .or_default() += 1;
                });
                tracing::debug!(%session_id, %stream_id, %run_id, fragment, %error, "fragment failed");
            }
        }
        if let Some(spans) = spans {
            spans.end(error);
        }
    }
}
