//! `dubber check`: calls Gemini Live with the settings of the service, lets it hear some speech, and says what came of it
//! or what to do.
mod clip;
mod report;
mod talk;

use crate::config::PROGRAM;
use crate::config::endpoint;
use crate::config::session::{Plan, SessionSettings};
use crate::gemini::dial::Target;
use crate::gemini::record::Record;
use clap::Parser;
use clap::error::ErrorKind;
use media_types::StreamSettings;
use report::Report;
use service_kit::exit::code;
use service_kit::{Env, Invocation, Reader, Setting, cli};
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The word on the command line.
pub const COMMAND: &str = "check";
/// What it is for, in the list of commands.
pub const ABOUT: &str =
    "Call Gemini Live with these settings and say what came of it; `dubber check --help` has more";

/// The one option that the model may refuse, told like a setting.
const LANG: Setting = Setting {
    key: "--lang",
    default: "es",
    allowed: "a language of the model",
    help: "",
};
/// Hold of the stream that is pretended: enough for every model.
const HOLD: Duration = Duration::from_secs(20);
/// Budgets of its fragments; nobody waits for them.
const BUDGETS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(120));

/// Calls Gemini Live with the settings of the service: connects, sends some seconds of speech at the pace of a speaker,
/// and prints what was heard, what was said, how far behind, how long and for how much; or the cause of the failure
/// and its remedy.
///
/// It is billed like any other session: eight seconds cost less than a cent. Settings are those of the service
/// (`dubber --help`), by the same ways. Exit codes: 0 speech was answered, 1 it was not, 64 settings have to change, 69
/// the service cannot be had now.
#[derive(Debug, Parser)]
#[command(name = "dubber check")]
pub struct Options {
    /// Language to dub into, BCP-47
    #[arg(long, default_value = LANG.default)]
    lang: String,
    /// Seconds of speech to send; the speech is repeated where it is shorter [default: once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: Option<u64>,
    /// WAV to send in place of the speech of this program (a sentence in English)
    #[arg(long, value_name = "FILE")]
    speech: Option<PathBuf>,
    /// Keep what goes over the wire, sound included and key excluded, as JSON lines that `gemini-twin --replay` plays
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Set a setting; wins over the environment
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// File of KEY=VALUE lines; the environment wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Default for Options {
    /// Those of the bare word.
    fn default() -> Self {
        Self {
            lang: LANG.default.to_owned(),
            seconds: None,
            speech: None,
            record: None,
            set: Vec::new(),
            config: None,
        }
    }
}

/// Runs with the words behind `check`.
pub async fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::try_parse_from(std::iter::once("dubber check".to_owned()).chain(words)) {
        Ok(options) => options,
        Err(answer) => {
            // Nothing is left to do when the terminal is closed.
            let _ = answer.print();
            let is_asked_for = matches!(answer.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if is_asked_for { code::DONE } else { code::CONFIG });
        }
    };
    let sets = options
        .set
        .iter()
        .flat_map(|pair| ["--set".to_owned(), pair.clone()]);
    let file = options
        .config
        .iter()
        .flat_map(|path| ["--config".to_owned(), path.display().to_string()]);
    let words = std::iter::once(PROGRAM.name.to_owned()).chain(sets).chain(file);
    match cli::parse(&PROGRAM, words) {
        Invocation::Run { env, .. } => run(&env, &options).await,
        Invocation::Done(exit) => exit,
        Invocation::CheckConfig { .. } | Invocation::Healthcheck { .. } => ExitCode::from(code::INTERNAL),
    }
}

/// Runs with options.
pub async fn run(env: &Env, options: &Options) -> ExitCode {
    let settings = match read(env, options) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let speech = match &options.speech {
        Some(path) => clip::read(path),
        None => clip::bundled(),
    };
    let speech = match speech {
        Ok(speech) => clip::of_length(speech, options.seconds),
        Err(error) => return refuse("--speech", error),
    };
    let record = match Record::new(settings.target.clone(), options.record.as_deref()) {
        Ok(record) => Arc::new(record),
        Err(error) => return refuse("--record", format!("cannot write the file: {error}")),
    };
    let Settings {
        target,
        plan,
        warnings,
    } = settings;
    let (model, prices) = (plan.model.clone(), plan.config.prices);
    for warning in warnings.iter().chain(&plan.warnings) {
        say(std::io::stderr(), &format!("warning: {warning}\n"));
    }
    say(
        std::io::stdout(),
        &report::head(&target, &model, &options.lang, speech.len()),
    );
    let outcome = match talk::talk(target.clone(), plan.config, &speech, Arc::clone(&record)).await {
        Ok(outcome) => outcome,
        Err(error) => return refuse("--lang", error),
    };
    let report = Report::of(&outcome, &target, &prices);
    say(std::io::stdout(), &report.text);
    if let Err(error) = record.finish() {
        say(
            std::io::stderr(),
            &format!("the record is not complete: {error}\n"),
        );
        return ExitCode::from(code::FAILED);
    }
    ExitCode::from(report.exit)
}

/// What a check goes by.
struct Settings {
    target: Target,
    plan: Plan,
    warnings: Vec<String>,
}

/// The settings, or the exit code behind what was said about them.
fn read(env: &Env, options: &Options) -> Result<Settings, ExitCode> {
    let mut reader = Reader::new(env);
    let mut warnings = Vec::new();
    let target = endpoint::read(&mut reader, env, &mut warnings);
    let sessions = SessionSettings::read(&mut reader, BUDGETS, &mut warnings);
    let stream = StreamSettings {
        target_lang: options.lang.clone(),
        hold: HOLD,
        ..StreamSettings::default()
    };
    let model = sessions.model();
    let resource = target
        .as_ref()
        .map_or_else(|| model.to_owned(), |target| target.endpoint().model(model));
    let plan = match sessions.of_stream(&stream, resource, 1) {
        Ok(plan) => Some(plan),
        Err(refusal) => {
            reader.reject(&LANG, &options.lang, refusal);
            None
        }
    };
    reader
        .finish()
        .map_err(|errors| cli::report_config_errors(&errors))?;
    match (target, plan) {
        (Some(target), Some(plan)) => Ok(Settings {
            target,
            plan,
            warnings,
        }),
        // Not met: whatever is missing was refused.
        (None, _) | (_, None) => Err(ExitCode::from(code::INTERNAL)),
    }
}

fn refuse(option: &str, problem: impl Display) -> ExitCode {
    say(std::io::stderr(), &format!("{option}: {problem}\n"));
    ExitCode::from(code::CONFIG)
}

fn say(mut to: impl std::io::Write, text: &str) {
    // A closed terminal leaves nothing to do; the exit code still tells.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
