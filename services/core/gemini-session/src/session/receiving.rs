//! What the server says: evidence for what it answers, and what it owes from now on.
use super::Session;
use super::losing::PHRASE_PAUSE;
use crate::ears::Heard;
use crate::leg::{Leg, Phase};
use crate::types::{ConnectionId, Event, FragmentError, Output, Side, Speech, Text};
use bytes::Bytes;
use gemini_live::{
    Ending, GoAway, InteractionStatus, Part, ServerContent, ServerMessage, Transcription, TurnCompleteReason,
};
use media_types::{ErrorClass, MediaRange, MediaTime, Tick};
use std::time::Duration;

/// Silence of source and model after which nothing older is answered any more.
const ANCHOR_QUIET: Duration = Duration::from_millis(1500);

/// Silence of the model after which it is behind with nothing.
const BEHIND_QUIET: Duration = Duration::from_secs(1);

/// What lasts longer is no vowel: a tone where it stays the same, a song or a siren where it does not.
const TONE_LASTS: Duration = Duration::from_secs(1);

const HELD_BACK: FragmentError = FragmentError {
    class: ErrorClass::InvalidInput,
    retryable: true,
    message: "the model's answer was held back",
};

/// What a piece can answer.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    earliest: MediaTime,
    latest: MediaTime,
    turn: Option<u64>,
}

impl Session {
    pub(super) fn received(&mut self, now: Tick, id: ConnectionId, message: ServerMessage) {
        // What a connection that is gone still says concerns nobody.
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        leg.last_frame = now;
        if message.setup_complete.is_some() {
            self.set_up(now, id);
        }
        if let Some(usage) = &message.usage {
            self.usage.report(usage);
        }
        if let Some(handle) = message.resumption.as_ref().and_then(|update| update.usable()) {
            self.handle = Some(handle.clone());
        }
        if let Some(content) = message.content {
            self.content(now, id, content);
        }
        if let Some(go_away) = message.go_away {
            self.warned(now, id, go_away);
        }
        if let Some(error) = message.error {
            self.ended(now, id, &Ending::Errored(error));
        }
    }

    fn warned(&mut self, now: Tick, id: ConnectionId, go_away: GoAway) {
        let margin = self.config.lifetimes.end_margin;
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        let left = go_away.time_left.unwrap_or_default();
        leg.warned_at = leg.warned_at.or(Some(now));
        leg.soft_at = leg.soft_at.min(now);
        leg.hard_at = leg.hard_at.min(now.after(left.saturating_sub(margin)));
        self.report(Event::Warned {
            connection: id,
            time_left: go_away.time_left,
        });
    }

    fn content(&mut self, now: Tick, id: ConnectionId, content: ServerContent) {
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.phase == Phase::Ready) else {
            return;
        };
        if content != ServerContent::default() {
            leg.last_message = now;
        }
        // It was given nothing that it could answer: a resumed session repeats what it said before.
        if leg.first.is_none_or(|first| leg.cursor <= first) {
            self.counts.strays += 1;
            return;
        }
        let evidence = self.evidence(now, id);
        if let Some(words) = &content.input_transcription {
            self.words_in(now, id, words, evidence);
        }
        if let Some(words) = &content.output_transcription {
            self.words_out(now, id, words, evidence);
        }
        for part in &content.parts {
            match part {
                Part::Audio {
                    pcm,
                    rate_hz,
                    thought: false,
                } => self.sound(now, id, pcm, *rate_hz, evidence),
                Part::Audio { .. } | Part::Text { .. } | Part::Other => {}
            }
        }
        if self.windows.is_some() {
            self.turn_marks(id, &content);
        } else {
            self.anchor_if_quiet(now, id);
        }
    }

    fn words_in(&mut self, now: Tick, id: ConnectionId, words: &Transcription, evidence: Evidence) {
        if let Some(leg) = self.leg_mut(id) {
            if words.language.is_some() {
                leg.language.clone_from(&words.language);
            }
            if !words.text.is_empty() {
                leg.debts.heard = true;
                leg.debts.heard_at = now;
                leg.debts.words.get_or_insert(now);
            }
        }
        self.write(id, Side::Source, words, evidence);
    }

    fn words_out(&mut self, now: Tick, id: ConnectionId, words: &Transcription, evidence: Evidence) {
        if words.text.is_empty() {
            return;
        }
        if let Some(leg) = self.leg_mut(id) {
            leg.debts.words = None;
            leg.debts.voice.get_or_insert(now);
            leg.debts.said_at = now;
            leg.ears.words();
        }
        self.hand_over_unsure(id);
        if let Some(window) = self.windows.as_mut().and_then(|windows| windows.owed(id)) {
            window.answered = true;
        }
        self.prove(id);
        self.write(id, Side::Target, words, evidence);
    }

    fn write(&mut self, id: ConnectionId, side: Side, words: &Transcription, evidence: Evidence) {
        if words.text.is_empty() {
            return;
        }
        let text = Text {
            connection: id,
            side,
            text: words.text.clone(),
            language: words.language.clone(),
            range: MediaRange::new(evidence.earliest, evidence.latest),
        };
        self.emit(id, Output::Write(text));
    }

    fn sound(&mut self, now: Tick, id: ConnectionId, pcm: &Bytes, rate_hz: u32, evidence: Evidence) {
        let samples = u64::try_from(pcm.len() / 2).unwrap_or(u64::MAX);
        let micros = samples.saturating_mul(1_000_000) / u64::from(rate_hz.max(1));
        self.usage.note_received(Duration::from_micros(micros));
        let longest_tone = self.config.watchdogs.tone;
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        let mut heard = leg.ears.hear(now, pcm, rate_hz);
        let pieces = std::mem::take(&mut heard.pieces).into_iter();
        if leg.ears.tone_for() < longest_tone {
            leg.unsure.extend(pieces.map(|piece| Speech {
                id: 0,
                connection: id,
                at: piece.at,
                pcm: piece.pcm,
                rate_hz: piece.rate_hz,
                earliest: evidence.earliest,
                latest: evidence.latest,
                turn: evidence.turn,
            }));
        }
        let may_be_tone =
            leg.ears.may_be_tone() && (leg.ears.tone_since().is_some() || leg.unsure_for() < TONE_LASTS);
        if heard.loud {
            self.loud(now, id, &heard);
        }
        // Nobody wants to hear a tone; whether it is one, the next sound tells, or words.
        if !may_be_tone {
            self.hand_over_unsure(id);
        }
    }

    fn hand_over_unsure(&mut self, id: ConnectionId) {
        let unsure = self.leg_mut(id).map(|leg| std::mem::take(&mut leg.unsure));
        for mut speech in unsure.unwrap_or_default() {
            speech.id = self.next_speech;
            self.next_speech += 1;
            self.emit(id, Output::Speak(speech));
        }
    }

    /// Hands over what was held back behind words that ended in a vowel: nothing more comes.
    pub(super) fn hand_over_vowel(&mut self, id: ConnectionId) {
        if self.leg(id).is_some_and(|leg| leg.unsure_for() < TONE_LASTS) {
            self.hand_over_unsure(id);
        }
    }

    /// The same for connections of which nothing is heard any more for now.
    pub(super) fn hand_over_vowels(&mut self, now: Tick) {
        let pause = self.config.lifetimes.drain_quiet;
        let quiet = |leg: &&Leg| {
            let quiet = leg.ears.quiet_for(now).is_some_and(|quiet| pause <= quiet);
            quiet && !leg.unsure.is_empty()
        };
        let ids: Vec<ConnectionId> = self.legs.iter().filter(quiet).map(|leg| leg.id).collect();
        for id in ids {
            self.hand_over_vowel(id);
            // What was longer was a tone.
            if let Some(leg) = self.leg_mut(id) {
                leg.unsure.clear();
            }
        }
    }

    fn loud(&mut self, now: Tick, id: ConnectionId, heard: &Heard) {
        let mut latency = None;
        if let Some(leg) = self.leg_mut(id) {
            leg.debts.voice = None;
            leg.note_loud(heard.told);
            if let Some(since) = leg.debts.answer.filter(|_| leg.debts.clean) {
                let lag = now.since(since);
                latency = Some(lag);
                leg.lag = Some(leg.lag.map_or(lag, |most| most.max(lag)));
                leg.debts.clean = false;
            }
            if heard.speech {
                leg.debts.answer = None;
            }
        }
        if let Some(windows) = &mut self.windows {
            latency = None;
            if let Some(window) = windows.owed(id) {
                if !window.answered {
                    latency = window.ended_at.map(|at| now.since(at));
                }
                window.answered = true;
                window.voiced = true;
            }
        }
        if let Some(latency) = latency {
            self.breaker.latency(now, latency);
            self.lag = self
                .leg(id)
                .and_then(|leg| leg.lag)
                .unwrap_or(latency)
                .max(latency);
        }
        self.prove(id);
    }

    /// What sound that comes now can answer.
    fn evidence(&mut self, now: Tick, id: ConnectionId) -> Evidence {
        let cursor = self.leg(id).map_or(MediaTime::ZERO, |leg| leg.cursor);
        if let Some(windows) = &mut self.windows {
            return match windows.owed(id) {
                Some(window) => Evidence {
                    earliest: window.border,
                    latest: window.end.unwrap_or(window.cursor),
                    turn: Some(window.id),
                },
                None => Evidence {
                    earliest: cursor,
                    latest: cursor,
                    turn: None,
                },
            };
        }
        let phrases = self.feed.phrases(PHRASE_PAUSE);
        let lag_max = self.config.lifetimes.lag_max;
        let open = self.leg(id).and_then(|leg| {
            leg.first_unanswered(&phrases, now, lag_max)
                .map(|at| at.max(leg.anchor))
        });
        Evidence {
            earliest: open.unwrap_or(cursor).min(cursor),
            latest: cursor,
            turn: None,
        }
    }

    /// A long silence on both sides answers everything before it.
    fn anchor_if_quiet(&mut self, now: Tick, id: ConnectionId) {
        let Some((quiet_for, bound)) = self
            .leg(id)
            .and_then(|leg| Some((leg.ears.quiet_for(now)?, self.answer_bound(leg))))
        else {
            return;
        };
        if let Some(leg) = self.leg_mut(id).filter(|_| quiet_for >= BEHIND_QUIET) {
            leg.note_quiet(now, bound);
        }
        if quiet_for < ANCHOR_QUIET || self.feed.pause().to_duration() < ANCHOR_QUIET {
            return;
        }
        let phrases = self.feed.phrases(PHRASE_PAUSE);
        // While it owes something, its silence may be the fault.
        if let Some(leg) = self.leg_mut(id).filter(|leg| leg.debts.answer.is_none())
            && leg.first_unanswered(&phrases, now, bound).is_none()
        {
            leg.anchor = leg.cursor;
        }
    }

    /// How long after it was sent source is taken for answered by a connection: what it was seen to take, and a margin.
    pub(super) fn answer_bound(&self, leg: &Leg) -> Duration {
        let lifetimes = &self.config.lifetimes;
        leg.lag.map_or(lifetimes.answer_bound, |lag| {
            (lag + lifetimes.lag_margin).min(lifetimes.lag_max)
        })
    }

    /// Ends of turns, each of which comes in up to three forms and counts once.
    fn turn_marks(&mut self, id: ConnectionId, content: &ServerContent) {
        let more_follows = content.interaction_status == Some(InteractionStatus::InProgress);
        let refused = content
            .turn_complete_reason
            .as_ref()
            .is_some_and(|reason| match reason {
                TurnCompleteReason::ResponseRejected | TurnCompleteReason::ProhibitedInputContent => true,
                TurnCompleteReason::NeedMoreInput
                | TurnCompleteReason::MalformedFunctionCall
                | TurnCompleteReason::Other(_) => false,
            });
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        let over = if more_follows {
            false
        } else if content.generation_complete || content.interrupted {
            if !content.turn_complete {
                leg.debts.completes = leg.debts.completes.saturating_add(1);
            }
            true
        } else if content.turn_complete && leg.debts.completes > 0 && !refused {
            // The end of a turn whose sound was complete long ago, as long ago as it takes to hear it.
            leg.debts.completes -= 1;
            false
        } else {
            content.turn_complete
        };
        if over {
            self.turn_over(id, refused);
        }
    }

    fn turn_over(&mut self, id: ConnectionId, refused: bool) {
        let Some(window) = self.windows.as_mut().and_then(|windows| windows.finish(id)) else {
            return;
        };
        if refused {
            let range = MediaRange::new(window.start, window.end.unwrap_or(window.cursor));
            self.fragments.lose(range, &HELD_BACK);
        }
        self.hand_over_vowel(id);
        if let Some(leg) = self.leg_mut(id) {
            // A turn that ends in a tone has nothing more to say.
            leg.unsure.clear();
            leg.debts.voice = None;
            leg.debts.words = None;
            leg.debts.empty_turns = if window.voiced {
                0
            } else {
                leg.debts.empty_turns.saturating_add(1)
            };
        }
        self.emit(id, Output::Report(Event::TurnEnded { turn: window.id }));
    }

    /// Hands something over, behind everything of earlier connections: their source came first.
    pub(super) fn emit(&mut self, id: ConnectionId, output: Output) {
        if self.speaks_first(id) {
            self.out.push_back(output);
        } else {
            self.held.push_back((id, output));
        }
    }

    fn speaks_first(&self, id: ConnectionId) -> bool {
        self.legs.iter().all(|leg| leg.first.is_none() || id <= leg.id)
    }

    /// Hands over what waited for a connection that is gone now.
    pub(super) fn release_held(&mut self) {
        while let Some((id, _)) = self.held.front() {
            if !self.speaks_first(*id) {
                break;
            }
            self.out.extend(self.held.pop_front().map(|(_, output)| output));
        }
    }
}
