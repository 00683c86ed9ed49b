//! Where somebody speaks. Samples in, one probability of speech for each 20 ms of media time out; probabilities in,
//! phrases out. No input or output, no clock: the same samples give the same answer on every machine.
mod detector;
mod network;
mod resample;
mod segmenter;
#[cfg(test)]
mod voice;

pub use detector::{BLOCK, Block, Detector, LOOK_AHEAD};
pub use segmenter::{PhraseEvent, Rules, Segmenter};

/// Detection cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The resampler refused.
    #[error("resampler for speech detection: {0}")]
    Resampler(String),
    /// The weights that are built in are not those of the network.
    #[error("weights for speech detection: {0} is not as expected")]
    Weights(&'static str),
}
