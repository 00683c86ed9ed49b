//! What faults do to a connection.

use super::{Connection, Out, Phase, Said, Todo};
use crate::faults::Act;
use crate::twin::commons::Commons;
use crate::wire::server;
use serde_json::json;
use std::time::Duration;

impl Connection {
    /// A fault of the scenario begins on this connection.
    pub fn fire(&mut self, now: Duration, fault: usize, commons: &mut Commons) {
        if self.phase == Phase::Gone {
            return;
        }
        if let Some((name, steps)) = commons.fire(now, fault) {
            self.note(json!({"fault": name}));
            self.begin(now, steps, commons);
        }
    }

    /// Does one thing.
    pub(super) fn perform(&mut self, now: Duration, act: Act, commons: &mut Commons) {
        if self.phase == Phase::Gone {
            return;
        }
        match act {
            Act::Refuse { .. } => {}
            Act::CloseAtOpen(bye) | Act::Close(bye) => self.close(now, bye, commons),
            Act::CloseAtSetup(bye) => self.attempt.at_setup = Some(bye),
            Act::SetupAfter(late) => self.attempt.setup_after = Some(late),
            Act::SetupNever => self.attempt.setup_never = true,
            Act::Ladder => self.attempt.ladder = true,
            Act::NoLife => self.life.clear(),
            Act::GoAway(left) => self.go_away(left.map(|left| commons.scenario.scaled(left))),
            Act::CloseUncompressed(bye) => {
                if self.setup.as_ref().is_some_and(|setup| !setup.compression) {
                    self.close(now, bye, commons);
                }
            }
            Act::Reset => {
                self.out.push_back(Out::Reset);
                self.gone(now, commons);
            }
            Act::Freeze => {
                // The session's socket stays open: its handle is refused as long as the client keeps it.
                self.out.push_back(Out::Freeze);
                self.manner.muted = true;
                self.life.clear();
                self.plan.clear();
            }
            Act::ReadSlowly(pace) => self.out.push_back(Out::ReadSlowly(pace)),
            Act::Manner(change) => change(&mut self.manner),
            Act::Say(frames) => frames().into_iter().for_each(|frame| self.send_text(frame)),
            Act::Presented(presented) => commons.presented = presented,
            Act::Next(attempts) => commons.next.extend(attempts),
            Act::RefuseFor(time) => commons.refuse_until = now + commons.scenario.scaled(time),
            Act::QuotaFor(time) => {
                commons.quota_until = now + commons.scenario.scaled(time);
                self.close(now, crate::wire::Bye::quota(), commons);
            }
            Act::GoAwayAll(left) => commons.go_away_all = Some(left),
        }
    }

    /// Says that the connection will end.
    fn go_away(&mut self, left: Option<Duration>) {
        let left = left.map(server::seconds);
        self.say(vec![Said::Message(server::go_away(left.as_deref()))]);
    }

    /// Told to go together with all others.
    pub fn go_away_with_all(&mut self, now: Duration, left: Duration) {
        self.life.clear();
        self.go_away(Some(left));
        self.later(now + left, Todo::Act(Act::Close(crate::wire::Bye::aborted())));
    }
}
