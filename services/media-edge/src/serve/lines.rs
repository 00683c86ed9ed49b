//! Lines of a child, read so that neither a torn wait nor a child gone mad hurts the reader.

use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Longest line. A report is a few hundred bytes; what is longer is no report and is handed over in pieces.
const LINE_BYTES_MAX: usize = 256 << 10;

/// Reads lines. A `next` that was dropped half way loses nothing.
pub struct LineReader<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    is_open: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// From the start.
    pub fn new(reader: R) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            is_open: true,
        }
    }

    /// Whether more may come.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The next line without its end; nothing when there is no more. Bytes that are not UTF-8 are replaced.
    pub async fn next(&mut self) -> Option<String> {
        while self.is_open {
            let taken = match self.fill().await {
                Ok(Some(is_whole)) => is_whole,
                Ok(None) | Err(_) => {
                    self.is_open = false;
                    !self.line.is_empty()
                }
            };
            if taken {
                let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                self.line.clear();
                return Some(line);
            }
        }
        None
    }

    /// Takes what is there; true when a line is whole, nothing at the end.
    async fn fill(&mut self) -> io::Result<Option<bool>> {
        let bytes = self.reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        let (taken, is_whole) = match bytes.iter().take(room).position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (bytes.len().min(room), bytes.len() >= room),
        };
        self.line.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        self.reader.consume(taken);
        Ok(Some(is_whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8]) -> Vec<String> {
        let mut reader = LineReader::new(bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn the_last_line_needs_no_end() {
        assert_eq!(all(b"a\n\nb\r\nc").await, ["a", "", "b", "c"]);
        assert_eq!(all(b"").await, [""; 0]);
        assert_eq!(all(b"\xff\n").await, ["\u{fffd}"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_handed_over_in_pieces() {
        let lines = all(&vec![b'x'; LINE_BYTES_MAX * 2 + 5]).await;
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [LINE_BYTES_MAX, LINE_BYTES_MAX, 5]
        );
    }
}
