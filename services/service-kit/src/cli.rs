//! One command line for all programs: `--set` > environment > `--config` file > defaults.

use std::process::ExitCode;

use crate::settings::{ConfigErrors, Env, Setting};

/// What a program says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Name of the binary.
    pub name: &'static str,
    /// One line of meaning.
    pub about: &'static str,
    /// Every setting that it reads, in groups.
    pub settings: &'static [&'static [Setting]],
    /// Subcommands: name and one line of meaning.
    pub commands: &'static [(&'static str, &'static str)],
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run.
    Run {
        /// The subcommand, where one was given.
        command: Option<String>,
        /// The layered settings.
        env: Env,
    },
    /// Read the settings, show them or what is wrong, and end.
    CheckConfig {
        /// The subcommand, where one was given.
        command: Option<String>,
        /// The layered settings.
        env: Env,
    },
    /// Ask the own admin address and end.
    Healthcheck {
        /// The layered settings.
        env: Env,
    },
    /// Help, version or bad usage: already answered.
    Done(ExitCode),
}

/// STUB
pub fn parse(program: &Program, args: impl Iterator<Item = String>) -> Invocation {
    let _ = (program, args.count());
    Invocation::Run { command: None, env: Env::from_process() }
}

/// STUB
#[must_use]
pub fn report_config_errors(errors: &ConfigErrors) -> ExitCode {
    let _ = errors;
    ExitCode::from(crate::exit::code::CONFIG)
}

/// STUB
#[must_use]
pub fn print_config(program: &Program, env: &Env) -> ExitCode {
    let _ = (program, env);
    ExitCode::SUCCESS
}
