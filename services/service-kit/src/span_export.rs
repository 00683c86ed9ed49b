//! Speaks for the exporter of spans: the SDK logs every failed batch as an error, a person wants to hear once that the
//! collector is away, and once that it is back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// At most one WARN in this time.
pub const EXPORT_WARN_PERIOD: Duration = Duration::from_secs(600);

/// An exporter whose failures are counted and mentioned rarely.
#[derive(Debug)]
pub(crate) struct WatchedExporter<E> {
    inner: E,
    endpoint: String,
    origin: Instant,
    /// Milliseconds after `origin` at which the last WARN was given, plus one; 0 while all is well.
    warned: AtomicU64,
    lost: AtomicU64,
}

impl<E> WatchedExporter<E> {
    pub(crate) fn new(inner: E, endpoint: &str) -> Self {
        Self {
            inner,
            endpoint: endpoint.to_owned(),
            origin: Instant::now(),
            warned: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    fn observe(&self, spans: u64, result: &OTelSdkResult) {
        let now = u64::try_from(self.origin.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let warned = self.warned.load(Ordering::Relaxed);
        match result {
            Ok(()) if warned == 0 => {}
            Ok(()) => {
                let spans_lost = self.lost.swap(0, Ordering::Relaxed);
                self.warned.store(0, Ordering::Relaxed);
                tracing::info!(endpoint = self.endpoint, spans_lost, "traces are exported again");
            }
            Err(error) => {
                let spans_lost = self
                    .lost
                    .fetch_add(spans, Ordering::Relaxed)
                    .saturating_add(spans);
                let is_due =
                    warned == 0 || u128::from(now.saturating_sub(warned)) > EXPORT_WARN_PERIOD.as_millis();
                if is_due {
                    self.warned.store(now, Ordering::Relaxed);
                    let error = error.to_string();
                    tracing::warn!(
                        endpoint = self.endpoint,
                        spans_lost,
                        error,
                        "traces cannot be exported"
                    );
                }
            }
        }
    }
}

impl<E: SpanExporter> SpanExporter for WatchedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.inner.export(batch).await;
        self.observe(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
