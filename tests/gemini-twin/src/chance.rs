//! Chance that comes out the same in every run: a pure function of the seed, a purpose and a number.

/// A source of draws.
#[derive(Debug, Clone, Copy)]
pub struct Chance {
    seed: u64,
}

impl Chance {
    /// Draws of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// An even draw in `[0, 1)`.
    pub fn even(&self, purpose: &str, number: u64) -> f64 {
        let mut state = self.seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in purpose.bytes().chain(number.to_le_bytes()) {
            state = mix(state ^ u64::from(byte));
        }
        (mix(state) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A draw in `[-1, 1]` that is rarely far out: the mean of three.
    pub fn around(&self, purpose: &str, number: u64) -> f64 {
        let sum: f64 = (0..3)
            .map(|turn| self.even(purpose, number.wrapping_mul(3).wrapping_add(turn)))
            .sum();
        sum / 1.5 - 1.0
    }
}

/// One step of splitmix64.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
