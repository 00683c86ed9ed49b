//! The vocabulary of the system: ids, media time, settings, fates. Pure values, no behaviour beyond arithmetic.
#![deny(missing_docs)]

mod ids;
mod settings;
mod time;
mod words;

pub use ids::{FragmentSeq, InvalidId, RunId, StreamId};
pub use settings::{SettingsError, StreamSettings};
pub use time::{MediaRange, MediaTime, SAMPLE_RATE_HZ, Tick};
pub use words::{AirState, BedMode, ErrorClass, Fallback, Fate, Reason, StsMode, UnknownWord};

/// Channels of the internal PCM, interleaved.
pub const CHANNELS: usize = 2;
