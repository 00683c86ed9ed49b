//! Where arriving audio goes: sample by sample behind the last, whatever the jitter of its time stamps, and to a new
//! place only when something is really missing.
use media_types::MediaTime;

/// Time stamps nearer than this to the running count are jitter: FLV rounds to milliseconds, and an AAC frame is
/// 21.3 ms long.
const JITTER_MAX: MediaTime = MediaTime::from_millis(60);
/// A deviation that stays above this is drift of the publisher's sample clock and is slewed away.
const DRIFT_MIN: f64 = 15.0 * 48.0;
/// Slewing ends when the deviation is below this.
const DRIFT_DONE: f64 = 2.0 * 48.0;
/// Weight of a new deviation in the running mean: about 5 s at 50 buffers a second.
const SMOOTHING: f64 = 0.004;

/// Where one buffer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioPlacement {
    /// Instant of its first frame.
    pub start: MediaTime,
    /// Frames that it is to fill: its own count, or one more or less while drift is slewed away.
    pub frames: i64,
    /// True when it does not continue the one before.
    pub jump: bool,
}

/// Counts samples of one source connection.
#[derive(Debug, Default)]
pub struct AudioAnchor {
    next: Option<MediaTime>,
    deviation: f64,
    slewing: bool,
}

impl AudioAnchor {
    /// The next buffer continues nothing.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Places a buffer of `frames` frames whose time stamp says `stamp`.
    pub fn place(&mut self, stamp: MediaTime, frames: i64) -> AudioPlacement {
        let placement = match self.next {
            Some(next) if (stamp - next).frames().abs() <= JITTER_MAX.frames() => {
                let deviation = (stamp - next).frames() as f64;
                self.deviation += SMOOTHING * (deviation - self.deviation);
                self.slewing = self.deviation.abs() > if self.slewing { DRIFT_DONE } else { DRIFT_MIN };
                let slew = if self.slewing && frames > 100 {
                    self.deviation.signum() as i64
                } else {
                    0
                };
                self.deviation -= slew as f64;
                AudioPlacement {
                    start: next,
                    frames: frames + slew,
                    jump: false,
                }
            }
            before => {
                self.deviation = 0.0;
                self.slewing = false;
                AudioPlacement {
                    start: stamp,
                    frames,
                    jump: before.is_some(),
                }
            }
        };
        self.next = Some(placement.start + MediaTime::from_frames(placement.frames));
        placement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millisecond_stamps_never_move_a_sample() {
        let mut anchor = AudioAnchor::default();
        let mut count = 0_i64;
        for _ in 0..20_000 {
            let stamp = MediaTime::from_millis((count as f64 / 48.0).round() as i64);
            let placed = anchor.place(stamp, 1024);
            assert_eq!(
                (placed.start.frames(), placed.frames, placed.jump),
                (count, 1024, false)
            );
            count += 1024;
        }
    }

    #[test]
    fn lost_audio_leaves_a_hole() {
        let mut anchor = AudioAnchor::default();
        anchor.place(MediaTime::ZERO, 1024);
        let placed = anchor.place(MediaTime::from_millis(500), 1024);
        assert_eq!(
            placed,
            AudioPlacement {
                start: MediaTime::from_millis(500),
                frames: 1024,
                jump: true
            }
        );
    }

    #[test]
    fn a_sample_clock_off_by_200_ppm_is_slewed_and_never_jumps() {
        let mut anchor = AudioAnchor::default();
        let mut worst = 0_i64;
        for index in 0..100_000_i64 {
            let stamp = MediaTime::from_frames((index as f64 * 1024.0 * 1.0002) as i64);
            let placed = anchor.place(stamp, 1024);
            assert!(!placed.jump);
            worst = worst.max((stamp - placed.start).frames().abs());
        }
        assert!(worst < 30 * 48, "{worst} frames");
    }
}
