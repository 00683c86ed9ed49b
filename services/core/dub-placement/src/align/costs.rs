//! What it costs that a run of atoms answers a group of phrases.
use super::*;

impl Scene<'_> {
    /// How far a run's start is off, and by how much it queues behind the one before: for that it is not to blame.
    pub(super) fn start_cost(&self, atom: usize, phrase: usize) -> (f64, f64) {
        let sound = &self.sounds[atom];
        if self.anew && self.head.is_none() && atom == 0 {
            return (self.first_cost(sound, phrase), 0.0);
        }
        let before = match atom.checked_sub(1).and_then(|before| self.sounds.get(before)) {
            Some(sound) => sound.end(),
            None => self.head.map_or(f64::NEG_INFINITY, |head| head.end),
        };
        let alone = self.phrases[phrase].start + self.beliefs.lag;
        let wanted = alone.max((before + BREATH).min(sound.start));
        // What is sent again comes faster than it is answered: the clock leaps then where the sound does not.
        let queued = (sound.start - sound.gap + BREATH)
            .min(sound.start)
            .min(alone + sound.leapt);
        let wanted = if sound.queues() {
            wanted.max(queued)
        } else {
            wanted
        };
        (
            off((sound.start - wanted) / self.beliefs.lag_spread),
            (wanted - alone).min(sound.behind_max()),
        )
    }

    /// How far the first answer of a line that catches up is off, by the time since the line was asked: what comes before
    /// a phrase takes its time to be sent.
    fn first_cost(&self, sound: &Sound, phrase: usize) -> f64 {
        let (Some(from), Some(begun)) = (self.from, self.begun) else {
            return 0.0;
        };
        let sent = (self.phrases[phrase].start - from).max(0.0) / CATCHES_UP;
        let waited = sound.heard_at - begun;
        off((waited - sent - self.beliefs.lag) / self.beliefs.lag_spread).min(FIRST_MAX)
    }

    /// By how much an answer to a phrase begins later than it would by itself.
    pub(super) fn behind(&self, start: f64, phrase: usize) -> f64 {
        let alone = |spoken: &Spoken| spoken.start + self.beliefs.lag;
        self.phrases
            .get(phrase)
            .map_or(0.0, |spoken| (start - alone(spoken)).max(0.0))
    }

    /// Sound that the answer which airs has too much, in seconds, where nothing but a guess parts it from the next one:
    /// that is missing there.
    pub(super) fn carried(&self) -> f64 {
        let carried = || {
            let head = self.head.filter(|head| head.done)?;
            let first = head.phrase?;
            let group = self.phrases.get(first..first + head.phrases)?;
            let spoken: f64 = group.iter().map(|spoken| spoken.end - spoken.start).sum();
            let carried = head.length - self.beliefs.usual(spoken);
            Some(carried.clamp(-CARRIED_MAX, CARRIED_MAX))
        };
        carried().unwrap_or(0.0)
    }

    /// A line answers what it was asked, and nothing before: no phrase of which it heard no more than the end.
    pub(super) fn is_unasked(&self, spoken: &Spoken) -> bool {
        self.from
            .is_some_and(|from| spoken.end <= from + SLACK || lies_before(spoken, from))
    }

    /// What it costs that a stretch answers a group; nothing where it cannot.
    pub(super) fn fit(&self, stretch: &Stretch, phrase: usize, phrases: usize) -> Option<f64> {
        let group = self.phrases.get(phrase..phrase + phrases)?;
        let (first, last) = (group.first()?, group.last()?);
        let possible = stretch.earliest < last.end + SLACK
            && stretch.from < first.end + SLACK
            && first.start <= stretch.latest.0 + SLACK
            && last.start <= stretch.latest.1 + SLACK;
        let too_old = stretch.paced && self.age_max < stretch.start - first.start;
        let unheard = stretch.paced && stretch.end < last.start + CAUSAL;
        // So does a turn.
        let other_turn = !stretch.paced
            && (lies_before(first, stretch.from)
                || lies_before(last, stretch.earliest)
                || lies_behind(last, stretch.latest.1));
        if !possible || too_old || unheard || other_turn || self.is_unasked(first) {
            return None;
        }
        let extra = |pair: &[Spoken]| {
            let pause = pair[1].start - pair[0].end;
            if pause < ABUTS && !(stretch.paced && self.is_cut(pair)) {
                ABUTTING
            } else {
                self.beliefs.extra_phrase
            }
        };
        let extra: f64 = group.windows(2).map(extra).sum();
        let is_long = group.iter().any(|spoken| LONG <= spoken.end - spoken.start);
        let gaps = if is_long { stretch.gaps_long } else { stretch.gaps };
        let mut cost = gaps + extra + self.parted(stretch, group);
        // What another line answers anew begins after this, and so does its first answer.
        let begins = self.beliefs.lag + stretch.behind - BREATH;
        let begun_anew = |until| last.end < until + SLACK && until + begins < stretch.last;
        cost += if self.until.is_some_and(begun_anew) {
            BEGUN_ANEW
        } else {
            0.0
        };
        let spoken: f64 = group.iter().map(|spoken| spoken.end - spoken.start).sum();
        let length = (stretch.length + stretch.carried).max(0.05);
        let ratio = (length / spoken.max(0.05)).ln() - self.beliefs.ratio;
        // What still arrives, or is still spoken, is judged by its start: it can only be too long already.
        let unfinished = stretch.arriving || last.open;
        if !unfinished {
            cost += off(ratio / self.beliefs.ratio_spread);
        } else if !last.open {
            cost += off((ratio / self.beliefs.ratio_spread + 0.5).max(0.0));
        }
        if stretch.paced && !last.open {
            let mut due = last.end + self.beliefs.tail + stretch.behind;
            if self.anew {
                due = due.max(stretch.start + self.beliefs.usual(spoken));
            }
            let late = stretch.end - due;
            // Who says it slowly, or is told it faster than he speaks, ends later than the length of his sound tells.
            let ends = stretch.end.max(stretch.latest.1 - SLOWLY);
            // Who began late may end in time.
            let early = last.end + self.beliefs.tail - ends;
            let spread = self.beliefs.tail_spread;
            if !unfinished {
                cost += off((late.max(early) - spread).max(0.0) / spread);
            } else {
                cost += off(late.max(0.0) / spread);
            }
            if !unfinished && ends < last.end + TAIL_MIN {
                cost += EARLY_END;
            }
        }
        Some(cost)
    }

    /// Two phrases are one, parted where another line takes over.
    fn is_cut(&self, pair: &[Spoken]) -> bool {
        let is_near = |until: f64| (until - pair[1].start).abs() < SLACK;
        pair[1].start < pair[0].end + ABUTS && self.until.is_some_and(is_near)
    }

    /// Answers between which there is a pause are no group.
    fn parted(&self, stretch: &Stretch, group: &[Spoken]) -> f64 {
        let spoken: f64 = group.iter().map(|spoken| spoken.end - spoken.start).sum();
        let ratio = if stretch.arriving {
            self.beliefs.usual(1.0)
        } else {
            stretch.length / spoken.max(0.05)
        };
        let mut at = 0.0;
        let mut cost = 0.0;
        for pair in group.windows(2) {
            // A turn goes on where only its source was parted.
            let goes_on = !stretch.paced && self.is_cut(pair);
            let (one, two) = (pair[0].end - pair[0].start, pair[1].end - pair[1].start);
            at += one * ratio;
            let reach = PARTED_REACH * ratio * (one + two) / 2.0;
            let near = |pause: &&f64| (**pause - at).abs() < reach;
            let paused = stretch.pauses[..stretch.paused].iter().any(|pause| near(&pause));
            cost += if paused && !goes_on { PARTED } else { 0.0 };
        }
        cost
    }

    /// When the provider has said what the last step gives it to say: what still arrives is taken for as long as usual.
    pub(super) fn queue(&self, last: Option<Step>, phrase: usize) -> Option<f64> {
        let end = self.sounds.last()?.end();
        // Where the clock leaps, what comes last came just now, however long ago it began.
        let said = if self.anew && self.arriving && self.until.is_none() {
            end.max(self.now)
        } else {
            end
        };
        let Some(Step::Run { atoms, phrases }) = last.filter(|_| self.arriving) else {
            return Some(said);
        };
        let start = self.sounds.get(self.sounds.len().checked_sub(atoms)?)?.start;
        let group = self.phrases.get(phrase.checked_sub(phrases)?..phrase)?;
        let spoken: f64 = group.iter().map(|spoken| spoken.end - spoken.start).sum();
        Some(said + (start + self.beliefs.usual(spoken) - end).max(0.0))
    }

    /// What it costs that a phrase has no answer yet: nothing before one must have come.
    pub(super) fn overdue(&self, phrase: usize, queue: Option<f64>) -> f64 {
        let Some(spoken) = self.phrases.get(phrase).filter(|spoken| !spoken.open) else {
            return 0.0;
        };
        if self.until.is_some_and(|until| until <= spoken.start + SLACK) {
            // Another line answers it; this one may have begun to, where it did not stop in the middle.
            let parted = phrase
                .checked_sub(1)
                .and_then(|before| self.phrases.get(before))
                .is_none_or(|before| before.end + ABUTS < spoken.start);
            let had_time = |last: &Sound| last.turn.is_none() && spoken.start + self.beliefs.lag < last.start;
            let begun = parted && self.sounds.last().is_some_and(had_time);
            return if begun { BEGUN } else { 0.0 };
        }
        if let Some(last) = self.sounds.last().filter(|last| last.turn.is_some()) {
            let heard = spoken.start + SLACK < last.latest.1 && !self.arriving;
            return if heard { SKIP } else { 0.0 };
        }
        let beliefs = self.beliefs;
        let queue = queue.unwrap_or(spoken.end);
        let begins = (spoken.start + beliefs.lag).max(queue) + OVERDUE * beliefs.lag_spread;
        let ends = (spoken.end + beliefs.tail).max(queue) + beliefs.tail_spread;
        match spoken.settled {
            Some(_) => SKIP_SETTLED,
            None if begins.max(ends) < self.now => SKIP,
            None => 0.0,
        }
    }
}

/// Hardly more than the end of a phrase lies behind an instant.
fn lies_before(spoken: &Spoken, at: f64) -> bool {
    spoken.start + PART <= at && spoken.end < at + PART
}

/// Hardly more than the beginning of a phrase lies before an instant.
fn lies_behind(spoken: &Spoken, at: f64) -> bool {
    at < spoken.start + PART && at + PART <= spoken.end
}

/// The cost of being so many spreads off. Outliers are more frequent than a normal distribution has them.
fn off(spreads: f64) -> f64 {
    2.5 * (spreads * spreads / 4.0).ln_1p()
}
