//! `compose-drills`: the stack of `docker-compose.yml` under a real engine, used, hurt and looked over. Run from the
//! root of the repository; `make compose-test` prepares what it needs.

use clap::Parser;
use dub_tests::compose::{self, Drill, Options};
use std::io::Write as _;
use std::process::ExitCode;

/// The drills of the containers. Exit code 0 means that every bar holds.
#[derive(Debug, Parser)]
#[command(name = "compose-drills")]
struct Arguments {
    /// Only these drills, as --only does
    #[arg(value_name = "NAME")]
    names: Vec<Drill>,
    /// Only this drill; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<Drill>,
    /// Lists the drills and ends
    #[arg(long)]
    list: bool,
    /// Leaves the stack running at the end; the next run takes it down
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for drill in Drill::ALL {
            // A closed terminal is no reason to fail.
            let _ = writeln!(std::io::stdout(), "{:<14} {}", drill.name(), drill.about());
        }
        return ExitCode::SUCCESS;
    }
    let named: Vec<Drill> = arguments.names.into_iter().chain(arguments.only).collect();
    let wanted = |drill: &Drill| named.is_empty() || named.contains(drill);
    let options = Options {
        drills: Drill::ALL.into_iter().filter(wanted).collect(),
        keep: arguments.keep,
    };
    match compose::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "compose-drills: {error:#}");
            ExitCode::FAILURE
        }
    }
}
