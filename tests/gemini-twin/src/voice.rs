//! The twin's voice: cells at their places on an endless line of 24 kHz samples.

use crate::code::{Cell, Piece, Symbol};
use crate::tones::ANSWER;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// Sample rate of everything that Gemini Live says.
pub const RATE: u32 = 24_000;
/// Amplitude of each of the two tones.
const GAIN: f64 = 0.2;
/// A hum below the code: what a listener takes for the speaker's timbre.
const HUM_GAIN: f64 = 0.06;

/// Pitch of the hum, so that a change of voice can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timbre {
    /// 140 Hz.
    Low,
    /// 220 Hz.
    High,
}

impl Timbre {
    fn hz(self) -> f64 {
        match self {
            Self::Low => 140.0,
            Self::High => 220.0,
        }
    }
}

/// One cell on the line, or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spoken {
    /// What it says.
    pub cell: Cell,
    /// What is said, if that is not all of a cell.
    pub piece: Option<Piece>,
    /// First sample.
    pub start: u64,
    /// Samples of all of it.
    pub samples: u64,
    /// Whose voice.
    pub timbre: Timbre,
}

impl Spoken {
    /// The sample after the last.
    pub fn end(&self) -> u64 {
        self.start + self.samples
    }

    fn symbols(&self) -> Vec<Symbol> {
        self.piece
            .map_or_else(|| self.cell.symbols().to_vec(), |piece| piece.symbols().collect())
    }

    fn sample(&self, symbols: &[Symbol], index: u64) -> f64 {
        let rate = f64::from(RATE);
        let at = (index - self.start) as f64;
        let length = self.samples as f64 / symbols.len() as f64;
        let position = ((at / length) as usize).min(symbols.len() - 1);
        let within_s = (at - position as f64 * length) / rate;
        let symbol = symbols[position];
        let hum = HUM_GAIN * (TAU * self.timbre.hz() * index as f64 / rate).sin();
        ANSWER.sample(symbol, within_s, length / rate, GAIN) + hum
    }
}

/// Cells in their order, none over another.
#[derive(Debug, Default)]
pub struct Line {
    spoken: VecDeque<Spoken>,
}

impl Line {
    /// Puts a cell at the end; it must not begin before the last one ends.
    pub fn put(&mut self, spoken: Spoken) {
        self.spoken.push_back(spoken);
    }

    /// Takes back what begins at `from` or later, and says what that was.
    pub fn cut(&mut self, from: u64) -> Vec<Cell> {
        let kept = self.spoken.iter().take_while(|cell| cell.start < from).count();
        self.spoken
            .split_off(kept)
            .into_iter()
            .map(|cell| cell.cell)
            .collect()
    }

    /// Cells that begin within `[from, to)`.
    pub fn beginning(&self, from: u64, to: u64) -> impl Iterator<Item = &Spoken> {
        self.spoken
            .iter()
            .filter(move |cell| from <= cell.start && cell.start < to)
    }

    /// Whether anything sounds within `[from, to)`.
    pub fn sounds(&self, from: u64, to: u64) -> bool {
        self.spoken
            .iter()
            .any(|cell| cell.start < to && from < cell.end())
    }

    /// Samples `[from, from + count)`; what lies before is forgotten.
    pub fn render(&mut self, from: u64, count: u64) -> Vec<i16> {
        while self.spoken.front().is_some_and(|cell| cell.end() <= from) {
            self.spoken.pop_front();
        }
        let mut samples = vec![0; count as usize];
        for cell in &self.spoken {
            let (start, end) = (cell.start.max(from), cell.end().min(from + count));
            let symbols = cell.symbols();
            for index in start..end.max(start) {
                samples[(index - from) as usize] =
                    (cell.sample(&symbols, index) * f64::from(i16::MAX)) as i16;
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ear::Ear;

    #[test]
    fn what_the_voice_says_is_heard_at_its_place_whatever_the_pieces_it_is_sent_in() {
        let cells = (0..8).map(|part| Cell {
            number: 77,
            part,
            parts: 8,
        });
        let mut line = Line::default();
        let mut start = 12_000;
        for cell in cells.clone() {
            line.put(Spoken {
                cell,
                piece: None,
                start,
                samples: 4_800,
                timbre: Timbre::High,
            });
            start += 4_800;
        }
        let mut ear = Ear::new(ANSWER, RATE);
        let mut heard = Vec::new();
        for piece in 0..12 {
            let samples: Vec<f32> = line
                .render(piece * 6_000, 6_000)
                .into_iter()
                .map(|s| f32::from(s) / 32_768.0)
                .collect();
            heard.extend(ear.hear(&samples));
        }
        assert_eq!(
            heard.iter().map(|it| it.cell).collect::<Vec<_>>(),
            cells.collect::<Vec<_>>()
        );
        for (index, cell) in heard.iter().enumerate() {
            let start_s = 0.5 + 0.2 * index as f64;
            assert!((cell.start_s - start_s).abs() < 0.02, "{index}: {}", cell.start_s);
            assert!(
                (cell.end_s - start_s - 0.2).abs() < 0.02,
                "{index}: {}",
                cell.end_s
            );
        }
    }
}
