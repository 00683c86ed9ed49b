//! `twin-drills`: whole stacks that dub at the Gemini twin, judged by what a reader of `/out` hears. Run from the root of
//! the repository, with the programs built: `make drill-rotation`, `make drill-faults`, `make soak`.

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use dub_tests::rehearsal;
use dub_tests::twin::{Family, faults, rotation, soak};
use std::io::Write as _;
use std::process::ExitCode;

/// The drills with the Gemini twin. Exit code 0 means that every bar holds.
#[derive(Debug, Parser)]
#[command(name = "twin-drills")]
struct Arguments {
    #[command(subcommand)]
    drill: Drill,
}

#[derive(Debug, Args)]
struct Common {
    /// Only this one; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Lists what there is and ends
    #[arg(long)]
    list: bool,
    /// Stacks at a time; the default fits two cores
    #[arg(long, value_name = "N", default_value_t = 8)]
    jobs: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Model {
    Translate,
    Dialogue,
}

impl From<Model> for Family {
    fn from(model: Model) -> Self {
        match model {
            Model::Translate => Self::Translate,
            Model::Dialogue => Self::Dialogue,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Drill {
    /// Sessions of thirty seconds: every phrase is heard once, whole and in order
    Rotation {
        #[command(flatten)]
        common: Common,
        /// Length of the programme in seconds
        #[arg(long, default_value_t = rotation::SECONDS)]
        seconds: f64,
        /// Length of the programme in minutes, in place of --seconds
        #[arg(long)]
        minutes: Option<f64>,
    },
    /// Every known fault by name, against the bar of its class
    Faults {
        #[command(flatten)]
        common: Common,
        /// Model for the faults that both families have
        #[arg(long, value_enum, default_value_t = Model::Translate)]
        model: Model,
    },
    /// The same drills in virtual time, without processes: as many seeds as wanted
    Rehearse {
        #[command(flatten)]
        common: Common,
        /// What is rehearsed
        #[arg(long, value_enum, default_value_t = rehearsal::Drill::Rotation)]
        drill: rehearsal::Drill,
        /// Length of the programme in seconds, of rotation and soak
        #[arg(long, default_value_t = rotation::SECONDS)]
        seconds: f64,
        /// First seed
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Seeds
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// Tells what happened between two seconds of the programme
        #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
        show: Vec<f64>,
    },
    /// A long run with mixed faults: nothing grows, every phrase is accounted for
    Soak {
        /// Length in minutes
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
        /// Seed of the faults
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How the model is spoken to
        #[arg(long, value_enum, default_value_t = Model::Translate)]
        model: Model,
    },
}

fn say(text: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn run(drill: Drill) -> Result<bool> {
    match drill {
        Drill::Rotation { common, .. } if common.list => {
            for (name, _, end) in rotation::all() {
                say(&format!("{name:<20} {}", end.about()));
            }
            Ok(true)
        }
        Drill::Faults { common, .. } if common.list => {
            faults::list().iter().for_each(|line| say(line));
            Ok(true)
        }
        Drill::Rotation {
            common,
            seconds,
            minutes,
        } => rotation::run(&rotation::Options {
            only: common.only,
            jobs: common.jobs,
            seconds: minutes.map_or(seconds, |minutes| 60.0 * minutes),
        }),
        Drill::Faults { common, model } => faults::run(&faults::Options {
            only: common.only,
            family: model.into(),
            jobs: common.jobs,
        }),
        Drill::Rehearse {
            common,
            drill,
            seconds,
            seed,
            seeds,
            show,
        } => {
            let options = rehearsal::Options {
                only: common.only,
                jobs: common.jobs,
                drill,
                seconds,
                seeds: seed..seed + seeds,
                show: show.first().copied().zip(show.get(1).copied()),
            };
            if common.list {
                rehearsal::list(&options).iter().for_each(|line| say(line));
                return Ok(true);
            }
            rehearsal::run(&options)
        }
        Drill::Soak { minutes, seed, model } => soak::run(&soak::Options {
            seconds: 60.0 * minutes,
            family: model.into(),
            seed,
        }),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().drill) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "twin-drills: {error:#}");
            ExitCode::FAILURE
        }
    }
}
