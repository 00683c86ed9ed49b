//! How often and how soon a worker is restarted.
use crate::Policy;
use media_types::Tick;
use std::{collections::VecDeque, time::Duration};

/// Restarts within the window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    at: VecDeque<Tick>,
}

impl Restarts {
    /// Takes one restart from the budget: the wait before it, or nothing when the budget is spent.
    pub(crate) fn take(&mut self, now: Tick, policy: &Policy) -> Option<Duration> {
        while self
            .at
            .front()
            .is_some_and(|first| now.since(*first) >= policy.restart_window)
        {
            self.at.pop_front();
        }
        if self.at.len() >= policy.restarts_max {
            return None;
        }
        let wait = match u32::try_from(self.at.len()).unwrap_or(u32::MAX) {
            0 => Duration::ZERO,
            before => policy
                .backoff_min
                .saturating_mul(2_u32.saturating_pow(before.saturating_sub(1)))
                .min(policy.backoff_max),
        };
        self.at.push_back(now);
        Some(wait)
    }

    /// Gives the whole budget back.
    pub(crate) fn clear(&mut self) {
        self.at.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_each_later_one_waits_longer_up_to_the_cap() {
        let policy = Policy {
            restarts_max: 9,
            backoff_max: Duration::from_secs(5),
            ..Policy::default()
        };
        let mut restarts = Restarts::default();
        let waits: Vec<u128> = (0..7)
            .map(|_| restarts.take(Tick::from_nanos(1), &policy).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [0, 500, 1000, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn the_budget_comes_back_as_the_window_moves() {
        let policy = Policy {
            restarts_max: 2,
            ..Policy::default()
        };
        let mut restarts = Restarts::default();
        let start = Tick::default();
        assert!(restarts.take(start, &policy).is_some());
        assert!(
            restarts
                .take(start.after(Duration::from_secs(1)), &policy)
                .is_some()
        );
        assert!(
            restarts
                .take(start.after(Duration::from_secs(2)), &policy)
                .is_none()
        );
        assert!(
            restarts
                .take(start.after(policy.restart_window), &policy)
                .is_some()
        );
    }
}
