//! Source on its way to the connections: paced, in small messages, each sample to the connection that has to hear it.
use super::Session;
use crate::feed::Take;
use crate::leg::Phase;
use crate::types::ConnectionId;
use bytes::Bytes;
use gemini_live::{ClientMessage, Empty, INPUT_RATE_HZ, RealtimeInput};
use media_types::{MediaRange, MediaTime, Tick};
use std::time::Duration;

/// Source that did not come for so long has paused at its own source.
const STALLED: Duration = Duration::from_millis(300);

/// Source that did not come for so long ends a window.
const WINDOW_STALLED: Duration = Duration::from_millis(800);

/// Messages of one connection in one step; more than a step can ever earn.
const STEP_MAX: usize = 16;

impl Session {
    /// Sends what may be sent.
    pub(super) fn pump(&mut self, now: Tick) {
        let (speed, chunk) = (self.config.pace.replay_speed, self.config.chunk());
        let ids: Vec<ConnectionId> = self
            .legs
            .iter()
            .filter(|leg| leg.phase == Phase::Ready && leg.first.is_some())
            .map(|leg| leg.id)
            .collect();
        for id in ids {
            if let Some(leg) = self.leg_mut(id) {
                leg.refill(now, speed, chunk);
            }
            for _ in 0..STEP_MAX {
                let sent = if self.windows.is_some() {
                    self.pump_window(now, id)
                } else {
                    self.pump_source(now, id)
                };
                if !sent {
                    break;
                }
            }
        }
    }

    fn is_stalled(&self, now: Tick) -> bool {
        self.ended_at.is_some() || self.came_at.is_none_or(|at| now.since(at) >= STALLED)
    }

    /// A source that stopped coming is a pause, though no block says so.
    pub(super) fn close_stalled_window(&mut self, now: Tick) {
        let stalled = self.came_at.is_some_and(|at| now.since(at) >= WINDOW_STALLED);
        if let Some(windows) = self.windows.as_mut().filter(|_| stalled) {
            windows.close(self.feed.end());
        }
    }

    fn pump_source(&mut self, now: Tick, id: ConnectionId) -> bool {
        let chunk = self.config.chunk();
        let unwritten_max = self.config.pace.unwritten_max;
        let Some(leg) = self.leg(id) else {
            return false;
        };
        let limit = leg.end.unwrap_or(self.feed.end()).min(self.feed.end());
        let (cursor, room) = (leg.cursor, leg.may_send(chunk, unwritten_max));
        if cursor < self.feed.start() {
            self.skip_lost(id);
            return true;
        }
        let Some(take) = self.feed.take(cursor, limit, chunk) else {
            return self.send_silence(now, id);
        };
        let short = take.range.length() < chunk && take.range.end == self.feed.end() && leg.end.is_none();
        if !room || (short && !self.is_stalled(now)) {
            return false;
        }
        self.send_source(now, id, &take);
        true
    }

    /// Goes on where the ring begins. What left it before the socket took it is lost; a hole of the source is not.
    fn skip_lost(&mut self, id: ConnectionId) {
        let (start, forgotten) = (self.feed.start(), self.feed.forgotten());
        let Some(leg) = self.leg_mut(id) else {
            return;
        };
        let lost = MediaRange::new(leg.cursor, forgotten);
        leg.cursor = start;
        self.drop_source(lost, &super::connecting::TOO_OLD);
    }

    fn send_source(&mut self, now: Tick, id: ConnectionId, take: &Take) {
        let message = ClientMessage::audio(bytes_of(&take.pcm));
        if let Some(leg) = self.leg_mut(id) {
            let quiet_for = leg.ears.quiet_for(now).unwrap_or(Duration::MAX);
            leg.note_source(now, take.range, take.speech, quiet_for);
        }
        self.usage.note_sent(take.range.length().to_duration());
        self.sent_to = self.sent_to.max(take.range.end);
        self.out.push_back(crate::types::Output::Send {
            connection: id,
            message: Box::new(message),
        });
    }

    /// A model that hears nothing waits for ever: what it owes needs silence to be finished.
    fn send_silence(&mut self, now: Tick, id: ConnectionId) -> bool {
        let chunk = self.config.chunk();
        let tail_max = MediaTime::from_duration(self.config.pace.tail_silence);
        let unwritten_max = self.config.pace.unwritten_max;
        let stalled = self.is_stalled(now);
        let Some(leg) = self.leg_mut(id) else {
            return false;
        };
        let wanted = leg.is_draining() || (stalled && leg.tail < tail_max);
        let due = now.since(leg.sound_at) >= chunk.to_duration();
        if !wanted || !due || !leg.may_send(chunk, unwritten_max) || leg.first == Some(leg.cursor) {
            return false;
        }
        leg.note_silence(now, chunk);
        let samples = chunk.to_duration().as_millis() * u128::from(INPUT_RATE_HZ) / 1000;
        let silence = vec![0_u8; usize::try_from(samples).unwrap_or(0) * 2];
        self.usage.note_sent(chunk.to_duration());
        self.out.push_back(crate::types::Output::Send {
            connection: id,
            message: Box::new(ClientMessage::audio(Bytes::from(silence))),
        });
        true
    }

    fn pump_window(&mut self, now: Tick, id: ConnectionId) -> bool {
        let chunk = self.config.chunk();
        let unwritten_max = self.config.pace.unwritten_max;
        let live = self.live == Some(id);
        let Some((may_send, has_room)) = self
            .leg(id)
            .map(|leg| (leg.may_send(chunk, unwritten_max), leg.has_room(unwritten_max)))
        else {
            return false;
        };
        let stalled = self.is_stalled(now);
        let feed_end = self.feed.end();
        let Some(windows) = &mut self.windows else {
            return false;
        };
        if windows.half_sent(id).is_none() && !(live && has_room && windows.assign(id)) {
            return false;
        }
        let Some(window) = windows.half_sent(id).filter(|_| has_room) else {
            return false;
        };
        if !window.started {
            window.started = true;
            self.mark(now, id, RealtimeInput::ActivityStart(Empty {}));
            return true;
        }
        let limit = window.end.unwrap_or(feed_end);
        match self.feed.take(window.cursor, limit, chunk) {
            Some(take) => {
                let short = take.range.length() < chunk && take.range.end == feed_end && window.end.is_none();
                if !may_send || (short && !stalled) {
                    return false;
                }
                window.cursor = take.range.end;
                self.send_source(now, id, &take);
                true
            }
            None if window.end.is_some() => {
                window.ended_at = Some(now);
                self.mark(now, id, RealtimeInput::ActivityEnd(Empty {}));
                // The next window belongs to the successor, if there is one by now.
                self.split_if_due(now);
                true
            }
            None => false,
        }
    }

    fn mark(&mut self, now: Tick, id: ConnectionId, mark: RealtimeInput) {
        self.send(now, id, ClientMessage::RealtimeInput(mark));
    }

    /// No more source follows: what is live finishes.
    pub(super) fn flush_live(&mut self, now: Tick, end: MediaTime) {
        let Some(live) = self.live else {
            return;
        };
        if self.windows.is_some() {
            return;
        }
        if let Some(leg) = self.leg_mut(live) {
            leg.end = Some(end.max(leg.cursor));
            leg.ended_at = Some(now);
        }
    }
}

fn bytes_of(pcm: &[i16]) -> Bytes {
    let mut bytes = Vec::with_capacity(pcm.len() * 2);
    for sample in pcm {
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    Bytes::from(bytes)
}
