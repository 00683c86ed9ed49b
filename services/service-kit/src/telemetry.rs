//! Logs and traces.

use crate::settings::{Reader, Setting};

/// STUB
pub const TELEMETRY_SETTINGS: &[Setting] = &[];

/// Validated settings of logs and traces.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {}

impl TelemetryConfig {
    /// Reads.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let _ = reader;
        Self {}
    }
}

/// Who speaks: on every log line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The program or its role.
    pub service: &'static str,
    /// This process.
    pub instance_id: String,
    /// The stream, where the process serves one.
    pub stream_id: Option<String>,
    /// The run, where the process serves one.
    pub run_id: Option<String>,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error, for a program whose standard output has a meaning.
    Stderr,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Log.
    #[error("log file: {0}")]
    LogFile(#[from] std::io::Error),
}

/// Running telemetry.
pub struct Telemetry {}

/// Starts logs and traces.
///
/// # Errors
/// STUB
pub fn init(config: &TelemetryConfig, id: &Identity, log_to: LogStream) -> Result<Telemetry, Error> {
    let _ = (config, id, log_to);
    Ok(Telemetry {})
}

impl Telemetry {
    /// Flushes.
    pub async fn shutdown(self) {}
}

/// Writes out what is queued.
pub fn flush_logs() {}

pub(crate) fn service_name() -> String {
    String::new()
}

/// Trace context as plain strings.
pub mod trace {
    use opentelemetry::Context;

    /// W3C trace context.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct TraceContext {
        /// `traceparent`.
        pub traceparent: String,
        /// `tracestate`.
        pub tracestate: String,
    }

    /// STUB
    #[must_use]
    pub fn inject(context: &Context) -> TraceContext {
        let _ = context;
        TraceContext::default()
    }

    /// STUB
    #[must_use]
    pub fn extract(trace: &TraceContext) -> Context {
        let _ = trace;
        Context::new()
    }

    /// STUB
    #[must_use]
    pub fn tracer() -> opentelemetry::global::BoxedTracer {
        opentelemetry::global::tracer("dub")
    }
}
