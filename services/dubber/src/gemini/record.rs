//! A record of what went over the wire, without what shows who called.
use super::dial::Target;
use gemini_live::{Ending, Frame};
use gemini_session::ConnectionId;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Longest text about an end that is kept.
const WORDS_CHARS_MAX: usize = 500;

/// Keeps frames in a file, if there is one, and how the last connection ended in words.
///
/// A line is a frame, as `gemini-twin --replay` plays it: `{"t_ms", "connection", "direction", "frame"}`. Sound and
/// words are in it.
#[derive(Debug)]
pub struct Record {
    target: Target,
    began: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    file: Option<File>,
    broken: Option<io::Error>,
    /// Connections that were closed from here: the answer to that is no act of the server.
    left: Vec<ConnectionId>,
    last_end: Option<String>,
}

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// This program.
    Client,
    /// The service.
    Server,
}

impl Record {
    /// A record of connections with this target; frames are kept where a file is named.
    pub fn new(target: Target, file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?;
        Ok(Self {
            target,
            began: Instant::now(),
            kept: Mutex::new(Kept {
                file,
                ..Kept::default()
            }),
        })
    }

    /// A frame went over the wire.
    pub fn frame(&self, connection: ConnectionId, sender: Sender, frame: &Frame) {
        let (kind, text) = match frame {
            Frame::Text(text) => ("text", Cow::Borrowed(text.as_str())),
            Frame::Binary(bytes) => ("binary", String::from_utf8_lossy(bytes)),
        };
        self.write(connection, sender, json!({kind: self.target.redact(&text)}));
    }

    /// This program closes a connection.
    pub fn leave(&self, connection: ConnectionId) {
        self.write(
            connection,
            Sender::Client,
            json!({"close": {"code": 1000, "reason": ""}}),
        );
        self.kept().left.push(connection);
    }

    /// A connection is gone, or never came to be; `cause` says more where the ending has no words.
    pub fn end(&self, connection: ConnectionId, ending: &Ending, cause: Option<&str>) {
        if self.kept().left.contains(&connection) {
            return;
        }
        if let Ending::Closed { code, reason } = ending {
            let reason = self.target.redact(reason);
            self.write(
                connection,
                Sender::Server,
                json!({"close": {"code": code, "reason": reason}}),
            );
        }
        let words = self.target.redact(&words(ending, cause));
        self.kept().last_end = Some(words.chars().take(WORDS_CHARS_MAX).collect());
    }

    /// How the last connection ended that this program did not close, in the words of whoever ended it.
    pub fn last_end(&self) -> Option<String> {
        self.kept().last_end.clone()
    }

    /// Whether every frame was kept. Nothing is recorded any more.
    pub fn finish(&self) -> io::Result<()> {
        let mut kept = self.kept();
        kept.file = None;
        kept.broken.take().map_or(Ok(()), Err)
    }

    fn write(&self, connection: ConnectionId, sender: Sender, frame: Value) {
        let mut kept = self.kept();
        let Some(file) = &mut kept.file else { return };
        let direction = match sender {
            Sender::Client => "client",
            Sender::Server => "server",
        };
        let t_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let line = json!({"t_ms": t_ms, "connection": connection.0, "direction": direction, "frame": frame});
        // Each line at once: what was recorded stays, however this process ends.
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            (kept.file, kept.broken) = (None, Some(error));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn words(ending: &Ending, cause: Option<&str>) -> String {
    let said = match ending {
        Ending::Closed { code, reason } => format!("closed with {code}: {reason}"),
        Ending::Dropped => "the connection broke".to_owned(),
        Ending::Unreachable => "nobody was reached".to_owned(),
        Ending::Refused { status, message, .. } => {
            format!("refused with status {status}: {}", one_line(message))
        }
        Ending::Errored(error) => format!("error {}: {}", error.status, one_line(&error.message)),
    };
    match (cause, ending) {
        (Some(cause), Ending::Dropped | Ending::Unreachable) => cause.to_owned(),
        // The cause of a refusal may know more than its status, such as whose token was refused.
        (Some(cause), Ending::Refused { message, .. }) => format!("{cause}: {}", one_line(message)),
        (Some(_) | None, _) => said,
    }
}

/// A text of several lines in one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::endpoint;
    use service_kit::{Env, Reader};

    fn target() -> Target {
        let env = Env::from_pairs([
            ("WORKER_GEMINI_API_KEY", "AIza-any-key"),
            ("WORKER_GEMINI_BASE_URL", "http://127.0.0.1:1"),
        ]);
        endpoint::read(&mut Reader::new(&env), &env, &mut Vec::new()).unwrap()
    }

    #[test]
    fn what_a_server_repeats_of_a_key_is_in_no_line_and_no_word() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let record = Record::new(target(), Some(file.path())).unwrap();
        let (first, second) = (ConnectionId(1), ConnectionId(2));
        record.frame(first, Sender::Client, &Frame::Text("{\"setup\":{}}".to_owned()));
        record.frame(first, Sender::Server, &Frame::Binary("AIza-any-key\n".into()));
        let reason = "API key AIza-any-key not valid".to_owned();
        record.end(first, &Ending::Closed { code: 1007, reason }, None);
        let told = "closed with 1007: API key [redacted] not valid";
        assert_eq!(record.last_end().unwrap(), told);
        record.leave(second);
        let answer = Ending::Closed {
            code: 1000,
            reason: String::new(),
        };
        record.end(second, &answer, None);
        assert_eq!(
            record.last_end().unwrap(),
            told,
            "the answer to our own close is nobody's act"
        );
        record.finish().unwrap();

        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kept: Vec<(&str, &Value)> = lines
            .iter()
            .map(|line| (line["direction"].as_str().unwrap(), &line["frame"]))
            .collect();
        let close = |code: u16, reason: &str| json!({"close": {"code": code, "reason": reason}});
        assert_eq!(
            kept,
            [
                ("client", &json!({"text": "{\"setup\":{}}"})),
                ("server", &json!({"binary": "[redacted]\n"})),
                ("server", &close(1007, "API key [redacted] not valid")),
                ("client", &close(1000, "")),
            ]
        );
    }

    #[test]
    fn an_end_without_words_of_the_server_has_those_of_its_cause() {
        let record = Record::new(target(), None).unwrap();
        let refused = Ending::Refused {
            status: 503,
            retry_after: None,
            message: "busy\n now".to_owned(),
        };
        for (ending, cause, words) in [
            (Ending::Unreachable, Some("no such name"), "no such name"),
            (Ending::Dropped, None, "the connection broke"),
            (
                refused,
                Some("refused with status 503"),
                "refused with status 503: busy now",
            ),
        ] {
            record.end(ConnectionId(1), &ending, cause);
            assert_eq!(record.last_end().unwrap(), words);
        }
    }
}
