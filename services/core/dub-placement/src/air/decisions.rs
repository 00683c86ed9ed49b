//! What is decided: phrases told for good, part by part, and what is never heard because of it.
use super::{AHEAD, LEFT_MIN, SLACK, STOPPED, STOPPED_SHORT, WHOLE};
use crate::align::Run;
use crate::atoms::STEP;
use crate::lane::{seconds, time};
use crate::phrases::{Fate, Phrase};
use crate::{Decision, Placement, Speech, Verdict};
use media_types::{MediaRange, MediaTime};

impl Placement {
    /// A phrase is decided.
    pub(super) fn settle(
        &mut self,
        index: usize,
        verdict: Verdict,
        from: MediaTime,
        until: MediaTime,
        out: &mut Vec<Decision>,
    ) {
        let number = self.next_number;
        let Some(phrase) = self.phrases.get_mut(index) else {
            return;
        };
        self.next_number += 1;
        let from = from.max(phrase.onset);
        let end = phrase.end.unwrap_or(until);
        let part = MediaRange::new(from, end.max(from));
        phrase.fate = Some(Fate {
            number,
            verdict,
            decided_at: self.aired,
            told: part.end,
        });
        out.push(Decision {
            phrase: number,
            part,
            first: true,
            verdict,
        });
        let open = phrase.end.is_none();
        self.touch();
        match verdict {
            Verdict::Dubbed => {
                self.figures.phrases_dubbed_total += 1;
                let ahead = if open { AHEAD } else { MediaTime::ZERO };
                self.keep_down(MediaRange::new(part.start, part.end + ahead));
            }
            Verdict::FellBack => {
                self.figures.phrases_fell_back_total += 1;
                self.fall_back(part);
            }
            Verdict::Overflowed => {
                self.figures.phrases_overflowed_total += 1;
                self.fall_back(part);
            }
        }
    }

    /// The original airs: what belongs before it is not heard behind it.
    pub(super) fn fall_back(&mut self, part: MediaRange) {
        if part.is_empty() {
            return;
        }
        self.fallback_end = self.fallback_end.max(part.end);
        if let Some(lane) = self.lane_index().and_then(|index| self.lanes.get_mut(index)) {
            if let Some(found) = lane.note(&self.phrases) {
                self.estimates.note(found);
            }
            if let Some(dub) = &mut lane.head {
                dub.sealed = true;
            }
        }
    }

    /// Further parts of phrases that were still spoken when they were decided.
    pub(super) fn tell_parts(&mut self, until: MediaTime, out: &mut Vec<Decision>) {
        let mut told = Vec::new();
        for index in 0..self.phrases.list().len() {
            let Some(phrase) = self.phrases.get_mut(index) else {
                continue;
            };
            let end = phrase.end.unwrap_or(until);
            let open = phrase.end.is_none();
            let Some(fate) = phrase.fate.as_mut().filter(|fate| fate.told < end) else {
                continue;
            };
            let part = MediaRange::new(fate.told, end);
            fate.told = end;
            told.push((part, open, *fate));
        }
        for (part, open, fate) in told {
            out.push(Decision {
                phrase: fate.number,
                part,
                first: false,
                verdict: fate.verdict,
            });
            match fate.verdict {
                Verdict::Dubbed => {
                    let ahead = if open { AHEAD } else { MediaTime::ZERO };
                    self.keep_down(MediaRange::new(part.start, part.end + ahead));
                }
                Verdict::FellBack | Verdict::Overflowed => {
                    self.fallback_end = self.fallback_end.max(part.end);
                }
            }
        }
    }

    /// A dub that broke off in the middle of its phrase, with nothing more to come, leaves the rest of it to the original.
    pub(super) fn let_up(&mut self, until: MediaTime, out: &mut Vec<Decision>) {
        let Some(index) = self.phrases.list().iter().position(|phrase| {
            let left = phrase.end.is_none_or(|end| until + LEFT_MIN <= end);
            left && phrase.onset < until && phrase.fate.is_some_and(|fate| fate.verdict == Verdict::Dubbed)
        }) else {
            return;
        };
        if self.has_said_enough(index, until) {
            return;
        }
        let Some(phrase) = self.phrases.get_mut(index) else {
            return;
        };
        let part = MediaRange::new(until, phrase.end.unwrap_or(until + STEP));
        let Some(fate) = phrase.fate.as_mut() else {
            return;
        };
        fate.verdict = Verdict::FellBack;
        fate.told = part.end;
        out.push(Decision {
            phrase: fate.number,
            part,
            first: false,
            verdict: fate.verdict,
        });
        self.figures.dubs_broken_off_total += 1;
        self.ranges.truncate(until);
        self.down_until = self.down_until.min(until);
        if let Some(lane) = self.lane_index().and_then(|index| self.lanes.get_mut(index)) {
            // Its length tells nothing of how long answers are, and what comes next is none of it.
            lane.finish();
        }
        self.fall_back(part);
        self.touch();
    }

    /// The dub of a phrase speaks, has something to follow, or has said about as much as it usually has by now. Who goes on
    /// has said all that he had to say of what came before.
    fn has_said_enough(&self, index: usize, until: MediaTime) -> bool {
        let Some(phrase) = self.phrases.get(index) else {
            return true;
        };
        if until - phrase.onset.max(self.sound_end) < STOPPED {
            return true;
        }
        let speaking = self.lane_index().and_then(|index| self.lanes.get(index));
        let stopped = speaking.filter(|lane| lane.atoms.list.iter().all(|atom| atom.rest() == 0));
        let dub = stopped
            .and_then(|lane| lane.head)
            .filter(|dub| !dub.sealed && !dub.done);
        let answered = dub.and_then(|dub| Some((dub, self.phrases.index_of(dub.phrase?)?)));
        let covers = answered.filter(|(dub, first)| (*first..*first + dub.phrases).contains(&index));
        let Some((dub, first)) = covers else {
            // What was said of it is not known.
            return true;
        };
        let group = (first..=index).filter_map(|index| self.phrases.get(index));
        let spoken: f64 = group
            .map(|phrase| seconds(phrase.end.unwrap_or(until).min(until) - phrase.onset))
            .sum();
        STOPPED_SHORT * self.estimates.beliefs().usual(spoken) <= seconds(dub.length)
    }

    /// However late an answer begins, who ends with the speaker is not behind.
    pub(super) fn ends_in_time(&self, lane: usize, run: Run, phrase: Phrase, at: MediaTime) -> bool {
        let length = self.lanes.get(lane).map_or(0.0, |lane| lane.length_of(run));
        let ends = at + time(length);
        phrase.end.is_some_and(|end| ends <= end)
    }

    /// Its connection may have died in the middle of an answer that is given anew: it is the last one, and too short.
    pub(super) fn is_broken_off(&self, lane: usize, run: Run, phrase: Phrase) -> bool {
        let again = self
            .lanes
            .iter()
            .skip(lane + 1)
            .any(|newer| newer.from <= phrase.onset + SLACK);
        let spoken = seconds(phrase.end.unwrap_or(self.live) - phrase.onset);
        let whole = WHOLE * self.estimates.beliefs().usual(spoken);
        again
            && self
                .lanes
                .get(lane)
                .is_some_and(|lane| lane.is_last(run) && lane.length_of(run) < whole)
    }

    /// Answers to source that has begun to air are not kept.
    pub(super) fn leave_out_old(&mut self) {
        let open = self.phrases.first_open();
        let newest = self.lanes.len().saturating_sub(1);
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let speaks = self.speaking == Some(lane.connection);
            let goes_on = lane.going_on().is_some_and(|run| 0 < run.atoms);
            if goes_on && (speaks || lane.head.is_some_and(|dub| !dub.sealed)) {
                continue;
            }
            let wanted = open.is_some_and(|open| lane.plan.iter().any(|run| open < run.phrase + run.phrases));
            let old =
                |atom: &crate::atoms::Atom| !(atom.open && speaks) && atom.latest.1 < self.aired - SLACK;
            while !(wanted || speaks && lane.is_mid()) && lane.atoms.list.front().is_some_and(old) {
                let left = lane.drop_atoms(1);
                if index == newest && !goes_on {
                    self.figures.speech_late_total += left;
                } else {
                    self.figures.speech_replaced_total += left;
                }
            }
        }
    }

    /// Everything that a piece can answer has aired without it.
    pub(crate) fn is_over(&self, speech: &Speech) -> bool {
        let can = |phrase: &&Phrase| {
            speech.earliest < phrase.end.unwrap_or(self.live) + SLACK && phrase.onset < speech.latest + SLACK
        };
        let mut candidates = self.phrases.list().iter().filter(can).peekable();
        candidates.peek().is_some()
            && candidates.all(|phrase| phrase.fate.is_some_and(|fate| fate.verdict != Verdict::Dubbed))
    }
}
