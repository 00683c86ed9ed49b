//! How one connection misbehaves at the moment. Faults turn these; a fresh connection has none of them.

use crate::wire::server::Usage;
use std::time::Duration;

/// When pings are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pongs {
    /// At once.
    #[default]
    Prompt,
    /// Late.
    After(Duration),
    /// Never.
    Never,
}

/// What the sound is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sound {
    /// The answer.
    #[default]
    Answer,
    /// No audio message at all.
    Nothing,
    /// Zeros.
    Zero,
    /// Noise of three steps of 32768.
    NearZero,
    /// 440 Hz.
    Tone,
}

/// Which handles are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handles {
    /// Good ones.
    #[default]
    Given,
    /// Updates that say: not resumable now.
    Withheld,
    /// None.
    Never,
}

/// What happens to the next handle that is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presented {
    /// What its session deserves.
    #[default]
    Honest,
    /// Refused: 1007.
    Refused,
    /// Taken, but nothing is ever answered.
    Poisoned,
    /// Taken, and the last transcript and second of sound come again.
    Replayed,
}

/// The manner of one connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    /// Text frames instead of binary ones.
    pub text_frames: bool,
    /// Messages in five frames with a ping between them.
    pub fragmented: bool,
    /// When pings are answered.
    pub pongs: Pongs,
    /// Nothing is sent but the close.
    pub muted: bool,
    /// What the sound is like.
    pub sound: Sound,
    /// No transcript of what was heard.
    pub no_input_text: bool,
    /// No transcript of what is said.
    pub no_output_text: bool,
    /// Sound is made so many times faster than it plays.
    pub rate: f64,
    /// Sound is held back, and comes in bursts of four seconds.
    pub bursts: bool,
    /// No sound is sent while the source is silent.
    pub quiet_in_silence: bool,
    /// Which handles are given.
    pub handles: Handles,
    /// The language of what was heard changes with every transcript.
    pub languages: bool,
    /// Messages have their oddest allowed shapes.
    pub odd: bool,
    /// How usage is told.
    pub usage: Usage,
    /// Turns end with `generationComplete` alone.
    pub no_turn_complete: bool,
    /// The next answer is broken off.
    pub interrupt_next: bool,
    /// So many turns end without an answer.
    pub rejected: u32,
    /// Turns complete in three steps.
    pub extended: bool,
    /// Another voice speaks.
    pub other_voice: bool,
    /// Goes on to send after the client has closed.
    pub stale: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            text_frames: false,
            fragmented: false,
            pongs: Pongs::Prompt,
            muted: false,
            sound: Sound::Answer,
            no_input_text: false,
            no_output_text: false,
            rate: 1.0,
            bursts: false,
            quiet_in_silence: false,
            handles: Handles::Given,
            languages: false,
            odd: false,
            usage: Usage::Plain,
            no_turn_complete: false,
            interrupt_next: false,
            rejected: 0,
            extended: false,
            other_voice: false,
            stale: false,
        }
    }
}

impl Manner {
    /// The sound as it leaves: `from` is the place of its first sample on the line.
    pub fn colour(&self, samples: &mut [i16], from: u64) {
        let paint: fn(u64) -> i16 = match self.sound {
            Sound::Answer | Sound::Nothing => return,
            Sound::Zero => |_| 0,
            Sound::NearZero => |index| (index.wrapping_mul(2_654_435_761) >> 7) as i16 % 4,
            Sound::Tone => {
                |index| ((index as f64 * std::f64::consts::TAU * 440.0 / 24_000.0).sin() * 6_000.0) as i16
            }
        };
        for (offset, sample) in samples.iter_mut().enumerate() {
            *sample = paint(from + offset as u64);
        }
    }
}
