//! A dub that broke off in the middle of its phrase goes on with what a newer line says of it.
use super::{SLACK, Track, WHOLE};
use crate::Placement;
use crate::align::Run;
use crate::atoms::STEP;
use crate::lane::seconds;
use crate::phrases::Phrase;
use media_types::{MediaRange, MediaTime};

/// How long the rest is waited for. Behind that, and where nobody says it, the original airs.
pub(super) const REST_WAIT: MediaTime = MediaTime::from_millis(1_500);
/// Nobody connects what is heard later with what was said.
pub(super) const REST_LATE: MediaTime = MediaTime::from_millis(2_500);
/// The least that a rest has to be, in seconds and as a share of what was said: answers to the same are not alike.
pub(super) const REST_MIN: f64 = 0.3;
const REST_SHARE: f64 = 0.1;

/// What goes on with a dub.
struct Rest {
    phrase: Phrase,
    /// What was said, in seconds.
    said: f64,
    /// Who says it again, and what.
    lane: usize,
    run: Run,
}

impl Placement {
    /// Goes on with the newer line's answer, behind what the older one said of it.
    pub(super) fn take_up(&mut self, until: MediaTime) -> Track {
        let Some(rest) = self.rest().filter(|_| until - self.sound_end < REST_LATE) else {
            return Track::Free;
        };
        let Some(lane) = self.lanes.get(rest.lane) else {
            return Track::Free;
        };
        let least = rest.said + REST_MIN.max(REST_SHARE * rest.said);
        if lane.length_of(rest.run) < least {
            // It says what was heard, and has not come to the rest.
            if rest.run.arriving && until - self.sound_end < REST_WAIT {
                self.keep_down(MediaRange::new(self.sound_end, until + STEP));
                return Track::Busy;
            }
            return Track::Free;
        }
        let tail = self.said_last();
        if let Some(dub) = self
            .lane_index()
            .and_then(|index| self.lanes.get_mut(index)?.head.as_mut())
        {
            dub.sealed = true;
        }
        self.clear_the_way(rest.lane, rest.run);
        let at = self.sound_end.max(self.aired);
        if let Some(line) = self.lanes.get_mut(rest.lane) {
            line.begin(Some(rest.phrase.id), Some(at));
            line.join(rest.run, Some(rest.said), &tail);
            self.speaking = Some(line.connection);
        }
        self.put(until, rest.lane, usize::MAX)
    }

    /// What a newer line says of the phrase that airs, whose dub has ended before its time.
    fn rest(&self) -> Option<Rest> {
        let index = self.lane_index()?;
        let lane = self.lanes.get(index)?;
        let dub = lane
            .head
            .filter(|dub| dub.phrases == 1 && !dub.sealed && !dub.done && dub.starts_at.is_none())?;
        let number = self.phrases.index_of(dub.phrase?)?;
        let phrase = *self.phrases.get(number)?;
        let spoken = seconds(phrase.end? - phrase.onset);
        let said = seconds(dub.length);
        let ended = lane.atoms.list.iter().all(|atom| atom.rest() == 0);
        if !ended || WHOLE * self.estimates.beliefs().usual(spoken) <= said {
            return None;
        }
        let newer = self.lanes.iter().enumerate().skip(index + 1).rev();
        let whole = newer.filter(|(_, newer)| newer.from <= phrase.onset + SLACK);
        let (lane, run) = whole
            .filter_map(|(at, newer)| Some((at, newer.answer_to(number)?)))
            .next()?;
        Some(Rest {
            phrase,
            said,
            lane,
            run,
        })
    }
}
