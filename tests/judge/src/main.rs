//! `media-judge`: makes test programmes, publishes and records them, and judges recordings.

mod cli;

use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nothing can be done when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "media-judge: {error:#}");
            ExitCode::from(2)
        }
    }
}
