//! Returned speech on the source's timeline: where it goes, and whether it may still be heard.
//!
//! - A piece that answers an exact range starts at that range.
//! - Any other piece is taken apart into atoms, speech between silences, which are given to the phrases of the source in
//!   order ([`Placement::decide`]). A phrase starts at its onset, or behind the dub before it.
//! - What has aired is never moved, and what has begun to air without its answer is never answered: no phrase is heard
//!   twice.
//!
//! No clock: the instants of the run that are told are all the time there is. Everything is bounded: phrases by number
//! and age, waiting sound and placed sound by length, lines of answers and connections by number.
#![deny(missing_docs)]

mod air;
mod align;
mod atoms;
mod borders;
mod estimates;
mod lane;
mod phrases;
mod sketch;
mod types;

pub use sketch::Sketch;
pub use types::{Config, Decision, Figures, Placed, Speech, Verdict};

use audio_timeline::{PcmStore, RangeSet};
use estimates::Estimates;
use lane::{Lane, time};
use media_types::{CHANNELS, MediaRange, MediaTime};
use phrases::Phrases;
use std::collections::VecDeque;

/// Lines of answers at most: sources that are answered anew while they are answered anew.
const LANES: usize = 4;

/// Speech that waits for its time.
#[derive(Debug)]
pub struct Placement {
    config: Config,
    store: PcmStore,
    ranges: RangeSet,
    committed: MediaTime,
    /// Everything before this is decided.
    aired: MediaTime,
    /// Where the original has been told to stay down up to.
    down_until: MediaTime,
    /// Where the last placed sound ends.
    sound_end: MediaTime,
    /// Where the last fallback ends.
    fallback_end: MediaTime,
    /// Newest source that a provider heard.
    live: MediaTime,
    phrases: Phrases,
    /// Oldest first.
    lanes: VecDeque<Lane>,
    /// First connection of the line that is being said.
    speaking: Option<u64>,
    /// Where its sound ended when newer lines were last searched for the same, and how much they had said.
    searched: (MediaTime, usize),
    connection: Option<u64>,
    turn: Option<u64>,
    estimates: Estimates,
    /// The provider answers exact ranges: there is nothing to align.
    exact: bool,
    next_number: u64,
    figures: Figures,
}

impl Placement {
    /// Nothing waits.
    pub fn new(config: Config) -> Self {
        let never = MediaTime::from_frames(i64::MIN);
        Self {
            store: PcmStore::new(config.reach),
            ranges: RangeSet::default(),
            committed: MediaTime::ZERO,
            aired: MediaTime::ZERO,
            down_until: never,
            sound_end: never,
            fallback_end: never,
            live: never,
            phrases: Phrases::default(),
            lanes: VecDeque::from([Lane::new(0, never)]),
            speaking: None,
            searched: (never, 0),
            connection: None,
            turn: None,
            estimates: Estimates::default(),
            exact: false,
            next_number: 0,
            figures: Figures::default(),
            config,
        }
    }

    /// A phrase of the source begins.
    pub fn phrase_began(&mut self, onset: MediaTime) {
        let before = self.phrases.last_onset();
        self.phrases.begin(onset);
        self.figures.phrases_total += u64::from(before != self.phrases.last_onset());
        self.touch();
    }

    /// It has ended; this is all of it.
    pub fn phrase_ended(&mut self, phrase: MediaRange) {
        let before = self.phrases.last_onset();
        self.phrases.end(phrase);
        self.figures.phrases_total += u64::from(before != self.phrases.last_onset());
        self.touch();
    }

    /// Source from `asked` on is answered anew, by `connection` and later ones. Of a phrase that it begins inside of,
    /// both parts are phrases of their own from here on. What lies between `from` and `asked` is answered by nobody.
    pub fn supersede(&mut self, connection: u64, from: MediaTime, asked: MediaTime) {
        if self
            .lanes
            .back()
            .is_some_and(|lane| connection <= lane.connection)
        {
            return;
        }
        self.cut(asked);
        self.touch();
        let mut lane = Lane::new(connection, asked);
        lane.owed = from.min(asked);
        lane.begun = Some(self.aired);
        self.lanes.push_back(lane);
        if LANES < self.lanes.len()
            && let Some(mut oldest) = self.lanes.pop_front()
        {
            let left = oldest.drop_atoms(usize::MAX);
            self.figures.speech_replaced_total += left;
        }
    }

    /// Numbers.
    pub fn figures(&self) -> Figures {
        Figures {
            provider_lag: self.estimates.lag_median(),
            ..self.figures
        }
    }

    /// Where everything stands, in words, for whoever looks into a decision.
    pub fn sketch(&self) -> Sketch<'_> {
        Sketch(self)
    }

    /// Places a piece.
    pub fn speech(&mut self, speech: &Speech) -> Placed {
        self.exact = speech.exact;
        if speech.exact {
            return self.place_exactly(speech);
        }
        let Some(at) = speech.at else {
            return Placed::Unplaceable;
        };
        if self.config.reach.frames() < i64::try_from(speech.pcm.len() / CHANNELS).unwrap_or(i64::MAX) {
            return Placed::OutOfReach;
        }
        let is_new = self.connection != Some(speech.connection);
        let hole = is_new && self.live + time(align::HOLE) < speech.earliest;
        self.live = self.live.max(speech.latest);
        // A connection that begins inside of a phrase, where nobody heard its beginning, or a window that does: what is
        // said there is answered by itself.
        if hole || speech.turn.is_some() && self.turn != speech.turn {
            self.turn = speech.turn;
            self.cut(speech.earliest);
        }
        if self.is_over(speech) {
            self.figures.speech_late_total += 1;
            return Placed::Late;
        }
        if self.connection.is_some_and(|last| last != speech.connection) {
            self.estimates.rotate();
        }
        self.connection = Some(speech.connection);
        let now = self.aired;
        let mut lanes = self.lanes.iter_mut().rev();
        if let Some(lane) = lanes.find(|lane| lane.connection <= speech.connection) {
            let begins = lane.from.max(speech.earliest) + time(self.estimates.beliefs().lag);
            lane.atoms.due = (0 < lane.connection).then_some((lane.connection, begins));
            lane.atoms.hear(speech, at, now);
            lane.touch();
            self.figures.speech_dropped_total += std::mem::take(&mut lane.atoms.overrun);
            return Placed::Taken;
        }
        self.figures.speech_replaced_total += 1;
        Placed::Late
    }

    fn place_exactly(&mut self, speech: &Speech) -> Placed {
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
            self.ranges.insert(range);
            Placed::At(range)
        }
    }

    /// Where a dub airs: placed sound, and the whole of phrases that are dubbed.
    pub fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// Reads placed speech; silence where there is none.
    pub fn read(&self, start: MediaTime, out: &mut [i16]) {
        self.store.read(start, out);
    }

    /// Everything before `at` has aired.
    pub fn commit(&mut self, at: MediaTime) {
        self.committed = self.committed.max(at);
        self.aired = self.aired.max(at);
        self.store.discard_before(at);
        self.ranges.forget_before(at);
    }

    fn touch(&mut self) {
        for lane in &mut self.lanes {
            lane.touch();
        }
    }

    fn cut(&mut self, at: MediaTime) {
        self.phrases.cut(at, self.live);
        self.touch();
    }
}

#[cfg(test)]
mod tests;
