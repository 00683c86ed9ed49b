//! The program: command line, settings, service, exit code.
use orchestrator::app;
use orchestrator::config::{ADMIN_ADDR, Config, PROGRAM};
use service_kit::{Invocation, admin, cli};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let (env, check_only) = match cli::parse(&PROGRAM, std::env::args()) {
        Invocation::Done(exit) => return exit,
        Invocation::Healthcheck { env } => return admin::healthcheck(&env, &ADMIN_ADDR),
        Invocation::CheckConfig { env, .. } => (env, true),
        Invocation::Run { env, .. } => (env, false),
    };
    match Config::from_env(&env) {
        Err(errors) => cli::report_config_errors(&errors),
        Ok(_) if check_only => cli::print_config(&PROGRAM, &env),
        Ok(config) => app::run_to_the_end(config).await,
    }
}
