//! Looking for some bytes in a stream that is larger than memory.

/// Looks for bytes piece by piece.
#[derive(Clone, Debug)]
pub struct Needle {
    bytes: Vec<u8>,
    tail: Vec<u8>,
    seen: u64,
    found: u64,
}

impl Needle {
    /// Looks for `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            tail: Vec::new(),
            seen: 0,
            found: 0,
        }
    }

    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.seen += piece.len() as u64;
        // The end of what came before is too short to hold it alone, so nothing is counted twice.
        self.tail.extend_from_slice(piece);
        self.found += count(&self.tail, &self.bytes);
        let keep = self.bytes.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
    }

    /// How often it was there.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// How many bytes were looked at.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether it is in some bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        count(bytes, &self.bytes) > 0
    }
}

/// Skips to the first byte before it compares the rest: a window at a time is too slow for images.
fn count(hay: &[u8], needle: &[u8]) -> u64 {
    let Some((first, rest)) = needle.split_first() else {
        return 0;
    };
    let mut at = 0;
    let mut found = 0;
    while let Some(step) = hay[at..].iter().position(|byte| byte == first) {
        at += step + 1;
        if hay[at..].starts_with(rest) {
            found += 1;
            at += rest.len();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_wherever_the_pieces_are_cut() {
        let hay = b"xx-canary-1-yy-canary-1-canary-";
        for size in 1..hay.len() {
            let mut needle = Needle::new(b"canary-1");
            for piece in hay.chunks(size) {
                needle.take(piece);
            }
            assert_eq!(
                (needle.found(), needle.seen()),
                (2, hay.len() as u64),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn what_only_begins_like_it_is_not_it() {
        let needle = Needle::new(b"aab");
        assert!(needle.is_in(b"aaab") && !needle.is_in(b"aaxab") && !needle.is_in(b""));
    }
}
