//! What happened, for those who judge a client: a line for each event, no sound and no key in it.

use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

/// Where events are written, or nowhere.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<BufWriter<File>>,
}

impl Journal {
    /// A new file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: Some(BufWriter::new(File::create(path)?)),
        })
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
