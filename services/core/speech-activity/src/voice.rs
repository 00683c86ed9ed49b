//! A voice made by arithmetic: harmonics of a gliding pitch under three moving formants, 1 s on and 0.5 s off.
use std::f64::consts::TAU;

/// Half a second, a third of the period.
const HALF_SECONDS_SPOKEN: usize = 2;

/// The voice at a rate.
pub struct Voice {
    /// Samples a second.
    pub rate_hz: usize,
}

impl Voice {
    /// Whether it speaks.
    pub fn speaks(&self, at: usize) -> bool {
        at / (self.rate_hz / 2) % 3 < HALF_SECONDS_SPOKEN
    }

    /// One sample, within ±1.
    pub fn sample(&self, at: usize) -> f64 {
        if !self.speaks(at) {
            return 0.0;
        }
        let t = at as f64 / self.rate_hz as f64;
        let pitch = 110.0 + 25.0 * (TAU * 1.5 * t).sin();
        let turns = 110.0 * t + 25.0 * (1.0 - (TAU * 1.5 * t).cos()) / (TAU * 1.5);
        let formants = [
            (600.0 + 200.0 * (TAU * 3.0 * t).sin(), 120.0),
            (1400.0 + 500.0 * (TAU * 2.3 * t).sin(), 180.0),
            (2600.0, 250.0),
        ];
        let mut sum = 0.0;
        for harmonic in 1..25 {
            let hz = f64::from(harmonic) * pitch;
            let level: f64 = formants
                .iter()
                .map(|(centre, width)| 1.0 / (1.0 + ((hz - centre) / width).powi(2)))
                .sum();
            sum += level * (TAU * f64::from(harmonic) * turns).sin();
        }
        0.08 * sum * (0.6 + 0.4 * (TAU * 4.0 * t).sin())
    }

    /// Interleaved 16-bit stereo.
    pub fn stereo(&self, frames: usize) -> Vec<i16> {
        (0..frames)
            .flat_map(|at| [(self.sample(at) * 32_000.0) as i16; 2])
            .collect()
    }
}
