//! `drill-rotation`: sessions of thirty seconds, ten minutes of speech that hardly stops, both families: every phrase is
//! heard once, whole and in order, however the old session ends.

use super::air::Air;
use super::case::{Case, Family, Ran};
use super::faults::GAP_MS_MAX;
use super::jobs::{self, say};
use super::programme::{Programme, Shape};
use super::report::{Row, few, render};
use anyhow::Result;
use media_judge::dsp::percentile;
use std::sync::Arc;

/// Length of a session in this drill, in seconds.
const AGE_S: u32 = 30;
/// Changes of the session in ten minutes.
const ROTATIONS_MIN: f64 = 20.0;
/// Where a connection dies it owes many answers: the lag is up to three seconds. It is no longer when the next one dies,
/// because the provider has caught up by then.
const DYING: &str =
    "length_ratio = 0.85\nlag = \"2500ms\"\njitter = \"500ms\"\n[dialogue]\nthink = \"2500ms\"\n";
const ORDERLY: &str = "length_ratio = 0.9\n";
/// The drill's own length: twenty sessions of thirty seconds begin in it, and the last is over.
pub const SECONDS: f64 = 650.0;

/// How the old session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client's own deadline comes first.
    Age,
    /// The server warns first.
    GoAway,
    /// The connection is reset without a warning.
    Reset,
    /// The server warns, and says nothing more.
    Silence,
    /// The connection is reset, and its handle is refused.
    Refused,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Age, Self::GoAway, Self::Reset, Self::Silence, Self::Refused];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::GoAway => "goaway",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Refused => "refused",
        }
    }

    /// What it is.
    pub fn about(self) -> &'static str {
        match self {
            Self::Age => "the client's own deadline, 30 s",
            Self::GoAway => "goAway at 25 s, close at 35 s",
            Self::Reset => "reset at 28 s without goAway; lag of 2 to 3 s",
            Self::Silence => "goAway at 25 s, then silence; lag of 2 to 3 s, watchdog 1 s after a goAway",
            Self::Refused => "reset at 28 s, the handle is refused; lag of 2 to 3 s",
        }
    }

    /// Whether there is a connection to drain: otherwise a change is a new connection and no handover.
    fn is_orderly(self) -> bool {
        matches!(self, Self::Age | Self::GoAway)
    }

    pub(crate) fn scenario(self) -> String {
        let life = match self {
            Self::Age | Self::Reset | Self::Refused => (36, 44),
            Self::GoAway => (25, 35),
            Self::Silence => (500, 600),
        };
        let fault = |name: &str, after: u32| {
            format!("[[fault]]\nname = \"{name}\"\nafter = \"{after}s\"\ntimes = 1000\n")
        };
        let fault = match self {
            Self::Age | Self::GoAway => String::new(),
            Self::Reset => fault("tcp_reset", 28),
            Self::Silence => fault("goaway_then_silence", 25),
            Self::Refused => fault("resume_bad_handle", 28),
        };
        let (go_away, close) = life;
        let voice = if self.is_orderly() { ORDERLY } else { DYING };
        format!(
            "hears = \"codes\"\n[life]\ngo_away_after = \"{go_away}s\"\nclose_after = \"{close}s\"\n\
             [voice]\n{voice}{fault}"
        )
    }

    /// Settings of the client that this end is about.
    fn settings(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Age | Self::GoAway | Self::Reset => None,
            Self::Silence => Some(("WORKER_GEMINI_WATCHDOG_AFTER_GO_AWAY", "1s")),
            Self::Refused => Some(("WORKER_GEMINI_RESUMPTION", "true")),
        }
    }
}

/// What is drilled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these, as `translate-goaway`; all when empty.
    pub only: Vec<String>,
    /// Stacks at a time.
    pub jobs: usize,
    /// Length of the programme.
    pub seconds: f64,
}

/// Every case: name, family, end.
pub fn all() -> Vec<(String, Family, End)> {
    [Family::Translate, Family::Dialogue]
        .into_iter()
        .flat_map(|family| End::ALL.map(|end| (format!("{}-{}", family.name(), end.name()), family, end)))
        .collect()
}

/// The case of one family and one end.
pub fn case(family: Family, end: End, programme: &Arc<Programme>, seconds: f64) -> Case {
    Case {
        name: format!("rotation-{}-{}", family.name(), end.name()),
        family,
        programme: Arc::clone(programme),
        seconds,
        scenario: end.scenario(),
        settings: settings(end),
    }
}

/// Settings of the client for an end.
pub fn settings(end: End) -> Vec<(String, String)> {
    let settings = [
        ("WORKER_GEMINI_SESSION_AGE", format!("{AGE_S}s")),
        ("WORKER_GEMINI_SESSION_AGE_JITTER", "0s".to_owned()),
        ("WORKER_GEMINI_SESSION_AGE_LIMIT", format!("{}s", AGE_S + 14)),
    ];
    settings
        .into_iter()
        .chain(end.settings().map(|(key, value)| (key, value.to_owned())))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Runs the drill; whether every bar holds.
pub fn run(options: &Options) -> Result<bool> {
    let wanted = |name: &String| options.only.is_empty() || options.only.contains(name);
    say("making the programme");
    let programme = Arc::new(Programme::get(Shape {
        seconds: options.seconds as u32 + 10,
        hole: None,
    })?);
    let cases: Vec<(End, Case)> = all()
        .into_iter()
        .filter(|(name, ..)| wanted(name))
        .map(|(_, family, end)| (end, case(family, end, &programme, options.seconds)))
        .collect();
    anyhow::ensure!(!cases.is_empty(), "no such case; --list names them");
    let ends: Vec<End> = cases.iter().map(|(end, _)| *end).collect();
    let by_name: Vec<(String, End)> = cases
        .iter()
        .map(|(end, case)| (case.name.clone(), *end))
        .collect();
    let end_of = move |name: &str| {
        by_name
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, end)| *end)
    };
    let cases = cases.into_iter().map(|(_, case)| case).collect();
    let results = jobs::run(cases, options.jobs, move |ran| {
        judge(end_of(&ran.case.name).unwrap_or(End::Age), ran)
    })?;
    let rows: Vec<Row> = results
        .into_iter()
        .map(|(name, row)| row.unwrap_or_else(|error| Row::broken(&name, &error)))
        .collect();
    say(&render(HEAD, &rows));
    for end in End::ALL.into_iter().filter(|end| ends.contains(end)) {
        say(&format!("{:<8} {}", end.name(), end.about()));
    }
    Ok(rows.iter().all(Row::holds))
}

const HEAD: &[&str] = &[
    "case",
    "rotations",
    "replays",
    "phrases",
    "lost",
    "doubled",
    "seams",
    "order",
    "original s",
    "gap ms",
    "onset p50 s",
    "p95",
    "max",
];

/// What a case shows against the bars.
pub fn judge(end: End, ran: &Ran) -> Result<Row> {
    let air = ran.air()?;
    let omitted = ran.journal.omitted();
    let lost: Vec<u16> = air.not_dubbed(&omitted).map(|it| it.spoken.number).collect();
    let doubled = air.doubled();
    let rotations = ran.seen.links(|link| link.rotations_total);
    let connections = ran.seen.links(|link| link.connections_total).saturating_sub(1);
    let changes = if end.is_orderly() { rotations } else { connections };
    let least = (ROTATIONS_MIN * (ran.case.seconds / 610.0).min(1.0)).floor() as u64;
    let mut problems = problems_of(&air);
    let early = air.early();
    if !early.is_empty() {
        problems.push(format!("before their phrases: {}", few(&early)));
    }
    if !lost.is_empty() {
        problems.push(format!("lost: {}", few(&lost)));
    }
    if changes < least {
        problems.push(format!("{changes} changes of the session in place of {least}"));
    }
    if end == End::Refused && !ran.journal.refuses() {
        problems.push("no handle was refused".to_owned());
    }
    for (program, changes) in &ran.seen.changes {
        problems.push(format!("{changes} new {program}"));
    }
    let late = air.lateness_s();
    let at = |share: f64| format!("{:.2}", percentile(&late, share));
    Ok(Row {
        cells: vec![
            ran.case.name.trim_start_matches("rotation-").to_owned(),
            changes.to_string(),
            ran.seen.links(|link| link.replays_total).to_string(),
            air.heard.len().to_string(),
            lost.len().to_string(),
            doubled.len().to_string(),
            air.seams().len().to_string(),
            air.out_of_order.len().to_string(),
            format!("{:.1}", air.original_s()),
            format!("{:.0}", air.longest_gap_ms()),
            at(0.5),
            at(0.95),
            at(1.0),
        ],
        problems,
    })
}

/// What holds whatever happens to sessions: nothing twice, in order, no gap, the picture as it came.
pub fn problems_of(air: &Air) -> Vec<String> {
    let mut problems = Vec::new();
    let doubled = air.doubled();
    if !doubled.is_empty() {
        problems.push(format!("doubled: {}", few(&doubled)));
    }
    if !air.out_of_order.is_empty() {
        problems.push(format!("out of order: {}", few(&air.out_of_order)));
    }
    if !air.is_complete() {
        problems.push(format!("the stream ended {:.0} s early", air.missing_s));
    }
    if air.foreign > 0 {
        problems.push(format!("{} parts of no phrase", air.foreign));
    }
    if air.longest_gap_ms() > GAP_MS_MAX {
        problems.push(format!("a gap of {:.0} ms at /out", air.longest_gap_ms()));
    }
    let units = &air.units;
    if !units.identical(2.0) {
        problems.push(format!(
            "pictures: {} lost, {} doubled, {} foreign, {:.0} ms off",
            units.lost, units.doubled, units.foreign, units.pts_worst_ms
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use gemini_twin::scenario::Scenario;

    #[test]
    fn every_end_has_a_scenario_that_the_twin_reads() {
        for end in End::ALL {
            let read = Scenario::parse(&end.scenario()).unwrap();
            assert!(read.life.close_after.as_secs() > u64::from(AGE_S), "{end:?}");
        }
        assert_eq!(all().len(), 10);
    }
}
