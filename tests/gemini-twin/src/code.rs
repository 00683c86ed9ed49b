//! The code that a phrase carries: which phrase, which part of it, of how many.
//!
//! A phrase is cut into 1 to 16 parts; each part is one *cell* of 24 bits, sent as four *symbols* of two simultaneous
//! tones. The low tone says the symbol's position in its cell and two bits, the high tone four bits, so a symbol is
//! never followed by itself and no clock is needed to read it: stretched, cut and resampled sound stays readable.
//! Whoever has heard every cell of a phrase has heard the phrase.

/// Tones of one group, low or high.
pub const TONES: u8 = 16;
/// Symbols of a cell.
pub const SYMBOLS: usize = 4;
/// The most parts that a phrase has.
pub const PARTS_MAX: u8 = 16;
/// The highest number; 0 stands for speech without a code.
pub const NUMBER_MAX: u16 = 1023;

/// Two tones that sound together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol {
    /// Index of the low tone: four times the position, and two bits.
    pub low: u8,
    /// Index of the high tone: four bits.
    pub high: u8,
}

impl Symbol {
    /// Which symbol of its cell this is.
    pub fn position(self) -> usize {
        usize::from(self.low / 4)
    }
}

/// What is left of a cell that was cut: some of its symbols, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    symbols: [Option<Symbol>; SYMBOLS],
}

impl Piece {
    /// A piece of these symbols; nothing if they are not of one cell, or all of it.
    pub fn of(symbols: &[Symbol]) -> Option<Self> {
        let mut piece = Self {
            symbols: [None; SYMBOLS],
        };
        for symbol in symbols {
            piece.symbols[symbol.position()] = Some(*symbol);
        }
        let count = piece.symbols().count();
        (count == symbols.len() && 0 < count && count < SYMBOLS).then_some(piece)
    }

    /// Its symbols in their order.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.symbols.into_iter().flatten()
    }

    /// The cell that was cut into this piece and a later one, if the two fit. A symbol that was cut itself is in both.
    pub fn join(&self, later: &Self) -> Option<Cell> {
        let mut whole = [None; SYMBOLS];
        for (joined, (one, two)) in whole.iter_mut().zip(self.symbols.into_iter().zip(later.symbols)) {
            if one.is_some() && two.is_some() && one != two {
                return None;
            }
            *joined = one.or(two);
        }
        let begins = self.symbols[0].is_some() && later.symbols[SYMBOLS - 1].is_some();
        let symbols: Vec<Symbol> = whole.into_iter().flatten().collect();
        Cell::from_symbols(symbols.try_into().ok()?).filter(|_| begins)
    }
}

/// One part of a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Number of the phrase; 0 for speech that carries none.
    pub number: u16,
    /// Index of the part, from 0.
    pub part: u8,
    /// Parts of the phrase, 1 to 16.
    pub parts: u8,
}

impl Cell {
    /// Whether it is the last of its phrase.
    pub fn is_last(self) -> bool {
        self.part + 1 == self.parts
    }

    /// What is sounded.
    pub fn symbols(self) -> [Symbol; SYMBOLS] {
        let payload = (u32::from(self.number & NUMBER_MAX) << 8)
            | (u32::from(self.part & 15) << 4)
            | u32::from(self.parts.saturating_sub(1) & 15);
        let bits = (payload << 6) | u32::from(check(payload));
        std::array::from_fn(|position| {
            let six = (bits >> (18 - 6 * position)) & 63;
            Symbol {
                low: (position as u8) * 4 + (six >> 4) as u8,
                high: (six & 15) as u8,
            }
        })
    }

    /// What was heard; nothing if the check does not hold.
    pub fn from_symbols(symbols: [Symbol; SYMBOLS]) -> Option<Self> {
        let mut bits = 0;
        for (position, symbol) in symbols.into_iter().enumerate() {
            if symbol.position() != position {
                return None;
            }
            bits = (bits << 6) | (u32::from(symbol.low % 4) << 4) | u32::from(symbol.high);
        }
        let payload = bits >> 6;
        let cell = Self {
            number: (payload >> 8) as u16,
            part: ((payload >> 4) & 15) as u8,
            parts: (payload & 15) as u8 + 1,
        };
        (u32::from(check(payload)) == bits & 63 && cell.part < cell.parts).then_some(cell)
    }
}

/// Six check bits of 18 bits: x^6 + x + 1, so that one wrong tone is always told.
fn check(payload: u32) -> u8 {
    let mut register: u32 = 0x2a;
    for bit in (0..18).rev() {
        let top = ((register >> 5) ^ (payload >> bit)) & 1;
        register = (register << 1) & 63;
        if top == 1 {
            register ^= 0x03;
        }
    }
    register as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_cell_reads_back_as_itself() {
        for number in [0, 1, 17, 511, 512, NUMBER_MAX] {
            for parts in 1..=PARTS_MAX {
                for part in 0..parts {
                    let cell = Cell { number, part, parts };
                    assert_eq!(Cell::from_symbols(cell.symbols()), Some(cell));
                }
            }
        }
    }

    #[test]
    fn two_pieces_of_a_cell_are_the_cell_and_pieces_of_two_cells_are_none() {
        let cell = Cell {
            number: 700,
            part: 2,
            parts: 5,
        };
        let other = Cell {
            number: 100,
            part: 2,
            parts: 5,
        };
        let piece = |cell: Cell, from: usize, to: usize| Piece::of(&cell.symbols()[from..to]).unwrap();
        for cut in 1..SYMBOLS {
            assert_eq!(piece(cell, 0, cut).join(&piece(cell, cut, SYMBOLS)), Some(cell));
            assert_eq!(
                piece(cell, 0, cut).join(&piece(cell, cut.max(2) - 1, SYMBOLS)),
                Some(cell)
            );
            assert_eq!(piece(cell, 0, cut).join(&piece(other, cut, SYMBOLS)), None);
            assert_eq!(
                piece(cell, cut, SYMBOLS).join(&piece(cell, 0, cut)),
                None,
                "in this order only"
            );
        }
        assert_eq!(Piece::of(&cell.symbols()), None);
        assert_eq!(Piece::of(&[]), None);
    }

    #[test]
    fn one_wrong_tone_is_never_read_as_another_cell() {
        let cell = Cell {
            number: 345,
            part: 3,
            parts: 9,
        };
        for position in 0..SYMBOLS {
            for tone in 0..TONES {
                let mut symbols = cell.symbols();
                if symbols[position].high != tone {
                    symbols[position].high = tone;
                    assert_eq!(Cell::from_symbols(symbols), None);
                }
                let mut symbols = cell.symbols();
                if symbols[position].low != tone {
                    symbols[position].low = tone;
                    assert_eq!(Cell::from_symbols(symbols), None);
                }
            }
        }
    }
}
