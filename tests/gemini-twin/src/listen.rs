//! An independent listener: which phrases are heard in a recording of dubbed sound, when, and whether all of them.

use crate::ear::{Ear, HeardCell};
use crate::tones::Band;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Parts of one phrase farther apart than this are two hearings of it.
const APART_S: f64 = 20.0;

/// What could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct Error {
    path: String,
    source: hound::Error,
}

/// One phrase that was heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phrase {
    /// Its number; 0 for an answer to speech without a code.
    pub number: u16,
    /// Where its first part begins.
    pub start_s: f64,
    /// Where its last part ends.
    pub end_s: f64,
    /// Parts heard, in the order in which they were heard.
    pub heard: Vec<u8>,
    /// Parts that it has.
    pub parts: u8,
}

impl Phrase {
    /// Whether every part was heard.
    pub fn is_whole(&self) -> bool {
        self.heard.iter().collect::<BTreeSet<_>>().len() == usize::from(self.parts)
    }

    /// Parts that were heard more than once.
    pub fn doubled(&self) -> usize {
        self.heard.len() - self.heard.iter().collect::<BTreeSet<_>>().len()
    }
}

/// What a recording holds, compared with what was spoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Phrases of which every part was heard.
    pub whole: Vec<u16>,
    /// Phrases of which parts are missing.
    pub partial: Vec<u16>,
    /// Phrases of which a part was heard twice.
    pub doubled: Vec<u16>,
    /// Phrases that begin after one with a higher number.
    pub out_of_order: Vec<u16>,
}

/// Parts in the order in which they are heard. A part that was cut in two, by a change of sessions in its middle, is
/// heard where its second piece is.
pub fn cells(sound: &[f32], rate: u32, band: Band) -> Vec<HeardCell> {
    let mut listener = Listener::new(rate, band);
    let mut cells = listener.hear(sound);
    cells.extend(listener.end());
    cells
}

/// The same for sound that comes piece by piece, however long it lasts.
#[derive(Debug)]
pub struct Listener {
    ear: Ear,
    rate: u32,
    pieces: Vec<HeardCell>,
}

impl Listener {
    /// One that has heard nothing.
    pub fn new(rate: u32, band: Band) -> Self {
        Self {
            ear: Ear::new(band, rate),
            rate,
            pieces: Vec::new(),
        }
    }

    /// Hears more, full scale being 1: the parts that are complete now.
    pub fn hear(&mut self, sound: &[f32]) -> Vec<HeardCell> {
        let heard = self.ear.hear(sound);
        heard.into_iter().filter_map(|cell| self.joined(cell)).collect()
    }

    /// Nothing more comes: the last parts.
    pub fn end(mut self) -> Vec<HeardCell> {
        // The last symbol ends when another begins or when it is quiet.
        self.hear(&vec![0.0; self.rate as usize / 4])
    }

    fn joined(&mut self, mut later: HeardCell) -> Option<HeardCell> {
        let Some(end) = later.piece else {
            return Some(later);
        };
        self.pieces
            .retain(|earlier| later.start_s - earlier.end_s < APART_S);
        let fits = |earlier: &HeardCell| earlier.piece.and_then(|begin| begin.join(&end));
        let Some(index) = self.pieces.iter().rposition(|earlier| fits(earlier).is_some()) else {
            self.pieces.push(later);
            return None;
        };
        later.cell = fits(&self.pieces.remove(index))?;
        later.piece = None;
        Some(later)
    }
}

/// Phrases in the order in which they begin. A phrase whose parts are heard again, or far from each other, stands once
/// with all that was heard of it within twenty seconds.
pub fn phrases(cells: &[HeardCell]) -> Vec<Phrase> {
    let mut phrases: Vec<Phrase> = Vec::new();
    for heard in cells {
        let cell = heard.cell;
        let known = phrases.iter_mut().rev().find(|phrase| {
            phrase.number == cell.number
                && phrase.parts == cell.parts
                && heard.start_s - phrase.end_s < APART_S
        });
        match known.filter(|_| cell.number != 0 || cell.part != 0) {
            Some(phrase) => {
                phrase.heard.push(cell.part);
                phrase.end_s = heard.end_s;
            }
            None => phrases.push(Phrase {
                number: cell.number,
                start_s: heard.start_s,
                end_s: heard.end_s,
                heard: vec![cell.part],
                parts: cell.parts,
            }),
        }
    }
    phrases
}

/// Counts. Numbers run round after 1023, so order is judged by the shorter way.
pub fn summary(phrases: &[Phrase]) -> Summary {
    let numbered: Vec<&Phrase> = phrases.iter().filter(|phrase| phrase.number != 0).collect();
    let numbers = |wanted: &dyn Fn(&Phrase) -> bool| {
        numbered
            .iter()
            .filter(|phrase| wanted(phrase))
            .map(|phrase| phrase.number)
            .collect()
    };
    let mut out_of_order = Vec::new();
    let mut latest: Option<u16> = None;
    for phrase in &numbered {
        let is_behind = latest.is_some_and(|latest| {
            let ahead = (i32::from(phrase.number) - i32::from(latest)).rem_euclid(1023);
            ahead == 0 || ahead > 511
        });
        if is_behind {
            out_of_order.push(phrase.number);
        } else {
            latest = Some(phrase.number);
        }
    }
    Summary {
        whole: numbers(&Phrase::is_whole),
        partial: numbers(&|phrase| !phrase.is_whole()),
        doubled: numbers(&|phrase| phrase.doubled() > 0),
        out_of_order,
    }
}

/// Sound of a WAV file, mixed to one channel, and its rate.
///
/// # Errors
/// The file cannot be read, or is no WAV.
pub fn read(path: &Path) -> Result<(Vec<f32>, u32), Error> {
    let broken = |source| Error {
        path: path.display().to_string(),
        source,
    };
    let mut reader = hound::WavReader::open(path).map_err(broken)?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader
            .samples::<f32>()
            .collect::<Result<_, _>>()
            .map_err(broken)?,
        hound::SampleFormat::Int => {
            let full = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
            let whole: Vec<i32> = reader
                .samples::<i32>()
                .collect::<Result<_, _>>()
                .map_err(broken)?;
            whole.into_iter().map(|sample| sample as f32 / full).collect()
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono = samples
        .chunks(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect();
    Ok((mono, spec.sample_rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Cell;

    fn heard(number: u16, part: u8, start_s: f64) -> HeardCell {
        HeardCell {
            cell: Cell {
                number,
                part,
                parts: 2,
            },
            piece: None,
            start_s,
            end_s: start_s + 0.3,
        }
    }

    #[test]
    fn a_phrase_in_two_pieces_counts_once_if_all_of_it_is_heard() {
        let found = phrases(&[
            heard(5, 0, 1.0),
            heard(6, 0, 2.0),
            heard(5, 1, 3.0),
            heard(6, 1, 3.4),
        ]);
        assert_eq!(summary(&found).whole, [5, 6]);
        assert_eq!(summary(&found).doubled, [0_u16; 0]);
    }

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_told() {
        let found = phrases(&[
            heard(7, 0, 1.0),
            heard(9, 0, 2.0),
            heard(9, 1, 2.4),
            heard(9, 0, 2.8),
            heard(8, 0, 4.0),
        ]);
        let told = summary(&found);
        assert_eq!(told.partial, [7, 8]);
        assert_eq!(told.doubled, [9]);
        assert_eq!(told.out_of_order, [8]);
    }
}
