//! Where the code sounds, and how it is sounded.

use crate::code::{Symbol, TONES};
use std::f64::consts::TAU;

/// Frequencies of a code: sixteen low tones, then sixteen high ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The lowest tone.
    pub first_hz: f64,
    /// From one tone to the next.
    pub step_hz: f64,
    /// How much of the band's power the two tones of a symbol have at least.
    pub clarity: f64,
}

/// Marks of source phrases: above most of speech and of telephone music, below what a 16 kHz wire keeps.
pub const SOURCE: Band = Band {
    first_hz: 3800.0,
    step_hz: 100.0,
    clarity: 0.3,
};
/// The twin's voice: below the source's marks, so that a bed with marks in it does not speak for the twin.
pub const ANSWER: Band = Band {
    first_hz: 900.0,
    step_hz: 90.0,
    clarity: 0.5,
};

/// Time over which a symbol swells and fades, so that it does not click.
const FADE_S: f64 = 0.003;

impl Band {
    /// Frequency of a low tone.
    pub fn low_hz(&self, tone: u8) -> f64 {
        self.first_hz + self.step_hz * f64::from(tone)
    }

    /// Frequency of a high tone.
    pub fn high_hz(&self, tone: u8) -> f64 {
        self.first_hz + self.step_hz * f64::from(TONES + tone)
    }

    /// One sample of a symbol of `length_s`, `at_s` into it; each tone has the amplitude `gain`.
    pub fn sample(&self, symbol: Symbol, at_s: f64, length_s: f64, gain: f64) -> f64 {
        let edge = at_s.min(length_s - at_s).max(0.0);
        let swell = if edge < FADE_S {
            (edge / FADE_S * TAU / 4.0).sin().powi(2)
        } else {
            1.0
        };
        let tones =
            (TAU * self.low_hz(symbol.low) * at_s).sin() + (TAU * self.high_hz(symbol.high) * at_s).sin();
        gain * swell * tones
    }
}
