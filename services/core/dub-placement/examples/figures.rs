//! The table of specs/004, section 7: where phrases are heard, by kind of provider and hold.
//!
//! `cargo run -p dub-placement --example figures [PHRASES]`: so many phrases a row, 900 by default, in three
//! worlds of their own.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing
)]
#[path = "../tests/world/mod.rs"]
mod world;

use std::process::ExitCode;
use world::outcome::{Outcome, run, scenarios};

/// Each is another world.
const SEEDS: std::ops::Range<u64> = 1..4;
/// Holds in milliseconds.
const HOLDS: [i64; 2] = [6_000, 10_000];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let asked = arguments.next().unwrap_or_else(|| "900".to_owned());
    let Some(phrases) = asked.parse::<usize>().ok().filter(|count| 30 <= *count) else {
        eprintln!("figures: {asked:?} is no number of phrases, 30 or more; example: figures 900");
        return ExitCode::from(2);
    };
    let worlds = (SEEDS.end - SEEDS.start) as usize;
    println!(
        "{:<20} {:>8} {:>8} {:>8} {:>8} {:>6} {:>12} {:>10}",
        "provider", "hold ms", "p50 ms", "p95 ms", "wrong %", "lost", "twice, moved", "fell back"
    );
    for hold in HOLDS {
        for (name, provider) in scenarios() {
            let outcomes: Vec<_> = SEEDS
                .map(|seed| run(provider, hold, seed, phrases / worlds))
                .collect();
            let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / worlds as f64;
            let sum = |of: &dyn Fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
            println!(
                "{name:<20} {hold:>8} {:>8.0} {:>8.0} {:>8.1} {:>6} {:>12} {:>10}",
                mean(&|outcome| outcome.p50 as f64),
                mean(&|outcome| outcome.p95 as f64),
                100.0 * mean(&|outcome| outcome.wrong),
                sum(&|outcome| outcome.tally.lost as u64),
                sum(&|outcome| (outcome.tally.doubled + outcome.tally.out_of_order) as u64),
                sum(&|outcome| outcome.fell_back),
            );
        }
    }
    ExitCode::SUCCESS
}
