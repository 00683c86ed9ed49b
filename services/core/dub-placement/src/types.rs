//! What goes in and out.
use media_types::{FragmentSeq, MediaRange, MediaTime};

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

/// A phrase, or a further part of one, begins to air. What is told later of an instant counts: a part that was to be
/// dubbed falls back where its dub has broken off.
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
    /// Phrases that began to air with their dub, whatever became of its end.
    pub phrases_dubbed_total: u64,
    /// Phrases that began to air without an answer.
    pub phrases_fell_back_total: u64,
    /// Phrases whose answer was too far behind.
    pub phrases_overflowed_total: u64,
    /// Speech that came when its phrase had begun to air without it. Counted here and below in atoms: speech between two
    /// silences.
    pub speech_late_total: u64,
    /// Speech that a newer answer to the same source took the place of.
    pub speech_replaced_total: u64,
    /// Speech that answers no phrase, and had no room behind what it follows.
    pub speech_dropped_total: u64,
    /// Speech that answers no phrase and was heard behind what it follows.
    pub speech_unmatched_total: u64,
    /// Dubs that broke off in the middle of their phrase: the original was let up for the rest of it.
    pub dubs_broken_off_total: u64,
    /// Phrases of the source.
    pub phrases_total: u64,
}
