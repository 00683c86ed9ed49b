//! The model's sound on its way to the worker: pieces of mono at the model's rate to 48 kHz stereo, without a click
//! where one piece goes on with another.
use crate::pcm;
use crate::resample::{Continuous, ResampleError};
use bytes::Bytes;
use gemini_session::{ConnectionId, Speech};
use media_types::{MediaTime, SAMPLE_RATE_HZ};

/// Speech in the contract's form with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Id, unique in the session.
    pub id: String,
    /// Connection that it came from.
    pub connection: ConnectionId,
    /// Where it lies in the sound of its connection.
    pub at: MediaTime,
    /// Interleaved samples.
    pub pcm: Bytes,
    /// Earliest source instant that it can answer.
    pub earliest: MediaTime,
    /// Latest source instant that it can answer.
    pub latest: MediaTime,
    /// Window that it answers.
    pub turn: Option<u64>,
}

/// Pieces that abut on one connection are one sound for the filter, which holds back 15 ms of it at most.
#[derive(Debug, Default)]
pub struct Voice {
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    engine: Continuous,
    rate_hz: u32,
    start: MediaTime,
    /// Where the next piece has to begin.
    next: MediaTime,
    /// Frames that were given.
    given: i64,
    /// The newest piece, without its samples: what is held back is its end.
    newest: Speech,
}

impl Voice {
    /// Takes a piece. Gives the end of the sound before, where this one does not go on with it, and what is sure of this
    /// one.
    pub fn take(&mut self, mut speech: Speech) -> Result<Vec<Piece>, ResampleError> {
        let mut pieces = Vec::new();
        if !self.run.as_ref().is_some_and(|run| run.goes_on_with(&speech)) {
            pieces.extend(self.finish()?);
        }
        let mut run = match self.run.take() {
            Some(run) => run,
            None => Run::new(&speech)?,
        };
        let samples = std::mem::take(&mut speech.pcm);
        run.next = speech.at + length(samples.len(), speech.rate_hz);
        run.newest = speech;
        let out = run.engine.push(samples.into_iter().map(pcm::normalize))?;
        pieces.extend(run.piece(&out, ""));
        self.run = Some(run);
        Ok(pieces)
    }

    /// The sound is over: its end.
    pub fn finish(&mut self) -> Result<Option<Piece>, ResampleError> {
        let Some(mut run) = self.run.take() else {
            return Ok(None);
        };
        let rest = run.engine.finish()?;
        Ok(run.piece(&rest, "-end"))
    }

    /// Whether something is held back.
    pub const fn is_speaking(&self) -> bool {
        self.run.is_some()
    }
}

impl Run {
    fn new(speech: &Speech) -> Result<Self, ResampleError> {
        Ok(Self {
            engine: Continuous::new(speech.rate_hz, SAMPLE_RATE_HZ)?,
            rate_hz: speech.rate_hz,
            start: speech.at,
            next: speech.at,
            given: 0,
            newest: Speech {
                pcm: Vec::new(),
                ..speech.clone()
            },
        })
    }

    fn goes_on_with(&self, speech: &Speech) -> bool {
        let of = |speech: &Speech| (speech.connection, speech.turn, speech.rate_hz);
        of(&self.newest) == of(speech) && self.rate_hz == speech.rate_hz && self.next == speech.at
    }

    fn piece(&mut self, samples: &[f32], suffix: &str) -> Option<Piece> {
        if samples.is_empty() {
            return None;
        }
        let at = self.start + MediaTime::from_frames(self.given);
        self.given += i64::try_from(samples.len()).unwrap_or(0);
        let speech = &self.newest;
        Some(Piece {
            id: format!("s{}{suffix}", speech.id),
            connection: speech.connection,
            at,
            pcm: pcm::encode(samples.iter().flat_map(|sample| [pcm::quantize(*sample); 2])),
            earliest: speech.earliest,
            latest: speech.latest,
            turn: speech.turn,
        })
    }
}

fn length(samples: usize, rate_hz: u32) -> MediaTime {
    MediaTime::from_ticks(i64::try_from(samples).unwrap_or(i64::MAX), rate_hz).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    /// 250 ms of a sine of 300 Hz that began at 0.
    fn speech(id: u64, connection: u64, at: i64) -> Speech {
        let first = at * 24;
        let sample = |n: i64| (16_000.0 * (std::f64::consts::TAU * 300.0 * n as f64 / 24_000.0).sin()) as i16;
        Speech {
            id,
            connection: ConnectionId(connection),
            at: ms(at),
            pcm: (first..first + 6000).map(sample).collect(),
            rate_hz: 24_000,
            earliest: ms(at),
            latest: ms(at + 1000),
            turn: None,
        }
    }

    /// Largest step from one frame to the next, the first and the last 10 ms aside, and whether both sides are the same.
    fn largest_step(pieces: &[Piece]) -> (i32, bool) {
        let all: Vec<i16> = pieces
            .iter()
            .flat_map(|piece| pcm::decode(&piece.pcm).collect::<Vec<_>>())
            .collect();
        let left: Vec<i32> = all.chunks_exact(2).map(|frame| frame[0].into()).collect();
        let step = left[480..left.len() - 480]
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .max()
            .unwrap();
        (step, all.chunks_exact(2).all(|frame| frame[0] == frame[1]))
    }

    #[test]
    fn pieces_that_abut_have_no_click_between_them_and_lie_where_they_are_said_to_lie() {
        let mut voice = Voice::default();
        let mut pieces = Vec::new();
        for n in 0..4 {
            pieces.extend(voice.take(speech(n, 1, n as i64 * 250)).unwrap());
        }
        pieces.extend(voice.finish().unwrap());
        for pair in pieces.windows(2) {
            assert_eq!(pair[0].at + pcm::length(pair[0].pcm.len()), pair[1].at);
        }
        let total: usize = pieces.iter().map(|piece| piece.pcm.len()).sum();
        assert_eq!((pieces[0].at, pcm::length(total)), (ms(0), ms(1000)));
        // The steepest step of this sine at 48 kHz is 629; where it sets in and breaks off, the filter rings.
        let (step, both_sides) = largest_step(&pieces);
        assert!(step < 640 && both_sides, "{step}");
        assert_eq!(pieces[1].latest, ms(1250));
        let ids: Vec<&str> = pieces.iter().map(|piece| piece.id.as_str()).collect();
        assert_eq!(ids, ["s0", "s1", "s2", "s3", "s3-end"]);
    }

    #[test]
    fn what_does_not_go_on_is_another_sound_and_the_end_of_the_first_comes_before_it() {
        let mut voice = Voice::default();
        voice.take(speech(1, 1, 0)).unwrap();
        let other = voice.take(speech(2, 2, 500)).unwrap();
        let told: Vec<(u64, &str)> = other
            .iter()
            .map(|piece| (piece.connection.0, piece.id.as_str()))
            .collect();
        assert_eq!(told, [(1, "s1-end"), (2, "s2")]);
        assert_eq!(
            (other[0].at + pcm::length(other[0].pcm.len()), other[1].at),
            (ms(250), ms(500))
        );
        assert!(voice.is_speaking());
        voice.finish().unwrap();
        assert!(!voice.is_speaking());
    }

    #[test]
    fn a_rate_that_nothing_speaks_in_is_refused_and_the_next_piece_is_taken() {
        let mut voice = Voice::default();
        let odd = Speech {
            rate_hz: 7,
            ..speech(1, 1, 0)
        };
        assert_eq!(voice.take(odd), Err(ResampleError::Rate(7)));
        assert_eq!(voice.take(speech(2, 1, 250)).unwrap().len(), 1);
    }
}
