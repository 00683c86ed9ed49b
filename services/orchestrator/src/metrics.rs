//! What is counted.
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of a hook event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HookLabels {
    /// `ready` or `not-ready`.
    pub event: String,
    /// `accepted`, or the error code in lower case.
    pub outcome: String,
}

/// Handles to every counter and gauge; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Streams whose worker is starting, running or stopping.
    pub active_workers: Gauge,
    /// Streams whose worker failed too often.
    pub degraded_streams: Gauge,
    /// Ordered starts, restarts included.
    pub worker_starts: Counter,
    /// Ordered starts after the first of a run.
    pub worker_restarts: Counter,
    /// Ordered stops.
    pub worker_stops: Counter,
    /// Workers that went unasked, and starts that were refused.
    pub worker_failures: Counter,
    /// Hook events.
    pub hook_events: Family<HookLabels, Counter>,
    /// Settings of a query that were ignored.
    pub settings_rejected: Counter,
    /// Tries to write state that failed.
    pub state_write_failures: Counter,
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            active_workers,
            degraded_streams,
            worker_starts,
            worker_restarts,
            worker_stops,
            worker_failures,
            hook_events,
            settings_rejected,
            state_write_failures,
        } = metrics.clone();
        let registry = registry.sub_registry_with_prefix("orchestrator");
        registry.register(
            "active_workers",
            "Streams whose worker is starting, running or stopping",
            active_workers,
        );
        registry.register(
            "degraded_streams",
            "Streams whose worker failed too often",
            degraded_streams,
        );
        registry.register(
            "worker_starts",
            "Ordered starts of workers, restarts included",
            worker_starts,
        );
        registry.register(
            "worker_restarts",
            "Ordered starts after the first of a run",
            worker_restarts,
        );
        registry.register("worker_stops", "Ordered stops of workers", worker_stops);
        registry.register(
            "worker_failures",
            "Workers that went unasked and starts that were refused",
            worker_failures,
        );
        registry.register("hook_events", "Events of MediaMTX's hooks", hook_events);
        registry.register(
            "settings_rejected",
            "Settings of a query that were ignored",
            settings_rejected,
        );
        registry.register(
            "state_write_failures",
            "Tries to write ORCH_STATE_DIR that failed",
            state_write_failures,
        );
        metrics
    }
}
