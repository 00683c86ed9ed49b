//! `bench`: what our worker costs beside ffmpeg and gst-launch on the same media server. `--help` lists its settings.

use dub_tests::bench::{self, Config, PROGRAM};
use service_kit::cli::{Invocation, parse, print_config, report_config_errors};
use service_kit::exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (env, check_only) = match parse(&PROGRAM, std::env::args()) {
        Invocation::Done(code) => return code,
        // It answers nothing, so there is nothing to be asked.
        Invocation::Healthcheck { .. } => return ExitCode::from(exit::code::CONFIG),
        Invocation::CheckConfig { env, .. } => (env, true),
        Invocation::Run { env, .. } => (env, false),
    };
    let config = match Config::read(&env) {
        Ok(config) => config,
        Err(errors) => return report_config_errors(&errors),
    };
    if check_only {
        return print_config(&PROGRAM, &env);
    }
    match bench::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
