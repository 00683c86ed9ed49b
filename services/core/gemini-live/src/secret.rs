//! Texts that no log may show.
use serde::{Deserialize, Serialize};
use std::fmt;

/// A key or an access token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one header that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of somebody else without this secret in it: servers and proxies repeat what they refuse.
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, "[redacted]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What resumes a session. Whoever has it hears what was said in that session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(String);

impl Handle {
    /// Wraps a handle.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The handle as the server gave it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[handle of {} bytes]", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_to_nobody_who_prints_it() {
        let key = Secret::new("AIzaSyVerySecret");
        assert_eq!(format!("{key} {key:?}"), "[redacted] [redacted]");
        assert_eq!(
            key.redact("API key AIzaSyVerySecret not valid"),
            "API key [redacted] not valid"
        );
        assert_eq!(Secret::new("").redact("unchanged"), "unchanged");
        assert_eq!(format!("{:?}", Handle::new("abc")), "[handle of 3 bytes]");
    }
}
