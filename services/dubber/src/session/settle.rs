//! How a session settles its fragments: answers, retries, budgets, and the emission in order.
use super::ledger::{Settled, UnderWay};
use super::task::{End, Phase, Task};
use super::trace::Callee;
use super::{Identity, reply};
use crate::metrics::{Direction, FragmentStatus};
use crate::provider::{Answer, Output, Provider, ProviderError};
use crate::{pcm, repair};
use dub_proto::convert::duration_to_wire;
use dub_proto::dub::v1 as wire;
use media_types::{ErrorClass, FragmentSeq, MediaTime};
use std::time::Duration;
use tokio::time::Instant;

/// How often a fragment is handed to the provider at most. A second failure of the same fragment says more about
/// the fragment or the provider than about bad luck.
const ATTEMPTS_MAX: u32 = 2;

impl<P: Provider> Task<P> {
    /// The provider came back with something; a second answer to a number, or one too late, changes nothing.
    pub(super) fn take_output(&mut self, output: Output) {
        let (Output::Answered { seq, .. } | Output::Failed { seq, .. }) = &output;
        let seq = *seq;
        let Some(mut open) = self.ledger.take(seq) else {
            self.around.metrics.late_answer();
            let Identity {
                session_id,
                stream_id,
                run_id,
                ..
            } = &self.who;
            tracing::debug!(%session_id, %stream_id, %run_id, fragment = %seq, "late answer dropped");
            return;
        };
        match output {
            Output::Answered { answer, .. } => self.answered(open, answer),
            Output::Failed { error, .. } => {
                open.trace.call_ended(Some(&error));
                let in_time = open.offered.elapsed() < self.around.limits.soft_budget;
                if error.retryable
                    && in_time
                    && open.attempts < ATTEMPTS_MAX
                    && self.phase == Phase::Streaming
                {
                    self.around.metrics.retried();
                    open.attempts += 1;
                    open.trace
                        .call_began(&self.who, seq, &Callee::of(self.provider.name()));
                    self.provider.offer(open.fragment.clone());
                    self.ledger.insert(open);
                } else {
                    self.settle(open, Err(error), None);
                }
            }
        }
    }

    fn answered(&mut self, mut open: UnderWay, answer: Answer) {
        let round_trip = open.offered.elapsed();
        self.around.metrics.round_trip(round_trip);
        if round_trip < self.around.limits.soft_budget {
            self.slow = false;
        }
        open.trace.call_ended(None);
        let outcome = repair::fit(answer, pcm::frames_of(open.fragment.range.length()))
            .map_err(|unusable| failure(ErrorClass::InvalidInput, "repair", false, unusable.to_string()));
        self.settle(open, outcome, Some(round_trip));
    }

    fn settle(
        &mut self,
        open: UnderWay,
        outcome: Result<repair::Fitted, ProviderError>,
        round_trip: Option<Duration>,
    ) {
        self.ledger.settle(Settled {
            seq: open.fragment.seq,
            range: Some(open.fragment.range),
            outcome,
            queued: Some(open.queued),
            round_trip,
            trace: Some(open.trace),
        });
        self.note_in_flight();
    }

    /// Settles a fragment under way as failed.
    pub(super) fn fail(&mut self, seq: FragmentSeq, error: ProviderError) {
        if let Some(mut open) = self.ledger.take(seq) {
            open.trace.call_ended(Some(&error));
            self.settle(open, Err(error), None);
        }
    }

    pub(super) fn fail_all_under_way(&mut self, why: &str) {
        for seq in self.ledger.up_to(FragmentSeq(u64::MAX)) {
            self.fail(seq, failure(ErrorClass::Closed, "provider", true, why));
        }
    }

    pub(super) async fn enforce_budgets(&mut self) -> Result<(), End> {
        let now = Instant::now();
        for seq in self.ledger.overdue(now) {
            let said = format!(
                "no answer within {} ms",
                self.around.limits.hard_budget.as_millis()
            );
            self.fail(seq, failure(ErrorClass::Timeout, "provider", false, said));
        }
        let newly_slow = self.ledger.newly_slow(now);
        for _ in &newly_slow {
            self.around.metrics.soft_budget_exceeded();
        }
        // One alert an incident: it ends with the first answer that is in time again.
        if let (Some(seq), false) = (newly_slow.first(), self.slow) {
            self.slow = true;
            let soft_ms = self.around.limits.soft_budget.as_millis();
            let Identity {
                session_id,
                stream_id,
                run_id,
                ..
            } = &self.who;
            tracing::warn!(%session_id, %stream_id, %run_id, fragment = %seq, "the provider exceeds the soft budget");
            let said = format!("fragment {seq} is not answered after {soft_ms} ms");
            self.send(reply::event(wire::EventKind::Fault, said)).await?;
        }
        Ok(())
    }

    /// An answer that nobody could hear any more holds up nobody.
    pub(super) fn release_futile(&mut self) {
        let Some(playhead) = self.playhead else { return };
        for seq in self.ledger.futile(playhead) {
            self.fail(
                seq,
                failure(
                    ErrorClass::Timeout,
                    "provider",
                    false,
                    "no answer before the fragment was on air",
                ),
            );
        }
    }

    /// Sends what has its result and its turn.
    pub(super) async fn emit(&mut self) -> Result<(), End> {
        while let Some(mut settled) = self.ledger.pop_ready() {
            let settlement = reply::settlement(&self.who.session_id, &settled);
            if let (Ok(fitted), Some(range)) = (&mut settled.outcome, settled.range) {
                let pcm = std::mem::take(&mut fitted.pcm);
                self.send(reply::speech(settled.seq, range, pcm)).await?;
            }
            self.send(settlement).await?;
            self.account(settled);
        }
        Ok(())
    }

    fn account(&self, settled: Settled) {
        let Settled {
            seq,
            range,
            outcome,
            round_trip,
            trace,
            ..
        } = settled;
        let length = range.map_or(MediaTime::ZERO, |range| range.length());
        let metrics = &self.around.metrics;
        let _in_trace = trace.as_ref().map(|trace| trace.context().clone().attach());
        let Identity {
            session_id,
            stream_id,
            run_id,
            ..
        } = &self.who;
        let (fragment, round_trip_ms) = (seq.0, round_trip.map(|time| time.as_millis()));
        match &outcome {
            Ok(fitted) => {
                metrics.fragment(FragmentStatus::Delivered);
                metrics.audio(Direction::Out, length);
                if fitted.repaired {
                    metrics.repaired();
                }
                self.view.update(|session| {
                    session.fragments_delivered_total += 1;
                    session.last_round_trip = round_trip.map(duration_to_wire);
                    add_length(&mut session.audio_out, length);
                });
                let (repaired, alignment_delta_ms) = (fitted.repaired, fitted.alignment_delta.millis_f64());
                tracing::debug!(
                    %session_id, %stream_id, %run_id, fragment, round_trip_ms, repaired, alignment_delta_ms,
                    "fragment delivered"
                );
            }
            Err(error) => {
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
        if let Some(trace) = trace {
            trace.end(outcome.as_ref().err());
        }
    }

    pub(super) fn note_in_flight(&self) {
        let in_flight = duration_to_wire(self.ledger.in_flight().to_duration());
        self.view.update(|session| session.in_flight = Some(in_flight));
    }
}

/// A failed fragment's error.
pub(super) fn failure(
    class: ErrorClass,
    stage: &'static str,
    retryable: bool,
    message: impl Into<String>,
) -> ProviderError {
    ProviderError {
        class,
        stage,
        retryable,
        message: message.into(),
    }
}

/// Adds to a length of the view.
pub(super) fn add_length(sum: &mut Option<prost_types::Duration>, length: MediaTime) {
    let so_far = sum
        .and_then(|sum| Duration::try_from(sum).ok())
        .unwrap_or_default();
    *sum = Some(duration_to_wire(so_far + length.to_duration()));
}
