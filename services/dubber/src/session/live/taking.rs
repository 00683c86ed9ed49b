//! What the worker says, as facts for the session.
use super::link::{Told, What};
use super::{Live, Phase, SOURCE_PAUSE};
use crate::metrics::{Direction, FragmentStatus};
use crate::session::input::{Audio, Input};
use crate::session::intake::{Begun, Violation};
use crate::session::reply;
use crate::session::settle::{add_length, failure};
use crate::session::task::{End, refuse};
use crate::session::trace::{Callee, FragmentTrace};
use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1 as wire;
use gemini_session::Input as Fact;
use media_types::{ErrorClass, FragmentSeq, MediaTime};
use service_kit::trace::TraceContext;
use std::time::Duration;
use tokio::time::Instant;

impl Live {
    pub(super) fn receive(&mut self, input: Input) -> Result<(), End> {
        match input {
            Input::FragmentStarted { seq, start, trace } => self.begin(seq, start, &trace)?,
            Input::AudioReceived(audio) => self.audio(&audio)?,
            Input::FragmentEnded { seq, end } => self.complete(seq, end)?,
            Input::PlayheadMoved(position) => {
                self.view
                    .update(|session| session.playhead = Some(time_to_wire(position)));
                self.tell(Fact::PlayheadMoved { position });
            }
            Input::Abandoned(up_to) => self.tell(Fact::FragmentsAbandoned { up_to }),
            Input::CloseAsked { reason } => {
                let who = &self.who;
                let (session_id, stream_id, run_id) = (&who.session_id, &who.stream_id, &who.run_id);
                tracing::info!(%session_id, %stream_id, %run_id, reason, "session closing");
                self.stop_intake();
            }
            Input::HalfClosed => {
                self.mailbox_open = false;
                self.stop_intake();
            }
            Input::PeerLost => return Err(End::PeerGone),
            Input::Violated(status) => return Err(End::Violated(status)),
        }
        Ok(())
    }

    fn begin(&mut self, seq: FragmentSeq, start: MediaTime, trace: &TraceContext) -> Result<(), End> {
        if self.phase == Phase::Closing {
            return Err(refuse(&Violation {
                field: "fragment_start",
                message: format!("fragment {seq} starts after Close"),
            }));
        }
        let begun = self.intake.begin(Instant::now(), seq, start, trace.clone());
        let begun = begun.map_err(|violation| refuse(&violation))?;
        self.collecting = match begun {
            Begun::Duplicate => {
                self.around.metrics.fragment(FragmentStatus::Duplicate);
                false
            }
            Begun::Collecting => {
                self.view.update(|session| {
                    session.fragments_received_total += 1;
                    session.last_fragment_seq = seq.0;
                });
                self.phase == Phase::Streaming
            }
        };
        if self.collecting {
            let mut spans = FragmentTrace::begin(&self.who, seq, trace, &self.run, Duration::ZERO);
            let callee = Callee {
                provider: self.plan.provider,
                model: Some(&self.plan.model),
            };
            spans.call_began(&self.who, seq, &callee);
            self.book.insert(seq, spans);
            self.tell(Fact::FragmentStarted { fragment: seq, start });
        } else if begun == Begun::Collecting {
            self.intake.give_up();
            self.refused.push(seq);
        }
        Ok(())
    }

    fn audio(&mut self, audio: &Audio) -> Result<(), End> {
        self.intake
            .audio(Instant::now(), audio)
            .map_err(|violation| refuse(&violation))?;
        if !self.collecting {
            return Ok(());
        }
        self.source_pause = Some(Instant::now() + SOURCE_PAUSE);
        self.speech_probability = audio.speech_probability;
        match self.source.push(audio.start, &audio.pcm) {
            Ok(blocks) => {
                for block in blocks {
                    self.tell(Fact::AudioArrived {
                        start: block.start,
                        pcm: block.pcm,
                        speech_probability: audio.speech_probability,
                    });
                }
            }
            Err(error) => self.warn_of_sound("source sound cannot be converted", &error),
        }
        Ok(())
    }

    /// No more source came for a while: what the filter holds back is all there is.
    pub(super) fn end_source(&mut self) {
        self.source_pause = None;
        match self.source.finish() {
            Ok(Some(block)) => self.tell(Fact::AudioArrived {
                start: block.start,
                pcm: block.pcm,
                speech_probability: self.speech_probability,
            }),
            Ok(None) => {}
            Err(error) => self.warn_of_sound("source sound cannot be converted", &error),
        }
    }

    fn complete(&mut self, seq: FragmentSeq, end: MediaTime) -> Result<(), End> {
        let collected = self
            .intake
            .end(seq, end)
            .map_err(|violation| refuse(&violation))?;
        let Some(collected) = collected else {
            return Ok(());
        };
        let length = collected.fragment.range.length();
        self.around.metrics.audio(Direction::In, length);
        self.shown.source_heard(length);
        self.view.update(|session| {
            add_length(&mut session.audio_in, length);
            add_length(&mut session.speech_in, collected.spoken);
        });
        self.tell(Fact::FragmentEnded { fragment: seq, end });
        Ok(())
    }

    /// No more speech is taken.
    fn stop_intake(&mut self) {
        if self.phase == Phase::Streaming {
            self.phase = Phase::Closing;
            self.end_source();
            self.collecting = false;
            self.tell(Fact::SourceEnded);
        }
        self.view
            .update(|session| session.state = wire::SessionState::Draining.into());
    }

    pub(super) fn begin_drain(&mut self) {
        self.stop_intake();
        self.phase = Phase::Draining(Instant::now() + self.around.limits.drain);
        let event = self.event(
            wire::EventKind::Draining,
            "the dubber stops; open a new session",
            None,
        );
        self.say(event);
    }

    /// Everything that is not settled never will be.
    pub(super) fn conclude(&mut self) {
        self.end_voice();
        self.tell_usage();
        let stops = || {
            failure(
                ErrorClass::Closed,
                "provider",
                true,
                "the dubber stops before the answer came",
            )
        };
        for (seq, spans) in std::mem::take(&mut self.book) {
            self.settle_as(seq, Some(spans), Some(&stops()), None, None);
        }
        let late = failure(
            ErrorClass::Closed,
            "receive",
            true,
            "the session ends before the fragment",
        );
        for seq in std::mem::take(&mut self.refused) {
            self.settle_as(seq, None, Some(&late), None, None);
        }
    }

    /// What a connection said.
    pub(super) fn hear(&mut self, told: Told) {
        let connection = told.connection;
        match told.what {
            What::Opened => self.tell(Fact::ConnectionOpened { connection }),
            What::Written => self.tell(Fact::MessageWritten { connection }),
            What::Said { message, unknown } => {
                // Words of the server may repeat a key.
                let target = self.links.target();
                let paths = unknown.iter().map(|path| target.redact(path)).collect();
                self.reports.unknown(&self.who, paths);
                self.tell(Fact::MessageReceived { connection, message });
            }
            What::Frame { problem } => {
                if let Some(problem) = problem {
                    self.reports.nonsense(&self.who, connection, &problem);
                }
                self.tell(Fact::FrameReceived { connection });
            }
            What::Ended(ending) => {
                self.reports.ended(&self.who, connection, &ending);
                self.tell(Fact::ConnectionEnded { connection, ending });
            }
        }
    }

    /// Tells the session a fact and does what follows.
    pub(super) fn tell(&mut self, fact: Fact) {
        let now = self.now();
        self.machine.handle_input(now, fact);
        self.obey();
    }

    pub(super) fn event(
        &self,
        kind: wire::EventKind,
        message: impl Into<String>,
        class: Option<ErrorClass>,
    ) -> wire::DubResponse {
        reply::event_of(kind, message, self.machine.view().breaker, class)
    }
}
