//! What a child does before its own work begins: ties its life to its parent's, reads its settings, opens its log.

use crate::config::WorkerConfig;
use crate::{ingest, worker};
use anyhow::Context as _;
use service_kit::cli::report_config_errors;
use service_kit::exit::code;
use service_kit::settings::Env;
use service_kit::telemetry::{self, Identity, LogStream};
use std::path::PathBuf;
use std::process::ExitCode;

/// Variable in which `serve` hands a worker's stream down to every process below it, for its log lines.
pub const STREAM_ID_VARIABLE: &str = "MEDIA_EDGE_CHILD_STREAM_ID";
/// As [`STREAM_ID_VARIABLE`], for the run.
pub const RUN_ID_VARIABLE: &str = "MEDIA_EDGE_CHILD_RUN_ID";

/// This very program, for a child of the same version: the file that it was started from may have been replaced or
/// removed since, by an update for example, and the streams that run go on.
///
/// # Errors
/// When the system does not tell which executable this is.
pub fn own_program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return Ok(running);
    }
    std::env::current_exe()
}

/// The whole life of `media-edge worker`.
pub fn run_worker(env: &Env) -> ExitCode {
    run(env, |config| Ok(worker::run(config)))
}

/// The whole life of `media-edge ingest`. It logs to standard error: its standard output carries frames.
pub fn run_ingest(env: &Env) -> ExitCode {
    run(env, |config| {
        let identity = Identity {
            service: "media-edge",
            instance_id: uuid::Uuid::now_v7().to_string(),
            stream_id: env.get(STREAM_ID_VARIABLE).map(str::to_owned),
            run_id: env.get(RUN_ID_VARIABLE).map(str::to_owned),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        let telemetry = telemetry::init(&config.telemetry, &identity, LogStream::Stderr)?;
        let code = ingest::run_from_stdin();
        drop(guard);
        runtime.block_on(telemetry.shutdown());
        runtime.shutdown_background();
        Ok(code)
    })
}

fn run(env: &Env, work: impl FnOnce(WorkerConfig) -> anyhow::Result<i32>) -> ExitCode {
    die_with_parent();
    say_own_name();
    let config = match WorkerConfig::read(env) {
        Ok(config) => config,
        Err(errors) => return report_config_errors(&errors),
    };
    let code = work(config)
        .and_then(|code| u8::try_from(code).context("an exit code that the system does not take"));
    ExitCode::from(code.unwrap_or_else(|error| {
        use std::io::Write as _;
        // There may be no log yet; the parent passes standard error on.
        let _ = writeln!(std::io::stderr(), "media-edge: {error:#}");
        code::INTERNAL
    }))
}

/// The kernel kills this process when its parent is gone. A parent that is gone already shows as the end of standard
/// input.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        // Where the kernel refuses, the end of standard input is what is left.
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    }
}

/// A program that is started as [`own_program`] would be listed under the name of that link.
fn say_own_name() {
    #[cfg(target_os = "linux")]
    {
        // For people who look at a list of processes; nothing depends on it.
        let _ = nix::sys::prctl::set_name(c"media-edge");
    }
}
