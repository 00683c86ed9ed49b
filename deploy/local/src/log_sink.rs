//! Where the output of the parts goes: one file per part, and prefixed on the terminal when that is wanted.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Takes the lines of one part.
#[derive(Debug)]
pub struct LogSink {
    part: &'static str,
    file: File,
    echo: bool,
}

impl LogSink {
    /// Opens the log of a part for appending.
    pub fn open(path: &Path, part: &'static str, echo: bool) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { part, file, echo })
    }

    /// Takes one line, which ends in a line feed.
    pub fn line(&mut self, line: &[u8]) {
        // A full disk must not stop the stream: the terminal still shows the line, and the next one is tried again.
        let _ = self.file.write_all(line);
        if self.echo {
            let mut out = io::stderr().lock();
            let _ = write!(out, "{:<12} | ", self.part);
            let _ = out.write_all(line);
        }
    }

    /// Takes everything that a part writes until it closes its end.
    pub async fn drain(mut self, from: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if !line.ends_with(b"\n") {
                        line.push(b'\n');
                    }
                    self.line(&line);
                }
            }
        }
    }
}

/// The last lines of a log, for a message that must say why a part does not start.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}
