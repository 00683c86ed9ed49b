//! The program: command line, settings, service, exit code.
use dubber::config::{ADMIN_ADDR, Config, PROGRAM};
use dubber::{app, check};
use service_kit::{Invocation, admin, cli};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(check::COMMAND) {
        return check::main(words).await;
    }
    let (env, check_only) = match cli::parse(&PROGRAM, std::env::args()) {
        Invocation::Done(exit) => return exit,
        Invocation::Healthcheck { env } => return admin::healthcheck(&env, &ADMIN_ADDR),
        Invocation::CheckConfig { env, .. } => (env, true),
        Invocation::Run { env, command } if command.as_deref() == Some(check::COMMAND) => {
            return check::run(&env, &check::Options::default()).await;
        }
        Invocation::Run { env, .. } => (env, false),
    };
    match Config::read(&env) {
        Err(errors) => cli::report_config_errors(&errors),
        Ok(_) if check_only => cli::print_config(&PROGRAM, &env),
        Ok(config) => app::run_to_the_end(config).await,
    }
}
