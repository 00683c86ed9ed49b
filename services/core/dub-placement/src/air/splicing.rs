//! A line that pauses is gone on with where a newer one says the same: what both of them say is the surest joint.
use super::taking_up::REST_LATE;
use crate::borders::Border;
use crate::lane::{Lane, seconds, time};
use crate::{Decision, Placement, Verdict};
use media_types::MediaTime;

/// A pause of the speaker is at most so long in an answer, in seconds.
const PAUSE: f64 = 0.3;
/// How much of a newer line has to have come in place of what the older one has yet to say, at most; in steps.
const INSTEAD_STEPS: usize = 30;
/// Nobody has said the same before he comes near to it, in seconds.
const NEAR: f64 = 1.5;

impl Placement {
    /// Where a sound of the line that airs has ended, and a newer line has said the same: that one goes on. Tells whether
    /// it does.
    pub(super) fn splice(&mut self, until: MediaTime, out: &mut Vec<Decision>) -> bool {
        let Some(index) = self.lane_index() else {
            return false;
        };
        let newer = index + 1..self.lanes.len();
        let late = REST_LATE <= until - self.sound_end;
        if late || newer.is_empty() || !self.lanes.get(index).is_some_and(Lane::pauses) {
            return false;
        }
        let told = |lane: &Lane| 2 * lane.waits() + usize::from(!lane.may_go_on());
        let waiting: usize = self.lanes.range(newer.clone()).map(told).sum();
        // Looked for once in what has come.
        if waiting == 0 || self.searched == (self.sound_end, waiting) {
            return false;
        }
        self.searched = (self.sound_end, waiting);
        let tail = self.said_last();
        // What is given up for it has to be made up for.
        let least = self.lanes.get(index).map_or(0, Lane::waits).min(INSTEAD_STEPS);
        let found = newer.rev().find_map(|newer| {
            let about = self.said_again_about(index, newer)?;
            let border = self.lanes.get(newer)?.says_again(&tail, about, least)?;
            Some((newer, border))
        });
        let Some((newer, border)) = found else {
            return false;
        };
        self.go_on_with(index, newer, (border, &tail), until, out);
        true
    }

    /// Where in what a newer line says it comes to what the older one said last, in seconds: by usual lengths, and by when
    /// it was said. The one knows nothing of answers that ran ahead of their phrases, the other nothing of late ones.
    pub(super) fn said_again_about(&self, older: usize, newer: usize) -> Option<(f64, f64)> {
        let dub = self.lanes.get(older)?.head?;
        let from = self.lanes.get(newer)?.from;
        let beliefs = self.estimates.beliefs();
        let first = self.phrases.index_of(dub.phrase?)?;
        let heard = dub.end - time(beliefs.tail);
        if heard + time(NEAR) < from {
            return None;
        }
        let by_length = self.spoken_by(first, from, seconds(dub.length) / beliefs.usual(1.0));
        let by_clock = self.spoken_from(from, heard);
        let (one, two) = (beliefs.usual(by_length), beliefs.usual(by_clock));
        Some((one.min(two), one.max(two)))
    }

    /// How much of what was spoken, from a phrase on and so much of it, lies behind an instant, in seconds.
    fn spoken_by(&self, first: usize, from: MediaTime, mut said: f64) -> f64 {
        let (mut behind, mut before) = (0.0, None);
        for phrase in self.phrases.list().iter().skip(first) {
            let end = phrase.end.unwrap_or(self.live);
            let pause = before.map_or(0.0, |before| seconds(phrase.onset - before).min(PAUSE));
            let spoken = seconds(end - phrase.onset);
            let asked = spoken.min((said - pause).max(0.0)) - seconds(from - phrase.onset).max(0.0);
            if 0.0 < asked {
                behind += asked + if from < phrase.onset { pause } else { 0.0 };
            }
            said -= pause + spoken;
            if said <= 0.0 {
                break;
            }
            before = Some(end);
        }
        behind
    }

    /// How much was spoken between two instants, with its pauses as they are said, in seconds.
    fn spoken_from(&self, from: MediaTime, until: MediaTime) -> f64 {
        let (mut spoken, mut before) = (0.0, None);
        for phrase in self.phrases.list() {
            let end = phrase.end.unwrap_or(self.live).min(until);
            let length = seconds(end - phrase.onset.max(from));
            if length <= 0.0 {
                continue;
            }
            let pause = before.map_or(0.0, |before| seconds(phrase.onset - before).min(PAUSE));
            spoken += pause.max(0.0) + length;
            before = Some(end);
        }
        spoken
    }

    fn go_on_with(
        &mut self,
        older: usize,
        newer: usize,
        (border, tail): (Border, &Vec<i16>),
        until: MediaTime,
        out: &mut Vec<Decision>,
    ) {
        let (mut said, mut left) = (None, 0);
        if let Some(lane) = self.lanes.get_mut(older) {
            said = lane.head.and_then(|dub| dub.phrase);
            lane.atoms.list.retain(|atom| 0 < atom.rest());
            left += lane.drop_atoms(usize::MAX);
            if let Some(dub) = &mut lane.head {
                dub.sealed = true;
            }
        }
        let Some(lane) = self.lanes.get_mut(newer) else {
            return;
        };
        // The phrase in which both say the same, as the newer line has it.
        let last = if border.step == 0 {
            border.atom.saturating_sub(1)
        } else {
            border.atom
        };
        let run = lane
            .plan
            .iter()
            .find(|run| (run.atom..run.atom + run.atoms).contains(&last))
            .copied();
        let phrase = run
            .and_then(|run| self.phrases.get(run.phrase))
            .map(|phrase| phrase.id);
        let first = run.filter(|run| !run.goes_on).map_or(0, |run| run.atom);
        let begins = run.is_none_or(|run| !run.goes_on);
        left += lane.say_silently(begins.then_some(phrase.or(said)), first, border);
        lane.tail.clone_from(tail);
        self.speaking = Some(lane.connection);
        self.figures.speech_replaced_total += left;
        let until_phrase = run.map_or(0, |run| run.phrase + 1);
        while let Some(open) = self.phrases.first_open().filter(|open| *open < until_phrase) {
            let Some(phrase) = self.phrases.get(open) else {
                break;
            };
            let onset = phrase.onset;
            self.settle(open, Verdict::Dubbed, onset, until, out);
            self.replace(Some(newer), open);
        }
        self.touch();
    }
}
