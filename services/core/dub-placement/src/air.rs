//! What begins to air: phrases decided for good, and their dubs put on the air's timeline.
mod decisions;
mod taking_up;

use crate::align::Run;
use crate::atoms::STEP;
use crate::borders::{Border, border};
use crate::lane::{Lane, Time, seconds, time};
use crate::phrases::Phrase;
use crate::{Decision, Placement, Verdict};
use media_types::{MediaRange, MediaTime};

/// Sound is put this far ahead of what is decided, so that a dub that goes on does not fade at the end of each block.
const AHEAD: MediaTime = MediaTime::from_millis(100);
/// From one dub to the next, if the provider paused as long.
const BREATH: MediaTime = MediaTime::from_millis(120);
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
/// How long a whole answer is waited for where the one that is there was broken off.
const ANEW_WAIT: MediaTime = MediaTime::from_millis(1_500);
/// Original that may have been heard of a phrase that is dubbed: less than a syllable.
const HEARD_MAX: MediaTime = MediaTime::from_millis(60);
/// Silence behind which the last sound of a line is the beginning of something.
const LAST_PAUSE: MediaTime = MediaTime::from_millis(300);
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
        let follows = (self.sound_end + pause).max(self.aired);
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
        border(&atoms, (first * ratio - said).max(0.0), reach)
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

    /// Decides the next phrase, if it is due.
    fn next_phrase(&mut self, until: MediaTime, out: &mut Vec<Decision>) -> bool {
        let Some((index, phrase)) = self
            .phrases
            .first_open()
            .and_then(|index| Some((index, *self.phrases.get(index)?)))
        else {
            return false;
        };
        let free = phrase.onset.max(self.fallback_end).max(self.aired);
        let heard = (self.aired - phrase.onset.max(self.down_until)).max(MediaTime::ZERO);
        let begun = HEARD_MAX < heard;
        let answer = if begun { None } else { self.answer_to(index) };
        let answer = answer.filter(|(lane, _)| self.lane_index() == Some(*lane) || !self.is_said(index));
        let Some((lane, run)) = answer else {
            let at = free.max(self.sound_end).max(self.down_until);
            if until <= at {
                return false;
            }
            let covered = !begun && self.is_covered(index);
            let verdict = if covered {
                Verdict::Dubbed
            } else {
                Verdict::FellBack
            };
            self.settle(index, verdict, at, until, out);
            if !begun {
                self.replace(self.lane_index().filter(|_| covered), index);
            }
            return true;
        };
        let gap = self
            .lanes
            .get(lane)
            .and_then(|lane| lane.atoms.list.get(run.atom))
            .map_or(MediaTime::ZERO, |atom| atom.gap.clamp(MediaTime::ZERO, BREATH));
        let at = free.max(self.sound_end + gap);
        if until <= at {
            if phrase.onset < until {
                self.keep_down(MediaRange::new(phrase.onset.max(self.down_until), until + STEP));
            }
            return false;
        }
        if at - phrase.onset < ANEW_WAIT && self.is_broken_off(lane, run, phrase) {
            self.keep_down(MediaRange::new(phrase.onset.max(self.down_until), until + STEP));
            return false;
        }
        let (said, tail) = (self.said_already(lane, index), self.said_last());
        self.clear_the_way(lane, run);
        let backlog = at - phrase.onset;
        let overflows = self.config.backlog_max < backlog && !self.ends_in_time(lane, run, phrase, at);
        if let Some(line) = self.lanes.get_mut(lane) {
            if let Some(found) = line.note(&self.phrases) {
                self.estimates.note(found);
            }
            line.begin(Some(phrase.id), (!overflows).then_some(at));
            line.join(run, said, &tail);
        }
        if overflows {
            self.settle(index, Verdict::Overflowed, at, until, out);
            return true;
        }
        self.figures.backlog = backlog;
        self.estimates.note_glue(false);
        self.speaking = self.lanes.get(lane).map(|lane| lane.connection);
        self.settle(index, Verdict::Dubbed, phrase.onset, until, out);
        self.replace(Some(lane), index);
        self.put(until, lane, usize::MAX);
        true
    }

    /// The end of what was said.
    fn said_last(&self) -> Vec<i16> {
        let lane = self.lane_index().and_then(|index| self.lanes.get(index));
        lane.map(|lane| lane.tail.clone()).unwrap_or_default()
    }

    /// How much of a phrase's answer, in seconds, was heard from another line that died in the middle of a phrase: it may
    /// have said more of it than is answered anew, by usual lengths. Less than none is less than usual.
    fn said_already(&self, chosen: usize, phrase: usize) -> Option<f64> {
        let lane = self.lanes.get(self.lane_index().filter(|lane| *lane < chosen)?)?;
        let dub = lane.head.filter(|dub| !dub.sealed && !dub.done)?;
        let first = self.phrases.index_of(dub.phrase?)?;
        let before = phrase
            .checked_sub(1)
            .and_then(|before| self.phrases.get(before))?;
        let onset = self.phrases.get(phrase)?.onset;
        if before.end != Some(onset) || phrase != first + dub.phrases {
            return None;
        }
        let spoken = seconds(onset - self.phrases.get(first)?.onset);
        Some(seconds(dub.length) - self.estimates.beliefs().usual(spoken))
    }

    /// The newest answer that has come. What a newer line was to answer and was not asked has none: what an older one said
    /// last may be of the phrase before.
    fn answer_to(&self, phrase: usize) -> Option<(usize, Run)> {
        let it = self.phrases.get(phrase)?;
        let mut given_up = false;
        for (index, lane) in self.lanes.iter().enumerate().rev() {
            if let Some(run) = lane.answer_to(phrase) {
                return Some((index, run)).filter(|_| !given_up || !lane.is_last(run));
            }
            let owed = lane.owed < lane.from && lane.owed < it.onset + SLACK;
            given_up |= owed && it.end.is_some_and(|end| end < lane.from + SLACK);
        }
        None
    }

    /// The dub that aired last said this phrase too, and all of it.
    fn is_said(&self, phrase: usize) -> bool {
        let Some(lane) = self.lane_index().and_then(|index| self.lanes.get(index)) else {
            return false;
        };
        let (Some(run), Some(dub)) = (lane.going_on(), lane.head) else {
            return false;
        };
        let spoken: f64 = (run.phrase..=phrase)
            .filter_map(|index| self.phrases.get(index))
            .map(|phrase| seconds(phrase.end.unwrap_or(self.live) - phrase.onset))
            .sum();
        let covered = run.phrase < phrase && phrase < run.phrase + run.phrases;
        covered && WHOLE * self.estimates.beliefs().usual(spoken) <= seconds(dub.length)
    }

    /// The dub that aired last answers this phrase too, and no border was found in it.
    fn is_covered(&mut self, phrase: usize) -> bool {
        let Some(lane) = self.lane_index().and_then(|index| self.lanes.get_mut(index)) else {
            return false;
        };
        let Some(run) = lane.going_on() else { return false };
        let covered = run.phrase < phrase && phrase < run.phrase + run.phrases;
        if let Some(dub) = lane.head.as_mut().filter(|dub| covered && !dub.sealed) {
            dub.phrases = phrase + 1 - run.phrase;
            self.estimates.note_glue(true);
            return true;
        }
        false
    }

    /// What comes before a run was not heard by now, so it is never. What fits nothing, right before it, is heard with
    /// it: losing words is worse.
    fn clear_the_way(&mut self, lane: usize, run: Run) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        let before = lane.plan.iter().filter(|other| other.atom < run.atom);
        let (planned, end) = before.fold((0, 0), |(planned, _), other| {
            (planned + other.atoms, other.atom + other.atoms)
        });
        let dropped = lane.drop_atoms(end);
        let late = u64::try_from(planned).unwrap_or(0).min(dropped);
        self.figures.speech_late_total += late;
        self.figures.speech_dropped_total += dropped - late;
    }

    /// Other lines' answers to a phrase are void.
    fn replace(&mut self, chosen: Option<usize>, phrase: usize) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(run) = lane.answer_to(phrase).filter(|_| Some(index) != chosen) else {
                continue;
            };
            self.figures.speech_replaced_total += lane.drop_atoms(run.atom);
            let id = self.phrases.get(phrase).map(|phrase| phrase.id);
            lane.begin(id, None);
            self.figures.speech_replaced_total += lane.leave_unsaid(run);
        }
    }
}
