//! A provider: when it answers what, and how its sound comes over the wire.
use super::{Phrase, Rng, World, ms};
use dub_placement::Speech;

/// A chunk of its sound, in milliseconds.
const CHUNK: i64 = 250;
/// Source before this is answered, whatever is said.
const ANSWERED: i64 = 12_000;

/// A word of an answer, in milliseconds of the wall.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub phrase: usize,
    /// Its place in its answer.
    pub first: i64,
    pub start: i64,
    pub end: i64,
}

/// When an answer is said.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// So that its last word comes a normal time after the speaker's last.
    Tail { mean: f64, spread: f64 },
    /// A time after the speaker began, with a spread of its logarithm.
    Lag { start: f64, spread: f64, ratio: f64 },
}

/// A provider, shares as parts of one.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    pub answer: Answer,
    pub omits: f64,
    pub splits: f64,
    pub glues: f64,
}

impl Provider {
    pub fn tail() -> Self {
        Self {
            answer: Answer::Tail {
                mean: 1_000.0,
                spread: 550.0,
            },
            omits: 0.04,
            splits: 0.08,
            glues: 0.0,
        }
    }

    /// All that it says.
    pub fn words(&self, rng: &mut Rng, phrases: &[Phrase]) -> Vec<Word> {
        let mut words = Vec::new();
        let mut free = 0;
        for (number, phrase) in phrases.iter().enumerate() {
            if !rng.chance(self.omits) {
                let spoken = phrase.end - phrase.start;
                free = self.answer(rng, number, (*phrase, spoken), free, &mut words);
            }
        }
        words
    }

    /// What it says of phrases that do not end before an instant of the source, as it heard them.
    pub fn words_from(&self, rng: &mut Rng, phrases: &[(Phrase, Phrase)], from: i64) -> Vec<Word> {
        let mut words = Vec::new();
        let mut free = 0;
        for (number, (own, heard)) in phrases.iter().enumerate() {
            if from < own.end {
                free = self.answer(rng, number, (*heard, own.end - own.start), free, &mut words);
            }
        }
        words
    }

    fn answer(
        &self,
        rng: &mut Rng,
        phrase: usize,
        (source, spoken): (Phrase, i64),
        free: i64,
        words: &mut Vec<Word>,
    ) -> i64 {
        let spoken = spoken as f64;
        let (start, length) = match self.answer {
            Answer::Tail { mean, spread } => {
                let end = source.end + (mean + spread * rng.normal()).max(150.0) as i64;
                let length = (spoken * (1.0 + 0.2 * rng.normal()).clamp(0.5, 1.6)) as i64;
                (end - length, length)
            }
            Answer::Lag { start, spread, ratio } => {
                let lag = start * (spread * rng.normal()).exp();
                (source.start + lag as i64, (spoken * ratio) as i64)
            }
        };
        let natural = start.max(source.start + 400);
        // Nobody says a last word that he has not heard.
        let in_time = source.start + 400 <= free && source.end + 200 <= free + length;
        let glued = in_time && natural < free + 800 && rng.chance(self.glues);
        let start = if glued {
            free + rng.range(20, 60)
        } else {
            natural.max(free + 150)
        };
        say(rng, phrase, start, length, self.splits, words)
    }
}

/// Says so many milliseconds of words; returns where they end.
fn say(rng: &mut Rng, phrase: usize, start: i64, length: i64, splits: f64, words: &mut Vec<Word>) -> i64 {
    let mut split = rng.chance(splits);
    let (mut at, mut said) = (start, 0);
    loop {
        let word = rng.range(180, 450).min(length - said).max(60);
        words.push(Word {
            phrase,
            first: said,
            start: at,
            end: at + word,
        });
        at += word;
        said += word;
        if length <= said + 100 {
            return at;
        }
        let pause = if split && length < 2 * said {
            split = false;
            rng.range(300, 600)
        } else if rng.chance(0.15) {
            rng.range(90, 200)
        } else {
            rng.range(20, 60)
        };
        at += pause;
        said += if pause < 300 { pause } else { 0 };
    }
}

/// One connection to it.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub number: u64,
    /// When its sound begins.
    pub opened: i64,
    /// Source that it hears.
    pub source: (i64, i64),
    /// By how much a network holds its pieces up.
    pub jitter: i64,
    /// Nothing of it comes before this.
    pub not_before: i64,
    /// Nothing of it comes behind this.
    pub dies: i64,
    /// It is sent the source again, from an instant on, and at twice real time.
    pub replays: Option<i64>,
}

impl Connection {
    /// A connection that is healthy.
    pub fn new(number: u64, opened: i64, source: (i64, i64), jitter: i64) -> Self {
        Self {
            number,
            opened,
            source,
            jitter,
            not_before: 0,
            dies: i64::MAX,
            replays: None,
        }
    }

    /// Source that it has heard at an instant.
    fn heard_at(&self, at: i64) -> i64 {
        self.replays
            .map_or(at, |from| at.min(from + 2 * (at - self.opened).max(0)))
    }

    /// A phrase, and when it hears it.
    pub fn as_heard(&self, phrase: Phrase) -> (Phrase, Phrase) {
        let start = self.hears(phrase.start);
        let length = phrase.end - phrase.start;
        let heard = Phrase {
            start,
            end: self.hears(phrase.end).max(start + length / 2),
        };
        (phrase, heard)
    }

    /// When it hears an instant of the source.
    pub fn hears(&self, source: i64) -> i64 {
        self.replays
            .map_or(source, |from| source.max(self.opened + (source - from) / 2))
    }

    /// Sends words as pieces of sound, with the evidence for them. Returns when the last one came.
    pub fn send(&self, rng: &mut Rng, words: &[Word], world: &mut World) -> i64 {
        let Some(last) = words.last() else { return 0 };
        let mut came = self.not_before;
        let mut quiet = i64::MAX;
        let mut next = 0;
        let mut from = self.opened;
        let mut lead_in: Option<Speech> = None;
        while from < last.end + 2 * CHUNK {
            let until = from + CHUNK;
            while words.get(next).is_some_and(|word| word.end <= from) {
                next += 1;
            }
            let loud = words.get(next).is_some_and(|word| word.start < until);
            came = came.max(until + 40 + rng.range(0, self.jitter + 1));
            if self.dies < until {
                break;
            }
            let latest = self.heard_at(until - 40).min(self.source.1);
            let speech = Speech {
                earliest: ms((until - ANSWERED).max(self.source.0)),
                latest: ms(latest),
                exact: false,
                fragment: None,
                connection: self.number,
                at: Some(ms(from - self.opened)),
                turn: None,
                pcm: render(&words[next..], from, until),
            };
            quiet = if loud { 0 } else { quiet.saturating_add(CHUNK) };
            if loud && let Some(lead_in) = lead_in.take() {
                world.say(came, lead_in);
            }
            if quiet <= 2 * CHUNK {
                world.say(came, speech);
            } else {
                lead_in = Some(speech);
            }
            from = until;
        }
        came
    }
}

/// The code of a millisecond.
fn render(words: &[Word], from: i64, until: i64) -> Vec<i16> {
    let mut pcm = Vec::with_capacity(usize::try_from(until - from).unwrap() * 96);
    let mut words = words.iter().peekable();
    for at in from..until {
        while words.next_if(|word| word.end <= at).is_some() {}
        let code = match words.peek().filter(|word| word.start <= at) {
            Some(word) => (
                i16::try_from(2_000 + word.phrase).unwrap(),
                i16::try_from(1_000 + word.first + at - word.start).unwrap(),
            ),
            None => (0, 0),
        };
        for frame in 0..48 {
            let sign = if frame % 2 == 0 { 1 } else { -1 };
            pcm.extend([code.0 * sign, code.1 * sign]);
        }
    }
    pcm
}
