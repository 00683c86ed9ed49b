//! What the twin says that it heard and did, on the wall clock.

use super::programme::Programme;
use anyhow::{Context, Result};
use media_judge::dsp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// A phrase is left out so long after it came, at most: it may have been sent again.
const OMITTED_MS: f64 = 120_000.0;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Wall clock in milliseconds.
    pub at_ms: f64,
    /// Number of the connection; 0 for none.
    pub connection: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A connection was upgraded.
    Opened,
    /// An attempt got this status instead.
    Refused(u64),
    /// A fault began.
    Fault(String),
    /// A part of a phrase was heard: number, part, parts.
    Heard(u16, u8, u8),
    /// A phrase is not answered, on purpose.
    Omitted(u16),
    /// The twin closed: code and reason.
    Closed(u64, String),
    /// The twin reset the connection.
    Reset,
    /// The client closed.
    ClientClosed,
    /// Anything else.
    Else,
}

/// How the twin answers the close of a client, without a reason.
const NORMAL_CLOSURE: u64 = 1000;

impl What {
    /// The twin refused, closed or reset something, and the client did not ask for it.
    fn is_harm(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Reset => true,
            Self::Closed(code, reason) => *code != NORMAL_CLOSURE || !reason.is_empty(),
            Self::Opened
            | Self::Fault(_)
            | Self::Heard(..)
            | Self::Omitted(_)
            | Self::ClientClosed
            | Self::Else => false,
        }
    }

    fn of(line: &Value) -> Self {
        let number = |key: &str| line[key].as_u64();
        let small = |key: &str| number(key).unwrap_or_default() as u8;
        if line.get("opened").is_some() {
            Self::Opened
        } else if let Some(status) = number("answered") {
            // Whoever asks whether the twin is there is no client.
            let is_session = line["path"].as_str().is_some_and(|path| path.contains("Bidi"));
            if is_session {
                Self::Refused(status)
            } else {
                Self::Else
            }
        } else if let Some(name) = line["fault"].as_str() {
            Self::Fault(name.to_owned())
        } else if let Some(heard) = number("heard") {
            Self::Heard(heard as u16, small("part"), small("parts"))
        } else if let Some(omitted) = number("omitted") {
            Self::Omitted(omitted as u16)
        } else if let Some(code) = number("closed") {
            Self::Closed(code, line["reason"].as_str().unwrap_or_default().to_owned())
        } else if line.get("reset").is_some() {
            Self::Reset
        } else if line.get("client_closed").is_some() {
            Self::ClientClosed
        } else {
            Self::Else
        }
    }
}

/// The journal.
#[derive(Clone, Debug, Default)]
pub struct TwinJournal {
    /// Its lines in order.
    pub entries: Vec<Entry>,
}

impl TwinJournal {
    /// Reads one; a line that is only half written is left out.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        let mut started_ms = 0.0;
        let mut journal = Self::default();
        for line in BufReader::new(file).lines() {
            let Ok(line) = serde_json::from_str::<Value>(&line?) else {
                continue;
            };
            if let Some(started) = line["started_unix_ms"].as_f64() {
                started_ms = started;
                continue;
            }
            let at_ms = started_ms + line["t_ms"].as_f64().unwrap_or_default();
            journal.note(at_ms, line["connection"].as_u64().unwrap_or_default(), &line);
        }
        Ok(journal)
    }

    /// Adds what happened, if it is of interest.
    pub fn note(&mut self, at_ms: f64, connection: u64, line: &Value) {
        let what = What::of(line);
        if what != What::Else {
            self.entries.push(Entry {
                at_ms,
                connection,
                what,
            });
        }
    }

    /// Wall clock at which the programme's beginning came to the twin, by what it heard when.
    pub fn programme_begins_ms(&self, programme: &Programme) -> Option<f64> {
        let first_number = programme.phrases.first()?.number;
        let mut begins = Vec::new();
        for entry in &self.entries {
            let What::Heard(number, part, parts) = entry.what else {
                continue;
            };
            // The first round of numbers is enough, and tells one from the other.
            let index = usize::from(number.wrapping_sub(first_number));
            let Some(spoken) = programme.phrases.get(index).filter(|it| it.number == number) else {
                continue;
            };
            let end_s = spoken.start_s + spoken.length_s() * f64::from(part + 1) / f64::from(parts.max(1));
            begins.push(entry.at_ms - 1000.0 * end_s);
            if begins.len() >= 400 {
                break;
            }
        }
        // What was sent again was heard late.
        (!begins.is_empty()).then(|| dsp::median(&begins))
    }

    /// Numbers of phrases that the twin left out on purpose.
    pub fn omitted(&self) -> BTreeSet<u16> {
        let mut omitted = BTreeSet::new();
        for entry in &self.entries {
            if let What::Omitted(number) = entry.what {
                omitted.insert(number);
            }
        }
        omitted
    }

    /// Whether the twin left a phrase out on purpose that came to it about then. A number comes again within the hour.
    pub fn omits(&self, number: u16, about_ms: f64) -> bool {
        let is_it = |entry: &&Entry| entry.what == What::Omitted(number);
        let mut omitted = self.entries.iter().filter(is_it);
        omitted.any(|entry| (entry.at_ms - about_ms).abs() < OMITTED_MS)
    }

    /// When faults of this name began.
    pub fn faults(&self, name: &str) -> Vec<f64> {
        let is_it = |entry: &&Entry| matches!(&entry.what, What::Fault(fault) if fault == name);
        self.entries
            .iter()
            .filter(is_it)
            .map(|entry| entry.at_ms)
            .collect()
    }

    /// All faults by name, with their times.
    pub fn all_faults(&self) -> Vec<(f64, &str)> {
        let mut faults = Vec::new();
        for entry in &self.entries {
            if let What::Fault(name) = &entry.what {
                faults.push((entry.at_ms, name.as_str()));
            }
        }
        faults
    }

    /// Attempts to connect, those that were refused included, at or after a moment.
    pub fn attempts_since(&self, from_ms: f64) -> usize {
        let is_attempt =
            |entry: &&Entry| entry.at_ms >= from_ms && matches!(entry.what, What::Opened | What::Refused(_));
        self.entries.iter().filter(is_attempt).count()
    }

    /// When the twin first refused, closed or reset anything.
    pub fn first_harm_ms(&self) -> Option<f64> {
        let mut harms = self.entries.iter().filter(|entry| entry.what.is_harm());
        harms.next().map(|entry| entry.at_ms)
    }

    /// Whether the twin refused an attempt or closed a connection. A reset may have been there to make room for an attempt.
    pub fn refuses(&self) -> bool {
        let is_refusal = |entry: &Entry| entry.what.is_harm() && entry.what != What::Reset;
        self.entries.iter().any(is_refusal)
    }

    /// When the twin last refused, closed or reset anything between two moments.
    pub fn last_harm_ms(&self, from_ms: f64, to_ms: f64) -> Option<f64> {
        self.entries
            .iter()
            .filter(|entry| (from_ms..=to_ms).contains(&entry.at_ms))
            .filter(|entry| entry.what.is_harm())
            .map(|entry| entry.at_ms)
            .next_back()
    }

    /// In a few words, what it did from a moment on: closes, resets and refusals, counted.
    pub fn deeds_since(&self, from_ms: f64) -> String {
        let mut counted: Vec<(String, usize)> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.at_ms >= from_ms) {
            let deed = match &entry.what {
                What::Refused(status) => format!("HTTP {status}"),
                What::Closed(code, _) => format!("close {code}"),
                What::Reset => "reset".to_owned(),
                What::Opened => "opened".to_owned(),
                What::Fault(_) | What::Heard(..) | What::Omitted(_) | What::ClientClosed | What::Else => {
                    continue;
                }
            };
            match counted.iter_mut().find(|(known, _)| *known == deed) {
                Some((_, count)) => *count += 1,
                None => counted.push((deed, 1)),
            }
        }
        let words: Vec<String> = counted
            .into_iter()
            .map(|(deed, count)| {
                if count == 1 {
                    deed
                } else {
                    format!("{count}x {deed}")
                }
            })
            .collect();
        words.join(", ")
    }
}
