//! What happened, for those who judge a client: a line for each event, no sound and no key in it.

use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where events are written, or nowhere.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<BufWriter<File>>,
}

impl Journal {
    /// A new file. Its first line says when its times begin, so that others can lay their clocks beside it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let mut journal = Self {
            file: Some(BufWriter::new(File::create(path)?)),
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        journal.write(
            Duration::ZERO,
            0,
            json!({"started_unix_ms": since.as_millis() as u64}),
        );
        Ok(journal)
    }

    /// Writes one event. A full disk ends the journal, not the service.
    pub fn write(&mut self, now: Duration, connection: u64, event: Value) {
        let Some(file) = &mut self.file else { return };
        let mut line = json!({"t_ms": now.as_millis() as u64, "connection": connection});
        if let (Value::Object(line), Value::Object(event)) = (&mut line, event) {
            line.extend(event);
        }
        if writeln!(file, "{line}").and_then(|()| file.flush()).is_err() {
            self.file = None;
        }
    }
}
