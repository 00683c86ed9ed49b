//! One line of answers: the atoms of connections that follow each other, and what they are taken to answer.
//!
//! A connection that answers source anew begins a line of its own; for each phrase the newest line that has an answer
//! counts.
mod joints;

pub(crate) use joints::JOIN_MIN;

use crate::Verdict;
use crate::align::{BEHIND, Head, QUEUES, Run, Scene, Sound, Spoken};
use crate::atoms::{Atom, Atoms, STEP_SAMPLES, steps};
use crate::borders::{REPEATED_STEPS, pause_steps};
use crate::estimates::{Beliefs, Match};
use crate::phrases::Phrases;
use media_types::{MediaTime, SAMPLE_RATE_HZ};

/// Silence after which a run has ended; what is split is split by less.
const RUN_PAUSE: MediaTime = MediaTime::from_millis(450);
/// The same for a provider that sends no silence, by the air's clock.
const RUN_PAUSE_UNSEEN: MediaTime = MediaTime::from_millis(1_100);
/// Source after which what was sent again has been caught up with.
const CATCHING_UP: MediaTime = MediaTime::from_millis(20_000);
/// Atoms that are aligned at once.
const ALIGNED: usize = 96;
/// Gap between the last sound of one connection and the first of the next: nobody knows.
const GAP_UNKNOWN: MediaTime = MediaTime::from_millis(300);
/// Share of a run that has to sound: who speaks more haltingly is told the source too slowly.
const FLUENT: f64 = 0.7;

/// The run that a line said last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dub {
    /// First phrase that it answers; absent where it answers none that is known.
    pub(crate) phrase: Option<u64>,
    /// Phrases that are decided by it.
    pub(crate) phrases: usize,
    pub(crate) start: MediaTime,
    pub(crate) end: MediaTime,
    pub(crate) length: MediaTime,
    /// Earliest source that its beginning can answer, and its end.
    pub(crate) from: MediaTime,
    pub(crate) earliest: MediaTime,
    pub(crate) latest: MediaTime,
    pub(crate) turn: Option<u64>,
    /// Where its first sound airs, until it does.
    pub(crate) starts_at: Option<MediaTime>,
    /// By how much it may be late because the provider has fallen behind, in seconds.
    pub(crate) behind_max: f64,
    /// By how much the provider fell behind in its course, in seconds.
    pub(crate) leapt: f64,
    connection: u64,
    /// Nothing more belongs to it: a border was found.
    pub(crate) done: bool,
    /// Nothing more of it may be heard.
    pub(crate) sealed: bool,
    /// Its figures tell nothing of the provider, or have been told.
    pub(crate) noted: bool,
}

impl Dub {
    /// Nothing of it was said or left unsaid yet.
    fn is_fresh(&self) -> bool {
        self.start == self.end && self.length == MediaTime::ZERO
    }
}

/// Where everything stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// Everything before this is decided.
    pub(crate) aired: MediaTime,
    /// How far the source has come.
    pub(crate) now: MediaTime,
    /// Newest source that a provider heard.
    pub(crate) live: MediaTime,
    /// Source from here on is answered anew by the next line.
    pub(crate) until: Option<MediaTime>,
    /// No answer follows its source by more, in seconds.
    pub(crate) age_max: f64,
}

/// A line of answers.
#[derive(Debug)]
pub(crate) struct Lane {
    /// First connection of it.
    pub(crate) connection: u64,
    /// First source that it answers.
    pub(crate) from: MediaTime,
    /// What lies between this and that was too old to be asked again.
    pub(crate) owed: MediaTime,
    /// When it was asked, on the air's clock.
    pub(crate) begun: Option<MediaTime>,
    pub(crate) atoms: Atoms,
    pub(crate) head: Option<Dub>,
    pub(crate) plan: Vec<Run>,
    /// The end of what was said of the newest run.
    pub(crate) tail: Vec<i16>,
    dirty: bool,
    arriving: bool,
}

pub(crate) fn time(seconds: f64) -> MediaTime {
    MediaTime::from_frames((seconds * f64::from(SAMPLE_RATE_HZ)) as i64)
}

pub(crate) fn seconds(time: MediaTime) -> f64 {
    time.frames() as f64 / f64::from(SAMPLE_RATE_HZ)
}

impl Lane {
    pub(crate) fn new(connection: u64, from: MediaTime) -> Self {
        Self {
            connection,
            from,
            owed: from,
            begun: None,
            atoms: Atoms::default(),
            head: None,
            plan: Vec::new(),
            tail: Vec::new(),
            dirty: true,
            arriving: false,
        }
    }

    pub(crate) fn touch(&mut self) {
        self.dirty = true;
    }

    /// More of the newest run may come, as far as can be told at an instant of the air.
    fn is_arriving(&self, aired: MediaTime) -> bool {
        let waits = self.atoms.list.back().is_some_and(|atom| atom.open);
        let pause = self.atoms.quiet_for();
        let quiet = !waits && pause.is_some_and(|pause| RUN_PAUSE <= pause);
        !quiet && aired - self.atoms.heard_at < RUN_PAUSE_UNSEEN && pause.is_some()
    }

    /// Aligns anew, where anything has changed.
    pub(crate) fn replan(&mut self, phrases: &Phrases, beliefs: &Beliefs, time: Time) {
        let arriving = self.is_arriving(time.aired);
        while let Some(atom) = self.atoms.list.front().filter(|atom| atom.rest() == 0) {
            if atom.open && arriving {
                break;
            }
            self.atoms.list.pop_front();
            self.dirty = true;
        }
        if !self.dirty && arriving == self.arriving {
            return;
        }
        self.dirty = false;
        self.arriving = arriving;
        let sounds = self.sounds();
        let spoken = spoken(phrases, time.live);
        let head = self.head.map(|dub| self.view(&dub, phrases));
        let anew = 0 < self.connection && time.live < self.from + CATCHING_UP;
        // Nothing is overdue of who has not been sent it.
        let sent = self.atoms.list.back().map(|atom| atom.latest.1);
        let scene = Scene {
            sounds: &sounds,
            phrases: &spoken,
            head,
            beliefs,
            // A line that another one takes over from may have been broken off in the middle of a run: that is no more
            // judged by its length and its end than one that is still to come.
            arriving: arriving || time.until.is_some(),
            until: time.until.map(seconds),
            from: (0 < self.connection).then(|| seconds(self.from)),
            anew,
            begun: self.begun.map(seconds),
            age_max: time.age_max,
            now: seconds(sent.filter(|_| anew).unwrap_or(time.now)),
        };
        self.plan = scene.align();
    }

    fn sounds(&self) -> Vec<Sound> {
        let mut connection = self.head.map(|dub| dub.connection);
        let mut out = Vec::new();
        for atom in self
            .atoms
            .list
            .iter()
            .take(ALIGNED)
            .filter(|atom| 0 < atom.rest())
        {
            let first = connection.is_some_and(|last| last != atom.connection);
            connection = Some(atom.connection);
            let begins = out.is_empty() && self.head.is_some_and(|dub| dub.is_fresh() && !dub.done);
            let gap = if 0 < atom.placed || begins {
                MediaTime::ZERO
            } else {
                atom.gap
            };
            let pair = |(one, two): (MediaTime, MediaTime)| (seconds(one), seconds(two));
            out.push(Sound {
                start: seconds(atom.start + steps(atom.placed)),
                length: seconds(steps(atom.rest())),
                gap: seconds(if first { gap.min(GAP_UNKNOWN) } else { gap }),
                earliest: pair(atom.earliest),
                latest: pair(atom.latest),
                turn: atom.turn,
                first,
                heard_at: seconds(atom.heard_at),
                leapt: seconds(atom.leapt),
            });
        }
        out
    }

    fn view(&self, dub: &Dub, phrases: &Phrases) -> Head {
        Head {
            phrase: dub.phrase.and_then(|id| phrases.index_of(id)),
            start: seconds(dub.start),
            end: seconds(dub.end),
            length: seconds(dub.length),
            from: seconds(dub.from),
            earliest: seconds(dub.earliest),
            latest: seconds(dub.latest),
            turn: dub.turn,
            phrases: dub.phrases,
            behind_max: dub.behind_max,
            leapt: dub.leapt,
            done: dub.done,
            mid: self.is_mid(),
        }
    }

    /// Half of the first atom airs already.
    pub(crate) fn is_mid(&self) -> bool {
        self.atoms
            .list
            .front()
            .is_some_and(|atom| 0 < atom.placed && 0 < atom.rest())
    }

    /// The run that goes on with what airs.
    pub(crate) fn going_on(&self) -> Option<Run> {
        self.plan.first().copied().filter(|run| run.goes_on)
    }

    /// The planned answer to a phrase, from its beginning.
    pub(crate) fn answer_to(&self, phrase: usize) -> Option<Run> {
        let begins = |run: &&Run| !run.goes_on && run.phrase == phrase;
        self.plan.iter().find(begins).copied()
    }

    /// A run is the last that the line has: where another line takes over, it may be broken off.
    pub(crate) fn is_last(&self, run: Run) -> bool {
        self.atoms.list.len() <= run.atom + run.atoms
    }

    /// Length of a run that nothing is heard of yet, without the pauses in it, in seconds.
    pub(crate) fn sound_of(&self, run: Run) -> f64 {
        let atoms = self.atoms.list.iter().skip(run.atom).take(run.atoms);
        seconds(steps(atoms.map(Atom::rest).sum()))
    }

    /// Nothing is heard of a run yet, and it has no more pauses than speech has.
    pub(crate) fn is_fluent(&self, run: Run) -> bool {
        let pauses = self
            .atoms
            .list
            .iter()
            .skip(run.atom + 1)
            .take(run.atoms.saturating_sub(1));
        let paused: f64 = pauses.map(|atom| seconds(atom.gap).max(0.0)).sum();
        let sound = self.sound_of(run);
        FLUENT * (sound + paused) <= sound
    }

    /// Length of a run that nothing is heard of yet, with the pauses in it, in seconds.
    pub(crate) fn length_of(&self, run: Run) -> f64 {
        let atoms = self.atoms.list.iter().skip(run.atom).take(run.atoms);
        let sound: usize = atoms.clone().map(Atom::rest).sum();
        let pauses: usize = atoms.skip(1).map(pause_steps).sum();
        seconds(steps(sound + pauses))
    }

    /// More of the answer that airs is to be expected.
    pub(crate) fn is_expected(&self) -> bool {
        let placed = self.atoms.list.iter().all(|atom| atom.rest() == 0);
        self.arriving && placed && self.head.is_some_and(|dub| !dub.done && !dub.sealed)
    }

    /// Leaves out the first atoms. Tells how many that were.
    pub(crate) fn drop_atoms(&mut self, count: usize) -> u64 {
        let count = count.min(self.atoms.list.len());
        self.atoms.list.drain(..count);
        self.dirty = true;
        u64::try_from(count).unwrap_or(0)
    }

    /// A run begins to be said, or to be left out.
    pub(crate) fn begin(&mut self, phrase: Option<u64>, starts_at: Option<MediaTime>) {
        let Some(atom) = self.atoms.list.front() else {
            return;
        };
        self.head = Some(Dub {
            phrase,
            phrases: 1,
            start: atom.start,
            end: atom.start,
            length: MediaTime::ZERO,
            from: atom.earliest.0,
            earliest: atom.earliest.0,
            latest: atom.latest.0,
            turn: atom.turn,
            starts_at,
            behind_max: if seconds(atom.gap) <= QUEUES {
                seconds(atom.leapt)
            } else {
                0.0
            },
            leapt: 0.0,
            connection: atom.connection,
            done: false,
            sealed: starts_at.is_none(),
            noted: phrase.is_none() || starts_at.is_none(),
        });
        self.tail.clear();
        self.dirty = true;
    }

    /// A sound of it has ended, and it may go on.
    pub(crate) fn pauses(&self) -> bool {
        let speaks = self
            .head
            .is_some_and(|dub| !dub.sealed && dub.starts_at.is_none());
        speaks
            && self
                .atoms
                .list
                .front()
                .is_none_or(|atom| atom.placed == 0 || atom.rest() == 0)
    }

    /// More may come of what it says.
    pub(crate) fn may_go_on(&self) -> bool {
        self.arriving
    }

    /// Steps of sound that wait.
    pub(crate) fn waits(&self) -> usize {
        self.atoms.list.iter().map(Atom::rest).sum()
    }

    /// What the last run tells of the provider.
    pub(crate) fn note(&mut self, phrases: &Phrases) -> Option<Match> {
        let dub = self.head.as_mut().filter(|dub| !dub.noted && dub.phrases == 1)?;
        let phrase = phrases.get(phrases.index_of(dub.phrase?)?)?;
        let end = phrase.end?;
        dub.noted = true;
        let behind = 0 < self.connection && dub.start < self.from + CATCHING_UP || BEHIND < dub.behind_max;
        let paced = dub.turn.is_none() && !behind;
        let ratio = seconds(dub.length) / seconds(end - phrase.onset).max(0.05);
        Some(Match {
            lag: paced.then(|| seconds(dub.start - phrase.onset)),
            tail: paced.then(|| seconds(dub.end - end)),
            ratio: ratio.max(0.05).ln(),
        })
    }

    /// Takes up to `wanted` steps of the first atom, of the run that is said.
    pub(crate) fn take(&mut self, wanted: usize) -> Option<(&[i16], MediaTime)> {
        let from = self.atoms.list.front()?.placed;
        let follows = from == 0 && self.head.as_ref()?.starts_at.is_none();
        let count = self.use_up(wanted)?;
        let atom = self.atoms.list.front()?;
        let said = atom.steps(from, from + count);
        let pause = if follows { pause_steps(atom) } else { 0 };
        let kept = count.min(REPEATED_STEPS);
        self.tail.resize(self.tail.len() + pause * STEP_SAMPLES, 0);
        self.tail
            .extend_from_slice(atom.steps(from + count - kept, from + count));
        let over = self.tail.len().saturating_sub(REPEATED_STEPS * STEP_SAMPLES);
        self.tail.drain(..over);
        Some((said, steps(count)))
    }

    /// So many steps of the first atom belong to the run that is said. Tells how many it had.
    fn use_up(&mut self, wanted: usize) -> Option<usize> {
        let atom = self.atoms.list.front_mut()?;
        let dub = self.head.as_mut()?;
        let count = wanted.min(atom.rest());
        // The pause before all of it is no part of it.
        if atom.placed == 0 && dub.starts_at.is_none() && !dub.is_fresh() {
            let gap = atom.gap.max(MediaTime::ZERO);
            dub.length = dub.length + gap;
            if dub.connection == atom.connection && seconds(gap) <= QUEUES && !dub.sealed {
                dub.leapt += seconds(atom.start - dub.end - gap).max(0.0);
            }
        }
        dub.connection = atom.connection;
        atom.placed += count;
        dub.starts_at = None;
        dub.length = dub.length + steps(count);
        dub.end = atom.start + steps(atom.placed);
        dub.earliest = dub.earliest.max(atom.earliest.0);
        dub.latest = atom.latest.1;
        if atom.rest() == 0 {
            self.dirty = true;
            dub.earliest = dub.earliest.max(atom.earliest.1);
        }
        Some(count)
    }

    /// Leaves out a run that has begun, which is used up by that as if it were said. Tells how many atoms that were.
    pub(crate) fn leave_unsaid(&mut self, run: Run) -> u64 {
        for _ in 0..run.atoms {
            let _ = self.use_up(usize::MAX);
            self.atoms.list.pop_front();
        }
        self.dirty = true;
        u64::try_from(run.atoms).unwrap_or(0)
    }

    /// Parts the first atom, whose beginning ends the run that is said.
    pub(crate) fn part(&mut self, step: usize) {
        if let Some(atom) = self
            .atoms
            .list
            .front_mut()
            .filter(|atom| step < atom.levels.len())
        {
            let was_open = atom.open;
            let mut second = atom.split(step);
            second.open = was_open;
            self.atoms.list.insert(1, second);
        }
        self.finish();
    }

    /// Nothing more belongs to the run that is said.
    pub(crate) fn finish(&mut self) {
        if let Some(dub) = &mut self.head {
            dub.done = true;
            dub.noted = true;
        }
        self.dirty = true;
    }
}

fn spoken(phrases: &Phrases, live: MediaTime) -> Vec<Spoken> {
    let list = phrases.list().iter();
    list.map(|phrase| Spoken {
        start: seconds(phrase.onset),
        end: seconds(
            phrase
                .end
                .unwrap_or(live.max(phrase.onset + MediaTime::from_millis(100))),
        ),
        open: phrase.end.is_none(),
        settled: phrase.fate.map(|fate| seconds(fate.decided_at)),
        fell_back: phrase.fate.is_some_and(|fate| fate.verdict != Verdict::Dubbed),
    })
    .collect()
}
