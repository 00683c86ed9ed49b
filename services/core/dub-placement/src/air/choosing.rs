//! Which answer a phrase gets, when it begins to air.
use super::taking_up::{REST_MIN, REST_WAIT};
use super::{BREATH, LAST_PAUSE, SLACK, STOPPED_SHORT, WHOLE};
use crate::align::Run;
use crate::atoms::STEP;
use crate::lane::{JOIN_MIN, Lane, seconds, time};
use crate::{Decision, Placement, Verdict};
use media_types::{MediaRange, MediaTime};

/// How long a whole answer is waited for where the one that is there was broken off.
const ANEW_WAIT: MediaTime = MediaTime::from_millis(1_500);
/// Original that may have been heard of a phrase that is dubbed: less than a syllable.
const HEARD_MAX: MediaTime = MediaTime::from_millis(60);
/// A phrase of which a line was not sent so much of its beginning has another beginning.
const HEARD_LATE: MediaTime = MediaTime::from_millis(100);
/// How far off that is which was said where a phrase was cut, in seconds.
const SAID_MARGIN: f64 = 0.5;
/// What was said of a phrase for certain, by usual lengths, in seconds.
const SAID_SURELY: f64 = 1.0;
/// Share of what is usually said of a phrase that a dub must have had the time to say, to have said it.
const SAID_OF_IT: f64 = 0.4;
/// The least that a line has to say of a phrase, in seconds, so that a newer one goes on behind it.
const BEGUN_MIN: f64 = 0.5;

/// What is said of a phrase.
#[derive(Clone, Copy, Debug)]
struct Answer {
    lane: usize,
    run: Run,
    /// A newer line goes on behind it.
    begins: bool,
}

impl Placement {
    /// Decides the next phrase, if it is due.
    pub(super) fn next_phrase(&mut self, until: MediaTime, out: &mut Vec<Decision>) -> bool {
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
        let answer = answer.filter(|it| self.lane_index() == Some(it.lane) || !self.is_said(index));
        let Some(Answer { lane, run, begins }) = answer else {
            return self.settle_unanswered(index, free, begun, until, out);
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
        if !begins && at - phrase.onset < ANEW_WAIT && self.is_broken_off(lane, run, phrase) {
            self.keep_down(MediaRange::new(phrase.onset.max(self.down_until), until + STEP));
            return false;
        }
        if until - self.sound_end < REST_WAIT && self.says_it_again(lane, index, run) {
            self.keep_down(MediaRange::new(self.sound_end.max(self.down_until), until + STEP));
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

    /// Decides a phrase that has no answer of its own: what airs says it too, or its original airs.
    fn settle_unanswered(
        &mut self,
        index: usize,
        free: MediaTime,
        begun: bool,
        until: MediaTime,
        out: &mut Vec<Decision>,
    ) -> bool {
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
        true
    }

    /// The end of what was said.
    pub(super) fn said_last(&self) -> Vec<i16> {
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
        let said = seconds(dub.length) - self.estimates.beliefs().usual(spoken);
        // Where what follows behind a pause is its answer to the next phrase, it has hardly begun with that before.
        Some(said).filter(|said| SAID_SURELY <= *said || lane.answer_to(phrase).is_none())
    }

    /// How much of a phrase that a newer line answers from the middle on was said by the one that airs, which has paused: in
    /// seconds of its answer, as far as can be told.
    fn cut_and_said(&self, newer: usize, phrase: usize) -> Option<f64> {
        let index = self.lane_index().filter(|index| *index < newer)?;
        let from = self.lanes.get(newer)?.from;
        let onset = self.phrases.get(phrase)?.onset;
        let before = phrase
            .checked_sub(1)
            .and_then(|before| self.phrases.get(before))?;
        let is_cut = from - SLACK < onset && onset < from + SLACK && before.end == Some(onset);
        let pauses = self.lanes.get(index)?.pauses();
        let (_, most) = self.said_again_about(index, newer).filter(|_| is_cut && pauses)?;
        (JOIN_MIN <= most).then_some(most + SAID_MARGIN)
    }

    /// So far a run says what was heard already, and comes to the rest.
    fn says_it_again(&self, lane: usize, phrase: usize, run: Run) -> bool {
        let told = self
            .said_already(lane, phrase)
            .into_iter()
            .chain(self.cut_and_said(lane, phrase));
        let Some(said) = told.max_by(f64::total_cmp) else {
            return false;
        };
        let length = self.lanes.get(lane).map_or(0.0, |lane| lane.length_of(run));
        run.arriving && JOIN_MIN <= said && length < said + REST_MIN
    }

    /// The newest answer that has come. What a newer line was to answer and was not asked has none: what an older one said
    /// last may be of the phrase before.
    fn answer_to(&self, phrase: usize) -> Option<Answer> {
        let it = self.phrases.get(phrase)?;
        let mut given_up = false;
        for (index, lane) in self.lanes.iter().enumerate().rev() {
            if let Some(run) = lane.answer_to(phrase) {
                if let Some((lane, run)) = self.begun_by(phrase, index) {
                    let begins = true;
                    return Some(Answer { lane, run, begins });
                }
                let answer = Answer {
                    lane: index,
                    run,
                    begins: false,
                };
                return Some(answer).filter(|_| !given_up || !lane.is_last(run));
            }
            let owed = lane.owed < lane.from && lane.owed < it.onset + SLACK;
            given_up |= owed && it.end.is_some_and(|end| end < lane.from + SLACK);
        }
        None
    }

    /// Where a newer line was not asked the beginning of what is said, the one that airs says that beginning, as far as it
    /// comes: then the newer one goes on.
    fn begun_by(&self, phrase: usize, newer: usize) -> Option<(usize, Run)> {
        let index = self.lane_index().filter(|index| *index < newer)?;
        let (lane, newer) = (self.lanes.get(index)?, self.lanes.get(newer)?);
        let it = self.phrases.get(phrase)?;
        let before = phrase.checked_sub(1).and_then(|before| self.phrases.get(before));
        let is_near = newer.from - SLACK < it.onset && it.onset < newer.from + SLACK;
        let is_cut = is_near && before.is_some_and(|before| before.end == Some(it.onset));
        let is_late = it.onset + HEARD_LATE < newer.from && it.end.is_none_or(|end| newer.from < end);
        let run = lane.answer_to(phrase).filter(|_| is_cut || is_late)?;
        let first = lane.atoms.list.get(run.atom)?;
        let turns = first.turn.is_some();
        // What it says last, behind a pause, the newer one says from its beginning.
        let lag = time(self.estimates.beliefs().lag);
        let is_last = run.atoms == 1 && lane.is_last(run) && LAST_PAUSE <= first.gap;
        let is_asked = is_last && newer.from + SLACK <= first.start - lag;
        // Who speaks haltingly has fallen behind, and says something else.
        let is_begun = BEGUN_MIN <= lane.sound_of(run) && lane.is_fluent(run);
        Some((index, run)).filter(|_| !turns && !is_asked && is_begun)
    }

    /// How long phrases are, from one to another, in seconds.
    fn spoken_in(&self, first: usize, last: usize) -> f64 {
        let all = (first..=last).filter_map(|index| self.phrases.get(index));
        all.map(|phrase| seconds(phrase.end.unwrap_or(self.live) - phrase.onset))
            .sum()
    }

    /// The dub that aired last said this phrase too, and all of it.
    pub(super) fn is_said(&self, phrase: usize) -> bool {
        let Some(lane) = self.lane_index().and_then(|index| self.lanes.get(index)) else {
            return false;
        };
        let (Some(run), Some(dub)) = (lane.going_on(), lane.head) else {
            return false;
        };
        let spoken = self.spoken_in(run.phrase, phrase);
        let covered = run.phrase < phrase && phrase < run.phrase + run.phrases;
        covered && WHOLE * self.estimates.beliefs().usual(spoken) <= seconds(dub.length)
    }

    /// What a line said last came late enough to be of a phrase. Who answers turns tells that by no time.
    fn reaches(&self, lane: usize, phrase: usize) -> bool {
        let Some(dub) = self.lanes.get(lane).and_then(|lane| lane.head) else {
            return false;
        };
        let beliefs = self.estimates.beliefs();
        let said = SAID_OF_IT * beliefs.usual(self.spoken_in(phrase, phrase));
        let onset = self.phrases.get(phrase).map(|phrase| phrase.onset);
        dub.turn.is_some() || onset.is_some_and(|onset| onset + time(beliefs.lag + said) <= dub.end)
    }

    /// The dub that aired last answers this phrase too, and no border was found in it. One that has ended long before its time
    /// says nothing of it.
    fn is_covered(&mut self, phrase: usize) -> bool {
        let Some(index) = self.lane_index() else {
            return false;
        };
        let Some(run) = self.lanes.get(index).and_then(Lane::going_on) else {
            return false;
        };
        let covered = run.phrase < phrase && phrase < run.phrase + run.phrases;
        let whole = STOPPED_SHORT * self.estimates.beliefs().usual(self.spoken_in(run.phrase, phrase));
        let reaches = covered && self.reaches(index, phrase);
        let Some(lane) = self.lanes.get_mut(index) else {
            return false;
        };
        let goes_on = 0 < run.atoms || lane.is_expected();
        if let Some(dub) = lane.head.as_mut().filter(|dub| covered && !dub.sealed)
            && (goes_on || reaches && whole <= seconds(dub.length))
        {
            dub.phrases = phrase + 1 - run.phrase;
            self.estimates.note_glue(true);
            return true;
        }
        false
    }

    /// What comes before a run was not heard by now, so it is never. What fits nothing, right before it, is heard with
    /// it: losing words is worse.
    pub(super) fn clear_the_way(&mut self, lane: usize, run: Run) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        let is_void = lane.head.is_some_and(|dub| dub.sealed);
        let before = lane.plan.iter().filter(|other| other.atom < run.atom);
        let (mut void, mut planned, mut end) = (0, 0, 0);
        for other in before {
            *(if other.goes_on && is_void {
                &mut void
            } else {
                &mut planned
            }) += other.atoms;
            end = other.atom + other.atoms;
        }
        let dropped = lane.drop_atoms(end);
        let of = |count: usize| u64::try_from(count).unwrap_or(0);
        let replaced = of(void).min(dropped);
        let late = of(planned).min(dropped - replaced);
        self.figures.speech_replaced_total += replaced;
        self.figures.speech_late_total += late;
        self.figures.speech_dropped_total += dropped - replaced - late;
    }

    /// Other lines' answers to a phrase are void. What a newer line says of it waits: it may go on where the chosen one ends.
    pub(super) fn replace(&mut self, chosen: Option<usize>, phrase: usize) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(run) = lane.answer_to(phrase).filter(|_| Some(index) != chosen) else {
                continue;
            };
            self.figures.speech_replaced_total += lane.drop_atoms(run.atom);
            let id = self.phrases.get(phrase).map(|phrase| phrase.id);
            lane.begin(id, None);
            if chosen.is_none_or(|chosen| index < chosen) {
                self.figures.speech_replaced_total += lane.leave_unsaid(run);
            }
        }
    }
}
