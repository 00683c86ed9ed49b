//! The way to the dubber. The air offers fragments and never waits: what does not fit is shed whole and said. A task
//! keeps the session open for as long as the run lasts.
mod answers;
mod faults;
mod session;

pub use answers::reason_of;
pub use faults::Faults;
pub use session::Session;

use crate::link::lines::Breaker;

use bytes::Bytes;
use dub_proto::{
    convert,
    dub::v1::{self as wire, DubRequest, dub_request::Payload},
    media::v1::TraceContext,
};
use media_types::{CHANNELS, FragmentSeq, MediaRange, MediaTime, Reason, SAMPLE_RATE_HZ};
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::mpsc;

/// Length of an audio message, that of one answer of the speech detector: what the request queue is counted in.
const MESSAGE: Duration = Duration::from_millis(20);
/// Messages that a fragment begins with at least: the end of a torso, its own start, some of its audio, and the playhead
/// in between.
const BEGIN_MESSAGES: usize = 5;

/// Limits of what may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Audio offered and not yet sent.
    pub buffered: Duration,
    /// Source speech sent and not answered.
    pub in_flight: Duration,
}

/// The end that the air holds.
#[derive(Debug)]
pub struct DubLink {
    limits: Limits,
    requests: Option<mpsc::Sender<DubRequest>>,
    breaker: Breaker,
    /// The fragment that is being offered now, and up to where it is.
    open: Option<(FragmentSeq, MediaTime)>,
    /// A fragment that was shed when part of it was gone: it is ended before the next one begins.
    torso: Option<(FragmentSeq, MediaTime)>,
    /// Offered in full or in part, not settled.
    outstanding: BTreeSet<FragmentSeq>,
    overloaded: bool,
    /// Incidents of overload, not fragments.
    pub overloads: u64,
    /// Fragments that were shed in them.
    pub shed: u64,
}

impl DubLink {
    /// A link without a session.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: None,
            breaker: Breaker::default(),
            open: None,
            torso: None,
            outstanding: BTreeSet::new(),
            overloaded: false,
            overloads: 0,
            shed: 0,
        }
    }

    /// A session is open.
    pub fn connected(&mut self, requests: mpsc::Sender<DubRequest>) {
        self.requests = Some(requests);
        self.breaker = Breaker::default();
        self.open = None;
        self.torso = None;
    }

    /// The session is gone: what was under way will not be answered. Returns it.
    pub fn disconnected(&mut self) -> BTreeSet<FragmentSeq> {
        self.requests = None;
        self.breaker = Breaker::default();
        self.open = None;
        self.torso = None;
        std::mem::take(&mut self.outstanding)
    }

    /// Whether a session is open.
    pub fn is_connected(&self) -> bool {
        self.requests.is_some()
    }

    /// The breaker towards the provider, as the dubber told it last. Returns whether that is news.
    pub fn breaker_is(&mut self, breaker: Breaker) -> bool {
        std::mem::replace(&mut self.breaker, breaker) != breaker
    }

    /// State of that breaker; closed without a session.
    pub fn breaker(&self) -> Breaker {
        self.breaker
    }

    /// Why nothing at all is answered just now, where that is so.
    pub fn unanswered(&self) -> Option<Reason> {
        let answers = self.is_connected() && self.breaker == Breaker::Closed;
        (!answers).then_some(Reason::BreakerOpen)
    }

    fn try_send(&self, payload: Payload) -> Result<(), Reason> {
        let Some(requests) = &self.requests else {
            return Err(Reason::BreakerOpen);
        };
        match requests.try_send(DubRequest {
            payload: Some(payload),
        }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Reason::Overload),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Reason::BreakerOpen),
        }
    }

    fn shed(&mut self, seq: FragmentSeq, reason: Reason) -> Reason {
        self.torso = self.open.take().or(self.torso);
        self.outstanding.remove(&seq);
        if reason == Reason::Overload {
            self.shed += 1;
            if !std::mem::replace(&mut self.overloaded, true) {
                self.overloads += 1;
                tracing::warn!(fragment = %seq, limits = ?self.limits, "dubber does not keep up, fragments air their fallback");
            }
        }
        reason
    }

    /// Room for a fragment that begins: for a start, or for half of all that may wait once there was none. What is shed
    /// lies together then, and is not one piece out of each fragment.
    fn has_room(&self) -> bool {
        self.requests.as_ref().is_none_or(|requests| {
            let wanted = if self.overloaded {
                requests.max_capacity() / 2
            } else {
                BEGIN_MESSAGES
            };
            wanted <= requests.capacity()
        })
    }

    /// Offers the next fragment; an error says why it will have no dub.
    pub fn begin(
        &mut self,
        seq: FragmentSeq,
        start: MediaTime,
        in_flight: Duration,
        trace: TraceContext,
    ) -> Result<(), Reason> {
        if self.is_connected() && in_flight > self.limits.in_flight || !self.has_room() {
            return Err(self.shed(seq, Reason::Overload));
        }
        if let Some((torso, end)) = self.torso.take() {
            // There is room.
            self.send_end(torso, end).ok();
        }
        let begin = wire::FragmentStart {
            fragment_seq: seq.0,
            start: Some(convert::time_to_wire(start)),
            trace: Some(trace),
        };
        match self.try_send(Payload::FragmentStart(begin)) {
            Ok(()) => {
                self.open = Some((seq, start));
                self.outstanding.insert(seq);
                Ok(())
            }
            Err(reason) => Err(self.shed(seq, reason)),
        }
    }

    /// Audio of the fragment that was begun last; an error says that it is lost, and why.
    pub fn audio(
        &mut self,
        start: MediaTime,
        pcm: Bytes,
        speech: Option<f32>,
    ) -> Result<(), (FragmentSeq, Reason)> {
        let Some((seq, _)) = self.open else {
            return Ok(());
        };
        let frames = i64::try_from(pcm.len() / (2 * CHANNELS)).unwrap_or(0);
        let audio = wire::Audio {
            start: Some(convert::time_to_wire(start)),
            pcm,
            speech_probability: speech,
        };
        self.try_send(Payload::Audio(audio))
            .map_err(|reason| (seq, self.shed(seq, reason)))?;
        self.open = Some((seq, start + MediaTime::from_frames(frames)));
        Ok(())
    }

    /// The fragment that was begun last is complete.
    pub fn end(&mut self, seq: FragmentSeq, range: MediaRange) -> Result<(), (FragmentSeq, Reason)> {
        if self.open.is_none_or(|(open, _)| open != seq) {
            return Ok(());
        }
        self.send_end(seq, range.end)
            .map_err(|reason| (seq, self.shed(seq, reason)))?;
        self.open = None;
        if std::mem::take(&mut self.overloaded) {
            tracing::info!(fragment = %seq, "dubber keeps up again");
        }
        Ok(())
    }

    fn send_end(&self, seq: FragmentSeq, end: MediaTime) -> Result<(), Reason> {
        self.try_send(Payload::FragmentEnd(wire::FragmentEnd {
            fragment_seq: seq.0,
            end: Some(convert::time_to_wire(end)),
        }))
    }

    /// Where the air is. Advice: a full queue does without.
    pub fn playhead(&self, at: MediaTime) {
        let playhead = wire::Playhead {
            position: Some(convert::time_to_wire(at)),
        };
        self.try_send(Payload::Playhead(playhead)).ok();
    }

    /// A fragment is settled.
    pub fn settled(&mut self, seq: FragmentSeq) {
        self.outstanding.remove(&seq);
    }

    /// The run is over.
    pub fn close(&mut self) {
        self.try_send(Payload::Close(wire::Close {
            reason: "drain".to_owned(),
        }))
        .ok();
        self.requests = None;
    }
}

/// Form of the PCM in both directions.
pub const fn pcm_format() -> wire::PcmFormat {
    wire::PcmFormat {
        sample_rate_hz: SAMPLE_RATE_HZ,
        channels: CHANNELS as u32,
    }
}

#[cfg(test)]
mod tests;
