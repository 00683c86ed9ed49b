//! What becomes of each phrase, drawn by seed and number: the same in every connection and every run.

use crate::chance::Chance;
use crate::code::Cell;
use crate::ear::HeardCell;
use crate::scenario::Voice;
use crate::voice::RATE;
use std::time::Duration;

/// What becomes of one phrase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fate {
    /// It is not answered.
    pub omitted: bool,
    /// Its answer follows the one before without a pause.
    pub merged: bool,
    /// There is a pause in its answer.
    pub split: Option<Duration>,
    /// From its start to the start of its answer.
    pub lag: Duration,
    /// Length of its answer against its own.
    pub ratio: f64,
}

impl Fate {
    /// Fate of a phrase.
    pub fn of(chance: Chance, voice: &Voice, number: u16) -> Self {
        let number = u64::from(number);
        let jitter = voice.jitter.as_secs_f64() * chance.around("lag", number);
        let lag = (voice.lag.as_secs_f64() + jitter).max(0.0);
        Self {
            omitted: chance.even("omit", number) < voice.omit,
            merged: chance.even("merge", number) < voice.merge,
            split: (chance.even("split", number) < voice.split)
                .then(|| Duration::from_secs_f64(0.3 + 0.3 * chance.even("pause", number))),
            lag: Duration::from_secs_f64(lag),
            ratio: voice.length_ratio + voice.length_jitter * chance.around("length", number),
        }
    }
}

/// Shortest symbol of a piece, which may have been cut itself.
const SYMBOL_S_MIN: f64 = 0.05;

/// Samples of the answer to a piece of a cell.
pub fn piece_samples(heard: &HeardCell, ratio: f64) -> u64 {
    let symbols = heard.piece.map_or(0, |piece| piece.symbols().count());
    let length_s = (heard.end_s - heard.start_s) * ratio;
    (length_s.max(SYMBOL_S_MIN * symbols as f64) * f64::from(RATE)) as u64
}

const ENGLISH: &[&str] = &[
    "we", "will", "now", "speak", "about", "the", "long", "river", "and", "its", "old", "bridge",
];
const SPANISH: &[&str] = &[
    "ahora", "vamos", "a", "hablar", "sobre", "el", "largo", "río", "y", "su", "viejo", "puente",
];

/// A word of transcript for one part of a phrase, the space before it included.
pub fn word(cell: Cell, language: &str) -> String {
    let (first, words) = if language.starts_with("es") {
        ("Frase", SPANISH)
    } else {
        ("Phrase", ENGLISH)
    };
    let index = usize::from(cell.number) * 5 + usize::from(cell.part);
    let word = words.get(index % words.len()).copied().unwrap_or_default();
    let start = if cell.part == 0 {
        format!(" {first} {}", cell.number)
    } else {
        String::new()
    };
    let end = if cell.is_last() { "." } else { "" };
    format!("{start} {word}{end}")
}
