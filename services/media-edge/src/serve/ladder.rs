//! The stop ladder: each rung has a deadline, and the way is only down.

use crate::link::lines::StopMode;
use std::time::Duration;
use tokio::time::Instant;

/// How long each rung may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Past the hold, for a drain.
    pub drain_margin: Duration,
    /// From the order to stop now to SIGTERM.
    pub now: Duration,
    /// From SIGTERM to SIGKILL.
    pub terminate: Duration,
}

impl Limits {
    /// Limits that let a worker be gone within `total`, with a share left for reaping it: 3 s and 2 s of 8 s.
    pub fn within(total: Duration) -> Self {
        Self {
            drain_margin: Duration::from_secs(10),
            now: total * 3 / 8,
            terminate: total / 4,
        }
    }
}

/// Where a stop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Draining,
    Stopping,
    Terminating,
    Killed,
}

/// What to do when a rung is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this order.
    Order(StopMode),
    /// Send SIGTERM.
    Terminate,
    /// Send SIGKILL to the whole process group.
    Kill,
}

/// A stop under way.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    limits: Limits,
    rung: Rung,
    deadline: Option<Instant>,
}

impl Ladder {
    /// Begins a stop; the step is to be taken at once.
    pub fn begin(mode: StopMode, hold: Duration, limits: Limits, now: Instant) -> (Self, Step) {
        let (rung, length) = match mode {
            StopMode::Drain => (Rung::Draining, hold + limits.drain_margin),
            StopMode::Now => (Rung::Stopping, limits.now),
        };
        (
            Self {
                limits,
                rung,
                deadline: Some(now + length),
            },
            Step::Order(mode),
        )
    }

    /// When the next rung is due; nothing on the last.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Someone is in more of a hurry; nothing when the stop is that far already.
    pub fn hurry(&mut self, now: Instant) -> Option<Step> {
        (self.rung == Rung::Draining).then(|| self.descend(now))
    }

    /// The deadline has passed.
    pub fn descend(&mut self, now: Instant) -> Step {
        let (rung, length, step) = match self.rung {
            Rung::Draining => (Rung::Stopping, Some(self.limits.now), Step::Order(StopMode::Now)),
            Rung::Stopping => (Rung::Terminating, Some(self.limits.terminate), Step::Terminate),
            Rung::Terminating | Rung::Killed => (Rung::Killed, None, Step::Kill),
        };
        self.rung = rung;
        self.deadline = length.map(|length| now + length);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_only_down() {
        let start = Instant::now();
        let limits = Limits::within(Duration::from_secs(8));
        let (mut ladder, first) = Ladder::begin(StopMode::Drain, Duration::from_secs(10), limits, start);
        assert_eq!(first, Step::Order(StopMode::Drain));
        assert_eq!(ladder.deadline(), Some(start + Duration::from_secs(20)));
        assert_eq!(ladder.descend(start), Step::Order(StopMode::Now));
        assert_eq!(ladder.deadline(), Some(start + Duration::from_secs(3)));
        assert_eq!(ladder.descend(start), Step::Terminate);
        assert_eq!(ladder.deadline(), Some(start + Duration::from_secs(2)));
        assert_eq!(ladder.descend(start), Step::Kill);
        assert_eq!(ladder.deadline(), None);
    }

    #[test]
    fn only_a_drain_can_be_hurried() {
        let start = Instant::now();
        let limits = Limits::within(Duration::from_secs(8));
        let (mut ladder, _) = Ladder::begin(StopMode::Drain, Duration::ZERO, limits, start);
        assert_eq!(ladder.hurry(start), Some(Step::Order(StopMode::Now)));
        assert_eq!(ladder.hurry(start), None);
        let (mut ladder, first) = Ladder::begin(StopMode::Now, Duration::ZERO, limits, start);
        assert_eq!((first, ladder.hurry(start)), (Step::Order(StopMode::Now), None));
    }
}
