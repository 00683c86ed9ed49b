//! A successor takes over at a pause of the source, and the old connection says what it owes.
use super::Session;
use super::losing::{LEAD_IN, PHRASE_PAUSE};
use crate::leg::Leg;
use crate::types::{ConnectionId, Event, Output};
use media_types::{MediaTime, Tick};
use std::time::Duration;

/// How long past the latest point a quiet spot is waited for.
const SPOT_WAIT: Duration = Duration::from_secs(1);

impl Session {
    /// Splits the input when a successor is ready and the source pauses, or at the latest point.
    pub(super) fn split_if_due(&mut self, now: Tick) {
        let Some(old) = self.live_leg().filter(|_| self.ended_at.is_none()) else {
            return;
        };
        let Some(new) = self.legs.iter().find(|leg| leg.is_standby()).map(|leg| leg.id) else {
            return;
        };
        let lifetimes = &self.config.lifetimes;
        let old_id = old.id;
        let margin = lifetimes.drain_reserve;
        // `hard_at - drain_reserve`, without running below zero.
        let late = |extra: Duration| now.after(margin) >= old.hard_at.after(extra);
        let spot = late(Duration::ZERO) && self.feed.is_quiet_spot() || late(SPOT_WAIT);
        let in_pause = self.feed.pause() >= MediaTime::from_duration(lifetimes.split_pause);
        if let Some(windows) = &mut self.windows {
            if windows.half_sent(old_id).is_some() {
                if spot {
                    windows.part(&self.feed);
                }
                return;
            }
        } else if !in_pause && !spot {
            return;
        }
        let end = self.feed.end();
        let (at, begin) = match &self.windows {
            Some(windows) => {
                let next = windows.next_start().unwrap_or(end);
                (next, next)
            }
            // What is sent again takes its time, so of a long pause not half.
            None => (end, self.feed.take_over().max(self.feed.border(end - LEAD_IN))),
        };
        if let Some(new) = self.leg_mut(new) {
            new.begin(now, begin);
        }
        self.split(now, old_id, new, at, in_pause);
    }

    fn split(&mut self, now: Tick, from: ConnectionId, to: ConnectionId, at: MediaTime, in_pause: bool) {
        if let Some(old) = self.leg_mut(from) {
            old.end = Some(at.max(old.cursor));
            old.ended_at = Some(now);
        }
        self.live = Some(to);
        self.counts.rotations += 1;
        self.report(Event::Rotated {
            from,
            to,
            at,
            in_pause,
        });
    }

    /// Lets connections go that have said everything, or had their time.
    pub(super) fn finish_drained(&mut self, now: Tick) {
        let done: Vec<(ConnectionId, bool)> = self
            .legs
            .iter()
            .filter(|leg| leg.is_draining())
            .filter_map(|leg| self.drained(now, leg).map(|complete| (leg.id, complete)))
            .collect();
        if !done.is_empty() {
            // Its socket may have taken the last of it just now.
            self.note_delivered();
        }
        for (id, complete) in done {
            self.legs.retain(|leg| leg.id != id);
            if self.live == Some(id) {
                self.live = None;
                self.resume_from = self.feed.end();
            }
            self.out.push_back(Output::Close { connection: id });
            self.release_held();
            self.report(Event::Drained {
                connection: id,
                complete,
            });
        }
    }

    /// Whether a connection that drains is done: by itself, or because its time is over.
    fn drained(&self, now: Tick, leg: &Leg) -> Option<bool> {
        let lifetimes = &self.config.lifetimes;
        let since = leg.ended_at?;
        if let Some(windows) = &self.windows {
            return (!windows.has(leg.id)).then_some(true);
        }
        let sent = leg
            .end
            .is_some_and(|end| end <= leg.cursor || self.feed.take(leg.cursor, end, end).is_none());
        let quiet = leg
            .ears
            .quiet_for(now)
            .is_none_or(|quiet| quiet >= lifetimes.drain_quiet);
        let phrases = self.feed.phrases(PHRASE_PAUSE);
        let owes = leg
            .first_unanswered(&phrases, now, self.answer_bound(leg))
            .is_some();
        // What the socket has not taken may still be lost.
        if sent && leg.is_written() && quiet && !owes {
            return Some(true);
        }
        let overdue = now.since(since) >= lifetimes.drain_max && quiet;
        (overdue || leg.hard_at <= now && now.since(since) >= lifetimes.drain_reserve).then_some(false)
    }
}
