//! The command line.

mod judge;
mod live;
mod make;
mod single;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::io::Write as _;

/// Makes test programmes, publishes and records them, and judges recordings.
///
/// Exit codes: 0 judged and passed, 1 judged and failed, 2 could not be judged.
#[derive(Debug, Parser)]
#[command(name = "media-judge", version)]
pub struct Arguments {
    /// Prints JSON in place of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a test programme.
    #[command(subcommand)]
    Make(make::Make),
    #[command(flatten)]
    Live(live::Live),
    #[command(flatten)]
    Judge(judge::Judge),
    #[command(flatten)]
    Single(single::Single),
}

/// Runs one command; false when a judgement failed.
pub fn run(arguments: Arguments) -> Result<bool> {
    let out = Out { json: arguments.json };
    match arguments.command {
        Command::Make(make) => make::run(make, &out),
        Command::Live(live) => live::run(live, &out),
        Command::Judge(judge) => judge::run(judge, &out),
        Command::Single(judge) => single::run(judge, &out),
    }
}

/// Where results go.
pub struct Out {
    json: bool,
}

impl Out {
    /// Prints a result: as JSON, or as the text that is made for people.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        if self.json {
            return self.line(&serde_json::to_string_pretty(value)?);
        }
        self.line(text(value).trim_end())
    }

    /// Prints one line.
    pub fn line(&self, text: &str) -> Result<()> {
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }

    /// Whether JSON is wanted.
    pub fn json(&self) -> bool {
        self.json
    }
}

/// Any result as text: its JSON on one line per field.
pub fn plain<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
