//! Reads the code from sound as it comes, without a clock: by which tones stand out, and when they change.

use crate::code::{Cell, Piece, SYMBOLS, Symbol, TONES};
use crate::tones::Band;
use std::f64::consts::TAU;

/// Length of the sound that is looked at at once, and of the step to the next look.
const WINDOW_S: f64 = 0.032;
const HOP_S: f64 = 0.008;
/// Quieter than this is silence: each tone of a symbol against full scale.
const FLOOR: f64 = 1e-4;
/// A tone that is this much weaker than its partner is not its partner.
const IMBALANCE: f64 = 0.03;
/// Looks that a change of position has to last.
const STEADY: u32 = 2;
/// Without a symbol for so long, a cell is over.
const GAP_S: f64 = 0.16;
/// A piece of a cell has no check bits, so each of its symbols has to last for so many looks with so much of the power.
const PIECE_LOOKS: u32 = 3;
const PIECE_CLARITY: f64 = 0.8;

/// A cell, or a piece of one, and where it was in the sound, in seconds from its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeardCell {
    /// What it says.
    pub cell: Cell,
    /// What was heard, if that is not all of a cell; `cell` says nothing then.
    pub piece: Option<Piece>,
    /// Where it begins.
    pub start_s: f64,
    /// Where it ends.
    pub end_s: f64,
}

/// One position while it sounds: which tones had how much power in sum.
#[derive(Debug, Clone)]
struct Run {
    position: usize,
    low: [f64; TONES as usize],
    high: [f64; TONES as usize],
    looks: u32,
    clarity: f64,
    first_s: f64,
    last_s: f64,
}

/// A symbol that is over.
#[derive(Debug, Clone, Copy)]
struct Heard {
    symbol: Symbol,
    is_clear: bool,
}

impl Run {
    fn is_clear(&self) -> bool {
        self.looks >= PIECE_LOOKS && self.clarity >= PIECE_CLARITY * f64::from(self.looks)
    }

    fn symbol(&self) -> Symbol {
        Symbol {
            low: loudest(&self.low).0,
            high: loudest(&self.high).0,
        }
    }
}

/// Reads one band at one sample rate.
#[derive(Debug)]
pub struct Ear {
    rate: f64,
    band: Band,
    window: Vec<f32>,
    turns: Vec<f32>,
    kept: Vec<f32>,
    /// Samples that were before `kept`.
    passed: u64,
    hop: usize,
    run: Option<Run>,
    next: Option<Run>,
    symbols: Vec<Heard>,
    began_s: f64,
    ended_s: f64,
    last_s: Option<f64>,
}

fn loudest(powers: &[f64]) -> (u8, f64) {
    let mut best = (0, 0.0);
    for (tone, power) in powers.iter().enumerate() {
        if *power > best.1 {
            best = (tone as u8, *power);
        }
    }
    best
}

impl Ear {
    /// An ear that has heard nothing.
    pub fn new(band: Band, rate: u32) -> Self {
        let rate = f64::from(rate);
        let length = (rate * WINDOW_S).round() as usize;
        let window = (0..length)
            .map(|index| (0.5 - 0.5 * (TAU * (index as f64 + 0.5) / length as f64).cos()) as f32)
            .collect();
        let frequencies = (0..TONES)
            .map(|tone| band.low_hz(tone))
            .chain((0..TONES).map(|tone| band.high_hz(tone)));
        Self {
            turns: frequencies
                .map(|hz| (2.0 * (TAU * hz / rate).cos()) as f32)
                .collect(),
            rate,
            band,
            window,
            kept: Vec::new(),
            passed: 0,
            hop: (rate * HOP_S).round() as usize,
            run: None,
            next: None,
            symbols: Vec::new(),
            began_s: 0.0,
            ended_s: 0.0,
            last_s: None,
        }
    }

    /// Where a code was last heard, in seconds from the start of the sound.
    pub fn last_code_s(&self) -> Option<f64> {
        self.last_s
    }

    /// The sound is cut here: says what is complete if what sounded last was its end, or what piece of a cell there is.
    /// If the sound goes on nevertheless, the cell is heard as if it had not been cut.
    pub fn cut(&mut self) -> Vec<HeardCell> {
        let mut cells = Vec::new();
        let Some(run) = &self.run else { return cells };
        if self.symbols.len() == SYMBOLS - 1 && run.position == SYMBOLS - 1 && run.is_clear() {
            self.turn_to(None, &mut cells);
            return cells;
        }
        let mut symbols = self.symbols.clone();
        let goes_on = symbols
            .last()
            .is_none_or(|last| last.symbol.position() + 1 == run.position);
        if goes_on && run.is_clear() {
            symbols.push(Heard {
                symbol: run.symbol(),
                is_clear: true,
            });
        }
        let began_s = if self.symbols.is_empty() {
            run.first_s
        } else {
            self.began_s
        };
        cells.extend(piece(&symbols, began_s, run.last_s));
        cells
    }

    /// What comes now has nothing to do with what came before.
    pub fn forget(&mut self) {
        self.passed += self.kept.len() as u64;
        self.kept.clear();
        self.run = None;
        self.next = None;
        self.symbols.clear();
    }

    /// Hears more sound, full scale being 1, and says what it has understood by now.
    pub fn hear(&mut self, samples: &[f32]) -> Vec<HeardCell> {
        self.kept.extend_from_slice(samples);
        let mut cells = Vec::new();
        let mut from = 0;
        while from + self.window.len() <= self.kept.len() {
            let middle_s = (self.passed as f64 + from as f64 + self.window.len() as f64 / 2.0) / self.rate;
            let powers = self.powers(from);
            self.look(middle_s, &powers, &mut cells);
            from += self.hop;
        }
        self.kept.drain(..from);
        self.passed += from as u64;
        cells
    }

    /// Power of each tone, as the square of its amplitude.
    fn powers(&self, from: usize) -> [f64; 2 * TONES as usize] {
        let windowed: Vec<f32> = self.kept[from..]
            .iter()
            .zip(&self.window)
            .map(|(sample, weight)| sample * weight)
            .collect();
        // A Hann window halves the sum; a tone of amplitude A then has the magnitude A * length / 4.
        let scale = 4.0 / windowed.len() as f64;
        std::array::from_fn(|tone| {
            let turn = self.turns[tone];
            let (mut one, mut two) = (0.0_f32, 0.0_f32);
            for sample in &windowed {
                let now = sample + turn * one - two;
                two = one;
                one = now;
            }
            f64::from(one * one + two * two - turn * one * two) * scale * scale
        })
    }

    /// One look: does a symbol stand out, and is it another than before?
    fn look(&mut self, at_s: f64, powers: &[f64], cells: &mut Vec<HeardCell>) {
        let (low, high) = powers.split_at(usize::from(TONES));
        let (low_tone, low_power) = loudest(low);
        let (_, high_power) = loudest(high);
        let whole: f64 = powers.iter().sum();
        let (weaker, stronger) = (low_power.min(high_power), low_power.max(high_power));
        let clarity = (low_power + high_power) / whole.max(f64::MIN_POSITIVE);
        let stands_out =
            weaker > FLOOR * FLOOR && weaker > IMBALANCE * stronger && clarity > self.band.clarity;
        if !stands_out {
            if self.run.as_ref().is_some_and(|run| at_s - run.last_s > GAP_S) {
                self.turn_to(None, cells);
                self.break_off(cells);
            }
            return;
        }
        let position = usize::from(low_tone / 4);
        if self.run.as_ref().is_some_and(|run| run.looks >= STEADY) {
            self.last_s = Some(at_s);
        }
        if let Some(run) = self.run.as_mut().filter(|run| run.position == position) {
            run.add(at_s, low, high, clarity);
            self.next = None;
            return;
        }
        match self.next.as_mut().filter(|next| next.position == position) {
            Some(next) => next.add(at_s, low, high, clarity),
            None => self.next = Some(Run::new(position, at_s, low, high, clarity)),
        }
        if self.next.as_ref().is_some_and(|next| next.looks >= STEADY) {
            let next = self.next.take();
            self.turn_to(next, cells);
        }
    }

    /// The position that sounded is over; its symbol may complete a cell.
    fn turn_to(&mut self, next: Option<Run>, cells: &mut Vec<HeardCell>) {
        let done = std::mem::replace(&mut self.run, next);
        self.next = None;
        let Some(done) = done.filter(|run| run.looks >= STEADY) else {
            return;
        };
        let symbol = done.symbol();
        let goes_on = self
            .symbols
            .last()
            .is_none_or(|last| last.symbol.position() + 1 == symbol.position());
        if !goes_on || done.first_s - self.ended_s > GAP_S {
            self.break_off(cells);
        }
        if self.symbols.is_empty() {
            self.began_s = done.first_s - HOP_S / 2.0;
        }
        self.symbols.push(Heard {
            symbol,
            is_clear: done.is_clear(),
        });
        self.ended_s = done.last_s + HOP_S / 2.0;
        if symbol.position() == SYMBOLS - 1 {
            self.break_off(cells);
        }
    }

    /// What was heard of a cell is all that comes.
    fn break_off(&mut self, cells: &mut Vec<HeardCell>) {
        let heard = std::mem::take(&mut self.symbols);
        let symbols: Vec<Symbol> = heard.iter().map(|heard| heard.symbol).collect();
        let (start_s, end_s) = (self.began_s, self.ended_s);
        let whole = <[Symbol; SYMBOLS]>::try_from(symbols).ok();
        match whole.and_then(Cell::from_symbols) {
            Some(cell) => cells.push(HeardCell {
                cell,
                piece: None,
                start_s,
                end_s,
            }),
            // What sounds before a piece may be taken for the beginning that it lacks.
            None => cells.extend(piece(&heard, start_s, end_s)),
        }
    }
}

/// A piece of a cell, if what was heard of it is beyond doubt. Its first and its last symbol may have been cut too short
/// to be told; they are left to the other piece.
fn piece(heard: &[Heard], start_s: f64, end_s: f64) -> Option<HeardCell> {
    let first = heard.iter().position(|heard| heard.is_clear)?;
    let last = heard.iter().rposition(|heard| heard.is_clear)?;
    let heard = &heard[first..=last];
    let symbols: Vec<Symbol> = heard.iter().map(|heard| heard.symbol).collect();
    let piece = Piece::of(&symbols).filter(|_| heard.iter().all(|heard| heard.is_clear));
    let nothing = Cell {
        number: 0,
        part: 0,
        parts: 1,
    };
    piece.map(|piece| HeardCell {
        cell: nothing,
        piece: Some(piece),
        start_s,
        end_s,
    })
}

impl Run {
    fn new(position: usize, at_s: f64, low: &[f64], high: &[f64], clarity: f64) -> Self {
        let mut run = Self {
            position,
            low: [0.0; TONES as usize],
            high: [0.0; TONES as usize],
            looks: 0,
            clarity: 0.0,
            first_s: at_s,
            last_s: at_s,
        };
        run.add(at_s, low, high, clarity);
        run
    }

    fn add(&mut self, at_s: f64, low: &[f64], high: &[f64], clarity: f64) {
        for (sum, power) in self.low.iter_mut().zip(low) {
            *sum += power;
        }
        for (sum, power) in self.high.iter_mut().zip(high) {
            *sum += power;
        }
        // Only tones of this position count among the low ones.
        for (tone, sum) in self.low.iter_mut().enumerate() {
            if tone / 4 != self.position {
                *sum = 0.0;
            }
        }
        self.looks += 1;
        self.clarity += clarity;
        self.last_s = at_s;
    }
}
