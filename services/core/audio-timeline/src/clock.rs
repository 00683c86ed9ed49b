//! The run's timeline against our own clock and against the source's.
use media_types::{MediaTime, Tick};
use std::time::Duration;

/// Time in which the earliest arrival is looked for before the pace is corrected.
const WINDOW: Duration = Duration::from_secs(10);
/// Largest correction per window: 1000 ppm, an order above what crystals are off.
const CORRECTION_MAX: MediaTime = MediaTime::from_millis(10);
/// Earliest arrivals that stay within this bound are jitter, not drift.
const TOLERANCE: MediaTime = MediaTime::from_millis(4);

/// Run time as a function of our own clock. It starts at the first media and never stops: an outage of the source
/// is a hole in the run, not a pause.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    anchor: Tick,
    anchor_run: MediaTime,
    hold: MediaTime,
    window_start: Tick,
    earliest: Option<MediaTime>,
}

impl RunClock {
    /// Starts the run: `at` on the run's timeline arrives `now`.
    pub fn start(now: Tick, at: MediaTime, hold: Duration) -> Self {
        Self {
            anchor: now,
            anchor_run: at,
            hold: MediaTime::from_duration(hold),
            window_start: now,
            earliest: None,
        }
    }

    /// Run time that arrives now.
    pub fn arrival(&self, now: Tick) -> MediaTime {
        self.anchor_run + MediaTime::from_duration(now.since(self.anchor))
    }

    /// Run time that leaves the hold now.
    pub fn playhead(&self, now: Tick) -> MediaTime {
        self.arrival(now) - self.hold
    }

    /// How much is held.
    pub fn hold(&self) -> MediaTime {
        self.hold
    }

    /// Something that belongs at `at` (decoding time) has arrived. The clocks of publisher and worker drift apart;
    /// the pace of release follows the earliest arrivals of each window, slowly, and no time stamp is touched.
    pub fn arrived(&mut self, now: Tick, at: MediaTime) {
        let lateness = self.arrival(now) - at;
        self.earliest = Some(self.earliest.map_or(lateness, |earliest| earliest.min(lateness)));
        if now.since(self.window_start) < WINDOW {
            return;
        }
        self.window_start = now;
        if let Some(earliest) = self.earliest.take()
            && (earliest > TOLERANCE || earliest < MediaTime::ZERO - TOLERANCE)
        {
            let correction = earliest.clamp(MediaTime::ZERO - CORRECTION_MAX, CORRECTION_MAX);
            self.anchor_run = self.anchor_run - correction;
        }
    }

    /// A new source connection starts: what the old one left in the window says nothing about it.
    pub fn forget_window(&mut self, now: Tick) {
        self.window_start = now;
        self.earliest = None;
    }
}

/// One offset for video and audio of one source connection. A whole number of milliseconds, so that time stamps of
/// RTMP survive exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceMap {
    offset: MediaTime,
}

impl SourceMap {
    /// The source's `first_ns` is to lie at `at` or up to a millisecond later.
    pub fn anchor(first_ns: i64, at: MediaTime) -> Self {
        let exact = at - MediaTime::from_nanos(first_ns);
        let frames_per_ms = MediaTime::from_millis(1).frames();
        let up = exact
            .frames()
            .saturating_add(frames_per_ms - 1)
            .div_euclid(frames_per_ms);
        Self {
            offset: MediaTime::from_millis(up),
        }
    }

    /// From the source's clock to the run's.
    pub fn to_run(self, source_ns: i64) -> MediaTime {
        MediaTime::from_nanos(source_ns) + self.offset
    }

    /// Source time stamp that lies at instant 0 of the run.
    pub fn source_origin(self) -> MediaTime {
        MediaTime::ZERO - self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn the_playhead_trails_arrival_by_the_hold() {
        let clock = RunClock::start(tick(500), MediaTime::ZERO, Duration::from_secs(10));
        assert_eq!(clock.arrival(tick(1500)), MediaTime::from_millis(1000));
        assert_eq!(clock.playhead(tick(1500)), MediaTime::from_millis(-9000));
    }

    #[test]
    fn a_slow_publisher_is_followed_and_jitter_is_not() {
        // 300 ppm slow: after each second of ours it has sent 0.9997 s.
        let mut clock = RunClock::start(tick(0), MediaTime::ZERO, Duration::ZERO);
        for ms in (0..600_000_u64).step_by(20) {
            let sent = MediaTime::from_nanos((ms as f64 * 1e6 * 0.9997) as i64);
            let jitter = (ms * 7919) % 60;
            clock.arrived(tick(ms + jitter), sent);
        }
        let lateness =
            clock.arrival(tick(600_000)) - MediaTime::from_nanos((600_000.0 * 1e6 * 0.9997) as i64);
        assert!(lateness.millis().abs() <= 10, "{} ms", lateness.millis());
    }

    #[test]
    fn a_millisecond_stamp_stays_a_whole_millisecond() {
        let map = SourceMap::anchor(1_234_000_000, MediaTime::from_frames(100));
        for ms in [0_i64, 21, 43, 64, 33, 67] {
            let run = map.to_run((1_234 + ms) * 1_000_000);
            assert_eq!(run.frames() % 48, 0);
        }
        assert!(map.to_run(1_234_000_000) >= MediaTime::from_frames(100));
    }
}
