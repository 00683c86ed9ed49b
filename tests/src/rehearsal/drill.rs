//! Rehearsals of the drills, and the table of what came of them.

use super::{Outcome, Rehearsal, prepare};
use crate::twin::air::Heard;
use crate::twin::case::Family;
use crate::twin::jobs::say;
use crate::twin::plans::Plan;
use crate::twin::report::{Row, few, render};
use crate::twin::{rotation, soak};
use anyhow::Result;
use clap::ValueEnum;
use gemini_twin::faults;
use media_judge::dsp::percentile;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Mutex;

/// What is rehearsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drill {
    /// Sessions of thirty seconds.
    Rotation,
    /// Every fault of the list.
    Faults,
    /// Mixed faults.
    Soak,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these cases; all when empty.
    pub only: Vec<String>,
    /// Threads.
    pub jobs: usize,
    /// What is rehearsed.
    pub drill: Drill,
    /// Length of the programme in seconds, of rotation and soak.
    pub seconds: f64,
    /// Seeds.
    pub seeds: Range<u64>,
    /// Tells what happened between two seconds of the programme.
    pub show: Option<(f64, f64)>,
}

struct Named {
    name: String,
    hole: Option<(u32, u32)>,
    rehearsal: Rehearsal,
}

fn cases(options: &Options) -> Vec<Named> {
    let mut cases = Vec::new();
    match options.drill {
        Drill::Rotation => cases.extend(rotation::all().into_iter().map(|(name, family, end)| Named {
            name,
            hole: None,
            rehearsal: Rehearsal {
                family,
                scenario: end.scenario(),
                settings: rotation::settings(end),
                seconds: options.seconds,
                seed: 0,
                watched: None,
            },
        })),
        Drill::Faults => cases.extend(faults::all().map(|fault| {
            let plan = Plan::of(fault, Family::Translate);
            Named {
                name: format!("{}-{}", fault.name, plan.family.name()),
                hole: plan.hole,
                rehearsal: Rehearsal {
                    family: plan.family,
                    scenario: plan.scenario(),
                    settings: plan.environment(),
                    seconds: plan.seconds,
                    seed: 0,
                    watched: None,
                },
            }
        })),
        Drill::Soak => cases.extend([Family::Translate, Family::Dialogue].map(|family| Named {
            name: format!("soak-{}", family.name()),
            hole: None,
            rehearsal: Rehearsal {
                family,
                scenario: soak::scenario(family, 1),
                settings: Vec::new(),
                seconds: options.seconds,
                seed: 0,
                watched: None,
            },
        })),
    }
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| name.starts_with(only));
    cases.retain(|case| wanted(&case.name));
    cases
}

/// Rehearses all that is wanted: what came of each case and seed, by name, in order.
pub fn outcomes(options: &Options) -> Result<Vec<(String, Result<Outcome>)>> {
    let cases = cases(options);
    anyhow::ensure!(!cases.is_empty(), "no such case; --list of the drill names them");
    let longest = cases
        .iter()
        .map(|case| case.rehearsal.seconds)
        .fold(0.0, f64::max);
    let mut programmes = BTreeMap::new();
    for case in &cases {
        if let Entry::Vacant(place) = programmes.entry(case.hole) {
            say("making the programme");
            place.insert(prepare(longest, case.hole)?);
        }
    }
    let todo: Vec<(usize, u64)> = (0..cases.len())
        .flat_map(|case| options.seeds.clone().map(move |seed| (case, seed)))
        .collect();
    anyhow::ensure!(!todo.is_empty(), "no seed; --seeds says how many");
    let (next, done) = (Mutex::new(todo.iter()), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(key) = next.lock().ok().and_then(|mut next| next.next().copied()) {
            let (index, seed) = key;
            let case = &cases[index];
            let (programme, known) = &programmes[&case.hole];
            let rehearsal = Rehearsal {
                seed,
                watched: options.show,
                ..case.rehearsal.clone()
            };
            let outcome = rehearsal.run(programme, known);
            if let Ok(mut done) = done.lock() {
                done.insert(key, outcome);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, todo.len()) {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_default();
    anyhow::ensure!(done.len() == todo.len(), "a rehearsal came to no end");
    let named =
        |((index, seed), outcome): ((usize, u64), _)| (format!("{} {seed}", cases[index].name), outcome);
    Ok(done.into_iter().map(named).collect())
}

/// Rehearses; whether nothing was lost, doubled, out of order or before its time.
pub fn run(options: &Options) -> Result<bool> {
    let mut rows = Vec::new();
    for (name, outcome) in outcomes(options)? {
        let judged = match options.drill {
            Drill::Soak => soak_problems,
            Drill::Rotation | Drill::Faults => word_problems,
        };
        rows.push(match outcome {
            Ok(outcome) => {
                if let Some(window) = options.show {
                    say(&show(&outcome, window));
                }
                row(&name, &outcome, judged(&outcome))
            }
            Err(error) => Row::broken(&name, &error),
        });
    }
    say(&render(HEAD, &rows));
    Ok(rows.iter().all(Row::holds))
}

/// The names of all cases.
pub fn list(options: &Options) -> Vec<String> {
    cases(options).into_iter().map(|case| case.name).collect()
}

const HEAD: &[&str] = &[
    "case",
    "phrases",
    "lost",
    "in part",
    "left out",
    "unheard",
    "doubled",
    "seams",
    "order",
    "early",
    "original s",
    "onset p50 s",
    "p95",
    "max",
];

/// Words that are lost, doubled, out of order or early.
fn word_problems(outcome: &Outcome) -> Vec<String> {
    let air = &outcome.air;
    let lost = lost(outcome);
    let told = [
        ("lost", &lost),
        ("unheard", &outcome.accounts.unheard),
        ("doubled", &air.doubled()),
        ("out of order", &air.out_of_order),
        ("before their phrases", &air.early()),
    ];
    let told = told.into_iter().filter(|(_, which)| !which.is_empty());
    let mut problems: Vec<String> = told
        .map(|(what, which)| format!("{what}: {}", few(which)))
        .collect();
    if air.foreign > 0 {
        problems.push(format!("{} parts of no phrase", air.foreign));
    }
    problems
}

/// The bars of the soak that do not hold.
pub fn soak_problems(outcome: &Outcome) -> Vec<String> {
    let (spoken, early) = (outcome.air.heard.len(), outcome.air.early());
    let bars = outcome.accounts.bars(spoken).into_iter().filter(|bar| !bar.holds);
    let mut problems: Vec<String> = bars
        .map(|bar| format!("{}: {}", bar.what, few(bar.phrases)))
        .collect();
    if soak::EARLY_MAX * (spoken as f64) < early.len() as f64 {
        problems.push(format!("before their phrases: {}", few(&early)));
    }
    problems
}

fn lost(outcome: &Outcome) -> Vec<u16> {
    let omitted = outcome.journal.omitted();
    let not_dubbed = outcome.air.not_dubbed(&omitted);
    not_dubbed.map(|it| it.spoken.number).collect()
}

fn row(name: &str, outcome: &Outcome, problems: Vec<String>) -> Row {
    let (air, accounts) = (&outcome.air, &outcome.accounts);
    let late = air.lateness_s();
    let at = |share: f64| format!("{:.2}", percentile(&late, share));
    Row {
        cells: vec![
            name.to_owned(),
            air.heard.len().to_string(),
            lost(outcome).len().to_string(),
            few(&accounts.in_part),
            few(&accounts.left_out),
            few(&accounts.unheard),
            air.doubled().len().to_string(),
            air.seams().len().to_string(),
            air.out_of_order.len().to_string(),
            air.early().len().to_string(),
            format!("{:.1}", air.original_s()),
            at(0.5),
            at(0.95),
            at(1.0),
        ],
        problems,
    }
}

/// What happened between two seconds of the programme.
fn show(outcome: &Outcome, (from, to): (f64, f64)) -> String {
    let mut lines: Vec<(f64, String)> = Vec::new();
    for (at_s, event) in &outcome.events {
        lines.push((*at_s, format!("{event:?}")));
    }
    for (at_s, part, verdict) in &outcome.decisions {
        let (start, end) = (part.start.millis() as f64 / 1e3, part.end.millis() as f64 / 1e3);
        lines.push((*at_s, format!("DECIDED {start:.2}..{end:.2} {verdict:?}")));
    }
    for (at_s, connection, cell) in &outcome.said {
        lines.push((
            *at_s,
            format!("c{connection} says {}.{}", cell.cell.number, cell.cell.part),
        ));
    }
    lines.extend(outcome.sketches.iter().cloned());
    for entry in &outcome.journal.entries {
        lines.push((
            entry.at_ms / 1e3,
            format!("twin c{} {:?}", entry.connection, entry.what),
        ));
    }
    lines.retain(|(at_s, _)| (from..to).contains(at_s));
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let heard = |it: &&Heard| from < it.spoken.end_s + 11.0 && it.spoken.start_s + 9.0 < to;
    let heard = outcome.air.heard.iter().filter(heard).map(Heard::line);
    let lines = lines
        .into_iter()
        .map(|(at_s, line)| format!("{at_s:8.2} {line}\n"));
    lines.chain(heard).collect()
}
