//! Which sound answers which phrase: the cheapest way to give runs of atoms to groups of phrases, in order.
//!
//! A dynamic programme over (atoms used, phrases passed). Evidence is hard, everything else is a cost: how far a run's
//! start, its end and its length are off what the provider did lately, phrases left out, sound that answers nothing.
mod costs;

use crate::estimates::Beliefs;

/// Atoms that answer one group at most.
const RUN_MAX: usize = 16;
/// Phrases that one run answers at most; a turn answers as many as were said in its window.
const GROUP_MAX: usize = 3;
const GROUP_MAX_TURN: usize = 8;
/// A phrase without an answer.
const SKIP: f64 = 2.5;
/// The same, if its original airs already.
const SKIP_SETTLED: f64 = 0.5;
/// The first phrase of source that was sent again, without an answer: the line exists to answer it.
const SKIP_ANEW: f64 = 8.0;
/// An answer to a phrase whose original airs already.
const LATE: f64 = 2.0;
/// Sound without a phrase: as much as it is long, up to this.
const DROP: f64 = 9.0;
/// An answer that ends before the speaker's last word.
const EARLY_END: f64 = 6.0;
/// Answers follow their source by so much at least, in seconds.
const CAUSAL: f64 = 0.3;
/// A speaker's last word is answered by so much later, in seconds.
const TAIL_MIN: f64 = 0.15;
/// By how much sound comes later than its place in its connection tells, in seconds, where nothing is slow.
const SLOWLY: f64 = 0.5;
/// Source that no connection heard, between two that follow each other, in seconds.
pub(crate) const HOLE: f64 = 0.5;
/// From one answer to the next, in seconds.
const BREATH: f64 = 0.12;
/// What is taken for the answer before, or left to the next one, at most; in seconds.
const CARRIED_MAX: f64 = 2.0;
/// Phrases between which the speaker did not pause, in seconds: a detector parts what goes on for too long. That one run
/// answers both is to be expected.
const ABUTS: f64 = 0.1;
const ABUTTING: f64 = 0.3;
/// Silence between two answers of a provider that has fallen behind, in seconds.
pub(crate) const QUEUES: f64 = 0.25;
/// Silence that a run may have inside, in seconds; the first is free.
const GAP_FREE: f64 = 0.16;
const GAP_MAX: f64 = 1.5;
const GAP_PRICE: f64 = 2.0 / 0.3;
/// A provider that is behind by less is not behind, in seconds. Else a pause of his is one between two answers rather than
/// one inside.
pub(crate) const BEHIND: f64 = 0.5;
const NEXT_BEGINS: f64 = 0.5;
/// A detector makes one long phrase of several short ones, with pauses that its answer has too: what one costs at most.
const GAP_LONG: f64 = 3.0;
const LONG: f64 = 5.0;
/// A pause where a group would change from one phrase to the next, within this share of the shorter one.
const PARTED: f64 = 3.0;
const PARTED_REACH: f64 = 0.3;
const AUDIBLE: f64 = 0.08;
/// Spreads of the lag after which an answer is overdue.
const OVERDUE: f64 = 2.0;
/// How much faster than it is spoken source is sent again.
const CATCHES_UP: f64 = 2.0;
/// What the time of its first answer tells of a line that catches up, at most: it may think for long.
const FIRST_MAX: f64 = 4.0;
/// The first answer to source that is answered anew, taken for the end of the one before.
const BEGUN_ANEW: f64 = 4.0;
/// A phrase that another line answers anew, and that the line which died had time to begin with.
const BEGUN: f64 = 1.0;
/// What airs, and fits nothing any more.
const CERTAIN: f64 = 20.0;
/// The shortest part of a phrase that is a phrase of its own, in seconds.
const PART: f64 = 0.4;
/// By how much two detectors differ over where a phrase begins or ends, in seconds.
const SLACK: f64 = 0.25;

/// An atom, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sound {
    pub(crate) start: f64,
    pub(crate) length: f64,
    /// Silence before it.
    pub(crate) gap: f64,
    pub(crate) earliest: (f64, f64),
    pub(crate) latest: (f64, f64),
    pub(crate) turn: Option<u64>,
    /// It is the first of its connection.
    pub(crate) first: bool,
    /// When it came, on the air's clock.
    pub(crate) heard_at: f64,
    /// By how much its connection had been told more of the source than it had had time to speak of.
    pub(crate) leapt: f64,
}

impl Sound {
    fn end(&self) -> f64 {
        self.start + self.length
    }

    /// The provider went on right behind what it said before: it has more to say than it could.
    fn queues(&self) -> bool {
        !self.first && self.gap <= QUEUES
    }

    /// By how much it may be late because the provider has fallen behind.
    fn behind_max(&self) -> f64 {
        if self.gap <= QUEUES { self.leapt } else { 0.0 }
    }
}

/// A phrase, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken {
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// It is still spoken.
    pub(crate) open: bool,
    /// When it was decided, on the air's clock.
    pub(crate) settled: Option<f64>,
    /// It was decided that its original airs.
    pub(crate) fell_back: bool,
}

/// The answer that airs, or aired last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Index of its phrase; absent where that is forgotten.
    pub(crate) phrase: Option<usize>,
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// Length of what is used up, with its pauses.
    pub(crate) length: f64,
    pub(crate) from: f64,
    pub(crate) earliest: f64,
    pub(crate) latest: f64,
    pub(crate) turn: Option<u64>,
    /// Phrases that it answers for certain.
    pub(crate) phrases: usize,
    /// By how much it may be late because the provider has fallen behind.
    pub(crate) behind_max: f64,
    /// By how much the provider fell behind in its course.
    pub(crate) leapt: f64,
    /// Nothing more belongs to it.
    pub(crate) done: bool,
    /// Half of the first sound is placed already: the rest of it goes on.
    pub(crate) mid: bool,
}

/// A run of atoms and the group of phrases that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) atom: usize,
    pub(crate) atoms: usize,
    pub(crate) phrase: usize,
    pub(crate) phrases: usize,
    /// It goes on with the answer that airs.
    pub(crate) goes_on: bool,
    /// More of it may come.
    pub(crate) arriving: bool,
}

/// What is aligned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) sounds: &'a [Sound],
    pub(crate) phrases: &'a [Spoken],
    pub(crate) head: Option<Head>,
    pub(crate) beliefs: &'a Beliefs,
    /// More of the last atom's run may come.
    pub(crate) arriving: bool,
    /// The first sounds answer source that was sent again, faster than it was spoken: their lag tells nothing.
    pub(crate) anew: bool,
    /// Where the source begins that this line answers, in seconds.
    pub(crate) from: Option<f64>,
    /// When this line was asked, on the air's clock, in seconds; absent where that is not known.
    pub(crate) begun: Option<f64>,
    /// Source from here on is answered anew by another line, in seconds.
    pub(crate) until: Option<f64>,
    /// No answer follows its source by more, in seconds.
    pub(crate) age_max: f64,
    /// How far the source has come, in seconds.
    pub(crate) now: f64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Skip,
    Drop,
    Run { atoms: usize, phrases: usize },
    GoesOn,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    cost: f64,
    step: Option<Step>,
}

/// One run while it grows.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: f64,
    end: f64,
    length: f64,
    gaps: f64,
    /// The same in the answer to a long phrase.
    gaps_long: f64,
    /// Earliest source that its beginning can answer, and its end.
    from: f64,
    earliest: f64,
    latest: (f64, f64),
    paced: bool,
    arriving: bool,
    /// By how much it queued.
    behind: f64,
    /// Sound of it that was taken for the answer before.
    carried: f64,
    /// Where its last sound begins.
    last: f64,
    /// Where it pauses, from its beginning on.
    pauses: [f64; RUN_MAX + 1],
    paused: usize,
}

impl Stretch {
    fn group_max(&self) -> usize {
        if self.paced { GROUP_MAX } else { GROUP_MAX_TURN }
    }

    fn grow(&mut self, sound: &Sound, same_turn: bool) -> bool {
        let gap = sound.gap.max(0.0);
        // A connection that begins behind a hole in the source says nothing of what lies in it.
        let hole = self.paced && sound.first && self.latest.1 + HOLE < sound.earliest.0;
        if hole || GAP_MAX < gap && !sound.first {
            return false;
        }
        let gap = if sound.first { gap.min(GAP_FREE) } else { gap };
        if self.paced {
            let price = GAP_PRICE * (gap - GAP_FREE).max(0.0);
            self.gaps += price;
            self.gaps_long += price.min(GAP_LONG);
        } else if !same_turn {
            self.gaps += SKIP;
            self.gaps_long += SKIP;
        }
        // What is sent faster than it is spoken leaves the provider further behind with every word.
        if sound.queues() {
            self.behind += (sound.start - self.end - sound.gap).max(0.0);
        }
        // Who has fallen behind pauses between answers, and is late for whatever he says.
        if self.paced && sound.queues() && BEHIND < sound.leapt {
            self.gaps += NEXT_BEGINS;
            self.gaps_long += NEXT_BEGINS;
        }
        self.end = sound.end();
        self.last = sound.start;
        if let Some(slot) = self.pauses.get_mut(self.paused).filter(|_| AUDIBLE <= gap) {
            *slot = self.length + gap / 2.0;
            self.paused += 1;
        }
        self.length += gap + sound.length;
        self.earliest = self.earliest.max(sound.earliest.1);
        self.latest.1 = sound.latest.1;
        true
    }
}

impl Scene<'_> {
    /// The cheapest alignment, in order.
    pub(crate) fn align(&self) -> Vec<Run> {
        let (atoms, phrases) = (self.sounds.len(), self.phrases.len());
        let width = phrases + 1;
        let blank = Cell {
            cost: f64::INFINITY,
            step: None,
        };
        let mut cells = vec![blank; (atoms + 1) * width];
        self.begin(&mut cells, width);
        for atom in 0..=atoms {
            for phrase in 0..width {
                let cost = cells[atom * width + phrase].cost;
                if cost.is_infinite() {
                    continue;
                }
                self.pass(&mut cells, width, atom, phrase, cost);
                let bound = atom == 0 && self.head.is_some_and(|head| head.mid);
                if let Some(sound) = self.sounds.get(atom).filter(|_| !bound) {
                    let drop = DROP * (0.3 + sound.length).min(1.0);
                    improve(&mut cells[(atom + 1) * width + phrase], cost + drop, Step::Drop);
                    self.runs(&mut cells, width, atom, phrase, cost);
                }
            }
        }
        self.trace(&cells, width)
    }

    /// What the answer that airs may still be given.
    fn begin(&self, cells: &mut [Cell], width: usize) {
        let Some((head, first)) = self.head.and_then(|head| Some((head, head.phrase?))) else {
            cells[0].cost = 0.0;
            if self.head.is_some_and(|head| head.mid) && !self.sounds.is_empty() {
                improve(&mut cells[width], 0.0, Step::GoesOn);
            }
            return;
        };
        let mut stretch = Stretch {
            start: head.start,
            end: head.end,
            length: head.length,
            gaps: 0.0,
            gaps_long: 0.0,
            from: head.from,
            earliest: head.earliest,
            latest: (head.latest, head.latest),
            paced: head.turn.is_none(),
            arriving: false,
            behind: self.behind(head.start, first).min(head.behind_max) + head.leapt,
            carried: 0.0,
            last: head.start,
            pauses: [0.0; RUN_MAX + 1],
            paused: 0,
        };
        let mut turn = head.turn;
        let most = if head.done {
            0
        } else {
            RUN_MAX.min(self.sounds.len())
        };
        for atoms in 0..=most {
            if let Some(sound) = atoms.checked_sub(1).and_then(|last| self.sounds.get(last)) {
                if !stretch.grow(sound, turn == sound.turn) {
                    break;
                }
                turn = sound.turn;
            }
            stretch.arriving = self.arriving && atoms == self.sounds.len();
            let least = head.phrases.max(1);
            let most = stretch.group_max().min(self.phrases.len().saturating_sub(first));
            for phrases in least..=most.max(least) {
                // What airs, airs, whatever is believed of it by now; so does what it has begun.
                let certain = phrases == least && (atoms == 0 || (atoms == 1 && head.mid));
                let base = if certain { CERTAIN } else { f64::INFINITY };
                let cost = self.fit(&stretch, first, phrases).unwrap_or(base);
                if width <= first + phrases || (head.done && least < phrases) {
                    continue;
                }
                improve(&mut cells[atoms * width + first + phrases], cost, Step::GoesOn);
            }
        }
    }

    /// A phrase goes without an answer.
    fn pass(&self, cells: &mut [Cell], width: usize, atom: usize, phrase: usize, cost: f64) {
        if let Some(spoken) = self.phrases.get(phrase) {
            let begins = atom == 0 && self.head.is_none();
            let price = match self.from {
                Some(_) if self.is_unasked(spoken) => 0.0,
                Some(from) if begins && from - PART < spoken.start && !spoken.fell_back => SKIP_ANEW,
                Some(_) | None if spoken.settled.is_some() => SKIP_SETTLED,
                Some(_) | None => SKIP,
            };
            improve(&mut cells[atom * width + phrase + 1], cost + price, Step::Skip);
        }
    }

    fn runs(&self, cells: &mut [Cell], width: usize, atom: usize, phrase: usize, cost: f64) {
        let (Some(first), Some(spoken)) = (self.sounds.get(atom), self.phrases.get(phrase)) else {
            return;
        };
        let paced = first.turn.is_none();
        if paced && first.start < spoken.start + CAUSAL - SLACK {
            return;
        }
        let (start, behind) = if paced {
            self.start_cost(atom, phrase)
        } else {
            (0.0, 0.0)
        };
        // What was there when a phrase was decided without it was not its answer, and is none now.
        if spoken.settled.is_some_and(|settled| first.heard_at <= settled) {
            return;
        }
        let late = if spoken.settled.is_some() { LATE } else { 0.0 };
        let mut stretch = Stretch {
            start: first.start,
            end: first.end(),
            length: first.length,
            gaps: 0.0,
            gaps_long: 0.0,
            from: first.earliest.0,
            earliest: first.earliest.1,
            latest: first.latest,
            paced,
            arriving: false,
            behind,
            carried: if atom == 0 { self.carried() } else { 0.0 },
            last: first.start,
            pauses: [0.0; RUN_MAX + 1],
            paused: 0,
        };
        let most = RUN_MAX.min(self.sounds.len() - atom);
        for atoms in 1..=most {
            let last = atom + atoms - 1;
            if 1 < atoms
                && !stretch.grow(
                    &self.sounds[last],
                    self.sounds[last - 1].turn == self.sounds[last].turn,
                )
            {
                break;
            }
            stretch.arriving = self.arriving && last + 1 == self.sounds.len();
            for phrases in 1..=stretch.group_max().min(self.phrases.len() - phrase) {
                if let Some(price) = self.fit(&stretch, phrase, phrases) {
                    let step = Step::Run { atoms, phrases };
                    let at = (atom + atoms) * width + phrase + phrases;
                    improve(&mut cells[at], cost + start + late + price, step);
                }
            }
        }
    }

    fn trace(&self, cells: &[Cell], width: usize) -> Vec<Run> {
        let atoms = self.sounds.len();
        let mut best = (f64::INFINITY, 0);
        for phrase in (0..width).rev() {
            let cell = &cells[atoms * width + phrase];
            let queue = self.queue(cell.step, phrase);
            let overdue: f64 = (phrase..width).map(|phrase| self.overdue(phrase, queue)).sum();
            if cell.cost + overdue < best.0 {
                best = (cell.cost + overdue, phrase);
            }
        }
        let mut at = (atoms, best.1);
        let mut runs = Vec::new();
        while let Some(step) = cells[at.0 * width + at.1].step {
            match step {
                Step::Skip => at.1 -= 1,
                Step::Drop => at.0 -= 1,
                Step::Run {
                    atoms: count,
                    phrases,
                } => {
                    at = (at.0 - count, at.1 - phrases);
                    runs.push(Run {
                        atom: at.0,
                        atoms: count,
                        phrase: at.1,
                        phrases,
                        goes_on: false,
                        arriving: self.arriving && at.0 + count == atoms,
                    });
                }
                Step::GoesOn => {
                    // Without a phrase it only has to be said to its end.
                    let first = self.head.and_then(|head| head.phrase).unwrap_or(at.1);
                    runs.push(Run {
                        atom: 0,
                        atoms: at.0,
                        phrase: first,
                        phrases: at.1 - first,
                        goes_on: true,
                        arriving: self.arriving && at.0 == atoms,
                    });
                    break;
                }
            }
        }
        runs.reverse();
        runs
    }
}

fn improve(cell: &mut Cell, cost: f64, step: Step) {
    if cost < cell.cost {
        *cell = Cell {
            cost,
            step: Some(step),
        };
    }
}

#[cfg(test)]
mod tests;
