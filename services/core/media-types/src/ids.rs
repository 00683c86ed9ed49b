//! Identities. A value of these types has been checked.
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest stream id, in bytes: a path component that every file system takes.
const STREAM_ID_BYTES_MAX: usize = 128;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing there.
    #[error("id is empty")]
    Empty,
    /// Too long.
    #[error("id has {0} bytes, at most {STREAM_ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A character that could be mistaken in a path or a URL.
    #[error("id has the character {0:?}; allowed are ASCII letters, digits, `_` and `-`")]
    Character(char),
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > STREAM_ID_BYTES_MAX {
        return Err(InvalidId::TooLong(text.len()));
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-'))
    {
        Some(c) => Err(InvalidId::Character(c)),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);
        impl $name {
            /// Checks the text.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }
            /// The text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> { Self::new(text) }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self { id.0 }
        }
    };
}

text_id!(
    /// The logical live programme: ASCII letters, digits, `_`, `-`.
    StreamId
);
text_id!(
    /// One live session of a stream, sortable by time; kept across worker restarts and reconnects in the grace period.
    RunId
);

/// Number of a fragment; rises for ever in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FragmentSeq(pub u64);

impl FragmentSeq {
    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for FragmentSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_holds_a_separator() {
        for bad in ["", "..", "a/b", "a b", "a%2Fb", "ä", "a\n"] {
            assert!(StreamId::new(bad).is_err(), "{bad:?}");
        }
        assert!(StreamId::new("x".repeat(10_000)).is_err());
        assert!(StreamId::new("Derby_2026-11").is_ok());
    }
}
