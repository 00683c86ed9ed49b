//! One log line: who, when, what, and in which trace. JSON for machines, text for a terminal.
//!
//! Order of a JSON line: `timestamp`, `level`, `component`, `message`, identity, `trace_id` and `span_id` when in a
//! span, then the fields of the spans from the root to the leaf and of the event. The innermost value of a name wins.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::Identity;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// `timestamp LEVEL component message key=value …`
    Text,
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("is not a log format"),
        }
    }
}

/// Makes lines for one process.
#[derive(Debug, Clone)]
pub(crate) struct LineFormat {
    format: LogFormat,
    component: &'static str,
    identity: Vec<(&'static str, String)>,
}

/// The parts of a line in their order.
struct Line {
    time: SystemTime,
    level: Level,
    message: String,
    fields: Vec<(String, Value)>,
}

impl LineFormat {
    pub(crate) fn new(format: LogFormat, id: &Identity) -> Self {
        let mut identity = vec![("instance_id", id.instance_id.clone())];
        identity.extend(id.stream_id.clone().map(|value| ("stream_id", value)));
        identity.extend(id.run_id.clone().map(|value| ("run_id", value)));
        Self {
            format,
            component: id.service,
            identity,
        }
    }

    /// A line of the log machinery itself, which cannot go through `tracing` without calling itself.
    pub(crate) fn own_line(&self, level: Level, message: &str, fields: Vec<(&str, Value)>) -> String {
        let mut line = self.begin(level);
        message.clone_into(&mut line.message);
        fields.into_iter().for_each(|(name, value)| line.put(name, value));
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut text, &line);
        text
    }

    fn begin(&self, level: Level) -> Line {
        let mut fields = vec![("component".to_owned(), Value::from(self.component))];
        fields.extend(
            self.identity
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))),
        );
        Line {
            time: SystemTime::now(),
            level,
            message: String::new(),
            fields,
        }
    }

    fn write(&self, out: &mut impl fmt::Write, line: &Line) -> fmt::Result {
        let timestamp = humantime::format_rfc3339_millis(line.time);
        let component = line.get("component");
        match self.format {
            LogFormat::Json => {
                let level = level_word(line.level);
                let message = Value::from(line.message.as_str());
                write!(
                    out,
                    r#"{{"timestamp":"{timestamp}","level":"{level}","component":{component},"message":{message}"#
                )?;
                for (name, value) in line.rest() {
                    write!(out, ",{}:{value}", Value::from(name))?;
                }
                out.write_str("}\n")
            }
            LogFormat::Text => {
                let component = component.as_str().unwrap_or_default();
                // One event is one line, whatever a value contains.
                let message = line.message.replace('\n', "\\n");
                write!(
                    out,
                    "{timestamp} {:<5} {component} {message}",
                    line.level.as_str()
                )?;
                for (name, value) in line.rest() {
                    match value.as_str().filter(|text| !text.contains([' ', '"', '\n'])) {
                        Some(plain) => write!(out, " {name}={plain}")?,
                        None => write!(out, " {name}={value}")?,
                    }
                }
                out.write_str("\n")
            }
        }
    }
}

const fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

impl Line {
    /// Sets a field; the innermost value of a name wins. The names of the head stay the line's own.
    fn put(&mut self, name: &str, value: Value) {
        let name = match name {
            "timestamp" | "level" | "message" => format!("field_{name}"),
            _ => name.to_owned(),
        };
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.fields.push((name, value)),
        }
    }

    fn get(&self, name: &str) -> &Value {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map_or(&Value::Null, |(_, value)| value)
    }

    fn rest(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| *name != "component")
    }

    /// The ids of the span that this thread is in, whoever opened it.
    fn put_trace_ids(&mut self) {
        let ids = Context::map_current(|context| {
            let span = context.span();
            let span = span.span_context();
            span.is_valid()
                .then(|| (span.trace_id().to_string(), span.span_id().to_string()))
        });
        if let Some((trace_id, span_id)) = ids {
            self.put("trace_id", Value::from(trace_id));
            self.put("span_id", Value::from(span_id));
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number =
            serde_json::Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number);
        self.put(field.name(), number);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            // Bookkeeping of the bridge from the `log` crate.
            name if name.starts_with("log.") => {}
            name => self.put(name, Value::from(value)),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_ok() {
            self.record_str(field, &text);
        }
    }
}

impl<S> FormatEvent<S, JsonFields> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = self.begin(*event.metadata().level());
        line.put_trace_ids();
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else {
                continue;
            };
            if let Ok(Value::Object(fields)) = serde_json::from_str(fields.fields.as_str()) {
                // `otel.*` steers the exporter and says nothing to a reader.
                let fields = fields.into_iter().filter(|(name, _)| !name.starts_with("otel."));
                fields.for_each(|(name, value)| line.put(&name, value));
            }
        }
        event.record(&mut line);
        line.put("target", Value::from(event.metadata().target()));
        self.write(&mut writer, &line)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(format: LogFormat, work: impl FnOnce()) -> Vec<String> {
        let id = Identity {
            service: "dubber",
            instance_id: "dubber-1".to_owned(),
            stream_id: None,
            run_id: Some("run_7".to_owned()),
        };
        let captured = Captured::default();
        let writer = captured.clone();
        let provider = SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
            .with(
                tracing_subscriber::fmt::layer()
                    .fmt_fields(JsonFields::new())
                    .event_format(LineFormat::new(format, &id))
                    .with_writer(move || writer.clone()),
            );
        tracing::subscriber::with_default(subscriber, work);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_json_line_begins_with_time_level_component_and_message_and_carries_the_identity() {
        let lines = lines_of(LogFormat::Json, || {
            tracing::info!(fragment = 3_u64, share = 0.5, "fragment dubbed")
        });

        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with(r#"{"timestamp":""#), "{}", lines[0]);
        assert!(
            lines[0].contains(r#"Z","level":"info","component":"dubber","message":"fragment dubbed","instance_id":"dubber-1","run_id":"run_7","fragment":3,"share":0.5"#),
            "{}",
            lines[0]
        );
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        let timestamp = line["timestamp"].as_str().unwrap();
        assert_eq!(timestamp.len(), "2026-01-01T00:00:00.000Z".len());
        assert!(humantime::parse_rfc3339(timestamp).is_ok());
        assert!(line.get("stream_id").is_none());
        assert!(line.get("trace_id").is_none());
    }

    #[test]
    fn span_fields_are_merged_from_root_to_leaf_and_the_event_wins() {
        let lines = lines_of(LogFormat::Json, || {
            let stream =
                tracing::info_span!("stream", stream_id = "news", epoch = 1_u64, otel.kind = "server");
            let _stream = stream.enter();
            let run = tracing::info_span!("run", epoch = 2_u64, attempt = tracing::field::Empty);
            run.record("attempt", 5_u64);
            let _run = run.enter();
            tracing::warn!(component = "publisher", epoch = 3_u64, "late");
        });

        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["stream_id"], "news");
        assert_eq!(line["epoch"], 3);
        assert_eq!(line["attempt"], 5);
        assert_eq!(line["component"], "publisher");
        assert!(line.get("otel.kind").is_none());
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
        assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    }

    #[test]
    fn a_field_cannot_take_the_place_of_the_head_of_a_line() {
        let lines = lines_of(LogFormat::Json, || {
            tracing::error!(level = "harmless", "a \"quoted\"\nmessage")
        });

        assert_eq!(lines.len(), 1);
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "error");
        assert_eq!(line["field_level"], "harmless");
        assert_eq!(line["message"], "a \"quoted\"\nmessage");
    }

    #[test]
    fn a_text_line_says_the_same_in_words() {
        let lines = lines_of(LogFormat::Text, || {
            tracing::info!(path = "a b", n = 1_u64, "started\nnow")
        });

        assert_eq!(lines.len(), 1);
        assert!(
            lines[0]
                .contains(r#" INFO  dubber started\nnow instance_id=dubber-1 run_id=run_7 path="a b" n=1"#),
            "{}",
            lines[0]
        );
    }
}
