//! The one clock of a process: monotonic, with a wall-clock view for people.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic nanoseconds since the clock was made, and what the wall clock said then.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_wall: SystemTime,
}

impl Clock {
    /// Starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            origin_wall: SystemTime::now(),
        }
    }

    /// Nanoseconds since the origin; never goes back.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The wall-clock time of a reading of [`Clock::now`]. Steps of the system clock after the origin do not show.
    #[must_use]
    pub fn wall(&self, nanos: u64) -> SystemTime {
        self.origin_wall + Duration::from_nanos(nanos)
    }

    /// The `Instant` of a reading, for `tokio::time::sleep_until`.
    #[must_use]
    pub fn instant(&self, nanos: u64) -> Instant {
        self.origin + Duration::from_nanos(nanos)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_never_goes_back_and_the_wall_view_advances_with_it() {
        let clock = Clock::new();
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        let second = clock.now();
        assert!(second > first);
        assert_eq!(
            clock
                .wall(second)
                .duration_since(clock.wall(first))
                .unwrap()
                .as_nanos(),
            u128::from(second - first)
        );
    }
}
