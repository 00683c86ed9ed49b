//! Numbers of providers that have connections of their own.
//!
//! What is a level and not a count belongs to one session; here it is summed up over all of them, or the worst of them
//! counts. Which session it is, its view tells.
use super::{Label, Seconds, add, counter, counters};
use gemini_session::BreakerState;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::Metrics as Registry;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Direction and modality.
type TokenLabel = [(&'static str, &'static str); 2];
type Level = Gauge<f64, AtomicU64>;

/// Levels of one session.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Its breaker.
    pub breaker: BreakerState,
    /// Source speech not yet answered.
    pub in_flight: Duration,
    /// Source not yet sent.
    pub backlog: Duration,
    /// 95th percentile of the latency.
    pub latency_p95: Option<Duration>,
    /// Connections that are open or being opened.
    pub connections: usize,
    /// Cost so far, US dollars.
    pub cost_usd: f64,
    /// Source that came so far.
    pub dubbed: Duration,
}

#[derive(Debug, Default)]
struct Sessions {
    next: u64,
    levels: BTreeMap<u64, Figures>,
}

/// All of them; clones share their values.
#[derive(Clone, Debug)]
pub struct LiveMetrics {
    sessions: Arc<Mutex<Sessions>>,
    breaker_sessions: Family<Label, Gauge>,
    in_flight_seconds: Level,
    backlog_seconds: Level,
    latency_p95_seconds: Level,
    connections_open: Gauge,
    cost_usd_per_hour: Level,
    connections: Counter,
    rotations: Counter,
    replays: Counter,
    failures: Family<Label, Counter>,
    used: Used,
}

/// What was used, and what it cost.
#[derive(Clone, Debug)]
struct Used {
    dropped_seconds: Seconds,
    tokens: Family<TokenLabel, Counter>,
    audio_seconds: Family<Label, Seconds>,
    cost_usd: Seconds,
}

impl Used {
    fn register(r: &mut Registry) -> Self {
        let new = Self {
            dropped_seconds: add(
                r,
                "provider_dropped_seconds",
                "Source that never reached the provider",
                Seconds::default(),
            ),
            tokens: add(
                r,
                "provider_tokens",
                "Tokens that the provider reported, by direction and modality",
                Family::default(),
            ),
            audio_seconds: add(
                r,
                "provider_audio_seconds",
                "Sound sent to the provider and received from it, silence included",
                Family::default(),
            ),
            cost_usd: add(
                r,
                "provider_cost_usd",
                "Cost by the price table of the settings, US dollars",
                Seconds::default(),
            ),
        };
        for direction in ["sent", "received"] {
            drop(new.audio_seconds.get_or_create(&[("direction", direction)]));
        }
        new
    }
}

/// One session's place among the levels; it leaves with it.
#[derive(Debug)]
pub struct Seat {
    metrics: LiveMetrics,
    number: u64,
}

impl LiveMetrics {
    /// Registers everything.
    pub(super) fn register(r: &mut Registry) -> Self {
        let new = Self {
            sessions: Arc::default(),
            breaker_sessions: add(
                r,
                "breaker_sessions",
                "Sessions by the state of their breaker towards the provider",
                Family::default(),
            ),
            in_flight_seconds: level(
                r,
                "in_flight_seconds",
                "Source speech that no provider has answered yet",
            ),
            backlog_seconds: level(
                r,
                "backlog_seconds",
                "Source that was not sent to the provider yet",
            ),
            latency_p95_seconds: level(
                r,
                "provider_latency_p95_seconds",
                "95th percentile of the provider's latency in half a minute, of the slowest session",
            ),
            connections_open: add(
                r,
                "provider_connections_open",
                "Connections to the provider that are open or being opened",
                Gauge::default(),
            ),
            cost_usd_per_hour: level(
                r,
                "provider_cost_usd_per_hour",
                "Cost of a dubbed hour by the price table of the settings, US dollars: mean of the open sessions",
            ),
            connections: counter(
                r,
                "provider_connections",
                "Connections to the provider that were opened",
            ),
            rotations: counter(
                r,
                "provider_rotations",
                "Times that the source went to the next connection",
            ),
            replays: counter(r, "provider_replays", "Times that source was sent again"),
            failures: counters(r, "provider_failures", "Connections that failed, by cause"),
            used: Used::register(r),
        };
        for state in ["closed", "half_open", "open"] {
            drop(new.breaker_sessions.get_or_create(&[("state", state)]));
        }
        new
    }

    /// A session that has levels from now on.
    pub fn seat(&self) -> Seat {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.next += 1;
        Seat {
            metrics: self.clone(),
            number: sessions.next,
        }
    }

    /// A connection failed.
    pub fn failed(&self, cause: &'static str) {
        self.failures.get_or_create(&[("cause", cause)]).inc();
    }

    /// Connections were opened.
    pub fn connected(&self, count: u64) {
        self.connections.inc_by(count);
    }

    /// The source went to the next connection.
    pub fn rotated(&self, count: u64) {
        self.rotations.inc_by(count);
    }

    /// Source was sent again.
    pub fn replayed(&self, count: u64) {
        self.replays.inc_by(count);
    }

    /// Source never reached the provider.
    pub fn dropped(&self, length: Duration) {
        self.used.dropped_seconds.inc_by(length.as_secs_f64());
    }

    /// The provider reported tokens.
    pub fn tokens(&self, direction: &'static str, modality: &'static str, count: u64) {
        self.used
            .tokens
            .get_or_create(&[("direction", direction), ("modality", modality)])
            .inc_by(count);
    }

    /// Sound went both ways.
    pub fn sound(&self, sent: Duration, received: Duration) {
        for (direction, length) in [("sent", sent), ("received", received)] {
            self.used
                .audio_seconds
                .get_or_create(&[("direction", direction)])
                .inc_by(length.as_secs_f64());
        }
    }

    /// It cost more.
    pub fn cost(&self, usd: f64) {
        self.used.cost_usd.inc_by(usd);
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u64, Figures>)) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sessions.levels);
        let all = || sessions.levels.values();
        for (state, word) in [
            (BreakerState::Closed, "closed"),
            (BreakerState::HalfOpen, "half_open"),
            (BreakerState::Open, "open"),
        ] {
            let count = all().filter(|figures| figures.breaker == state).count();
            self.breaker_sessions
                .get_or_create(&[("state", word)])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let sum = |of: fn(&Figures) -> Duration| all().map(of).sum::<Duration>().as_secs_f64();
        self.in_flight_seconds.set(sum(|figures| figures.in_flight));
        self.backlog_seconds.set(sum(|figures| figures.backlog));
        let slowest = all().filter_map(|figures| figures.latency_p95).max();
        self.latency_p95_seconds
            .set(slowest.unwrap_or_default().as_secs_f64());
        let hours = sum(|figures| figures.dubbed) / 3600.0;
        let cost: f64 = all().map(|figures| figures.cost_usd).sum();
        self.cost_usd_per_hour
            .set(if hours > 0.0 { cost / hours } else { 0.0 });
        let connections = all().map(|figures| figures.connections).sum::<usize>();
        self.connections_open
            .set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}

impl Seat {
    /// The levels of this session now.
    pub fn show(&self, figures: Figures) {
        self.metrics.change(|levels| {
            levels.insert(self.number, figures);
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.change(|levels| {
            levels.remove(&self.number);
        });
    }
}

fn level(registry: &mut Registry, name: &str, help: &str) -> Level {
    add(registry, name, help, Level::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(breaker: BreakerState, millis: u64) -> Figures {
        let time = Duration::from_millis(millis);
        Figures {
            breaker,
            in_flight: time,
            backlog: time,
            latency_p95: Some(time),
            connections: 2,
            cost_usd: 0.01,
            dubbed: time,
        }
    }

    #[test]
    fn levels_are_those_of_all_sessions_and_go_with_them() {
        let live = LiveMetrics::register(&mut Registry::default());
        let (first, second) = (live.seat(), live.seat());
        first.show(figures(BreakerState::Closed, 1500));
        second.show(figures(BreakerState::Open, 250));
        let open = || live.breaker_sessions.get_or_create(&[("state", "open")]).get();
        let seen = || {
            (
                open(),
                live.in_flight_seconds.get(),
                live.latency_p95_seconds.get(),
            )
        };
        assert_eq!(seen(), (1, 1.75, 1.5));
        // Two cents for 1.75 s of source.
        assert!((live.cost_usd_per_hour.get() - 0.02 * 3600.0 / 1.75).abs() < 1e-9);
        drop(first);
        assert_eq!(seen(), (1, 0.25, 0.25));
        second.show(figures(BreakerState::HalfOpen, 500));
        assert_eq!(seen(), (0, 0.5, 0.5));
        drop(second);
        assert_eq!((seen(), live.connections_open.get()), ((0, 0.0, 0.0), 0));
    }
}
