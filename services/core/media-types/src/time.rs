//! Media time and scheduling time. Two types, because one can be compared with the other only by mistake.
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Rate of the internal PCM, in frames per second, and the tick rate of the run's timeline.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A position on a media timeline, in frames of 1/48000 s. Exact for audio; a video time stamp in milliseconds
/// is exact too (48 frames each).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// From a count of 48 kHz frames.
    pub const fn from_frames(frames: i64) -> Self {
        Self(frames)
    }

    /// From nanoseconds, to the nearest frame.
    pub fn from_nanos(nanos: i64) -> Self {
        let scaled = i128::from(nanos) * i128::from(SAMPLE_RATE_HZ);
        let half = NANOS_PER_SECOND / 2;
        Self(i64::try_from((scaled + half).div_euclid(NANOS_PER_SECOND)).unwrap_or(i64::MAX))
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(48))
    }

    /// From a length of time, to the nearest frame.
    pub fn from_duration(duration: Duration) -> Self {
        Self::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    /// From `ticks / rate` seconds, to the nearest frame; `None` for a zero rate or an instant out of reach.
    pub fn from_ticks(ticks: i64, rate: u32) -> Option<Self> {
        if rate == 0 {
            return None;
        }
        let scaled = i128::from(ticks) * i128::from(SAMPLE_RATE_HZ);
        let rate = i128::from(rate);
        i64::try_from((scaled + rate / 2).div_euclid(rate)).ok().map(Self)
    }

    /// Count of 48 kHz frames.
    pub const fn frames(self) -> i64 {
        self.0
    }

    /// Nanoseconds, rounded down.
    pub fn nanos(self) -> i64 {
        i64::try_from(i128::from(self.0) * NANOS_PER_SECOND / i128::from(SAMPLE_RATE_HZ)).unwrap_or(i64::MAX)
    }

    /// Milliseconds, to the nearest.
    pub const fn millis(self) -> i64 {
        self.0.saturating_add(24).div_euclid(48)
    }

    /// Milliseconds with their fraction.
    pub fn millis_f64(self) -> f64 {
        self.0 as f64 / 48.0
    }

    /// As a length; nothing for a negative one.
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos()).unwrap_or(0))
    }
}

impl std::ops::Add for MediaTime {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl std::ops::Sub for MediaTime {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

/// A half-open range of media time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MediaRange {
    /// First instant inside.
    pub start: MediaTime,
    /// First instant behind.
    pub end: MediaTime,
}

impl MediaRange {
    /// A range; an end before the start counts as an empty range at the start.
    pub fn new(start: MediaTime, end: MediaTime) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// Length.
    pub fn length(self) -> MediaTime {
        self.end - self.start
    }

    /// Whether nothing is inside.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether an instant is inside.
    pub fn contains(self, at: MediaTime) -> bool {
        self.start <= at && at < self.end
    }

    /// What both ranges share, if anything.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }
}

/// A scheduling instant of our own monotonic clock: nanoseconds since the process took its origin. Pure code
/// gets it as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// From nanoseconds since the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The later instant, `duration` from here.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The earlier instant, `duration` before this one; the origin at the earliest.
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_time_stamp_survives_both_ways() {
        for millis in [-40, 0, 1, 21, 33, 86_400_000] {
            assert_eq!(MediaTime::from_millis(millis).millis(), millis);
            assert_eq!(
                MediaTime::from_nanos(millis * 1_000_000),
                MediaTime::from_millis(millis)
            );
        }
    }

    #[test]
    fn a_zero_rate_is_no_time() {
        assert_eq!(MediaTime::from_ticks(1, 0), None);
        assert_eq!(
            MediaTime::from_ticks(90_000, 90_000),
            Some(MediaTime::from_millis(1000))
        );
    }

    #[test]
    fn ranges_are_half_open() {
        let a = MediaRange::new(MediaTime::from_millis(0), MediaTime::from_millis(10));
        let b = MediaRange::new(MediaTime::from_millis(10), MediaTime::from_millis(20));
        assert_eq!(a.intersection(b), None);
        assert!(!a.contains(MediaTime::from_millis(10)));
        assert!(MediaRange::new(b.end, b.start).is_empty());
    }
}
