//! Logs and traces of a process.
//!
//! * Lines go through a bounded queue to one thread that writes to the stream and to the file, so that a full pipe or
//!   disk never holds up the work. What the queue cannot take is dropped, and counted ([`dropped_log_lines`]).
//! * Traces leave by OTLP when an endpoint is set. A collector that is away costs spans and at most one WARN in
//!   [`EXPORT_WARN_PERIOD`], nothing else.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::log_file::{Bounds, LogFile};
use crate::log_line::{LineFormat, LogFormat};
use crate::log_sink::LogSink;
use crate::settings::{Reader, Setting};
use crate::span_export::WatchedExporter;

pub use crate::span_export::EXPORT_WARN_PERIOD;

const LOG_FORMAT: Setting = Setting {
    key: "LOG_FORMAT",
    default: "json",
    allowed: "json|text",
    help: "How a log line looks",
};
const LOG_LEVEL: Setting = Setting {
    key: "LOG_LEVEL",
    default: "info",
    allowed: "debug|info|warn|error",
    help: "Least level that is logged",
};
const LOG_STDOUT: Setting = Setting {
    key: "LOG_STDOUT",
    default: "true",
    allowed: "true|false",
    help: "Whether lines go to the standard stream; false needs LOG_DIR",
};
const LOG_DIR: Setting = Setting {
    key: "LOG_DIR",
    default: "",
    allowed: "a writable directory",
    help: "Directory of log files named with service, run and instance; empty for none",
};
const LOG_FILE_BYTES_MAX: Setting = Setting {
    key: "LOG_FILE_BYTES_MAX",
    default: "16777216",
    allowed: "1024..1073741824",
    help: "Bytes after which a log file is rotated",
};
const LOG_FILES_MAX: Setting = Setting {
    key: "LOG_FILES_MAX",
    default: "20",
    allowed: "1..10000",
    help: "Log files of one service that are kept; those in use always stay",
};
const LOG_FILE_AGE_MAX: Setting = Setting {
    key: "LOG_FILE_AGE_MAX",
    default: "168h",
    allowed: "1m..8760h",
    help: "Age after which a log file is removed",
};
const OTLP_ENDPOINT: Setting = Setting {
    key: "OTEL_EXPORTER_OTLP_ENDPOINT",
    default: "",
    allowed: "http://HOST:PORT",
    help: "OTLP/gRPC collector that gets the traces; empty for none",
};
const OTEL_SDK_DISABLED: Setting = Setting {
    key: "OTEL_SDK_DISABLED",
    default: "false",
    allowed: "true|false",
    help: "Turns tracing off altogether",
};

/// The settings of every program that logs.
pub const TELEMETRY_SETTINGS: &[Setting] = &[
    LOG_FORMAT,
    LOG_LEVEL,
    LOG_STDOUT,
    LOG_DIR,
    LOG_FILE_BYTES_MAX,
    LOG_FILES_MAX,
    LOG_FILE_AGE_MAX,
    OTLP_ENDPOINT,
    OTEL_SDK_DISABLED,
];

/// Lines that wait for the writing thread: a burst of two minutes at a hundred lines a second. A full queue means
/// that stream or disk stand still; new lines are dropped then.
const QUEUED_LINES_MAX: usize = 12_000;

/// Longest wait for the last spans.
const FLUSH_SPANS_MAX: Duration = Duration::from_secs(2);

/// Longest wait for one batch of spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

static SERVICE: OnceLock<&'static str> = OnceLock::new();
static WRITER: OnceLock<(ErrorCounter, Mutex<Option<WorkerGuard>>)> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LogLevel(LevelFilter);

impl std::str::FromStr for LogLevel {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(Self(match word {
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            _ => return Err("is not a log level"),
        }))
    }
}

/// Validated settings of logs and traces.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    format: LogFormat,
    level: LogLevel,
    to_stream: bool,
    directory: Option<PathBuf>,
    bounds: Bounds,
    otlp_endpoint: Option<String>,
    traces: bool,
}

impl TelemetryConfig {
    /// Reads [`TELEMETRY_SETTINGS`].
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let minute = Duration::from_secs(60);
        let config = Self {
            format: reader.word(&LOG_FORMAT),
            level: reader.word(&LOG_LEVEL),
            to_stream: reader.flag(&LOG_STDOUT),
            directory: reader.directory(&LOG_DIR),
            bounds: Bounds {
                bytes_max: reader.number(&LOG_FILE_BYTES_MAX, 1024..=1 << 30),
                files_max: reader.number(&LOG_FILES_MAX, 1..=10_000),
                age_max: reader.duration(&LOG_FILE_AGE_MAX, minute..=minute * 60 * 8760),
            },
            otlp_endpoint: Some(reader.url(&OTLP_ENDPOINT, &["http"])).filter(|url| !url.is_empty()),
            traces: !reader.flag(&OTEL_SDK_DISABLED),
        };
        if !config.to_stream && config.directory.is_none() {
            reader.reject(
                &LOG_STDOUT,
                "false",
                "leaves no place for the log, because LOG_DIR is unset",
            );
        }
        config
    }
}

/// Who speaks: on every log line and, as the resource, on every span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The program or its role.
    pub service: &'static str,
    /// This process.
    pub instance_id: String,
    /// The stream, where the process serves one only.
    pub stream_id: Option<String>,
    /// The run, where the process serves one only.
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

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file cannot be opened.
    #[error("LOG_DIR: the log file cannot be opened: {0}")]
    LogFile(#[from] std::io::Error),
    /// The exporter of spans cannot be built.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A process has one telemetry.
    #[error("telemetry runs already in this process")]
    AlreadyRunning,
}

/// Running telemetry. Ends with [`Telemetry::shutdown`]; when only dropped, queued lines are written and spans lost.
#[must_use = "dropping it ends the log"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logs and traces for the whole process. Call inside a tokio runtime.
///
/// # Errors
/// When the log file or the exporter cannot be opened, or when telemetry runs already.
pub fn init(config: &TelemetryConfig, id: &Identity, log_to: LogStream) -> Result<Telemetry, Error> {
    let format = LineFormat::new(config.format, id);
    let file = match &config.directory {
        Some(directory) => Some(LogFile::open(directory, id, config.bounds)?),
        None => None,
    };
    let file_path = file.as_ref().map(LogFile::path);
    let provider = if config.traces {
        Some(tracer_provider(config, id)?)
    } else {
        None
    };
    let sink = LogSink::new(config.to_stream.then_some(log_to), file, format.clone());
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES_MAX)
        .thread_name("log-writer")
        .finish(sink);
    let dropped = writer.error_counter();

    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(id.service))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(span_filter())
    });
    let events = event_filter(config.level.0);
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(format)
        .with_writer(writer)
        .with_filter(
            // Spans pass whatever LOG_LEVEL says, or a WARN line would lose the stream it belongs to.
            filter_fn(move |meta| {
                if meta.is_span() {
                    span_filter_enables(meta)
                } else {
                    events.would_enable(meta.target(), meta.level())
                }
            })
            .with_max_level_hint(config.level.0.max(LevelFilter::INFO)),
        );
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans).with(lines))
        .map_err(|_| Error::AlreadyRunning)?;

    let _ = SERVICE.set(id.service);
    let _ = WRITER.set((dropped, Mutex::new(Some(guard))));
    global::set_text_map_propagator(TraceContextPropagator::new());
    if let Some(provider) = &provider {
        global::set_tracer_provider(provider.clone());
    }
    log_panics();
    if let Some(path) = file_path {
        tracing::info!(file = %path.display(), "log file opened");
    }
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Sends the last spans and writes the last lines, within two seconds each.
    pub async fn shutdown(mut self) {
        if let Some(provider) = self.provider.take() {
            // On a current-thread runtime a direct call would wait for itself.
            let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_SPANS_MAX));
            // Spans that cannot be sent are the exporter's to report, and it has.
            let _ = tokio::time::timeout(FLUSH_SPANS_MAX, ended).await;
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        flush_logs();
    }
}

/// Writes out what is queued and ends the log. For the last moment before the process ends.
pub fn flush_logs() {
    if let Some((_, guard)) = WRITER.get()
        && let Ok(mut guard) = guard.try_lock()
    {
        drop(guard.take());
    }
}

/// Lines lost because the stream or the disk stood still.
#[must_use]
pub fn dropped_log_lines() -> u64 {
    WRITER.get().map_or(0, |(dropped, _)| {
        u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX)
    })
}

/// The service that [`init`] named, or the name of the binary.
pub(crate) fn service_name() -> String {
    match SERVICE.get() {
        Some(service) => (*service).to_owned(),
        None => std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .unwrap_or_default(),
    }
}

/// Libraries that open spans or log for themselves; without this filter two unary calls export 300 spans of h2.
const LIBRARIES: [&str; 10] = [
    "h2",
    "hyper",
    "hyper_util",
    "tonic",
    "tower",
    "axum",
    "reqwest",
    "rustls",
    "want",
    "mio",
];

fn span_filter() -> Targets {
    let ours = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("opentelemetry", LevelFilter::OFF);
    LIBRARIES.iter().fold(ours, |targets, library| {
        targets.with_target(*library, LevelFilter::OFF)
    })
}

fn span_filter_enables(meta: &tracing::Metadata<'_>) -> bool {
    *meta.level() <= tracing::Level::INFO
        && !LIBRARIES.iter().any(|library| meta.target().starts_with(library))
}

/// Our lines from `level` on, the libraries' from WARN on, the tracing SDK's never: [`WatchedExporter`] speaks for it.
fn event_filter(level: LevelFilter) -> Targets {
    let ours = Targets::new()
        .with_default(level)
        .with_target("opentelemetry", LevelFilter::OFF);
    LIBRARIES.iter().fold(ours, |targets, library| {
        targets.with_target(*library, level.min(LevelFilter::WARN))
    })
}

/// A provider also without an endpoint: ids on the log lines join the services' logs all the same.
fn tracer_provider(config: &TelemetryConfig, id: &Identity) -> Result<SdkTracerProvider, Error> {
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", id.instance_id.clone()),
    ]);
    // `with_service_name` would win over the standard variable, so it stands in only where that is unset.
    if std::env::var_os("OTEL_SERVICE_NAME").is_none_or(|name| name.is_empty()) {
        resource = resource.with_service_name(id.service);
    }
    let builder = SdkTracerProvider::builder().with_resource(resource.build());
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(builder.build());
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    Ok(builder
        .with_batch_exporter(WatchedExporter::new(exporter, endpoint))
        .build())
}

/// A panic is a log line too, before the usual words on stderr.
fn log_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            place,
            reason = panic.payload_as_str().unwrap_or("no text"),
            "panic"
        );
        usual(panic);
    }));
}

/// Trace context that travels in messages, as plain strings.
pub mod trace {
    use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
    use opentelemetry::{Context, global};
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    const TRACEPARENT: &str = "traceparent";
    const TRACESTATE: &str = "tracestate";

    /// W3C trace context; empty strings are no context.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct TraceContext {
        /// `traceparent`.
        pub traceparent: String,
        /// `tracestate`.
        pub tracestate: String,
    }

    impl Injector for TraceContext {
        fn set(&mut self, key: &str, value: String) {
            match key {
                TRACEPARENT => self.traceparent = value,
                TRACESTATE => self.tracestate = value,
                _ => {}
            }
        }
    }

    impl Extractor for TraceContext {
        fn get(&self, key: &str) -> Option<&str> {
            let value = match key {
                TRACEPARENT => &self.traceparent,
                TRACESTATE => &self.tracestate,
                _ => return None,
            };
            Some(value.as_str()).filter(|value| !value.is_empty())
        }

        fn keys(&self) -> Vec<&str> {
            vec![TRACEPARENT, TRACESTATE]
        }
    }

    /// What a message carries so that the receiver's spans hang below `context`.
    #[must_use]
    pub fn inject(context: &Context) -> TraceContext {
        let mut trace = TraceContext::default();
        TraceContextPropagator::new().inject_context(context, &mut trace);
        trace
    }

    /// The context of a message. A message without one gets an empty context, not that of the surrounding span.
    #[must_use]
    pub fn extract(trace: &TraceContext) -> Context {
        TraceContextPropagator::new().extract_with_context(&Context::new(), trace)
    }

    /// The tracer for spans that are made after the fact; silent until telemetry runs.
    #[must_use]
    pub fn tracer() -> global::BoxedTracer {
        global::tracer("dub")
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
