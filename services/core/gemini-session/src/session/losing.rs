//! Connections that fail: what it means, what is sent again, and when the next one is tried.
use super::Session;
use crate::leg::{Leg, Phase};
use crate::types::{BreakerState, Cause, ConnectionId, Event, Output, Watchdog};
use gemini_live::{Context, Ending, Fault, Recovery, classify};
use media_types::{MediaRange, MediaTime, Tick};
use std::time::Duration;

/// Pause between two phrases that are told apart.
pub(super) const PHRASE_PAUSE: MediaTime = MediaTime::from_millis(200);

/// Longest sound before a phrase that is sent with it, and before one that is sent again: a detector hears an onset under
/// music a third of a second late, and of what was begun before nothing is known any more.
pub(super) const LEAD_IN: MediaTime = MediaTime::from_millis(250);
const LEAD_IN_AGAIN: MediaTime = MediaTime::from_millis(400);

/// By how much later its watchdog may see what is wrong with a connection that is sent source at once.
const WATCHED: Duration = Duration::from_millis(1_500);
/// However patient a watchdog is set, for longer the breaker does not wait for it.
const WATCHED_MAX: Duration = Duration::from_secs(20);

/// Shortest wait that a server's own word is taken for.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The sound before a phrase that begins at `onset`: a detector hears an onset late, and the first word must not be cut.
/// A quarter of the pause belongs to the phrase before, whose end is heard late as well.
fn before_onset(phrases: &[MediaRange], onset: MediaTime) -> MediaTime {
    if !phrases.iter().any(|phrase| phrase.start == onset) {
        return onset;
    }
    let before = phrases.iter().rev().find(|phrase| phrase.end <= onset);
    let lead = before.map_or(LEAD_IN_AGAIN, |before| {
        MediaTime::from_frames((onset - before.end).frames() / 4 * 3).min(LEAD_IN_AGAIN)
    });
    onset - lead
}

impl Session {
    /// A connection ended by itself.
    pub(super) fn ended(&mut self, now: Tick, id: ConnectionId, ending: &Ending) {
        let Some(leg) = self.leg(id) else {
            return;
        };
        let context = Context {
            phase: match leg.phase {
                Phase::Opening => gemini_live::Phase::Upgrading,
                Phase::SettingUp => gemini_live::Phase::SettingUp,
                Phase::Ready => gemini_live::Phase::Live,
            },
            proven: leg.proven,
            warned: leg.warned_at.is_some(),
            resumed: leg.resumed,
        };
        let verdict = classify(ending, context);
        let alive_until = leg.last_message;
        let complaint = matches!(ending, Ending::Errored(_));
        if complaint {
            self.out.push_back(Output::Close { connection: id });
        }
        let cause = Cause::Ended(verdict.fault);
        self.lose(now, id, cause, verdict.recovery, verdict.retry_after, alive_until);
    }

    /// Looks for connections that say nothing of what is wrong with them.
    pub(super) fn check_legs(&mut self, now: Tick) {
        let ids: Vec<ConnectionId> = self.legs.iter().map(|leg| leg.id).collect();
        for id in ids {
            let Some((watchdog, alive_until)) = self.bark(now, id) else {
                self.ping_if_quiet(now, id);
                continue;
            };
            self.out.push_back(Output::Close { connection: id });
            let cause = Cause::Silent(watchdog);
            let recovery = if watchdog == Watchdog::Deaf {
                Recovery::Renew
            } else {
                Recovery::RetryAtOnce
            };
            self.lose(now, id, cause, recovery, None, alive_until);
        }
    }

    fn bark(&mut self, now: Tick, id: ConnectionId) -> Option<(Watchdog, Tick)> {
        let owed = self
            .windows
            .as_mut()
            .and_then(|windows| windows.owed(id))
            .and_then(|window| window.ended_at);
        let lately = self.config.watchdogs.spoken_lately;
        let leg = self.leg(id)?;
        let spoken = self
            .spoke_at
            .is_some_and(|at| now.since(at) < lately && !leg.is_draining() && leg.debts.answer.is_some());
        let watchdog = leg.watchdog(now, &self.config, owed, spoken, self.is_own_language(leg))?;
        Some((watchdog, leg.alive_until(watchdog)))
    }

    fn ping_if_quiet(&mut self, now: Tick, id: ConnectionId) {
        let after = self.config.watchdogs.ping;
        if let Some(leg) = self.leg_mut(id).filter(|leg| leg.phase == Phase::Ready)
            && now.since(leg.last_frame.max(leg.pinged_at)) >= after
        {
            leg.pinged_at = now;
            self.out.push_back(Output::Ping { connection: id });
        }
    }

    /// A connection is gone. `alive_until` is when its model was last known to work.
    pub(super) fn lose(
        &mut self,
        now: Tick,
        id: ConnectionId,
        cause: Cause,
        recovery: Recovery,
        retry_after: Option<Duration>,
        alive_until: Tick,
    ) {
        if cause != Cause::Silent(Watchdog::Tone) {
            self.hand_over_vowel(id);
        }
        let Some(index) = self.legs.iter().position(|leg| leg.id == id) else {
            return;
        };
        let leg = self.legs.remove(index);
        if leg.resumed && !leg.proven {
            self.handle = None;
        }
        if self.live == Some(id) {
            let faults = [Watchdog::SendStall, Watchdog::Tone].map(Cause::Silent);
            self.doubtful = faults.contains(&cause);
        }
        self.take_back(&leg, alive_until);
        self.release_held();
        // What drains has a successor already: its end costs nobody anything and says nothing of the provider.
        if leg.is_draining() && self.live.is_some() {
            let complete = true;
            self.report(Event::Drained {
                connection: id,
                complete,
            });
            return;
        }
        self.last_cause = Some(cause);
        let wait = self.plan_retry(cause, recovery, retry_after, leg.proven);
        self.retry_at = now.after(wait);
        let expected = recovery == Recovery::Renew;
        if !expected {
            self.counts.failures += 1;
            self.report(Event::Failed {
                connection: id,
                cause,
                retry_in: wait,
            });
            if self.breaker.fail(now) {
                self.report_breaker(Some(cause));
            }
        }
        if let (Some(fault), None) = (self.should_halt(cause, recovery), self.halted) {
            self.halt(now, fault);
        }
    }

    /// Source that the lost connection has not answered is to be answered by the next one.
    fn take_back(&mut self, leg: &Leg, alive_until: Tick) {
        if leg.first.is_none() {
            return;
        }
        if self.windows.is_some() {
            self.take_back_windows(leg);
            return;
        }
        let phrases = self.feed.phrases(PHRASE_PAUSE);
        let unanswered = leg
            .first_lost(&phrases, alive_until, self.answer_bound(leg))
            .map(|from| self.feed.border(before_onset(&phrases, from)).min(from));
        if self.live == Some(leg.id) {
            self.live = None;
            self.resume_from = unanswered.unwrap_or(leg.cursor).min(leg.cursor);
            self.broke_off = leg.broke_off(alive_until);
        } else if let Some(from) = unanswered {
            self.start_over(from);
            self.broke_off = leg.broke_off(alive_until);
        }
    }

    fn take_back_windows(&mut self, leg: &Leg) {
        let had_any = self.windows.as_ref().is_some_and(|windows| windows.has(leg.id));
        if self.live == Some(leg.id) {
            self.live = None;
        } else if had_any {
            self.close_feeding_legs();
        }
        let legs = &self.legs;
        let gone = |id: ConnectionId| !legs.iter().any(|leg| leg.id == id);
        if let Some(windows) = &mut self.windows {
            windows.release(gone);
        }
    }

    /// A connection that drained is gone with answers that it owed. Its successor has begun behind them: it is given up
    /// as well, and one connection answers both.
    fn start_over(&mut self, from: MediaTime) {
        self.close_feeding_legs();
        self.resume_from = from;
    }

    fn close_feeding_legs(&mut self) {
        let (feeding, spare): (Vec<Leg>, Vec<Leg>) = self.legs.drain(..).partition(|leg| leg.first.is_some());
        self.legs = spare;
        for leg in feeding {
            self.held.retain(|(id, _)| *id != leg.id);
            self.out.push_back(Output::Close { connection: leg.id });
        }
        self.live = None;
    }

    /// Wait before the next try.
    fn plan_retry(
        &mut self,
        cause: Cause,
        recovery: Recovery,
        retry_after: Option<Duration>,
        proven: bool,
    ) -> Duration {
        if proven {
            self.attempts = 0;
            self.quota_waits = 0;
            self.few = None;
        }
        if cause == Cause::Silent(Watchdog::Deaf) {
            return Duration::ZERO;
        }
        let before = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        let wait = match recovery {
            Recovery::Renew | Recovery::RetryAtOnce | Recovery::RetryFew(_) | Recovery::GiveUp => {
                self.wait_after(before)
            }
            Recovery::RetryLater => self.wait_after(before.saturating_add(1)),
            Recovery::DropHandle => {
                self.handle = None;
                self.wait_after(before)
            }
            Recovery::Simplify => {
                if let Some(next) = self.step.next(&self.config) {
                    self.step = next;
                    self.report(Event::Simplified { step: next.number() });
                    Duration::ZERO
                } else {
                    self.bare_refused = true;
                    self.wait_after(before)
                }
            }
            Recovery::AwaitQuota => {
                self.quota_waits = self.quota_waits.saturating_add(1);
                let backoff = &self.config.backoff;
                if self.quota_waits == 1 {
                    backoff.quota_min
                } else {
                    backoff.quota_max
                }
            }
        };
        if let (Recovery::RetryFew(_), Cause::Ended(fault)) = (recovery, cause) {
            let tries = self
                .few
                .filter(|(few, _)| *few == fault)
                .map_or(0, |(_, tries)| tries);
            self.few = Some((fault, tries.saturating_add(1)));
        }
        retry_after.map_or(wait, |after| after.max(RETRY_AFTER_MIN))
    }

    /// Wait after so many failures in a row: none, then twice as long each time.
    fn wait_after(&mut self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let roll = self.roll();
        let backoff = &self.config.backoff;
        let wait = backoff
            .min
            .saturating_mul(2_u32.saturating_pow(doublings.min(16)))
            .min(backoff.max);
        let spread = u64::from(backoff.jitter_percent) * 2;
        let percent = 100 + u32::try_from(roll % (spread + 1)).unwrap_or(0) - backoff.jitter_percent.min(100);
        wait.saturating_mul(percent) / 100
    }

    /// The fault for which nothing is tried any more.
    fn should_halt(&self, cause: Cause, recovery: Recovery) -> Option<Fault> {
        let Cause::Ended(fault) = cause else {
            return None;
        };
        let hopeless = match recovery {
            Recovery::GiveUp => true,
            Recovery::RetryFew(most) => self.few.is_some_and(|(few, tries)| few == fault && tries >= most),
            // The bare setup was refused as well: the last step had no next.
            Recovery::Simplify => self.bare_refused,
            Recovery::Renew
            | Recovery::RetryAtOnce
            | Recovery::RetryLater
            | Recovery::DropHandle
            | Recovery::AwaitQuota => false,
        };
        hopeless.then_some(fault)
    }

    fn halt(&mut self, now: Tick, fault: Fault) {
        self.halted = Some(fault);
        self.report(Event::Halted { fault });
        if self.breaker.state() != BreakerState::Open {
            self.breaker.trip(now);
            self.report_breaker(Some(Cause::Ended(fault)));
        }
    }

    pub(super) fn report_breaker(&mut self, cause: Option<Cause>) {
        let state = self.breaker.state();
        self.report(Event::Breaker { state, cause });
    }

    /// Leaves a provider alone that answers too slowly, or not at all.
    pub(super) fn check_load(&mut self, now: Tick) {
        // What is sent again is much at once, and whether it is answered the watchdog tells first: another connection may
        // answer what this one does not.
        let watched = self.config.answer_watchdog().min(WATCHED_MAX);
        let grace = self.config.pace.replay_max.max(watched) + WATCHED;
        let replaying = self.live_leg().is_none_or(|leg| now.since(leg.begun_at) < grace);
        let in_flight = if replaying {
            Duration::ZERO
        } else {
            self.in_flight()
        };
        let Some(cause) = self.breaker.overload(now, in_flight) else {
            return;
        };
        self.last_cause = Some(cause);
        self.counts.failures += 1;
        self.close_feeding_legs();
        // A spare one would take over at once.
        for leg in std::mem::take(&mut self.legs) {
            self.out.push_back(Output::Close { connection: leg.id });
        }
        self.release_held();
        if let Some(windows) = &mut self.windows {
            windows.release(|_| true);
        }
        self.resume_from = self.delivered_to;
        self.broke_off = false;
        self.breaker.trip(now);
        self.report_breaker(Some(cause));
    }

    /// The model said something, or has lived long enough: what went wrong before is over.
    pub(super) fn prove(&mut self, id: ConnectionId) {
        let Some(leg) = self.leg_mut(id).filter(|leg| !leg.proven) else {
            return;
        };
        leg.proven = true;
        self.attempts = 0;
        self.quota_waits = 0;
        self.few = None;
        self.last_cause = None;
        if self.breaker.succeed() {
            self.report_breaker(None);
        }
    }

    pub(super) fn prove_by_age(&mut self, now: Tick) {
        let age = self.config.backoff.proof_age;
        let old: Vec<ConnectionId> = self
            .legs
            .iter()
            .filter(|leg| leg.phase == Phase::Ready && !leg.proven && now.since(leg.phase_since) >= age)
            .map(|leg| leg.id)
            .collect();
        for id in old {
            self.prove(id);
        }
    }
}
