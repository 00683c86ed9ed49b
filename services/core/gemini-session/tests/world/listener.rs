//! Who hears the dub, and knows what was said.
use super::server::is_omitted;
use super::{MAGIC, Phrase};
use gemini_session::{ConnectionId, Speech, Supersession};
use media_types::MediaTime;
use std::collections::BTreeSet;

/// Blocks that a border without a pause may leave on both sides.
const SHARED_BLOCKS: u64 = 10;

/// Samples of 20 ms at 24 kHz.
const BLOCK: usize = 480;

#[derive(Clone, Copy, Debug)]
struct Heard {
    at_ms: u64,
    connection: ConnectionId,
    phrase: usize,
    first: u64,
    last: u64,
}

pub struct Listener {
    pub hold_ms: u64,
    phrases: Vec<Phrase>,
    heard: Vec<Heard>,
    /// By whom, from where on, and from where on it was asked.
    superseded: Vec<(ConnectionId, u64, u64)>,
    pub problems: Vec<String>,
    /// Sound that is no part of any answer.
    pub noise_ms: u64,
    /// How long after it came it was handed over, at most.
    pub noise_late_ms: i64,
    /// The model leaves phrases out.
    pub omits: bool,
    ids: BTreeSet<u64>,
}

impl Listener {
    pub fn new(phrases: Vec<Phrase>, hold_ms: u64) -> Self {
        Self {
            hold_ms,
            phrases,
            heard: Vec::new(),
            superseded: Vec::new(),
            problems: Vec::new(),
            noise_ms: 0,
            noise_late_ms: 0,
            omits: false,
            ids: BTreeSet::new(),
        }
    }

    pub fn hear(&mut self, now: u64, speech: &Speech) {
        if !self.ids.insert(speech.id) {
            self.problems.push(format!("piece {} came twice", speech.id));
        }
        let is_noise = |block: &&[i16]| block[0] != MAGIC && block.iter().any(|sample| 4_000 < *sample);
        let noise_ms = 20 * speech.pcm.chunks_exact(BLOCK).filter(is_noise).count() as u64;
        if 0 < noise_ms {
            self.noise_ms += noise_ms;
            let late = now.cast_signed() - speech.latest.millis();
            self.noise_late_ms = self.noise_late_ms.max(late);
        }
        for block in speech.pcm.chunks_exact(BLOCK).filter(|block| block[0] == MAGIC) {
            let number = |value: i16| u64::try_from(value).unwrap();
            let phrase = usize::try_from(block[1]).unwrap();
            let (first, last) = (number(block[2]), number(block[3]));
            let begins = self.phrases[phrase].start + first * 20;
            let ends = self.phrases[phrase].start + last * 20 + 20;
            let evidence = (speech.earliest.millis(), speech.latest.millis());
            if begins.cast_signed() < evidence.0 || ends.cast_signed() > evidence.1 {
                self.problems.push(format!(
                    "at {now}: [{begins}, {ends}) lies outside of its evidence {evidence:?}"
                ));
            }
            self.heard.push(Heard {
                at_ms: now,
                connection: speech.connection,
                phrase,
                first,
                last,
            });
        }
    }

    pub fn supersede(&mut self, supersession: Supersession) {
        let millis = |time: MediaTime| u64::try_from(time.millis()).unwrap();
        let (from, asked) = (millis(supersession.from), millis(supersession.asked));
        self.superseded.push((supersession.connection, from, asked));
    }

    /// Where the first phrase from an instant on begins of which a connection said nothing.
    pub fn first_unanswered(&self, from: u64, connection: ConnectionId) -> Option<u64> {
        let said = |number| {
            let of = |heard: &Heard| heard.phrase == number && heard.connection == connection;
            self.heard.iter().any(of)
        };
        let mut all = self.phrases.iter().enumerate();
        let (_, phrase) = all.find(|(number, phrase)| from <= phrase.start && !said(*number))?;
        Some(phrase.start)
    }

    /// Source from which on the first newer connection answered anew, and was asked anew.
    pub fn first_superseded(&self) -> Option<(u64, u64)> {
        let (_, from, asked) = self.superseded.first()?;
        Some((*from, *asked))
    }

    /// Blocks of a phrase that nobody said.
    pub fn unsaid(&self, number: usize) -> usize {
        let said = |block: &u64| {
            let says = |heard: &Heard| heard.phrase == number && (heard.first..=heard.last).contains(block);
            self.heard.iter().any(says)
        };
        (0..self.phrases[number].blocks)
            .filter(|block| !said(block))
            .count()
    }

    fn begins(&self, heard: &Heard) -> u64 {
        self.phrases[heard.phrase].start + heard.first * 20
    }

    /// What airs: of answers that supersede each other the newest that has come when its phrase begins to air.
    fn aired(&self) -> Vec<Heard> {
        let mut newest = vec![None; self.phrases.len()];
        for heard in &self.heard {
            if heard.at_ms <= self.phrases[heard.phrase].start + self.hold_ms {
                newest[heard.phrase] = newest[heard.phrase].max(Some(heard.connection));
            }
        }
        let airs = |heard: &&Heard| {
            let begins = self.begins(heard);
            let replaced = |older: ConnectionId, newer: ConnectionId| {
                self.superseded
                    .iter()
                    .any(|(by, from, _)| older < *by && *by <= newer && *from <= begins)
            };
            newest[heard.phrase].is_none_or(|newest| {
                !replaced(heard.connection, newest) && !replaced(newest, heard.connection)
            })
        };
        self.heard.iter().filter(airs).copied().collect()
    }

    /// What was lost, doubled, late or out of order of the phrases that began within a time.
    pub fn verdict(&self, from: u64, until: u64) -> Vec<String> {
        let mut problems = self.problems.clone();
        let aired = self.aired();
        let mut of_phrase: Vec<Vec<&Heard>> = vec![Vec::new(); self.phrases.len()];
        for heard in &aired {
            of_phrase[heard.phrase].push(heard);
        }
        for (number, phrase) in self.phrases.iter().enumerate() {
            let omitted = self.omits && is_omitted(i16::try_from(number).unwrap());
            if phrase.start < from || until <= phrase.start || omitted {
                continue;
            }
            let mut times = vec![0_u32; usize::try_from(phrase.blocks).unwrap()];
            let mut late = 0;
            for heard in &of_phrase[number] {
                for block in heard.first..=heard.last {
                    times[usize::try_from(block).unwrap()] += 1;
                }
                // Each part of a phrase has the hold from its own instant on.
                late += usize::from(heard.at_ms > self.begins(heard) + self.hold_ms);
            }
            let lost = times.iter().filter(|times| **times == 0).count();
            let doubled = times.iter().filter(|times| **times > 1).count();
            // Two windows of which neither ends in a pause share a syllable.
            let doubled = if doubled as u64 <= SHARED_BLOCKS {
                0
            } else {
                doubled
            };
            if lost + doubled + late > 0 {
                problems.push(format!(
                    "phrase {number} at {}: of {} blocks {lost} lost, {doubled} doubled, {late} late; {}",
                    phrase.start,
                    phrase.blocks,
                    self.answers(number)
                ));
            }
        }
        let mut newest = (0, 0);
        let inside = |heard: &&Heard| (from..until).contains(&self.phrases[heard.phrase].start);
        for heard in aired.iter().filter(inside) {
            let shared = heard.phrase == newest.0 && newest.1 < heard.first + SHARED_BLOCKS;
            if (heard.phrase, heard.first) < newest && !shared {
                problems.push(format!(
                    "at {}: phrase {} block {} behind {newest:?}",
                    heard.at_ms, heard.phrase, heard.first
                ));
            }
            newest = newest.max((heard.phrase, heard.first));
        }
        problems
    }

    /// Who answered a phrase, when, and what of it.
    fn answers(&self, number: usize) -> String {
        let mut answers: Vec<(ConnectionId, u64, u64, u64, u64)> = Vec::new();
        for heard in self.heard.iter().filter(|heard| heard.phrase == number) {
            match answers.last_mut().filter(|last| last.0 == heard.connection) {
                Some(last) => (last.2, last.4) = (heard.at_ms, heard.last),
                None => answers.push((
                    heard.connection,
                    heard.at_ms,
                    heard.at_ms,
                    heard.first,
                    heard.last,
                )),
            }
        }
        let told = answers.iter().map(|(connection, from, to, first, last)| {
            format!("{connection} at {from}..{to}: {first}..={last}")
        });
        told.collect::<Vec<_>>().join("; ")
    }

    /// Phrases that were heard in full between two instants.
    pub fn heard_in_full(&self, from: u64, until: u64) -> usize {
        let aired = self.aired();
        let inside = |phrase: &&Phrase| from <= phrase.start && phrase.start < until;
        let wanted = self
            .phrases
            .iter()
            .enumerate()
            .filter(|(_, phrase)| inside(phrase));
        wanted
            .filter(|(number, phrase)| {
                (0..phrase.blocks).all(|block| {
                    aired
                        .iter()
                        .any(|heard| heard.phrase == *number && heard.first <= block && block <= heard.last)
                })
            })
            .count()
    }

    /// When the first answer from an instant on was heard.
    pub fn heard_since(&self, at: u64) -> Option<u64> {
        self.heard
            .iter()
            .find(|heard| at <= heard.at_ms)
            .map(|heard| heard.at_ms)
    }
}
