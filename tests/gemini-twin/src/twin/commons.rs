//! What all connections share: sessions and their handles, faults that wait, quotas.

use crate::chance::Chance;
use crate::connection::Recent;
use crate::connection::manner::{Manner, Presented};
use crate::faults::{self, Act, Fault, Step, When};
use crate::scenario::{Planned, Scenario};
use crate::wire::Bye;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A session over its connections.
#[derive(Debug, Default)]
struct Session {
    /// The connection that has it.
    owner: Option<u64>,
    /// When the last one left.
    left: Duration,
    recent: Recent,
}

/// Sessions by number.
#[derive(Debug, Default)]
pub struct Sessions {
    by_number: HashMap<u64, Session>,
}

impl Sessions {
    /// A connection has the session from now on.
    pub fn enter(&mut self, session: u64, connection: u64) {
        self.by_number.entry(session).or_default().owner = Some(connection);
    }

    /// The connection is gone. What it said last is kept until another one leaves: a resume follows soon, or never.
    pub fn leave(&mut self, session: u64, connection: u64, now: Duration, recent: Recent) {
        for other in self.by_number.values_mut() {
            other.recent = Recent::default();
        }
        if let Some(session) = self.by_number.get_mut(&session)
            && session.owner == Some(connection)
        {
            *session = Session {
                owner: None,
                left: now,
                recent,
            };
        }
    }
}

/// A fault that waits for its time.
#[derive(Debug)]
struct Armed {
    fault: &'static Fault,
    planned: Planned,
    /// Connections that it is still to happen to.
    left: u32,
    /// Its time is known, on one connection that lives.
    timed: bool,
    /// When it began; attempts meet it from then on.
    begun: Option<Duration>,
}

impl Armed {
    fn is_for(&self, connection: u64, key: Option<&str>) -> bool {
        self.is_for_key(key) && self.planned.connection.is_none_or(|wanted| wanted == connection)
    }

    fn is_for_key(&self, key: Option<&str>) -> bool {
        let wanted = self.planned.key.as_deref();
        self.left > 0 && wanted.is_none_or(|wanted| key == Some(wanted))
    }

    /// Whether an attempt meets it. Once it has begun on one connection, the attempts that follow are others.
    fn meets(&self, now: Duration, connection: u64, key: Option<&str>) -> bool {
        let over = self
            .begun
            .zip(self.planned.lasts)
            .is_some_and(|(begun, lasts)| now > begun + lasts);
        let begins = !self.has_own_time() && self.is_for(connection, key);
        let goes_on = self.begun.is_some() && self.is_for_key(key) && self.fault.when == When::Attempt;
        !over && !matches!(self.fault.when, When::Setup(_)) && (begins || goes_on)
    }

    /// What it does, for as long as the scenario says.
    fn steps(&self, scale: f64) -> Vec<Step> {
        let mut steps = (self.fault.steps)();
        // Times of steps are scaled when they are done, and this one is not to be.
        let Some(lasts) = self.planned.lasts.map(|lasts| lasts.mul_f64(scale)) else {
            return steps;
        };
        for step in &mut steps {
            if let Act::QuotaFor(time) | Act::RefuseFor(time) = &mut step.act {
                *time = lasts;
            }
        }
        if steps.iter().any(|step| matches!(step.act, Act::Manner(_))) {
            let act = Act::Manner(|manner| *manner = Manner::default());
            steps.push(Step { after: lasts, act });
        }
        steps
    }

    fn has_own_time(&self) -> bool {
        self.planned.at.is_some() || self.planned.after.is_some() || self.planned.phrase.is_some()
    }
}

/// All of it.
#[derive(Debug)]
pub struct Commons {
    /// How the service behaves.
    pub scenario: Scenario,
    /// Draws.
    pub chance: Chance,
    /// A code was heard somewhere.
    pub coded: bool,
    /// Sessions.
    pub sessions: Sessions,
    /// What happens to the next handle.
    pub presented: Presented,
    /// What the next attempts meet.
    pub next: VecDeque<Vec<Act>>,
    /// Attempts are refused until then.
    pub refuse_until: Duration,
    /// Quota is spent until then.
    pub quota_until: Duration,
    /// All connections are to be told to go.
    pub go_away_all: Option<Duration>,
    armed: Vec<Armed>,
    mixed: u64,
    mix_due: Option<Duration>,
}

impl Commons {
    /// Commons of a scenario.
    pub fn new(scenario: Scenario) -> Self {
        let armed = scenario.faults.iter().filter_map(arm).collect();
        let mut commons = Self {
            chance: Chance::new(scenario.seed),
            coded: false,
            sessions: Sessions::default(),
            presented: Presented::Honest,
            next: VecDeque::new(),
            refuse_until: Duration::ZERO,
            quota_until: Duration::ZERO,
            go_away_all: None,
            armed,
            mixed: 0,
            mix_due: None,
            scenario,
        };
        commons.mix_due = commons.next_mix(Duration::ZERO);
        commons
    }

    /// When the next fault by chance is due: times between are spread as chance spreads them, none shorter than a
    /// quarter of the mean.
    fn next_mix(&self, now: Duration) -> Option<Duration> {
        let every = self.scenario.mix.as_ref()?.every;
        let draw = self.chance.even("mix-time", self.mixed);
        Some(now + every.mul_f64(0.25 - 0.75 * (1.0 - draw).ln()))
    }

    /// When the twin itself has something to do.
    pub fn due(&self) -> Option<Duration> {
        let waiting = self
            .armed
            .iter()
            .filter(|it| it.left > 0 && it.begun.is_none())
            .filter_map(|it| it.planned.at);
        waiting.chain(self.mix_due).min()
    }

    /// Faults that begin now, on every connection that lives; `live` says whether any does. Without one they wait.
    pub fn at_time(&mut self, now: Duration, live: bool) -> Vec<usize> {
        if let Some(due) = self.mix_due.filter(|due| *due <= now) {
            self.mixed += 1;
            self.mix_due = self.next_mix(due.max(now));
            let names = self
                .scenario
                .mix
                .as_ref()
                .map(|mix| mix.faults.clone())
                .unwrap_or_default();
            let pick = (self.chance.even("mix-name", self.mixed) * names.len() as f64) as usize;
            if let Some(name) = names.get(pick) {
                let planned = Planned {
                    name: name.clone(),
                    at: Some(now),
                    // What happens to every connection by itself happens to one by chance.
                    times: faults::find(name).filter(|it| it.times == u32::MAX).map(|_| 1),
                    ..Planned::default()
                };
                self.armed.extend(arm(&planned));
            }
        }
        if !live {
            return Vec::new();
        }
        let is_due = |armed: &Armed| {
            armed.left > 0 && armed.begun.is_none() && armed.planned.at.is_some_and(|at| at <= now)
        };
        let due: Vec<usize> = (0..self.armed.len())
            .filter(|index| is_due(&self.armed[*index]))
            .collect();
        for index in &due {
            self.armed[*index].begun = Some(now);
        }
        due
    }

    /// Whether a fault that begins on all connections is for this one.
    pub fn is_for(&self, fault: usize, connection: u64, key: Option<&str>) -> bool {
        self.armed
            .get(fault)
            .is_some_and(|armed| armed.is_for(connection, key))
    }

    /// What an attempt meets.
    pub fn attempt(
        &mut self,
        now: Duration,
        connection: u64,
        key: Option<&str>,
    ) -> Vec<(&'static str, Vec<Step>)> {
        let mut met = Vec::new();
        let scale = self.scenario.scale;
        for armed in self
            .armed
            .iter_mut()
            .filter(|armed| armed.meets(now, connection, key))
        {
            armed.left = armed.left.saturating_sub(1);
            armed.begun.get_or_insert(now);
            met.push((armed.fault.name, armed.steps(scale)));
        }
        if let Some(acts) = self.next.pop_front() {
            let steps = acts
                .into_iter()
                .map(|act| Step {
                    after: Duration::ZERO,
                    act,
                })
                .collect();
            met.push(("", steps));
        }
        if now < self.refuse_until {
            let act = if connection.is_multiple_of(2) {
                Act::Refuse {
                    status: 503,
                    retry_after: None,
                }
            } else {
                Act::CloseAtSetup(Bye::internal())
            };
            met.push((
                "",
                vec![Step {
                    after: Duration::ZERO,
                    act,
                }],
            ));
        }
        met
    }

    /// Faults that begin on a connection some time after its session stands.
    pub fn triggers(&mut self, connection: u64, key: Option<&str>) -> Vec<(Duration, usize)> {
        let mut due = Vec::new();
        for (index, armed) in self.armed.iter_mut().enumerate() {
            let own = armed.planned.after;
            let after = match armed.fault.when {
                When::Setup(after) if !armed.has_own_time() => Some(self.scenario.scaled(after)),
                When::Attempt | When::Open | When::Setup(_) => own,
            };
            if let Some(after) =
                after.filter(|_| armed.is_for(connection, key) && armed.begun.is_none() && !armed.timed)
            {
                if armed.fault.when == When::Attempt {
                    // Attempts count, not the connection that ends for them to be made.
                    armed.timed = true;
                } else {
                    armed.left = armed.left.saturating_sub(1);
                }
                due.push((after, index));
            }
        }
        due
    }

    /// Whether a fault ends the connection in its own way: the ordinary warning and close do not come before it.
    pub fn calls_off_life(&self, fault: usize) -> bool {
        let steps = self
            .armed
            .get(fault)
            .map(|armed| (armed.fault.steps)())
            .unwrap_or_default();
        steps.iter().any(|step| matches!(step.act, Act::NoLife))
    }

    /// Faults that begin with this phrase.
    pub fn at_phrase(&mut self, number: u16, connection: u64, key: Option<&str>) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, armed) in self.armed.iter_mut().enumerate() {
            if armed.planned.phrase == Some(number) && armed.is_for(connection, key) && armed.begun.is_none()
            {
                if armed.fault.when != When::Attempt {
                    armed.left = armed.left.saturating_sub(1);
                }
                due.push(index);
            }
        }
        due
    }

    /// A fault begins: its name, and what it does to the connection on which it begins.
    pub fn fire(&mut self, now: Duration, fault: usize) -> Option<(&'static str, Vec<Step>)> {
        let scale = self.scenario.scale;
        let armed = self.armed.get_mut(fault)?;
        if armed.fault.when != When::Attempt {
            return Some((armed.fault.name, armed.steps(scale)));
        }
        // Attempts meet it, so this connection has to end.
        armed.begun.get_or_insert(now);
        Some((
            armed.fault.name,
            vec![Step {
                after: Duration::ZERO,
                act: Act::Reset,
            }],
        ))
    }

    /// A handle of a session.
    pub fn handle(&self, session: u64, count: u64) -> String {
        let check = (self.chance.even("handle", session ^ (count << 20)) * 1e12) as u64;
        format!("twin-{session}-{count}-{check}")
    }

    /// A handle is presented: the session, what becomes of it, and what it said last.
    ///
    /// # Errors
    /// The close with which it is refused.
    pub fn present(
        &mut self,
        handle: &str,
        connection: u64,
        now: Duration,
    ) -> Result<(u64, Presented, Recent), Bye> {
        let presented = std::mem::take(&mut self.presented);
        if presented == Presented::Refused {
            return Err(Bye::bad_handle());
        }
        let mut numbers = handle
            .split('-')
            .skip(1)
            .map_while(|part| part.parse::<u64>().ok());
        let (Some(number), Some(count)) = (numbers.next(), numbers.next()) else {
            return Err(Bye::bad_handle());
        };
        if self.handle(number, count) != handle {
            return Err(Bye::bad_handle());
        }
        let lives = self.scenario.scaled(self.scenario.life.handle_lives);
        let session = self
            .sessions
            .by_number
            .get_mut(&number)
            .ok_or_else(Bye::session_not_found)?;
        if session.owner.is_some() {
            return Err(Bye::internal());
        }
        if now > session.left + lives {
            return Err(Bye::session_not_found());
        }
        session.owner = Some(connection);
        Ok((number, presented, session.recent.clone()))
    }
}

fn arm(planned: &Planned) -> Option<Armed> {
    let fault = faults::find(&planned.name)?;
    let mut armed = Armed {
        fault,
        planned: planned.clone(),
        left: fault.times,
        timed: false,
        begun: None,
    };
    let usual = if planned.connection.is_some() && !armed.has_own_time() {
        1
    } else if planned.lasts.is_some() && fault.when == When::Attempt {
        u32::MAX
    } else {
        fault.times
    };
    armed.left = planned.times.unwrap_or(usual);
    Some(armed)
}
