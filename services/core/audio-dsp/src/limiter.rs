//! Keeps the sum of original and dub inside 16 bit without an audible edge.

/// Ceiling: -0.3 dBFS, so that an encoder's ripple does not clip.
const CEILING: f32 = 0.966;
/// Gain comes back at this share of the missing part per frame: 63 % in 50 ms.
const RELEASE: f32 = 1.0 / 2400.0;

/// A peak limiter. While nothing is too loud it changes no bit.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Gain for a frame whose larger sample has this magnitude, 1.0 being full scale.
    pub fn frame(&mut self, peak: f32) -> f32 {
        self.gain += (1.0 - self.gain) * RELEASE;
        if self.gain > 0.9999 {
            self.gain = 1.0;
        }
        if peak * self.gain > CEILING {
            self.gain = CEILING / peak;
        }
        self.gain
    }

    /// Whether it is working.
    pub fn active(&self) -> bool {
        self.gain < 1.0
    }
}
