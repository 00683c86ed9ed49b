//! Video and encoded audio in one order. Sound leaves the encoder some 50 ms after it went in, so video waits for
//! the sound in front of it; sound never waits.
use crate::worker::air::Unit;
use bytes::Bytes;
use media_types::MediaTime;
use std::collections::VecDeque;

/// One thing to send.
#[derive(Debug)]
pub enum Item {
    /// An access unit.
    Video(Unit),
    /// An AAC frame and its first instant.
    Audio(MediaTime, Bytes),
}

impl Item {
    /// Where it stands in the order of sending.
    pub fn dts(&self) -> MediaTime {
        match self {
            Self::Video(unit) => unit.dts,
            Self::Audio(start, _) => *start,
        }
    }
}

/// Puts both in order.
#[derive(Debug, Default)]
pub struct Interleaver {
    video: VecDeque<Unit>,
    audio_until: Option<MediaTime>,
}

impl Interleaver {
    /// An access unit is due.
    pub fn video(&mut self, unit: Unit, out: &mut Vec<Item>) {
        self.video.push_back(unit);
        self.take_ready(out);
    }

    /// An encoded frame `[start, end)` is there.
    pub fn audio(&mut self, start: MediaTime, end: MediaTime, frame: Bytes, out: &mut Vec<Item>) {
        while self.video.front().is_some_and(|unit| unit.dts < start) {
            out.extend(self.video.pop_front().map(Item::Video));
        }
        out.push(Item::Audio(start, frame));
        self.audio_until = Some(end);
        self.take_ready(out);
    }

    fn take_ready(&mut self, out: &mut Vec<Item>) {
        while self
            .video
            .front()
            .is_some_and(|unit| self.audio_until.is_some_and(|until| unit.dts < until))
        {
            out.extend(self.video.pop_front().map(Item::Video));
        }
    }

    /// Takes what is left, at the end of the run.
    pub fn finish(&mut self, out: &mut Vec<Item>) {
        out.extend(self.video.drain(..).map(Item::Video));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(ms: i64) -> Unit {
        let at = MediaTime::from_millis(ms);
        Unit {
            pts: at,
            dts: at,
            key: false,
            data: Bytes::new(),
            config: None,
        }
    }

    #[test]
    fn video_leaves_between_the_sound_around_it() {
        let mut interleaver = Interleaver::default();
        let mut out = Vec::new();
        for ms in [0, 33, 67] {
            interleaver.video(unit(ms), &mut out);
        }
        assert!(out.is_empty());
        let at = MediaTime::from_millis;
        interleaver.audio(at(0), at(21), Bytes::new(), &mut out);
        interleaver.audio(at(21), at(43), Bytes::new(), &mut out);
        let order: Vec<i64> = out.iter().map(|item| item.dts().millis()).collect();
        assert_eq!(order, [0, 0, 21, 33]);
        interleaver.finish(&mut out);
        assert_eq!(out.len(), 5);
    }
}
