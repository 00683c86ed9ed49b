//! Where a line goes on behind what another one said.
use super::{Lane, time};
use crate::align::Run;
use crate::borders::{Border, REPEATED_STEPS, border, place, repeated};

/// Less than this is not left out: it is within what is known of how long an answer is, in seconds.
pub(crate) const JOIN_MIN: f64 = 0.25;
/// How much too early, at most, is joined where no word ends, in steps.
const JOIN_EARLY: f64 = 50.0;
/// How far from where usual lengths tell of it the same is looked for, in steps and as a share.
const AGAIN_STEPS: f64 = 90.0;
const AGAIN_SHARE: f64 = 0.25;
/// What has to have come behind a joint, in steps, while more is to come.
const TOLD_STEPS: usize = 15;
/// How far from where it should be a joint is looked for: share of what is left out, and bounds in steps.
const JOIN_REACH: f64 = 0.3;
const JOIN_STEPS: std::ops::RangeInclusive<f64> = 20.0..=100.0;

impl Lane {
    /// Leaves out the beginning of the run that is to be said: so many seconds of it were heard from another line. It is
    /// joined where the same was said, or where a word ends. Where none does, it is joined as early as it may have to be:
    /// half a word twice is better than all that was heard, and better than a word that is missing. How much was heard is
    /// known by usual lengths only: the same sound tells more, where they tell of nothing too.
    pub(crate) fn join(&mut self, run: Run, said: Option<f64>, tail: &[i16]) {
        let Some(said) = said else {
            return;
        };
        let atoms: Vec<_> = self.atoms.list.iter().take(run.atoms).collect();
        let steps_said = 100.0 * said;
        let reach = (JOIN_REACH * steps_said).clamp(*JOIN_STEPS.start(), *JOIN_STEPS.end());
        let early = (steps_said - reach.min(JOIN_EARLY)).max(0.0);
        let guessed = || border(&atoms, steps_said, reach).or_else(|| place(&atoms, early));
        let found = repeated(&atoms, tail, steps_said.max(REPEATED_STEPS as f64), reach)
            .or_else(|| if JOIN_MIN <= said { guessed() } else { None });
        let Some(found) = found else {
            return;
        };
        self.drop_atoms(found.atom);
        if let Some(first) = self.atoms.list.front_mut().filter(|_| 0 < found.step) {
            *first = first.split(found.step);
            first.fade_in(0);
        }
        if let Some(dub) = &mut self.head {
            dub.length = time(said.max(0.0));
            dub.noted = true;
        }
        self.dirty = true;
    }

    /// Where it goes on behind what another line said last, if it has said the same: about there, in seconds.
    /// `least` steps have to follow, while more is to come.
    pub(crate) fn says_again(&self, tail: &[i16], about: (f64, f64), least: usize) -> Option<Border> {
        let atoms: Vec<_> = self.atoms.list.iter().collect();
        let (from, until) = (100.0 * about.0, 100.0 * about.1);
        let (target, reach) = ((from + until) / 2.0, (until - from) / 2.0);
        let found = repeated(&atoms, tail, target, reach + AGAIN_STEPS + AGAIN_SHARE * until)?;
        // At the end of what has come, what follows may fit better.
        let left: usize = atoms.iter().skip(found.atom).map(|atom| atom.rest()).sum();
        let placed = atoms.get(found.atom).map_or(0, |atom| atom.placed);
        let follows = left.saturating_sub(found.step.saturating_sub(placed));
        (!self.arriving || TOLD_STEPS.max(least) <= follows).then_some(found)
    }

    /// Everything before a place was said by another line: from atom `first` on it is part of the answer to a phrase, what
    /// lies before is left out. Without a phrase, it is part of the answer that was begun. Tells how many atoms that were.
    pub(crate) fn say_silently(&mut self, phrase: Option<Option<u64>>, first: usize, place: Border) -> u64 {
        let first = first.min(place.atom);
        let left = self.drop_atoms(first);
        if let Some(phrase) = phrase {
            self.begin(phrase, None);
        }
        if let Some(dub) = &mut self.head {
            dub.sealed = false;
            dub.noted = true;
        }
        for _ in first..place.atom {
            let _ = self.use_up(usize::MAX);
            self.atoms.list.pop_front();
        }
        let placed = self.atoms.list.front().map_or(0, |atom| atom.placed);
        if placed < place.step {
            let _ = self.use_up(place.step - placed);
            if let Some(first) = self.atoms.list.front_mut() {
                first.fade_in(place.step);
            }
        }
        self.dirty = true;
        left
    }
}
