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
    /// Interleaved stereo, 48 kHz.
    pub pcm: Vec<i16>,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It will be heard there.
    At(MediaRange),
    /// Its place has begun to air.
    Late,
    /// It answers no exact range.
    Unplaceable,
    /// It lies further ahead than anything that is held.
    OutOfReach,
}

/// Speech that waits for its time.
#[derive(Debug)]
pub struct Placement {
    store: PcmStore,
    committed: MediaTime,
}

impl Placement {
    /// `reach` bounds how far ahead of the air speech is kept.
    pub fn new(reach: MediaTime) -> Self {
        Self {
            store: PcmStore::new(reach),
            committed: MediaTime::ZERO,
        }
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

    fn speech(start: i64, frames: usize) -> Speech {
        Speech {
            earliest: MediaTime::from_frames(start),
            latest: MediaTime::from_frames(start + i64::try_from(frames).unwrap_or(0)),
            exact: true,
            fragment: None,
            pcm: vec![5; frames * CHANNELS],
        }
    }

    #[test]
    fn exact_speech_is_heard_at_its_range() {
        let mut placement = Placement::new(MediaTime::from_frames(10_000));
        let range = MediaRange::new(MediaTime::from_frames(100), MediaTime::from_frames(150));
        assert_eq!(placement.speech(&speech(100, 50)), Placed::At(range));
        assert!(placement.ranges().covers(range));
    }

    #[test]
    fn speech_whose_place_has_begun_to_air_is_refused_whole() {
        let mut placement = Placement::new(MediaTime::from_frames(10_000));
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
        let mut placement = Placement::new(MediaTime::from_frames(10_000));
        let mut long = speech(0, 80);
        long.latest = MediaTime::from_frames(50);
        assert_eq!(
            placement.speech(&long),
            Placed::At(MediaRange::new(MediaTime::ZERO, MediaTime::from_frames(50)))
        );
    }
}
