//! One command line for all programs: `--set` > environment > `--config` file > defaults.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::exit::code;
use crate::settings::{ConfigErrors, Env, Setting};

/// The subcommand that every program has.
const HEALTHCHECK: &str = "healthcheck";

/// What a program says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Name of the binary.
    pub name: &'static str,
    /// One line of meaning.
    pub about: &'static str,
    /// Every setting that it reads, in groups.
    pub settings: &'static [&'static [Setting]],
    /// Subcommands: name and one line of meaning. `healthcheck` is added.
    pub commands: &'static [(&'static str, &'static str)],
}

impl Program {
    /// Every setting once, in the order of declaration.
    #[must_use]
    pub fn all_settings(&self) -> Vec<&'static Setting> {
        let mut all: Vec<&'static Setting> = Vec::new();
        for setting in self.settings.iter().copied().flatten() {
            if all.iter().all(|known| known.key != setting.key) {
                all.push(setting);
            }
        }
        all
    }

    fn declares(&self, key: &str) -> bool {
        self.settings.iter().copied().flatten().any(|setting| {
            let file_key = key.strip_suffix("_FILE").filter(|_| setting.is_secret());
            setting.key == key || Some(setting.key) == file_key
        })
    }

    /// A declared key that `key` is probably meant to be.
    fn near(&self, key: &str) -> Option<&'static str> {
        self.settings
            .iter()
            .copied()
            .flatten()
            .map(|s| s.key)
            .find(|known| distance(known, key) <= 2)
    }
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
    /// Read the settings, show them ([`print_config`]) or what is wrong ([`report_config_errors`]), and end.
    CheckConfig {
        /// The subcommand, where one was given.
        command: Option<String>,
        /// The layered settings.
        env: Env,
    },
    /// Ask the own admin address ([`crate::admin::healthcheck`]) and end.
    Healthcheck {
        /// The layered settings.
        env: Env,
    },
    /// Help, version or bad usage: already answered.
    Done(ExitCode),
}

/// Reads the command line (`std::env::args()`, the program's own name first) over the environment of the process.
pub fn parse(program: &Program, args: impl Iterator<Item = String>) -> Invocation {
    parse_over(program, args, Env::from_process())
}

/// As [`parse`], over an environment that the caller brings.
pub fn parse_over(program: &Program, args: impl Iterator<Item = String>, environment: Env) -> Invocation {
    let matches = match command_line(program).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(answer) => {
            // Nothing is left to do when the terminal is closed.
            let _ = answer.print();
            return Invocation::Done(ExitCode::from(if answer.use_stderr() {
                code::CONFIG
            } else {
                code::DONE
            }));
        }
    };
    let env = match layers(program, &matches, environment) {
        Ok(env) => env,
        Err(problems) => {
            complain(program.name, &problems);
            return Invocation::Done(ExitCode::from(code::CONFIG));
        }
    };
    let command = matches.get_one::<String>("command").cloned();
    if command.as_deref() == Some(HEALTHCHECK) {
        return Invocation::Healthcheck { env };
    }
    if matches.get_flag("check-config") {
        Invocation::CheckConfig { command, env }
    } else {
        Invocation::Run { command, env }
    }
}

/// Says everything that is wrong with the settings on stderr; exit code 64.
#[must_use]
pub fn report_config_errors(errors: &ConfigErrors) -> ExitCode {
    let mut text = String::new();
    // Writing into a String cannot fail; a closed stderr leaves nothing to do.
    let _ = writeln!(text, "{} setting(s) refused:", errors.errors().len());
    let _ = writeln!(text, "{errors}");
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code::CONFIG)
}

/// Shows the effective value of every setting on stdout, as lines of a config file; secrets are redacted.
#[must_use]
pub fn print_config(program: &Program, env: &Env) -> ExitCode {
    match std::io::stdout().write_all(effective_config(program, env).as_bytes()) {
        Ok(()) => ExitCode::from(code::DONE),
        Err(_) => ExitCode::from(code::FAILED),
    }
}

/// The lines of [`print_config`].
#[must_use]
pub fn effective_config(program: &Program, env: &Env) -> String {
    let mut text = String::new();
    for setting in program.all_settings() {
        let value = env.get(setting.key).unwrap_or(setting.default);
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}={}", setting.key, setting.shown(value));
        let file_key = format!("{}_FILE", setting.key);
        if let Some(path) = env.get(&file_key).filter(|_| setting.is_secret()) {
            let _ = writeln!(text, "{file_key}={path}");
        }
    }
    text
}

fn command_line(program: &Program) -> Command {
    let commands = program
        .commands
        .iter()
        .map(|(name, about)| PossibleValue::new(*name).help(*about));
    let commands = commands
        .chain([PossibleValue::new(HEALTHCHECK).help("Ask the own admin address whether it is ready")]);
    Command::new(program.name)
        .about(program.about)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .value_parser(PossibleValuesParser::new(commands)),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Set a setting; wins over the environment"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("File of KEY=VALUE lines; the environment wins over it"),
        )
        .arg(
            Arg::new("check-config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Check the settings, show their effective values and end"),
        )
        .after_help(settings_table(program))
}

fn settings_table(program: &Program) -> String {
    let mut text = String::from("Settings (KEY [default] allowed: meaning):\n");
    for setting in program.all_settings() {
        let Setting {
            key,
            default,
            allowed,
            help,
        } = setting;
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {key} [{default}] {allowed}: {help}");
        if setting.is_secret() {
            let _ = writeln!(text, "  {key}_FILE [] a path: File with the same secret");
        }
    }
    let _ = writeln!(
        text,
        "\nPrecedence: --set, environment, --config, default. An empty value is unset.\n\
         Exit codes: 0 done, 1 failed, 64 wrong settings or usage, 69 peer unavailable, 70 internal, 75 try again."
    );
    text
}

/// Lays flags over environment over file. Every problem at once.
fn layers(program: &Program, matches: &ArgMatches, environment: Env) -> Result<Env, Vec<String>> {
    let mut problems = Vec::new();
    let mut file = Env::default();
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        match read_file(program, path) {
            Ok(env) => file = env,
            Err(more) => problems.extend(more),
        }
    }
    let mut flags = Vec::new();
    for flag in matches.get_many::<String>("set").into_iter().flatten() {
        match flag.split_once('=') {
            Some((key, value)) if program.declares(key) => flags.push((key, value)),
            Some((key, _)) => problems.push(format!("--set {key}: {}", no_such_setting(program, key))),
            // The value might be a secret whose key was forgotten: it is not repeated.
            None => problems.push("--set: not KEY=VALUE; write --set KEY=VALUE".to_owned()),
        }
    }
    if problems.is_empty() {
        Ok(file.overlaid_by(environment).overlaid_by(Env::from_pairs(flags)))
    } else {
        Err(problems)
    }
}

/// Reads `KEY=VALUE` lines. One file may serve several programs, so a key that this one does not know is passed
/// over, unless it looks like a mistyped one.
fn read_file(program: &Program, path: &Path) -> Result<Env, Vec<String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![format!(
            "--config {shown}: cannot be read: {error}; name a readable file"
        )]
    })?;
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("--config {shown}, line {}", index.saturating_add(1));
        match parse_line(line) {
            Ok(None) => {}
            Ok(Some((key, value))) if program.declares(key) => pairs.push((key.to_owned(), value.to_owned())),
            Ok(Some((key, _))) if program.near(key).is_some() => {
                problems.push(format!("{place}: {key}: {}", no_such_setting(program, key)));
            }
            Ok(Some(_)) => {}
            Err(problem) => problems.push(format!("{place}: {problem}")),
        }
    }
    if problems.is_empty() {
        Ok(Env::from_pairs(pairs))
    } else {
        Err(problems)
    }
}

/// One line of a `.env` file: nothing, a comment, or `[export ]KEY=VALUE`, the value bare or in quotes.
fn parse_line(line: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let Some((key, value)) = line.split_once('=') else {
        return Err("not KEY=VALUE");
    };
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err("the key is empty or has a space in it");
    }
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return match rest.split_once(quote) {
                Some((inner, after)) if after.trim().is_empty() || after.trim().starts_with('#') => {
                    Ok(Some((key, inner)))
                }
                Some(_) => Err("text after the closing quote"),
                None => Err("the quote is not closed"),
            };
        }
    }
    // A bare value ends at ` #`; one that begins with `#` is a comment behind nothing.
    let value = if value.starts_with('#') {
        ""
    } else {
        value
            .split_once(" #")
            .map_or(value, |(value, _)| value.trim_end())
    };
    Ok(Some((key, value)))
}

fn no_such_setting(program: &Program, key: &str) -> String {
    match program.near(key) {
        Some(near) => format!("no such setting; did you mean {near}?"),
        None => format!("no such setting; `{} --help` lists them", program.name),
    }
}

fn complain(name: &str, problems: &[String]) {
    let mut text = String::new();
    for problem in problems {
        // Writing into a String cannot fail; a closed stderr leaves nothing to do.
        let _ = writeln!(text, "{name}: {problem}");
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Levenshtein distance of two keys.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.bytes().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (slot, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let above = *slot;
            let step = diagonal.saturating_add(usize::from(a != b));
            left = step.min(left.min(above).saturating_add(1));
            diagonal = above;
            *slot = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
