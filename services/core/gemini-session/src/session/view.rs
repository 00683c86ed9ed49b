//! A session as others see it.
use super::Session;
use crate::config::Family;
use crate::leg::Leg;
use crate::types::{State, View};
use crate::usage::Usage;
use gemini_live::translate_language;
use media_types::{MediaRange, MediaTime};
use std::time::Duration;

impl Session {
    /// What it used so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What it cost so far, in billionths of a dollar.
    pub fn nano_usd(&self) -> u128 {
        self.usage.nano_usd(&self.config.prices)
    }

    /// Everything at a glance.
    pub fn view(&self) -> View {
        View {
            state: self.state(),
            breaker: self.breaker.state(),
            in_flight: self.in_flight(),
            backlog: self.backlog().to_duration(),
            latency_p95: self.breaker.latency_p95(),
            connections: self.legs.len(),
            connections_total: self.next_connection.saturating_sub(1),
            rotations_total: self.counts.rotations,
            replays_total: self.counts.replays,
            failures_total: self.counts.failures,
            dropped: self.counts.dropped.to_duration(),
            stray_total: self.counts.strays,
            halted: self.halted,
        }
    }

    /// Whether sound is held back because it may be the beginning of a tone.
    pub fn is_unsure(&self) -> bool {
        self.legs.iter().any(|leg| !leg.unsure.is_empty())
    }

    fn state(&self) -> State {
        if self.closed {
            return State::Closed;
        }
        if self.ended_at.is_some() {
            return State::Draining;
        }
        match (self.live.is_some(), self.legs.len()) {
            (true, 1) => State::Streaming,
            (true, _) => State::Rotating,
            (false, _) if self.halted.is_some() => State::Halted,
            (false, 0) => State::Waiting,
            (false, _) => State::Connecting,
        }
    }

    /// Source that was not sent to the connection that has to hear it.
    fn backlog(&self) -> MediaTime {
        let from = self
            .live_leg()
            .map_or(self.resume_from.max(self.feed.start()), |leg| leg.cursor);
        let backlog = self.feed.end() - from.min(self.feed.end());
        match &self.windows {
            Some(windows) => windows.in_flight(&self.feed).min(backlog),
            None => backlog,
        }
    }

    /// Source speech that is known not to be answered. Where the model marks no turns, that is the speech since it last
    /// spoke: a lower bound, but one that does not drift.
    pub(super) fn in_flight(&self) -> Duration {
        if let Some(windows) = &self.windows {
            return windows.in_flight(&self.feed).to_duration();
        }
        let from = self.live_leg().map_or(self.resume_from, |leg| leg.cursor);
        let unsent = self.feed.speech_in(MediaRange::new(from, self.feed.end()));
        // Speech of which not a word was heard may be a song, and what is in the target language is not said again.
        let owed = self.live_leg().filter(|leg| {
            let heard = leg.debts.heard || !self.config.transcription;
            leg.debts.answer.is_some() && heard && !self.is_own_language(leg)
        });
        (unsent + owed.map_or(MediaTime::ZERO, |leg| leg.debts.speech)).to_duration()
    }

    /// Whether the speaker speaks the target language already.
    pub(super) fn is_own_language(&self, leg: &Leg) -> bool {
        let Family::Translate(translate) = &self.config.family else {
            return false;
        };
        let primary = |tag: &str| translate_language(tag).map(|tag| tag.split('-').next().unwrap_or(tag));
        let heard = leg.language.as_deref().map(primary);
        !translate.echo_target_language
            && heard.is_some_and(|heard| heard == primary(&translate.target_language))
    }
}
