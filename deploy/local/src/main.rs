//! `local-stack`: the deployment on one machine without Docker, for people at a terminal.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use local_stack::settings::StackSettings;
use local_stack::tools::{self, Tool};
use local_stack::{demo, up};
use service_kit::exit;
use service_kit::settings::Env;

/// The live-dubbing stack on one machine without Docker.
#[derive(Debug, Parser)]
#[command(name = "local-stack", version, after_help = SETTINGS_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const SETTINGS_HELP: &str = "Settings come from the environment; `.env.example` lists them: STACK_*, DEMO_SECONDS, \
DUB_CACHE_DIR, MEDIAMTX_BIN, GRPCURL_BIN, JAEGER_BIN. Every setting of the services passes through.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the stack in the foreground; prints `ready` on stdout when streams are accepted
    Up,
    /// Runs the stack with a sample programme and judges what comes out
    Demo,
    /// Puts mediamtx, grpcurl and jaeger, or those named, into the cache
    Tools {
        /// mediamtx, grpcurl, jaeger, compose, buildx, prometheus, promtool
        names: Vec<Tool>,
    },
    /// Prints the path of a tool, preparing it first
    Which {
        /// mediamtx, grpcurl, jaeger, compose, buildx, prometheus or promtool
        name: Tool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let code = match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "local-stack: {}", words(&error));
            exit::code_of(&error)
        }
    };
    // A tool that is being built on a blocking thread must not hold the end up.
    std::process::exit(i32::from(code))
}

/// What went wrong and why, without the exit code that travels in the same chain.
fn words(error: &anyhow::Error) -> String {
    let said: Vec<String> = error
        .chain()
        .filter(|cause| !cause.is::<exit::ExitWith>())
        .map(ToString::to_string)
        .collect();
    said.join(": ")
}

fn run(command: Command) -> Result<u8> {
    let env = Env::from_process();
    match command {
        Command::Tools { names } => tools::prepare(&names, &env).map(|()| exit::code::DONE),
        Command::Which { name } => {
            let found = tools::ensure(name, &env)?;
            writeln!(std::io::stdout(), "{}", found.path.display())?;
            Ok(exit::code::DONE)
        }
        Command::Up => in_runtime(up::run(StackSettings::read(&env)?)),
        Command::Demo => in_runtime(demo::run(StackSettings::read(&env)?)),
    }
}

fn in_runtime(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
