//! `drill-faults`: every fault of the list on a stack of its own, against the bar of its class.

use super::air::{Air, Heard};
use super::case::{Case, Family, Ran};
use super::jobs::{self, say};
use super::plans::Plan;
use super::programme::{Programme, Shape};
use super::report::{Row, few, render, seconds};
use anyhow::{Result, bail};
use gemini_twin::faults::{self, Class, When};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

/// No reader of `/out` waits longer for a packet.
pub const GAP_MS_MAX: f64 = 200.0;
/// A cause has to be told within this.
const CAUSE_S_MAX: f64 = 5.0;
/// Attempts after a fault that no retry mends.
const FATAL_ATTEMPTS_MAX: usize = 2;
/// Attempts while a quota is spent.
const QUOTA_ATTEMPTS_MAX: usize = 4;
/// A phrase that was said so long before a fault may still have been under way.
const UNDER_WAY_S: f64 = 12.0;
/// The answer to a phrase is said so long after it at the latest: a strike until then may take it away.
const ANSWERED_S: f64 = 5.0;
/// Seconds of the original that the listener takes for the edges of phrases.
const EDGES_S: f64 = 0.5;

/// What is drilled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these faults; all when empty.
    pub only: Vec<String>,
    /// How the model is spoken to where both families have a fault.
    pub family: Family,
    /// Stacks at a time.
    pub jobs: usize,
}

/// The plans that are wanted.
fn plans(options: &Options) -> Result<Vec<Plan>> {
    for name in &options.only {
        if faults::find(name).is_none() {
            bail!("there is no fault {name:?}; `gemini-twin faults` lists them");
        }
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    Ok(faults::all()
        .filter(|fault| wanted(fault.name))
        .map(|fault| Plan::of(fault, options.family))
        .collect())
}

/// A list of what there is, for `--list`.
pub fn list() -> Vec<String> {
    faults::all()
        .map(|fault| format!("{:<28} {:<12} {}", fault.name, fault.class, fault.what))
        .collect()
}

/// Runs the drill; whether every bar holds.
pub fn run(options: &Options) -> Result<bool> {
    let plans = plans(options)?;
    let mut programmes: BTreeMap<Option<(u32, u32)>, Arc<Programme>> = BTreeMap::new();
    let longest = plans.iter().map(|plan| plan.seconds as u32).max().unwrap_or(60) + 5;
    for plan in &plans {
        if let Entry::Vacant(place) = programmes.entry(plan.hole) {
            say("making the programme");
            let shape = Shape {
                seconds: longest.max(150),
                hole: plan.hole,
            };
            place.insert(Arc::new(Programme::get(shape)?));
        }
    }
    // The longest first: none is left alone at the end.
    let mut order: Vec<&Plan> = plans.iter().collect();
    order.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let cases = order.iter().map(|plan| case(plan, &programmes)).collect();
    let by_name: BTreeMap<String, Plan> = plans.iter().map(|plan| (case_name(plan), plan.clone())).collect();
    let judged = by_name.clone();
    let results = jobs::run(cases, options.jobs, move |ran| {
        judge(&judged[&ran.case.name], ran)
    })?;
    let mut rows: BTreeMap<String, Row> = results
        .into_iter()
        .map(|(name, row)| {
            let row = row.unwrap_or_else(|error| Row::broken(by_name[&name].fault.name, &error));
            (name, row)
        })
        .collect();
    // In the order of the list.
    let rows: Vec<Row> = plans
        .iter()
        .filter_map(|plan| rows.remove(&case_name(plan)))
        .collect();
    say(&render(HEAD, &rows));
    Ok(rows.iter().all(Row::holds))
}

const HEAD: &[&str] = &[
    "fault",
    "model",
    "class",
    "bar",
    "drilled",
    "the twin did",
    "gap ms",
    "original s",
    "lost s",
    "not dubbed",
    "early",
    "back s",
];

fn case_name(plan: &Plan) -> String {
    format!("fault-{}-{}", plan.fault.name, plan.family.name())
}

fn case(plan: &Plan, programmes: &BTreeMap<Option<(u32, u32)>, Arc<Programme>>) -> Case {
    Case {
        name: case_name(plan),
        family: plan.family,
        programme: Arc::clone(&programmes[&plan.hole]),
        seconds: plan.seconds,
        scenario: plan.scenario(),
        settings: plan.environment(),
    }
}

/// What a case shows, and what of it does not hold.
struct Verdict<'r> {
    plan: &'r Plan,
    ran: &'r Ran,
    air: Air,
    omitted: BTreeSet<u16>,
    /// When the fault began, on the wall clock and in seconds of the programme.
    struck_ms: f64,
    struck_s: f64,
    begins_ms: f64,
    /// When it struck, the first time and again.
    strikes_ms: Vec<f64>,
    problems: Vec<String>,
}

fn judge(plan: &Plan, ran: &Ran) -> Result<Row> {
    let air = ran.air()?;
    let begins_ms = ran.begins_ms()?;
    let struck_ms = struck_ms(plan, ran).unwrap_or(begins_ms);
    let mut strikes_ms = vec![struck_ms];
    if plan.fault.when != When::Attempt {
        // One that strikes again has to be over again.
        strikes_ms.extend(ran.journal.faults(plan.fault.name).into_iter().skip(1));
    }
    let mut verdict = Verdict {
        plan,
        ran,
        air,
        omitted: ran.journal.omitted(),
        struck_ms,
        struck_s: (struck_ms - begins_ms) / 1000.0,
        begins_ms,
        strikes_ms,
        problems: Vec::new(),
    };
    verdict.common();
    match plan.fault.class {
        Class::Transparent => verdict.transparent(),
        Class::Recover => verdict.back_within(&verdict.strikes_ms.clone(), plan.recovers_s()),
        Class::Overload => verdict.overload(),
        Class::Quota => verdict.quota(),
        Class::Fatal => verdict.fatal(),
    }
    Ok(verdict.row())
}

/// When the fault began. One that attempts meet is noted when an attempt meets it, and begins with what makes room for
/// that attempt; a refused attempt notes no name.
fn struck_ms(plan: &Plan, ran: &Ran) -> Option<f64> {
    let named = ran.journal.faults(plan.fault.name).first().copied();
    if plan.fault.when == When::Attempt {
        let harm = ran.journal.last_harm_ms(0.0, named.unwrap_or(f64::MAX));
        return named.or(harm).and(ran.journal.first_harm_ms());
    }
    named
}

impl Verdict<'_> {
    fn say(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// What holds for every class: the programme goes on, and nothing is heard twice or in another order.
    fn common(&mut self) {
        let gap = self.air.longest_gap_ms();
        if gap > GAP_MS_MAX {
            self.say(format!("a gap of {gap:.0} ms at /out"));
        }
        let units = &self.air.units;
        if units.lost + units.doubled + units.foreign > 0 {
            let (lost, doubled, foreign) = (units.lost, units.doubled, units.foreign);
            self.say(format!(
                "pictures: {lost} lost, {doubled} doubled, {foreign} foreign"
            ));
        }
        if !self.air.is_complete() {
            let missing = self.air.missing_s;
            self.say(format!("the stream ended {missing:.0} s early"));
        }
        for (program, changes) in &self.ran.seen.changes {
            self.problems.push(format!("{changes} new {program}"));
        }
        let doubled = self.air.doubled();
        if !doubled.is_empty() {
            self.say(format!("doubled: {}", few(&doubled)));
        }
        if !self.air.out_of_order.is_empty() {
            let phrases = few(&self.air.out_of_order);
            self.say(format!("out of order: {phrases}"));
        }
        let early = self.air.early();
        if !early.is_empty() {
            self.say(format!("before their phrases: {}", few(&early)));
        }
        if self.air.foreign > 0 {
            let foreign = self.air.foreign;
            self.say(format!("{foreign} parts of no phrase"));
        }
        if self.air.heard.len() < 5 {
            self.say("hardly a phrase was judged");
        }
        let is_noted = !self.ran.journal.faults(self.plan.fault.name).is_empty();
        match (self.plan.is_evaded(), is_noted || self.ran.journal.refuses()) {
            (false, false) => self.say("the fault did not happen"),
            (true, true) => self.say("the fault was not evaded"),
            (false, true) | (true, false) => {}
        }
    }

    fn not_dubbed(&self) -> Vec<u16> {
        let not = self.air.not_dubbed(&self.omitted);
        not.map(|it| it.spoken.number).collect()
    }

    fn transparent(&mut self) {
        let not = self.not_dubbed();
        if !not.is_empty() {
            self.say(format!("not dubbed: {}", few(&not)));
        }
        let original = self.air.original_s();
        if original > EDGES_S {
            self.say(format!("{original:.1} s of the original"));
        }
        let is_silent = self.plan.hole.is_some();
        let connections = self.ran.seen.links(|link| link.connections_total);
        if is_silent && connections != 1 {
            self.say(format!("{connections} connections for a silent source"));
        }
    }

    /// From each of some strikes on, how long it took until the dub was back; the longest.
    fn took_s(&self, strikes_ms: &[f64]) -> Option<f64> {
        let strikes: Vec<f64> = strikes_ms
            .iter()
            .map(|at_ms| (at_ms - self.begins_ms) / 1000.0)
            .collect();
        let of = |it: &Heard| {
            let end_s = it.spoken.end_s;
            let by = strikes.iter().rev().find(|at_s| **at_s <= end_s + ANSWERED_S);
            Some(end_s - by.or(strikes.first())?)
        };
        let took = self.air.not_dubbed(&self.omitted).filter_map(of);
        took.max_by(f64::total_cmp)
    }

    /// The dub is back so long after each of some strikes, and was there until the fault.
    fn back_within(&mut self, strikes_ms: &[f64], limit_s: f64) {
        if let Some(took) = self.took_s(strikes_ms).filter(|took| *took > limit_s) {
            self.say(format!("back after {took:.1} s"));
        }
        let before: Vec<u16> = self
            .air
            .not_dubbed(&self.omitted)
            .filter(|it| it.spoken.end_s < self.struck_s - UNDER_WAY_S)
            .map(|it| it.spoken.number)
            .collect();
        if !before.is_empty() {
            self.say(format!("not dubbed before the fault: {}", few(&before)));
        }
        self.is_back();
    }

    /// At least one phrase behind the fault was dubbed.
    fn is_back(&mut self) {
        let last = self
            .air
            .heard
            .iter()
            .rev()
            .find(|it| !self.omitted.contains(&it.spoken.number));
        if last.is_some_and(|it| !it.is_whole()) {
            self.say("the dub did not come back");
        }
    }

    fn overload(&mut self) {
        if self.ran.seen.breaker_open_ms(self.struck_ms).is_none() {
            self.say("the breaker did not open");
        }
        if self.ran.seen.in_flight_max_s <= 0.0 {
            self.say("nothing was seen in flight");
        }
        let over_ms = self.ran.journal.last_harm_ms(self.struck_ms, f64::MAX);
        self.back_within(&[over_ms.unwrap_or(self.struck_ms)], self.plan.recovers_s());
    }

    fn quota(&mut self) {
        let attempts = self.ran.journal.attempts_since(self.struck_ms + 1.0);
        if attempts > QUOTA_ATTEMPTS_MAX {
            self.say(format!("{attempts} attempts"));
        }
        self.back_within(&[self.struck_ms], self.plan.recovers_s());
    }

    fn fatal(&mut self) {
        match self.ran.seen.halted() {
            None => self.say("no cause was told"),
            Some((at_ms, why, remedy)) => {
                let took = (at_ms - self.struck_ms) / 1000.0;
                let (no_why, no_remedy) = (why.is_empty(), remedy.is_empty());
                if took > CAUSE_S_MAX {
                    self.say(format!("the cause was told after {took:.1} s"));
                }
                if no_why || no_remedy {
                    self.say("a cause without its remedy");
                }
            }
        }
        let attempts = self.ran.journal.attempts_since(self.struck_ms + 1.0);
        if attempts > FATAL_ATTEMPTS_MAX {
            self.say(format!("{attempts} attempts"));
        }
        let lost = self.air.lost_s(&self.omitted);
        if lost > 0.1 * self.air.judged_s {
            self.say(format!("{lost:.1} s of speech heard in no language"));
        }
    }

    fn row(self) -> Row {
        let again = self.took_s(&self.strikes_ms);
        let back = if self.plan.fault.class == Class::Fatal {
            "-".to_owned()
        } else {
            seconds(again.map(|again| again.max(0.0)).or(Some(0.0)))
        };
        Row {
            cells: vec![
                self.plan.fault.name.to_owned(),
                self.plan.family.name().to_owned(),
                self.plan.fault.class.to_string(),
                self.plan.bar(),
                self.plan.words(),
                self.ran.journal.deeds_since(self.struck_ms),
                format!("{:.0}", self.air.longest_gap_ms()),
                format!("{:.1}", self.air.original_s()),
                format!("{:.1}", self.air.lost_s(&self.omitted)),
                format!("{}/{}", self.not_dubbed().len(), self.air.heard.len()),
                self.air.early().len().to_string(),
                back,
            ],
            problems: self.problems,
        }
    }
}
