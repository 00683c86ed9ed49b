#![allow(clippy::unwrap_used)]
//! Settings of telemetry, and the trace context of messages.

use opentelemetry::trace::TraceContextExt as _;

use super::trace::{TraceContext, extract, inject};
use super::*;
use crate::settings::Env;

#[test]
fn the_defaults_are_json_at_info_on_the_stream_without_a_collector() {
    let env = Env::default();
    let mut reader = Reader::new(&env);
    let config = TelemetryConfig::read(&mut reader);
    assert!(reader.finish().is_ok());
    assert_eq!(config.format, LogFormat::Json);
    assert_eq!(config.level, LogLevel(LevelFilter::INFO));
    assert!(config.to_stream && config.traces && config.otlp_endpoint.is_none());
}

#[test]
fn a_log_without_any_place_is_refused() {
    let env = Env::from_pairs([("LOG_STDOUT", "false")]);
    let mut reader = Reader::new(&env);
    let _config = TelemetryConfig::read(&mut reader);
    let errors = reader.finish().unwrap_err();
    assert!(
        errors.to_string().starts_with("LOG_STDOUT=\"false\": "),
        "{errors}"
    );
}

#[test]
fn every_default_is_accepted_by_its_own_reader() {
    let env = Env::from_pairs(
        TELEMETRY_SETTINGS
            .iter()
            .map(|setting| (setting.key, setting.default)),
    );
    let mut reader = Reader::new(&env);
    let _config = TelemetryConfig::read(&mut reader);
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_trace_context_survives_the_way_through_a_message() {
    let sent = TraceContext {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        tracestate: "vendor=1".to_owned(),
    };
    let context = extract(&sent);
    assert_eq!(
        context.span().span_context().trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(inject(&context), sent);
}

#[test]
fn a_message_without_a_trace_context_starts_a_trace_of_its_own() {
    let context = extract(&TraceContext::default());
    assert!(!context.span().span_context().is_valid());
    assert_eq!(inject(&context), TraceContext::default());
}
