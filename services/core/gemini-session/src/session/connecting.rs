//! Opening connections, and giving the source to one that is ready.
use super::losing::PHRASE_PAUSE;
use super::{NEVER, Session};
use crate::leg::{Leg, Phase};
use crate::setup;
use crate::types::{BreakerState, Cause, ConnectionId, Event, FragmentError, Output, Supersession};
use gemini_live::ClientMessage;
use media_types::{ErrorClass, MediaRange, MediaTime, Tick};
use std::time::Duration;

/// Source that was not sent when a connection takes over counts as a replay from this length on.
const REPLAY_MIN: MediaTime = MediaTime::from_millis(300);

/// Source this close to the air is not worth sending: its answer would come too late. The provider's lag comes on top.
const AIR_MARGIN: Duration = Duration::from_millis(500);

pub(super) const TOO_OLD: FragmentError = FragmentError {
    class: ErrorClass::Overloaded,
    retryable: true,
    message: "older than what is sent again",
};

impl Session {
    /// Opens what is missing: a connection while none is live, and a successor for one that is old.
    pub(super) fn ensure_connections(&mut self, now: Tick) {
        if self.halted.is_some() || now < self.retry_at || self.legs.iter().any(|leg| leg.first.is_none()) {
            return;
        }
        let due = match self.live_leg() {
            Some(leg) => leg.soft_at <= now && self.ended_at.is_none(),
            None => self.ended_at.is_none() || self.owes_source(),
        };
        if !due {
            return;
        }
        let before = self.breaker.state();
        if !self.breaker.admit(now) {
            return;
        }
        if before != self.breaker.state() {
            self.report(Event::Breaker {
                state: self.breaker.state(),
                cause: None,
            });
        }
        self.open(now);
    }

    /// Whether source waits for an answer that no connection owes.
    pub(super) fn owes_source(&self) -> bool {
        match &self.windows {
            Some(windows) => windows.next_start().is_some(),
            None => self.live.is_none() && self.resume_from < self.feed.end(),
        }
    }

    fn open(&mut self, now: Tick) {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        // A handle is refused while the old connection of its session is open.
        let resumed = self.config.resume && self.handle.is_some() && self.legs.is_empty();
        self.legs.push(Leg::new(now, id, resumed));
        self.out.push_back(Output::Open { connection: id });
    }

    /// The WebSocket is open: its life begins, and the setup leaves.
    pub(super) fn opened(&mut self, now: Tick, id: ConnectionId) {
        let jitter = self.config.lifetimes.age_jitter;
        let roll = self.roll();
        let handle = self.handle.clone();
        let (config, step) = (self.config.clone(), self.step);
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.phase == Phase::Opening) else {
            return;
        };
        let lifetimes = &config.lifetimes;
        let spread = u64::try_from(jitter.as_millis())
            .unwrap_or(0)
            .saturating_mul(2)
            .saturating_add(1);
        let early = lifetimes.age_soft.saturating_sub(jitter);
        leg.phase = Phase::SettingUp;
        leg.phase_since = now;
        leg.last_frame = now;
        leg.soft_at = now.after(early + Duration::from_millis(roll % spread));
        leg.hard_at = now.after(lifetimes.age_hard.saturating_sub(lifetimes.end_margin));
        let message = setup::message(&config, step, handle.filter(|_| leg.resumed));
        self.send(now, id, message);
    }

    /// Setup is confirmed.
    pub(super) fn set_up(&mut self, now: Tick, id: ConnectionId) {
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.phase == Phase::SettingUp) else {
            return;
        };
        leg.phase = Phase::Ready;
        leg.phase_since = now;
        leg.last_message = now;
        let after = now.since(leg.ordered_at);
        self.report(Event::Ready {
            connection: id,
            after,
        });
    }

    /// Gives the source to a connection that is ready, while none has it.
    pub(super) fn take_over_if_vacant(&mut self, now: Tick) {
        if self.live.is_some() || (self.ended_at.is_some() && !self.owes_source()) {
            return;
        }
        let Some(id) = self.legs.iter().find(|leg| leg.is_standby()).map(|leg| leg.id) else {
            return;
        };
        self.live = Some(id);
        if self.windows.is_some() {
            self.take_over_windows(now, id);
            return;
        }
        let end = self.feed.end();
        let at = self.resume_at();
        // What was sent before and is not sent again had its chance.
        let unheard = self.resume_from.max(self.sent_to).max(self.feed.start());
        self.drop_source(MediaRange::new(unheard, at), &TOO_OLD);
        let anew = if self.doubtful { self.owed_from(at) } else { at };
        // Whoever catches up keeps another time than those before, though nobody was asked the same.
        let catches_up = NEVER < self.sent_to && at + REPLAY_MIN < end;
        if anew < self.sent_to || catches_up {
            self.supersede(id, anew, at);
        }
        if at + REPLAY_MIN < end {
            self.replayed(id, at, end);
        }
        self.begin(now, id, at);
        if self.ended_at.is_some() {
            self.flush_live(now, end);
        }
    }

    fn take_over_windows(&mut self, now: Tick, id: ConnectionId) {
        let oldest = self.oldest_worth_sending();
        let dropped = self.windows.as_mut().map(|windows| windows.drop_before(oldest));
        for range in dropped.unwrap_or_default() {
            self.drop_source(range, &TOO_OLD);
        }
        let end = self.feed.end();
        let next = self.windows.as_ref().and_then(|windows| windows.next_start());
        let at = next.unwrap_or(end);
        if at < self.sent_to {
            self.supersede(id, at, at);
        }
        if at + REPLAY_MIN < end {
            self.replayed(id, at, end);
        }
        self.begin(now, id, at);
    }

    fn begin(&mut self, now: Tick, id: ConnectionId, at: MediaTime) {
        if let Some(leg) = self.leg_mut(id) {
            leg.begin(now, at);
        }
    }

    fn replayed(&mut self, connection: ConnectionId, from: MediaTime, to: MediaTime) {
        self.counts.replays += 1;
        self.report(Event::Replayed {
            connection,
            from,
            length: (to - from).to_duration(),
        });
    }

    /// Says that a connection answers again what earlier ones were asked, from `asked` on.
    fn supersede(&mut self, connection: ConnectionId, from: MediaTime, asked: MediaTime) {
        self.out.push_back(Output::Supersede(Supersession {
            connection,
            from,
            asked,
        }));
    }

    /// Where a connection that takes over begins: at what is owed, but with no phrase that is too old to be sent whole.
    /// Half a phrase would be answered twice, or by half; but where somebody broke off who may have
    /// said some of it, the other half is asked for.
    fn resume_at(&self) -> MediaTime {
        let oldest = self.feed.border(self.oldest_worth_sending());
        if oldest <= self.resume_from {
            return self.resume_from;
        }
        let phrases = self.feed.phrases(PHRASE_PAUSE);
        let is_cut = |phrase: &&MediaRange| phrase.start < oldest && oldest < phrase.end;
        let Some(cut) = phrases.iter().find(is_cut) else {
            return oldest;
        };
        if self.broke_off {
            let until = (oldest + MediaTime::from_duration(AIR_MARGIN)).min(cut.end);
            return self.feed.quiet_spot(oldest, until).unwrap_or(oldest);
        }
        let next = phrases
            .iter()
            .map(|phrase| phrase.start)
            .find(|start| oldest <= *start);
        next.filter(|next| *next < self.sent_to).unwrap_or(oldest)
    }

    /// Where what is owed begins, when a connection takes over at `at`: phrases that are too old to be sent again, and do
    /// not air yet. What was said last is not to be taken for their answer, where it is doubtful.
    fn owed_from(&self, at: MediaTime) -> MediaTime {
        let owed = self.resume_from.max(self.playhead);
        let phrases = self.feed.phrases(PHRASE_PAUSE);
        let first = phrases
            .iter()
            .map(|phrase| phrase.start)
            .find(|start| owed <= *start);
        first.map_or(at, |first| first.min(at))
    }

    fn oldest_worth_sending(&self) -> MediaTime {
        let newest = self.feed.end() - MediaTime::from_duration(self.config.pace.replay_max);
        let in_time = self.playhead + MediaTime::from_duration(self.lag + AIR_MARGIN);
        newest.max(self.feed.start()).max(in_time).min(self.feed.end())
    }

    /// While the provider is not asked, nothing waits for it.
    pub(super) fn give_up_source(&mut self) {
        let asked = self.halted.is_none() && self.breaker.state() != BreakerState::Open;
        if asked || self.live.is_some() {
            return;
        }
        let end = self.feed.end();
        let error = FragmentError {
            class: self.last_cause.map_or(ErrorClass::Closed, Cause::class),
            retryable: self.halted.is_none(),
            message: "the provider is not asked for now",
        };
        if let Some(windows) = &mut self.windows {
            windows.drop_before(end);
        }
        let from = self.resume_from.max(self.feed.start());
        if self.resume_from < end {
            self.fragments.lose(MediaRange::new(from.min(end), end), &error);
            self.counts.dropped = self.counts.dropped + (end - from.min(end));
            self.resume_from = end;
            self.broke_off = false;
        }
    }

    pub(super) fn send(&mut self, now: Tick, id: ConnectionId, message: ClientMessage) {
        if let Some(leg) = self.leg_mut(id) {
            leg.note_message(now);
        }
        self.out.push_back(Output::Send {
            connection: id,
            message: Box::new(message),
        });
    }
}
