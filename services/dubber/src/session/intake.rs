//! Messages in, complete fragments out. Pure: what it cannot accept is said, never guessed.
//!
//! * Audio of a fragment abuts: it begins where the fragment begins, and each piece where the one before ended.
//! * Fragments need not abut each other: an outage of the source lies between them.
//! * A number that is known already (a retry of the sender) is read to its end and dropped: it is not dubbed twice.
use super::input::Audio;
use crate::pcm;
use crate::provider::Fragment;
use bytes::{Bytes, BytesMut};
use media_types::{FragmentSeq, MediaRange, MediaTime};
use service_kit::trace::TraceContext;
use tokio::time::Instant;

/// Longest fragment that is collected: 10 s may be asked for, the overlap comes on top, and the rest is room. What
/// goes on beyond it is a peer that forgot the end, and would fill the memory.
const FRAGMENT_MAX: MediaTime = MediaTime::from_millis(12_000);
/// Probability from which audio counts as speech in a session's view.
const SPOKEN: f32 = 0.5;

/// A message at the wrong time or place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// Field to blame.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

/// A complete fragment and where it came from.
#[derive(Debug)]
pub struct Collected {
    /// The fragment.
    pub fragment: Fragment,
    /// Audio of it in which somebody speaks, as the worker heard it.
    pub spoken: MediaTime,
    /// When its first audio came.
    pub first_audio: Instant,
    /// Trace that it is worked on under.
    pub trace: TraceContext,
}

/// What a fragment's begin means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is collected.
    Collecting,
    /// Its number is known; it is read and dropped.
    Duplicate,
}

/// Puts fragments together.
#[derive(Debug, Default)]
pub struct Intake {
    state: State,
    newest: Option<FragmentSeq>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Collecting(Collecting),
    Discarding(FragmentSeq),
}

#[derive(Debug)]
struct Collecting {
    seq: FragmentSeq,
    start: MediaTime,
    pcm: BytesMut,
    first_audio: Instant,
    trace: TraceContext,
    // Weighted by frames, so that the mean does not depend on how the audio was cut into messages.
    probability_frames: f64,
    probability_weight: f64,
    spoken: MediaTime,
}

fn violation<T>(field: &'static str, message: String) -> Result<T, Violation> {
    Err(Violation { field, message })
}

impl Intake {
    /// A fragment began.
    pub fn begin(
        &mut self,
        now: Instant,
        seq: FragmentSeq,
        start: MediaTime,
        trace: TraceContext,
    ) -> Result<Begun, Violation> {
        if let Some(open) = self.open() {
            let said = format!("fragment {seq} starts while fragment {open} is open");
            return violation("fragment_start", said);
        }
        if self.newest.is_some_and(|newest| seq <= newest) {
            self.state = State::Discarding(seq);
            return Ok(Begun::Duplicate);
        }
        self.newest = Some(seq);
        self.state = State::Collecting(Collecting {
            seq,
            start,
            pcm: BytesMut::new(),
            first_audio: now,
            trace,
            probability_frames: 0.0,
            probability_weight: 0.0,
            spoken: MediaTime::ZERO,
        });
        Ok(Begun::Collecting)
    }

    /// Audio came.
    pub fn audio(&mut self, now: Instant, audio: &Audio) -> Result<(), Violation> {
        match &mut self.state {
            State::Idle => violation("audio", "audio without an open fragment".to_owned()),
            State::Discarding(_) => Ok(()),
            State::Collecting(open) => open.push(now, audio),
        }
    }

    /// A fragment is complete; nothing for one that is dropped.
    pub fn end(&mut self, seq: FragmentSeq, end: MediaTime) -> Result<Option<Collected>, Violation> {
        match self.open() {
            None => return violation("fragment_end", format!("fragment {seq} ends and none is open")),
            Some(open) if open != seq => {
                let said = format!("fragment {seq} ends while fragment {open} is open");
                return violation("fragment_end.fragment_seq", said);
            }
            Some(_) => {}
        }
        match std::mem::take(&mut self.state) {
            State::Idle | State::Discarding(_) => Ok(None),
            State::Collecting(open) => open.finish(end).map(Some),
        }
    }

    /// Gives the open fragment up: the rest of it is read and dropped. Its number, when there was one.
    pub fn give_up(&mut self) -> Option<FragmentSeq> {
        match &self.state {
            State::Idle | State::Discarding(_) => None,
            State::Collecting(open) => {
                let seq = open.seq;
                self.state = State::Discarding(seq);
                Some(seq)
            }
        }
    }

    fn open(&self) -> Option<FragmentSeq> {
        match &self.state {
            State::Idle => None,
            State::Collecting(open) => Some(open.seq),
            State::Discarding(seq) => Some(*seq),
        }
    }
}

impl Collecting {
    fn at(&self) -> MediaTime {
        self.start + pcm::length(self.pcm.len())
    }

    fn push(&mut self, now: Instant, audio: &Audio) -> Result<(), Violation> {
        let expected = self.at();
        if audio.start != expected {
            let (got, want) = (audio.start.frames(), expected.frames());
            let said = format!(
                "audio of fragment {} starts at {got}, it must abut at {want}",
                self.seq
            );
            return violation("audio.start", said);
        }
        let length = pcm::length(audio.pcm.len());
        if expected + length - self.start > FRAGMENT_MAX {
            let said = format!(
                "fragment {} is longer than {} ms",
                self.seq,
                FRAGMENT_MAX.millis()
            );
            return violation("audio.pcm", said);
        }
        if self.pcm.is_empty() {
            self.first_audio = now;
        }
        self.pcm.extend_from_slice(&audio.pcm);
        if let Some(probability) = audio.speech_probability {
            let frames = length.frames() as f64;
            self.probability_frames += f64::from(probability) * frames;
            self.probability_weight += frames;
            if SPOKEN <= probability {
                self.spoken = self.spoken + length;
            }
        }
        Ok(())
    }

    fn finish(self, end: MediaTime) -> Result<Collected, Violation> {
        let at = self.at();
        if end != at {
            let said = format!(
                "fragment {} ends at {}, its audio at {}",
                self.seq,
                end.frames(),
                at.frames()
            );
            return violation("fragment_end.end", said);
        }
        let heard = self.probability_weight > 0.0;
        Ok(Collected {
            fragment: Fragment {
                seq: self.seq,
                range: MediaRange::new(self.start, end),
                pcm: Bytes::from(self.pcm),
                speech_probability: heard.then(|| (self.probability_frames / self.probability_weight) as f32),
            },
            spoken: self.spoken,
            first_audio: self.first_audio,
            trace: self.trace,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frames(n: i64) -> MediaTime {
        MediaTime::from_frames(n)
    }

    fn audio(start: i64, count: usize) -> Audio {
        Audio {
            start: frames(start),
            pcm: vec![7; count * 4].into(),
            speech_probability: None,
        }
    }

    fn begin(intake: &mut Intake, seq: u64, start: i64) -> Result<Begun, Violation> {
        intake.begin(
            Instant::now(),
            FragmentSeq(seq),
            frames(start),
            TraceContext::default(),
        )
    }

    fn blamed<T: std::fmt::Debug>(result: Result<T, Violation>) -> &'static str {
        result.unwrap_err().field
    }

    #[tokio::test]
    async fn abutting_audio_becomes_one_fragment() {
        let mut intake = Intake::default();
        assert_eq!(begin(&mut intake, 7, 100), Ok(Begun::Collecting));
        let mut first = audio(100, 30);
        first.speech_probability = Some(1.0);
        let mut second = audio(130, 10);
        second.speech_probability = Some(0.0);
        intake.audio(Instant::now(), &first).unwrap();
        intake.audio(Instant::now(), &second).unwrap();
        let collected = intake.end(FragmentSeq(7), frames(140)).unwrap().unwrap();
        assert_eq!(collected.spoken, frames(30));
        let fragment = collected.fragment;
        assert_eq!((fragment.seq, fragment.pcm.len()), (FragmentSeq(7), 160));
        assert_eq!(fragment.range, MediaRange::new(frames(100), frames(140)));
        assert_eq!(fragment.speech_probability, Some(0.75));
        assert_eq!(
            begin(&mut intake, 8, 5000),
            Ok(Begun::Collecting),
            "fragments need not abut"
        );
    }

    #[tokio::test]
    async fn what_does_not_abut_is_refused_with_the_field_to_blame() {
        let now = Instant::now();
        let mut intake = Intake::default();
        assert_eq!(blamed(intake.audio(now, &audio(0, 1))), "audio");
        assert_eq!(blamed(intake.end(FragmentSeq(1), frames(0))), "fragment_end");
        begin(&mut intake, 1, 0).unwrap();
        assert_eq!(blamed(begin(&mut intake, 2, 0)), "fragment_start");
        assert_eq!(blamed(intake.audio(now, &audio(1, 10))), "audio.start");
        intake.audio(now, &audio(0, 10)).unwrap();
        assert_eq!(blamed(intake.audio(now, &audio(9, 10))), "audio.start");
        assert_eq!(
            blamed(intake.end(FragmentSeq(2), frames(10))),
            "fragment_end.fragment_seq"
        );
        assert_eq!(blamed(intake.end(FragmentSeq(1), frames(11))), "fragment_end.end");
    }

    #[tokio::test]
    async fn a_fragment_without_end_does_not_fill_the_memory() {
        let mut intake = Intake::default();
        begin(&mut intake, 1, 0).unwrap();
        let refused = (0..13)
            .map(|n| intake.audio(Instant::now(), &audio(n * 48_000, 48_000)))
            .find(Result::is_err);
        assert_eq!(blamed(refused.unwrap()), "audio.pcm");
    }

    #[tokio::test]
    async fn a_known_number_and_a_given_up_fragment_are_read_and_dropped() {
        let mut intake = Intake::default();
        begin(&mut intake, 5, 0).unwrap();
        intake.audio(Instant::now(), &audio(0, 10)).unwrap();
        assert_eq!(intake.give_up(), Some(FragmentSeq(5)));
        assert_eq!(intake.give_up(), None);
        intake.audio(Instant::now(), &audio(10, 10)).unwrap();
        assert!(intake.end(FragmentSeq(5), frames(20)).unwrap().is_none());
        for seq in [5, 4] {
            assert_eq!(begin(&mut intake, seq, 0), Ok(Begun::Duplicate));
            intake.audio(Instant::now(), &audio(0, 10)).unwrap();
            assert!(intake.end(FragmentSeq(seq), frames(10)).unwrap().is_none());
        }
        assert_eq!(begin(&mut intake, 6, 0), Ok(Begun::Collecting));
    }
}
