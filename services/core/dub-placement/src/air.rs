//! What begins to air: phrases decided for good, and their dubs put on the air's timeline.
mod choosing;
mod decisions;
mod splicing;
mod taking_up;

use crate::align::Run;
use crate::atoms::STEP;
use crate::borders::{Border, border};
use crate::lane::{Lane, Time, seconds, time};
use crate::phrases::Phrase;
use crate::{Decision, Placement};
use media_types::{MediaRange, MediaTime};

/// Sound is put this far ahead of what is decided, so that a dub that goes on does not fade at the end of each block.
const AHEAD: MediaTime = MediaTime::from_millis(100);
/// From one dub to the next, if the provider paused as long.
const BREATH: MediaTime = MediaTime::from_millis(120);
/// By how much a pause inside of a dub is made longer at most, so that its words stay with the speaker's.
const PAUSE_LONGER: MediaTime = MediaTime::from_millis(600);
/// Longest pause that stays inside of a dub.
const PAUSE_MAX: MediaTime = MediaTime::from_millis(1_500);
/// How long a dub whose sound is late is waited for, before the next phrase may air without one.
const STARVED_MAX: MediaTime = MediaTime::from_millis(500);
/// Share of its usual length from which on an answer is taken for whole.
const WHOLE: f64 = 0.85;
/// Share of what is usually said by then, below which a dub that has stopped has broken off.
const STOPPED_SHORT: f64 = 0.7;
/// Silence of a dub behind which it has stopped, and the least that must be left of its phrase: nobody hears a shorter
/// piece of the original as more than noise.
const STOPPED: MediaTime = MediaTime::from_millis(1_000);
const LEFT_MIN: MediaTime = MediaTime::from_millis(1_000);
/// Silence behind which the last sound of a line is the beginning of something.
const LAST_PAUSE: MediaTime = MediaTime::from_millis(150);
/// By how much a phrase of the worker and one of the dubber differ.
const SLACK: MediaTime = MediaTime::from_millis(250);
/// How far the source may be ahead of what a provider was heard to have heard.
const LIVE_AHEAD: MediaTime = MediaTime::from_millis(500);
/// Answers to source that is older are none: at least this.
const AGE_MIN: f64 = 9.5;
/// How far from where it should be a border is looked for, in steps.
const BORDER_REACH: std::ops::RangeInclusive<f64> = 30.0..=150.0;
/// Things that can happen in one block; more is a fault of ours, and the next block goes on.
const EVENTS_MAX: usize = 256;

/// Whether the track is free for another dub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Track {
    /// Something was done; look again.
    Again,
    /// The dub that airs goes on.
    Busy,
    /// Nothing is due of it.
    Free,
}

impl Placement {
    /// What begins to air before `until` is decided, for good. To be called before each block is mixed.
    pub fn decide(&mut self, until: MediaTime) -> Vec<Decision> {
        let mut out = Vec::new();
        if self.exact {
            self.aired = self.aired.max(until);
            return out;
        }
        self.tell_parts(until, &mut out);
        for _ in 0..EVENTS_MAX {
            self.replan();
            if self.splice(until, &mut out) {
                continue;
            }
            let mut track = self.take_up(until);
            if track == Track::Free {
                track = self.go_on(until);
            }
            match track {
                Track::Again => continue,
                Track::Busy => break,
                Track::Free => {}
            }
            if !self.unmatched(until) && !self.next_phrase(until, &mut out) {
                self.let_up(until, &mut out);
                break;
            }
        }
        self.leave_out_old();
        self.aired = self.aired.max(until);
        if self.phrases.forget_before(self.aired) {
            self.touch();
        }
        out
    }

    fn replan(&mut self) {
        let now = self.aired + self.config.hold;
        let time = Time {
            aired: self.aired,
            now,
            live: self.live.max(now.min(self.live + LIVE_AHEAD)),
            until: None,
            age_max: AGE_MIN.max(seconds(self.config.hold) + 1.0),
        };
        let mut until = None;
        for lane in self.lanes.iter_mut().rev() {
            lane.replan(&self.phrases, self.estimates.beliefs(), Time { until, ..time });
            until = Some(lane.from);
        }
    }

    fn lane_index(&self) -> Option<usize> {
        let speaking = self.speaking?;
        self.lanes.iter().position(|lane| lane.connection == speaking)
    }

    /// The original stays down in a range.
    fn keep_down(&mut self, range: MediaRange) {
        let range = MediaRange::new(range.start.max(self.committed), range.end);
        if !range.is_empty() {
            self.ranges.insert(range);
            self.down_until = self.down_until.max(range.end);
        }
    }

    /// The dub that airs goes on.
    fn go_on(&mut self, until: MediaTime) -> Track {
        let Some(index) = self.lane_index() else {
            return Track::Free;
        };
        let Some(lane) = self.lanes.get_mut(index) else {
            return Track::Free;
        };
        let Some(run) = lane.going_on().filter(|run| 0 < run.atoms) else {
            return self.wait(until, index);
        };
        if lane.head.is_some_and(|dub| dub.sealed) {
            self.figures.speech_late_total += lane.leave_unsaid(run);
            return Track::Again;
        }
        if self.is_said_anew(index, run) {
            self.figures.speech_replaced_total +=
                self.lanes.get_mut(index).map_or(0, |lane| lane.drop_atoms(1));
            return Track::Again;
        }
        let limit = match self.border_of(index, run) {
            Some(Border { atom: 0, step }) => {
                let placed = self.placed(index);
                if step <= placed {
                    if let Some(lane) = self.lanes.get_mut(index) {
                        lane.part(step.max(placed));
                    }
                    self.estimates.note_glue(true);
                    return Track::Again;
                }
                step - placed
            }
            Some(_) | None => usize::MAX,
        };
        self.put(until, index, limit)
    }

    /// What comes next, behind a pause, is the last that a line says which died: most likely the beginning of something
    /// that the newer line says whole.
    fn is_said_anew(&self, index: usize, run: Run) -> bool {
        let last = |lane: &&Lane| run.atoms == 1 && lane.is_last(run);
        let atom = self
            .lanes
            .get(index)
            .filter(last)
            .and_then(|lane| lane.atoms.list.front());
        let begins =
            atom.is_some_and(|atom| atom.placed == 0 && atom.turn.is_none() && LAST_PAUSE <= atom.gap);
        let end = self
            .phrases
            .get(run.phrase + run.phrases.max(1) - 1)
            .and_then(|phrase| phrase.end);
        let newer = self
            .lanes
            .get(index + 1)
            .filter(|lane| !lane.atoms.list.is_empty());
        let lag = time(self.estimates.beliefs().lag);
        let is_heard_by = |newer: &Lane| {
            end.is_some_and(|end| newer.from + SLACK < end)
                && atom.is_some_and(|atom| newer.from - SLACK <= atom.start - lag)
        };
        begins && newer.is_some_and(is_heard_by)
    }

    fn placed(&self, index: usize) -> usize {
        let lane = self.lanes.get(index);
        lane.and_then(|lane| lane.atoms.list.front())
            .map_or(0, |atom| atom.placed)
    }

    /// Puts sound on the track, up to what is due.
    fn put(&mut self, until: MediaTime, index: usize, limit: usize) -> Track {
        let keeps_pace = self.keeps_pace(index);
        let Some(lane) = self.lanes.get_mut(index) else {
            return Track::Free;
        };
        let (Some(atom), Some(dub)) = (lane.atoms.list.front(), lane.head) else {
            return Track::Free;
        };
        let pause = if atom.placed == 0 {
            atom.gap.clamp(MediaTime::ZERO, PAUSE_MAX)
        } else {
            MediaTime::ZERO
        };
        let paused = self.sound_end + pause;
        let follows = keeps_pace.map_or(paused, |at| {
            if MediaTime::ZERO < pause {
                paused.max(at.min(paused + PAUSE_LONGER))
            } else {
                paused
            }
        });
        let follows = follows.max(self.aired);
        let at = dub.starts_at.map_or(follows, |at| at.max(self.aired));
        let due = until + AHEAD - at;
        if due <= MediaTime::ZERO {
            if dub.starts_at.is_none() {
                // A pause inside of a dub belongs to it.
                self.keep_down(MediaRange::new(self.sound_end, until + STEP));
            }
            return Track::Busy;
        }
        let wanted = usize::try_from((due.frames() + STEP.frames() - 1) / STEP.frames()).unwrap_or(0);
        if atom.rest() == 0 {
            return self.wait(until, index);
        }
        let Some((pcm, length)) = lane.take(wanted.min(limit)) else {
            return Track::Free;
        };
        self.store.write(at, pcm);
        let goes_on = dub.starts_at.is_none() && at - self.sound_end <= PAUSE_MAX;
        let from = if goes_on { self.sound_end.min(at) } else { at };
        self.sound_end = at + length;
        self.keep_down(MediaRange::new(from, at + length));
        Track::Again
    }

    /// Where the speaker was when he said what comes next of the dub that airs, by usual lengths: who says it in less time
    /// pauses longer where he pauses.
    fn keeps_pace(&self, index: usize) -> Option<MediaTime> {
        let lane = self.lanes.get(index)?;
        let dub = lane.head.filter(|dub| dub.phrases == 1 && dub.turn.is_none())?;
        let phrase = self.phrases.get(self.phrases.index_of(dub.phrase?)?)?;
        let end = phrase.end?;
        let spoken = time(seconds(dub.length) / self.estimates.beliefs().usual(1.0));
        // Who says it all in as much time has none to spare.
        let left = lane.going_on().map_or(0.0, |run| lane.length_of(run));
        Some((phrase.onset + spoken - BREATH).min(end - time(left)))
    }

    /// Nothing more has come of the dub that airs.
    fn wait(&mut self, until: MediaTime, index: usize) -> Track {
        let expected = self.lanes.get(index).is_some_and(Lane::is_expected);
        if expected && until - self.sound_end < STARVED_MAX {
            self.keep_down(MediaRange::new(self.sound_end, until + STEP));
            return Track::Busy;
        }
        Track::Free
    }

    /// Where the first of several phrases that one run answers ends.
    fn border_of(&self, index: usize, run: Run) -> Option<Border> {
        let lane = self.lanes.get(index)?;
        let dub = lane.head.filter(|_| 1 < run.phrases)?;
        let onset = self.phrases.get(run.phrase + 1)?.onset;
        let parted = self.phrases.get(run.phrase)?.end? + STEP < onset;
        let mut newer = self.lanes.iter().skip(index + 1);
        let is_cut = newer.any(|newer| newer.from - SLACK < onset && onset < newer.from + SLACK);
        if !parted && (dub.turn.is_none() || is_cut) {
            // The speaker went on: so does the answer.
            return None;
        }
        let length = |phrase: usize| {
            let phrase = self.phrases.get(phrase)?;
            Some(seconds(phrase.end.unwrap_or(self.live) - phrase.onset))
        };
        let lengths: Vec<f64> = (run.phrase..run.phrase + run.phrases)
            .filter_map(length)
            .collect();
        let waiting = || lane.atoms.list.iter().take(run.atoms);
        let left: f64 = waiting()
            .map(|atom| atom.rest() as f64 + seconds(atom.gap) * 100.0)
            .sum();
        let said = seconds(dub.length) * 100.0;
        let spoken: f64 = lengths.iter().sum();
        let ratio = if run.arriving {
            self.estimates.beliefs().usual(100.0)
        } else {
            (said + left) / spoken.max(0.1)
        };
        let (first, second) = (*lengths.first()?, *lengths.get(1)?);
        let reach = (0.4 * ratio * first.min(second)).clamp(*BORDER_REACH.start(), *BORDER_REACH.end());
        let atoms: Vec<_> = waiting().collect();
        border(&atoms, first * ratio - said, reach)
    }

    /// Sound that answers no phrase goes behind what it follows, if that is not too far from where it belongs.
    fn unmatched(&mut self, until: MediaTime) -> bool {
        (0..self.lanes.len())
            .rev()
            .any(|index| self.unmatched_of(index, until))
    }

    fn unmatched_of(&mut self, index: usize, until: MediaTime) -> bool {
        let replaced_from = self.lanes.get(index + 1).map(|lane| lane.from);
        let Some(lane) = self.lanes.get_mut(index) else {
            return false;
        };
        let planned = lane.plan.iter().any(|run| run.atom == 0 && 0 < run.atoms);
        let Some(atom) = lane.atoms.list.front().filter(|atom| !planned && 0 < atom.rest()) else {
            return false;
        };
        let lag = time(self.estimates.beliefs().lag);
        let belongs = if atom.turn.is_some() {
            atom.earliest.0
        } else {
            (atom.start - lag).max(atom.earliest.0)
        };
        let free = self.sound_end + atom.gap.clamp(MediaTime::ZERO, BREATH);
        let at = belongs.max(free).max(self.fallback_end).max(self.aired);
        if until <= at || replaced_from.is_some_and(|from| from <= belongs + SLACK) {
            return false;
        }
        let can = |phrase: &&Phrase| {
            atom.earliest.0 < phrase.end.unwrap_or(self.live) + SLACK && phrase.onset < atom.start
        };
        let missed = |phrase: &Phrase| phrase.fate.is_some_and(|fate| fate.decided_at < atom.heard_at);
        let mut candidates = self.phrases.list().iter().filter(can).peekable();
        if candidates.peek().is_some() && candidates.all(missed) {
            self.figures.speech_late_total += lane.drop_atoms(1);
            return true;
        }
        if self.config.backlog_max < at - belongs {
            self.figures.speech_dropped_total += lane.drop_atoms(1);
            return true;
        }
        if let Some(found) = lane.note(&self.phrases) {
            self.estimates.note(found);
        }
        lane.begin(None, Some(at));
        self.figures.speech_unmatched_total += 1;
        self.speaking = Some(lane.connection);
        self.put(until, index, usize::MAX) == Track::Again
    }
}
