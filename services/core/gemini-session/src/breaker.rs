//! When the provider is left alone for a while.
use crate::config::BreakerConfig;
use crate::types::{BreakerState, Cause};
use media_types::Tick;
use std::collections::VecDeque;
use std::time::Duration;

/// Latencies older than this count no more.
const WINDOW: Duration = Duration::from_secs(30);
/// Latencies that are kept; more are not measured in the window.
const LATENCIES_MAX: usize = 256;

/// When the provider is left alone for a while.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    since: Tick,
    failures: u32,
    latencies: VecDeque<(Tick, Duration)>,
    slow_since: Option<Tick>,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            since: Tick::default(),
            failures: 0,
            latencies: VecDeque::new(),
            slow_since: None,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    /// When it lets one through, while it is open.
    pub(crate) fn half_open_at(&self) -> Option<Tick> {
        (self.state == BreakerState::Open).then(|| self.since.after(self.config.open_for))
    }

    /// Whether a connection may be opened. An open breaker whose time is over is half open from here on.
    pub(crate) fn admit(&mut self, now: Tick) -> bool {
        if self.half_open_at().is_some_and(|at| at <= now) {
            self.state = BreakerState::HalfOpen;
            self.since = now;
        }
        self.state != BreakerState::Open
    }

    /// A failure that nobody expected. Returns whether it opened the breaker.
    pub(crate) fn fail(&mut self, now: Tick) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.failures >= self.config.failures_max,
            BreakerState::HalfOpen => true,
            BreakerState::Open => false,
        };
        if opens {
            self.trip(now);
        }
        opens
    }

    /// Opens it.
    pub(crate) fn trip(&mut self, now: Tick) {
        self.state = BreakerState::Open;
        self.since = now;
        self.latencies.clear();
        self.slow_since = None;
    }

    /// The model said something. Returns whether that closed the breaker.
    pub(crate) fn succeed(&mut self) -> bool {
        self.failures = 0;
        let closes = self.state != BreakerState::Closed;
        if closes {
            self.state = BreakerState::Closed;
        }
        closes
    }

    pub(crate) fn latency(&mut self, now: Tick, latency: Duration) {
        if self.latencies.len() >= LATENCIES_MAX {
            self.latencies.pop_front();
        }
        self.latencies.push_back((now, latency));
    }

    /// 95th percentile over the last half minute.
    pub(crate) fn latency_p95(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.latencies.iter().map(|(_, latency)| *latency).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * 95 / 100).copied()
    }

    /// Why it has to open, if it has to.
    pub(crate) fn overload(&mut self, now: Tick, in_flight: Duration) -> Option<Cause> {
        while self
            .latencies
            .front()
            .is_some_and(|(at, _)| now.since(*at) > WINDOW)
        {
            self.latencies.pop_front();
        }
        let slow = self
            .latency_p95()
            .is_some_and(|p95| p95 > self.config.latency_max);
        self.slow_since = slow.then(|| self.slow_since.unwrap_or(now));
        if self.state == BreakerState::Open {
            return None;
        }
        if in_flight > self.config.in_flight_max {
            return Some(Cause::InFlight);
        }
        self.slow_since
            .is_some_and(|since| now.since(since) >= self.config.latency_for)
            .then_some(Cause::Slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_fifth_failure_in_a_row_opens_it_and_half_a_minute_later_one_is_let_through() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for number in 1..5 {
            assert!(!breaker.fail(at(number)));
        }
        assert!(breaker.fail(at(5)));
        assert!(!breaker.admit(at(30_004)));
        assert!(breaker.admit(at(30_005)));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.fail(at(30_500)), "one failure is enough now");
        assert!(!breaker.admit(at(60_499)));
        assert!(breaker.admit(at(60_500)));
        assert!(breaker.succeed());
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(!breaker.fail(at(61_000)), "the count began anew");
    }

    #[test]
    fn a_success_between_failures_begins_the_count_anew() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for number in 1..100 {
            assert!(!breaker.fail(at(number)));
            if number % 4 == 0 {
                breaker.succeed();
            }
        }
    }

    #[test]
    fn half_a_minute_of_slow_answers_opens_it_and_less_does_not() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for second in 0..30 {
            breaker.latency(at(second * 1000), Duration::from_secs(7));
            assert_eq!(breaker.overload(at(second * 1000), Duration::ZERO), None);
        }
        assert_eq!(breaker.overload(at(30_000), Duration::ZERO), Some(Cause::Slow));
        let mut breaker = Breaker::new(BreakerConfig::default());
        for second in 0..120 {
            let slow = second % 20 == 0;
            breaker.latency(at(second * 1000), Duration::from_secs(if slow { 9 } else { 2 }));
            assert_eq!(
                breaker.overload(at(second * 1000), Duration::ZERO),
                None,
                "{second}"
            );
        }
    }

    #[test]
    fn too_much_in_flight_opens_it() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        assert_eq!(breaker.overload(at(0), Duration::from_secs(10)), None);
        let over = breaker.overload(at(0), Duration::from_millis(10_001));
        assert_eq!(over, Some(Cause::InFlight));
    }
}
