//! When the mock answers: a pure function of the seed and the fragment's number.
//!
//! No generator state is kept anywhere, so a fragment meets the same fate in every run, whatever else is dubbed
//! at the same time and in which order.
use media_types::FragmentSeq;
use std::time::Duration;

/// What an answer that shall come after its successor waits beyond the successor's latest instant.
const BEHIND_SUCCESSOR: Duration = Duration::from_millis(20);

/// How late, how unevenly and how unreliably answers come.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// From the offer to the answer, at least.
    pub delay: Duration,
    /// Added to `delay`, evenly spread from nothing to this.
    pub jitter: Duration,
    /// Share of fragments that are never answered, 0 to 1.
    pub loss: f64,
    /// Share of answers held back until their successor has been answered, 0 to 1.
    pub reorder: f64,
    /// Fixes everything above.
    pub seed: u64,
}

/// When one answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// So long after the offer.
    After(Duration),
    /// Never.
    Never,
}

/// What a draw is for; each purpose draws from its own sequence.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Loss = 1,
    Jitter = 2,
    Reorder = 3,
}

impl Schedule {
    /// When the answer to fragment `seq`, which is `length` long, comes. Two neighbours that are both held back
    /// keep their order among themselves.
    pub fn arrival(&self, seq: FragmentSeq, length: Duration) -> Arrival {
        if self.draw(seq, Purpose::Loss) < self.loss {
            return Arrival::Never;
        }
        let jittered = self.delay + self.jitter.mul_f64(self.draw(seq, Purpose::Jitter));
        if self.draw(seq, Purpose::Reorder) < self.reorder {
            // The successor is offered one fragment later and takes `delay + jitter` at most.
            return Arrival::After(jittered + self.jitter + length + BEHIND_SUCCESSOR);
        }
        Arrival::After(jittered)
    }

    /// An even draw from [0, 1).
    fn draw(&self, seq: FragmentSeq, purpose: Purpose) -> f64 {
        let bits = splitmix64(splitmix64(self.seed ^ ((purpose as u64) << 56)) ^ seq.0);
        // The upper 53 bits: as many as a double holds.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Scrambles a number (Steele, Lea and Flood's SplitMix64 step).
const fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(2);

    fn schedule() -> Schedule {
        Schedule {
            delay: Duration::from_millis(200),
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            seed: 1,
        }
    }

    #[test]
    fn the_scrambler_is_the_published_one() {
        // First two outputs of the reference generator seeded with 1234567.
        assert_eq!(splitmix64(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(
            splitmix64(1_234_567_u64.wrapping_add(0x9e37_79b9_7f4a_7c15)),
            3_203_168_211_198_807_973
        );
    }

    #[test]
    fn the_same_seed_and_number_meet_the_same_fate() {
        let a = Schedule {
            jitter: LENGTH,
            loss: 0.3,
            reorder: 0.3,
            ..schedule()
        };
        let fates = |s: &Schedule| {
            (0..200)
                .map(|n| s.arrival(FragmentSeq(n), LENGTH))
                .collect::<Vec<_>>()
        };
        assert_eq!(fates(&a), fates(&a.clone()));
        assert_ne!(fates(&a), fates(&Schedule { seed: 2, ..a.clone() }));
    }

    #[test]
    fn the_shares_are_the_asked_ones() {
        let lossy = Schedule {
            loss: 0.25,
            ..schedule()
        };
        let lost = (0..4000)
            .filter(|n| lossy.arrival(FragmentSeq(*n), LENGTH) == Arrival::Never)
            .count();
        assert!((900..1100).contains(&lost), "{lost} of 4000");
        let none = schedule();
        assert!((0..4000).all(|n| none.arrival(FragmentSeq(n), LENGTH) == Arrival::After(none.delay)));
        let all = Schedule {
            loss: 1.0,
            ..schedule()
        };
        assert!((0..4000).all(|n| all.arrival(FragmentSeq(n), LENGTH) == Arrival::Never));
    }

    #[test]
    fn jitter_stays_between_nothing_and_its_bound() {
        let jittery = Schedule {
            jitter: Duration::from_millis(300),
            ..schedule()
        };
        for n in 0..1000 {
            let Arrival::After(wait) = jittery.arrival(FragmentSeq(n), LENGTH) else {
                unreachable!()
            };
            assert!(
                jittery.delay <= wait && wait <= jittery.delay + jittery.jitter,
                "{wait:?}"
            );
        }
    }

    #[test]
    fn a_reordered_answer_comes_after_its_successor() {
        let shuffled = Schedule {
            jitter: Duration::from_millis(300),
            reorder: 0.4,
            ..schedule()
        };
        let wait = |n| match shuffled.arrival(FragmentSeq(n), LENGTH) {
            Arrival::After(wait) => wait,
            Arrival::Never => unreachable!(),
        };
        let held = |n| wait(n) > shuffled.delay + shuffled.jitter;
        let mut seen = 0;
        for n in (0..1000).filter(|n| held(*n) && !held(*n + 1)) {
            assert!(wait(n) > LENGTH + wait(n + 1));
            seen += 1;
        }
        assert!(seen > 100, "{seen}");
    }
}
