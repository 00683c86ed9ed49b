//! The task that owns one session and its provider.
//!
//! * One loop, one place where it waits: messages, answers, budgets and the drain are told apart there and become
//!   plain calls.
//! * It answers every fragment exactly once: with speech and a settlement, or with a settlement alone.
//! * It ends when the peer is done and all is answered, when the peer is gone or breaks the protocol, or when a
//!   drain is over.
use super::entry::{self, Entered};
use super::input::{Input, Opening};
use super::intake::{Begun, Intake, Violation};
use super::ledger::{Ledger, Settled, UnderWay};
use super::settle::{add_length, failure};
use super::trace::{Callee, FragmentTrace};
use super::{Identity, Limits, reply};
use crate::directory::{Directory, View};
use crate::metrics::{Direction, FragmentStatus, Metrics, Queue};
use crate::provider::{Output, Provider};
use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1 as wire;
use dub_proto::status::ErrorCode;
use media_types::{ErrorClass, FragmentSeq, MediaTime};
use opentelemetry::trace::SpanContext;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A peer that takes nothing for so long is gone, whatever its connection says.
pub(super) const STUCK_MAX: Duration = Duration::from_secs(30);

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// The peer was done and has every answer.
    Closed,
    /// The process drains and what was under way is answered.
    Drained,
    /// The peer broke the protocol.
    Violated(Status),
    /// The peer is gone, or takes nothing any more.
    PeerGone,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Speech is taken.
    Streaming,
    /// The peer is done; what is under way is answered.
    Closing,
    /// The process drains; what is under way is answered until then.
    Draining(Instant),
}

/// What the loop waits for.
enum Happened {
    Received(Input),
    CameBack(Output),
    BudgetUsedUp,
    DrainBegan,
    DrainLimitReached,
    PeerVanished,
}

/// Ends of the two queues between a session and its stream.
#[derive(Debug)]
pub struct Ends {
    /// What the peer says.
    pub mailbox: mpsc::Receiver<Input>,
    /// What it is told.
    pub responses: mpsc::Sender<Result<wire::DubResponse, Status>>,
}

/// What a session gets from its process.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Its budgets.
    pub limits: Limits,
    /// Cancelled when the process drains.
    pub token: CancellationToken,
    /// Its numbers.
    pub metrics: Metrics,
}

/// The task.
pub struct Task<P> {
    pub(super) who: Identity,
    pub(super) provider: P,
    pub(super) around: Surroundings,
    pub(super) view: View,
    pub(super) ledger: Ledger,
    pub(super) phase: Phase,
    pub(super) playhead: Option<MediaTime>,
    // Whether the provider is slow, and that has been said.
    pub(super) slow: bool,
    ends: Ends,
    run: SpanContext,
    intake: Intake,
    mailbox_open: bool,
}

impl<P: Provider> Task<P> {
    /// A session that has just been asked for.
    pub fn new(
        opening: &Opening,
        provider: P,
        ends: Ends,
        around: Surroundings,
        directory: &Directory,
    ) -> Self {
        let Entered { who, view, run } = entry::enter(opening, provider.name(), directory);
        Self {
            run,
            ledger: Ledger::new(around.limits),
            intake: Intake::default(),
            phase: Phase::Streaming,
            mailbox_open: true,
            playhead: None,
            slow: false,
            who,
            provider,
            ends,
            around,
            view,
        }
    }

    /// Serves the session to its end.
    pub async fn run(mut self) -> End {
        entry::begun(&self.who, &self.around, self.provider.name());
        let end = match self.serve().await {
            Ok(end) | Err(end) => end,
        };
        entry::leave(&self.who, &self.around, &self.ends.responses, &end).await;
        end
    }

    async fn serve(&mut self) -> Result<End, End> {
        self.send(reply::opened(
            &self.who.session_id,
            self.provider.name(),
            wire::Answering::Fragments,
        ))
        .await?;
        loop {
            match self.phase {
                Phase::Streaming => {}
                Phase::Closing if self.ledger.is_empty() => return Ok(End::Closed),
                Phase::Draining(_) if self.ledger.is_empty() => return Ok(End::Drained),
                Phase::Closing | Phase::Draining(_) => {}
            }
            match self.next().await {
                Happened::Received(input) => self.receive(input)?,
                Happened::CameBack(output) => self.take_output(output),
                Happened::BudgetUsedUp => self.enforce_budgets().await?,
                Happened::DrainBegan => self.begin_drain().await?,
                Happened::DrainLimitReached => {
                    self.fail_all_under_way("the dubber stops before the answer came")
                }
                Happened::PeerVanished => return Err(End::PeerGone),
            }
            self.release_futile();
            self.emit().await?;
        }
    }

    /// Waits for whatever comes first. Every branch is safe to drop.
    async fn next(&mut self) -> Happened {
        let draining = match self.phase {
            Phase::Streaming | Phase::Closing => None,
            Phase::Draining(by) => Some(by),
        };
        let budget = self.ledger.next_deadline();
        tokio::select! {
            () = self.ends.responses.closed() => Happened::PeerVanished,
            input = self.ends.mailbox.recv(), if self.mailbox_open => {
                if input.is_some() {
                    self.around.metrics.popped(Queue::Mailbox);
                }
                // The reader says how the stream ended before it goes; without a word it was cut off.
                Happened::Received(input.unwrap_or(Input::PeerLost))
            }
            output = self.provider.next() => Happened::CameBack(output),
            () = at(budget) => Happened::BudgetUsedUp,
            () = self.around.token.cancelled(), if draining.is_none() => Happened::DrainBegan,
            () = at(draining) => Happened::DrainLimitReached,
        }
    }

    fn receive(&mut self, input: Input) -> Result<(), End> {
        let now = Instant::now();
        match input {
            Input::FragmentStarted { seq, start, trace } => {
                if self.phase == Phase::Closing {
                    return Err(refuse(&Violation {
                        field: "fragment_start",
                        message: format!("fragment {seq} starts after Close"),
                    }));
                }
                let begun = self
                    .intake
                    .begin(now, seq, start, trace)
                    .map_err(|violation| refuse(&violation))?;
                self.note_begin(seq, begun);
            }
            Input::AudioReceived(audio) => {
                self.intake
                    .audio(now, &audio)
                    .map_err(|violation| refuse(&violation))?;
            }
            Input::FragmentEnded { seq, end } => self.complete(seq, end)?,
            Input::PlayheadMoved(position) => {
                self.playhead = Some(position);
                self.view
                    .update(|session| session.playhead = Some(time_to_wire(position)));
            }
            Input::Abandoned(last) => {
                for seq in self.ledger.up_to(last) {
                    self.fail(
                        seq,
                        failure(ErrorClass::Timeout, "provider", false, "given up by the worker"),
                    );
                }
            }
            Input::CloseAsked { reason } => {
                let Identity {
                    session_id,
                    stream_id,
                    run_id,
                    ..
                } = &self.who;
                tracing::info!(%session_id, %stream_id, %run_id, reason, "session closing");
                self.stop_intake(false);
            }
            Input::HalfClosed => {
                self.mailbox_open = false;
                self.stop_intake(false);
            }
            Input::PeerLost => return Err(End::PeerGone),
            Input::Violated(status) => return Err(End::Violated(status)),
        }
        Ok(())
    }

    fn note_begin(&mut self, seq: FragmentSeq, begun: Begun) {
        match begun {
            Begun::Duplicate => {
                self.around.metrics.fragment(FragmentStatus::Duplicate);
                let Identity {
                    session_id,
                    stream_id,
                    run_id,
                    ..
                } = &self.who;
                tracing::debug!(%session_id, %stream_id, %run_id, fragment = %seq, "known fragment dropped");
            }
            Begun::Collecting => {
                self.view.update(|session| {
                    session.fragments_received_total += 1;
                    session.last_fragment_seq = seq.0;
                });
                if matches!(self.phase, Phase::Draining(_)) {
                    self.refuse_open_fragment(true);
                }
            }
        }
    }

    /// A fragment is complete: it goes to the provider, or is settled on the spot.
    fn complete(&mut self, seq: FragmentSeq, end: MediaTime) -> Result<(), End> {
        let Some(collected) = self
            .intake
            .end(seq, end)
            .map_err(|violation| refuse(&violation))?
        else {
            return Ok(());
        };
        let fragment = collected.fragment;
        let length = fragment.range.length();
        self.around.metrics.audio(Direction::In, length);
        self.view.update(|session| {
            add_length(&mut session.audio_in, length);
            add_length(&mut session.speech_in, collected.spoken);
        });
        let queued = collected.first_audio.elapsed();
        let mut trace = FragmentTrace::begin(&self.who, seq, &collected.trace, &self.run, queued);
        let refusal = if fragment.range.is_empty() {
            Some(failure(
                ErrorClass::InvalidInput,
                "receive",
                false,
                "the fragment has no audio",
            ))
        } else if !self.ledger.admits(length) {
            let in_flight = self.ledger.in_flight().millis();
            let said = format!("{in_flight} ms of speech are under way already");
            Some(failure(ErrorClass::Overloaded, "receive", true, said))
        } else {
            None
        };
        if let Some(error) = refusal {
            self.ledger.settle(Settled {
                seq,
                range: Some(fragment.range),
                outcome: Err(error),
                queued: None,
                round_trip: None,
                trace: Some(trace),
            });
            return Ok(());
        }
        trace.call_began(&self.who, seq, &Callee::of(self.provider.name()));
        self.provider.offer(fragment.clone());
        self.ledger
            .insert(UnderWay::new(fragment, Instant::now(), queued, trace));
        self.note_in_flight();
        Ok(())
    }

    async fn begin_drain(&mut self) -> Result<(), End> {
        self.stop_intake(true);
        self.phase = Phase::Draining(Instant::now() + self.around.limits.drain);
        self.send(reply::event(
            wire::EventKind::Draining,
            "the dubber stops; open a new session",
        ))
        .await
    }

    /// No more speech is taken.
    fn stop_intake(&mut self, may_retry: bool) {
        self.refuse_open_fragment(may_retry);
        if self.phase == Phase::Streaming {
            self.phase = Phase::Closing;
        }
        self.view
            .update(|session| session.state = wire::SessionState::Draining.into());
    }

    /// The fragment that is being received will never be complete here.
    fn refuse_open_fragment(&mut self, may_retry: bool) {
        if let Some(seq) = self.intake.give_up() {
            let error = failure(
                ErrorClass::Closed,
                "receive",
                may_retry,
                "the session ends before the fragment",
            );
            self.ledger.settle(Settled {
                seq,
                range: None,
                outcome: Err(error),
                queued: None,
                round_trip: None,
                trace: None,
            });
        }
    }

    pub(super) async fn send(&self, response: wire::DubResponse) -> Result<(), End> {
        tokio::select! {
            // What can be said is said, also at the very end of the patience.
            biased;
            sent = self.ends.responses.send(Ok(response)) => {
                sent.map_err(|_| End::PeerGone)?;
                self.around.metrics.pushed(Queue::Responses);
                Ok(())
            }
            () = self.patience() => Err(End::PeerGone),
        }
    }

    /// Until a peer that takes nothing counts as gone; a drain waits no longer for it than for anything else.
    async fn patience(&self) {
        if let Phase::Draining(by) = self.phase {
            return sleep_until(by).await;
        }
        let drain = async {
            self.around.token.cancelled().await;
            sleep(self.around.limits.drain).await;
        };
        tokio::select! {
            () = sleep(STUCK_MAX) => {}
            () = drain => {}
        }
    }
}

pub(super) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

pub(super) fn refuse(violation: &Violation) -> End {
    End::Violated(ErrorCode::Protocol.status(violation.to_string(), Some(violation.field)))
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
