//! The media-edge program: `serve`, the two children that it is made of, and a look at what they need.

use media_edge::config::{ADMIN_ADDR, SETTINGS, ServeConfig};
use media_edge::gst::elements;
use media_edge::{children, serve};
use service_kit::cli::{Invocation, Program, parse, print_config, report_config_errors};
use service_kit::telemetry::TELEMETRY_SETTINGS;
use std::process::ExitCode;

const PROGRAM: Program = Program {
    name: "media-edge",
    about: "Pulls live streams, keeps their air and publishes them dubbed.",
    settings: &[SETTINGS, TELEMETRY_SETTINGS],
    commands: &[
        (
            "serve",
            "answer gRPC and supervise one worker per stream; the default",
        ),
        ("worker", "keep the air of one stream; started by serve"),
        ("ingest", "pull and decode one source; started by a worker"),
        (
            "elements",
            "list the GStreamer elements in use with their Debian packages; 1 when one is missing",
        ),
    ],
};

fn main() -> ExitCode {
    match parse(&PROGRAM, std::env::args()) {
        Invocation::Done(code) => code,
        Invocation::Healthcheck { env } => service_kit::admin::healthcheck(&env, &ADMIN_ADDR),
        Invocation::CheckConfig { env, .. } => match ServeConfig::read(&env) {
            Ok(_) => print_config(&PROGRAM, &env),
            Err(errors) => report_config_errors(&errors),
        },
        Invocation::Run { command, env } => match command.as_deref() {
            Some("worker") => children::run_worker(&env),
            Some("ingest") => children::run_ingest(&env),
            Some("elements") => elements::run(),
            Some(_) | None => serve::run(&env),
        },
    }
}
