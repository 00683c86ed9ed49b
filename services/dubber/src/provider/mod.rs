//! Who dubs: one small interface, and the providers behind it.
//!
//! * A provider belongs to one session and is owned by that session's task alone: no locks, no sharing.
//! * [`Provider::offer`] takes a complete fragment and never waits; [`Provider::next`] waits for whatever comes
//!   back, in any order, and loses nothing when it is dropped half way.
//! * A provider answers each offered fragment at most once. It may never answer: the session's hard budget is
//!   the only clock that decides then.
//! * A provider says what it got, as it got it. Fitting an answer to its fragment is [`crate::repair`]'s work,
//!   order is [`crate::session`]'s.
//! * What listens without turns fits in too: it gets an entry of its own beside `offer` for audio that is not
//!   yet a fragment, and variants of [`Output`] that name a range instead of a number.
pub mod fixtures;
pub mod mock;
pub mod schedule;

use bytes::Bytes;
use media_types::{ErrorClass, FragmentSeq, MediaRange};
use std::future::Future;

/// A complete fragment of source speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// Its number; a retry keeps it.
    pub seq: FragmentSeq,
    /// Where it stands on the run's timeline.
    pub range: MediaRange,
    /// Interleaved samples: signed 16 bit little endian, 48 kHz, stereo; exactly as long as `range`.
    pub pcm: Bytes,
    /// Mean probability of speech in it; absent where the worker runs no detector.
    pub speech_probability: Option<f32>,
}

/// Samples as a provider hands them over, interleaved.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Signed 16 bit, little endian.
    S16(Bytes),
    /// 32 bit floating point, full scale 1.0.
    F32(Vec<f32>),
}

/// Dubbed speech as a provider hands it over: any length, any rate, any number of channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The samples.
    pub samples: Samples,
    /// Frames per second.
    pub sample_rate_hz: u32,
    /// Channels in a frame.
    pub channels: u16,
}

impl Answer {
    /// An answer in the form of the contract: s16, 48 kHz, stereo.
    pub fn contract(pcm: Bytes) -> Self {
        Self {
            samples: Samples::S16(pcm),
            sample_rate_hz: media_types::SAMPLE_RATE_HZ,
            channels: crate::pcm::CHANNELS,
        }
    }
}

/// Why a fragment has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {class}: {message}")]
pub struct ProviderError {
    /// Kind of the error.
    pub class: ErrorClass,
    /// Where it happened: `receive`, `provider`, `repair`.
    pub stage: &'static str,
    /// Whether the same fragment may be tried again.
    pub retryable: bool,
    /// For a person to read; no words of the speech.
    pub message: String,
}

/// Something that came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The complete answer to a fragment.
    Answered {
        /// Number of the fragment.
        seq: FragmentSeq,
        /// What came.
        answer: Answer,
    },
    /// A fragment that has no answer.
    Failed {
        /// Number of the fragment.
        seq: FragmentSeq,
        /// Why.
        error: ProviderError,
    },
}

/// One session at whoever dubs.
pub trait Provider: Send + 'static {
    /// Name on the wire, in logs and in span names.
    fn name(&self) -> &'static str;
    /// Hands a fragment over. Never waits.
    fn offer(&mut self, fragment: Fragment);
    /// The next thing that comes back; pends for ever while nothing is under way. Safe to drop.
    fn next(&mut self) -> impl Future<Output = Output> + Send;
}
