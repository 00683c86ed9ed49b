//! Dubbing by phrases: which of them air with their dub. Placement decides, this tells it of phrases and speech, and
//! the plan and the ledger of what it decided.
use super::{Air, Due};
use dub_placement::{Figures, Placed, Speech, Verdict};
use media_types::{Fallback, FragmentSeq, MediaRange, MediaTime, Reason};
use speech_activity::PhraseEvent;

/// By what it is decided whether a dub airs; the dubber says so when its session opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deciding {
    /// By the fragment that a dub answers exactly.
    #[default]
    ByFragment,
    /// By the phrase that a dub is found to answer.
    ByPhrase,
}

/// A phrase, or a further part of one, begins to air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhraseDecided {
    /// Its number.
    pub phrase: u64,
    /// It is the first part of it.
    pub first: bool,
    /// The part.
    pub part: MediaRange,
    /// Why it airs without a dub; nothing when it airs with one.
    pub fell_back: Option<Reason>,
    /// Fragments that it lies in.
    pub fragments: Vec<FragmentSeq>,
}

impl Air {
    /// A dub session is open, and the dubber has said how it answers: in force from the next fragment on that begins to
    /// air. The session knows nothing of what was sent before.
    pub fn session_opened(&mut self, deciding: Deciding) {
        self.deciding = deciding;
        self.sessions += 1;
        if self.tells_phrases {
            let (first, from) = (self.in_session(0), self.audio_head);
            self.placement.supersede(first, from, from);
        }
        if deciding == Deciding::ByPhrase && !self.tells_phrases {
            self.tells_phrases = true;
            for event in std::mem::take(&mut self.untold) {
                self.tell(event);
            }
        }
    }

    /// By what is decided.
    pub fn deciding(&self) -> Deciding {
        self.deciding
    }

    /// Why nothing at all is answered just now, where that is so.
    pub fn unanswered(&mut self, reason: Option<Reason>) {
        self.unanswered = reason;
    }

    /// Something has become known of a phrase of the source.
    pub fn phrase(&mut self, event: PhraseEvent) {
        if self.tells_phrases {
            self.tell(event);
            return;
        }
        // A phrase is told twice, so what has aired leaves in pairs.
        let aired = self.mixed_until.unwrap_or(MediaTime::ZERO);
        while let Some(PhraseEvent::Ended(phrase)) = self.untold.get(1)
            && phrase.end <= aired
        {
            self.untold.drain(..2);
        }
        self.untold.push_back(event);
    }

    fn tell(&mut self, event: PhraseEvent) {
        match event {
            PhraseEvent::Began(onset) => self.placement.phrase_began(onset),
            PhraseEvent::Ended(phrase) => self.placement.phrase_ended(phrase),
        }
    }

    /// Source from `from` on is answered anew, of which what lies before `asked` is answered by nobody.
    pub fn supersede(&mut self, connection: u64, from: MediaTime, asked: MediaTime) {
        let connection = self.in_session(connection);
        let (from, asked) = (from.min(self.audio_head), asked.min(self.audio_head));
        self.placement.supersede(connection, from, asked);
    }

    /// A number that rises in its session, as one that rises in the run.
    fn in_session(&self, number: u64) -> u64 {
        self.sessions << 32 | number.min(u64::from(u32::MAX))
    }

    /// Dubbed speech has come back.
    pub fn speech(&mut self, mut speech: Speech) -> Placed {
        let exact = speech.exact;
        let placed = if exact {
            if speech.fragment.is_some_and(|seq| !self.ledger.may_air(seq)) {
                Placed::Late
            } else {
                self.placement.speech(&speech)
            }
        } else if self.deciding == Deciding::ByFragment || self.audio_head < speech.earliest {
            // Nobody asked for it, or it answers what nobody has said yet.
            Placed::Unplaceable
        } else {
            speech.latest = speech.latest.min(self.audio_head);
            speech.connection = self.in_session(speech.connection);
            speech.turn = speech.turn.map(|turn| self.in_session(turn));
            self.placement.speech(&speech)
        };
        match placed {
            // Placement counts what is late to it by itself.
            Placed::Late => self.late_exact += u64::from(exact),
            Placed::At(_) | Placed::Taken => {}
            Placed::Unplaceable | Placed::OutOfReach => self.counts.refused_speech += 1,
        }
        placed
    }

    /// Placement in numbers.
    pub fn figures(&self) -> Figures {
        self.placement.figures()
    }

    /// Speech that came when its original had begun to air.
    pub fn speech_late_total(&self) -> u64 {
        self.late_exact + self.placement.figures().speech_late_total
    }

    /// Decides what begins to air before `until`.
    pub(super) fn begin(&mut self, until: MediaTime, fallback: Fallback, due: &mut Due) {
        match self.deciding {
            Deciding::ByFragment => {
                let placement = &self.placement;
                for decision in self.ledger.begin(until, |own| placement.ranges().touches(own)) {
                    if let Some(reason) = decision.fell_back {
                        self.plan.fall_back(decision.range, fallback, reason);
                    }
                    due.begun.push(decision.seq);
                }
            }
            Deciding::ByPhrase => due.begun.extend(self.ledger.begin_by_phrase(until)),
        }
        if !self.tells_phrases {
            return;
        }
        for decision in self.placement.decide(until) {
            if self.deciding == Deciding::ByFragment {
                continue;
            }
            let part = decision.part;
            let fell_back = match decision.verdict {
                Verdict::Dubbed => None,
                Verdict::Overflowed => Some(Reason::Overload),
                Verdict::FellBack => {
                    let known = self.ledger.blame_in(part).or(self.unanswered);
                    Some(known.unwrap_or(Reason::Timeout))
                }
            };
            if let Some(reason) = fell_back {
                self.plan.fall_back(part, fallback, reason);
            }
            self.ledger.phrase(part, fell_back);
            due.phrases.push(PhraseDecided {
                phrase: decision.phrase,
                first: decision.first,
                part,
                fell_back,
                fragments: self.ledger.fragments_in(part).collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
