//! Where finished lines go: the stream, the file, or both. Runs on the log's own thread.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::Level;

use crate::log_file::{LogFile, Rotated};
use crate::log_line::LineFormat;
use crate::telemetry::LogStream;

/// How often a file that cannot be written is mentioned.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Takes one whole line a call.
pub(crate) struct LogSink {
    stream: Option<LogStream>,
    file: Option<LogFile>,
    format: LineFormat,
    complained: Option<Instant>,
}

impl LogSink {
    pub(crate) fn new(stream: Option<LogStream>, file: Option<LogFile>, format: LineFormat) -> Self {
        Self {
            stream,
            file,
            format,
            complained: None,
        }
    }

    fn write_stream(&self, line: &[u8]) -> io::Result<()> {
        match self.stream {
            Some(LogStream::Stdout) => io::stdout().lock().write_all(line),
            Some(LogStream::Stderr) => io::stderr().lock().write_all(line),
            None => Ok(()),
        }
    }

    /// Appends to the file; a rotation becomes a line of its own at the top of the new file.
    fn append_to_file(&mut self, line: &[u8]) -> io::Result<Option<String>> {
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        let rotated = file
            .make_room(line.len())?
            .map(|rotated| rotation_line(&self.format, &rotated));
        if let Some(own) = &rotated {
            file.append(own.as_bytes())?;
        }
        file.append(line)?;
        Ok(rotated)
    }
}

fn rotation_line(format: &LineFormat, rotated: &Rotated) -> String {
    let removed = rotated
        .removed
        .iter()
        .map(|path| Value::from(path.display().to_string()))
        .collect::<Vec<_>>();
    let mut fields = Vec::new();
    if let Some(kept_as) = &rotated.kept_as {
        fields.push(("kept_as", Value::from(kept_as.display().to_string())));
        fields.push(("bytes", Value::from(rotated.bytes)));
    }
    fields.push(("removed", Value::from(removed)));
    format.own_line(Level::INFO, "log file rotated", fields)
}

impl Write for LogSink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let own = match self.append_to_file(line) {
            Ok(rotation) => rotation,
            Err(error) if self.complained.is_none_or(|at| at.elapsed() > COMPLAINT_PERIOD) => {
                self.complained = Some(Instant::now());
                let fields = vec![("error", Value::from(error.to_string()))];
                Some(
                    self.format
                        .own_line(Level::ERROR, "log file cannot be written", fields),
                )
            }
            Err(_) => None,
        };
        if let Some(own) = own {
            self.write_stream(own.as_bytes())?;
        }
        self.write_stream(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.stream {
            Some(LogStream::Stdout) => io::stdout().flush(),
            Some(LogStream::Stderr) | None => Ok(()),
        }
    }
}
