//! Returned speech on the source's timeline: where it goes, and whether it may still be heard.
//!
//! A piece that answers an exact range starts at that range. What has already aired is never moved, and a piece whose
//! original has begun to air is refused: no phrase is heard twice.
#![deny(missing_docs)]

use audio_timeline::{PcmStore, RangeSet};
use media_types::{CHANNELS, FragmentSeq, MediaRange, MediaTime};

/// Returned speech with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Earliest source instant that it can answer.
    pub earliest: MediaTime,
    /// Latest source instant that it can answer.
    pub latest: MediaTime,
    /// It answers exactly `[earliest, latest)`.
    pub exact: bool,
    /// Fragment that it belongs to, where the provider knows.
    pub fragment: Option<FragmentSeq>,
    /// Connection to the provider that it came from; 0 where there is none.
    pub connection: u64,
    /// Where it lies in the sound of its connection, where there is one.
    pub at: Option<MediaTime>,
    /// Turn that it answers, where the provider answers turns.
    pub turn: Option<u64>,
    /// Interleaved stereo, 48 kHz.
    pub pcm: Vec<i16>,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It will be heard there.
    At(MediaRange),
    /// It waits for its phrase, or lengthens a dub that airs.
    Taken,
    /// Its place has begun to air.
    Late,
    /// It answers no exact range.
    Unplaceable,
    /// It lies further ahead than anything that is held.
    OutOfReach,
}

/// What placement goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How far ahead of the air speech is kept.
    pub reach: MediaTime,
    /// What the worker holds back.
    pub hold: MediaTime,
    /// How far behind its own phrase a dub may start.
    pub backlog_max: MediaTime,
}

/// What becomes of a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its dub airs.
    Dubbed,
    /// No answer had come when it began to air.
    FellBack,
    /// Its answer would start further behind it than is allowed.
    Overflowed,
}

/// A phrase, or a further part of one, begins to air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Number of the phrase; rises.
    pub phrase: u64,
    /// Part of it that this is about.
    pub part: MediaRange,
    /// It is the first part.
    pub first: bool,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Placement in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// From the start of a phrase to the start of its answer at the provider, median of late.
    pub provider_lag: Option<MediaTime>,
    /// How far the newest dub starts behind its own phrase.
    pub backlog: MediaTime,
    /// Phrases that began to air with their dub.
    pub phrases_dubbed_total: u64,
    /// Phrases that began to air without an answer.
    pub phrases_fell_back_total: u64,
    /// Phrases whose answer was too far behind.
    pub phrases_overflowed_total: u64,
    /// Speech that came when its phrase had begun to air without it.
    pub speech_late_total: u64,
}

/// Speech that waits for its time.
#[derive(Debug)]
pub struct Placement {
    store: PcmStore,
    committed: MediaTime,
}

impl Placement {
    /// Nothing waits.
    pub fn new(config: Config) -> Self {
        Self {
            store: PcmStore::new(config.reach),
            committed: MediaTime::ZERO,
        }
    }

    /// A phrase of the source begins.
    pub fn phrase_began(&mut self, _onset: MediaTime) {}

    /// It has ended; this is all of it.
    pub fn phrase_ended(&mut self, _phrase: MediaRange) {}

    /// Source from `from` on is answered anew, by `connection` and later ones.
    pub fn supersede(&mut self, _connection: u64, _from: MediaTime) {}

    /// What begins to air before `until` is decided, for good.
    pub fn decide(&mut self, _until: MediaTime) -> Vec<Decision> {
        Vec::new()
    }

    /// Numbers.
    pub fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Places a piece.
    pub fn speech(&mut self, speech: &Speech) -> Placed {
        if !speech.exact {
            return Placed::Unplaceable;
        }
        if speech.earliest < self.committed {
            return Placed::Late;
        }
        let room = (speech.latest - speech.earliest).frames().max(0);
        let take = usize::try_from(room)
            .unwrap_or(0)
            .saturating_mul(CHANNELS)
            .min(speech.pcm.len());
        let range = self
            .store
            .write(speech.earliest, speech.pcm.get(..take).unwrap_or_default());
        if range.is_empty() {
            Placed::OutOfReach
        } else {
            Placed::At(range)
        }
    }

    /// Where speech waits.
    pub fn ranges(&self) -> &RangeSet {
        self.store.present()
    }

    /// Reads placed speech; silence where there is none.
    pub fn read(&self, start: MediaTime, out: &mut [i16]) {
        self.store.read(start, out);
    }

    /// Everything before `at` has aired.
    pub fn commit(&mut self, at: MediaTime) {
        self.committed = self.committed.max(at);
        self.store.discard_before(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        Placement::new(Config {
            reach: MediaTime::from_frames(10_000),
            hold: MediaTime::from_frames(10_000),
            backlog_max: MediaTime::from_frames(10_000),
        })
    }

    fn speech(start: i64, frames: usize) -> Speech {
        Speech {
            earliest: MediaTime::from_frames(start),
            latest: MediaTime::from_frames(start + i64::try_from(frames).unwrap_or(0)),
            exact: true,
            fragment: None,
            connection: 0,
            at: None,
            turn: None,
            pcm: vec![5; frames * CHANNELS],
        }
    }

    #[test]
    fn exact_speech_is_heard_at_its_range() {
        let mut placement = placement();
        let range = MediaRange::new(MediaTime::from_frames(100), MediaTime::from_frames(150));
        assert_eq!(placement.speech(&speech(100, 50)), Placed::At(range));
        assert!(placement.ranges().covers(range));
    }

    #[test]
    fn speech_whose_place_has_begun_to_air_is_refused_whole() {
        let mut placement = placement();
        placement.commit(MediaTime::from_frames(101));
        assert_eq!(placement.speech(&speech(100, 50)), Placed::Late);
        assert!(
            !placement
                .ranges()
                .touches(MediaRange::new(MediaTime::ZERO, MediaTime::from_frames(1_000)))
        );
    }

    #[test]
    fn an_answer_longer_than_its_range_is_cut_to_it() {
        let mut placement = placement();
        let mut long = speech(0, 80);
        long.latest = MediaTime::from_frames(50);
        assert_eq!(
            placement.speech(&long),
            Placed::At(MediaRange::new(MediaTime::ZERO, MediaTime::from_frames(50)))
        );
    }
}
