//! Where values of settings come from, and how layers of them lie over each other.

use std::collections::BTreeMap;

/// Where values come from: the process, or a map in a test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The environment of this process. Names or values that are not UTF-8 are none of our settings.
    #[must_use]
    pub fn from_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// An environment of exactly these pairs.
    #[must_use]
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// The value of `key`; empty counts as unset.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Lays `upper` over this one; an empty value in `upper` does not hide a value below it.
    #[must_use]
    pub fn overlaid_by(mut self, upper: Self) -> Self {
        for (key, value) in upper.0 {
            if !value.trim().is_empty() || !self.0.contains_key(&key) {
                self.0.insert(key, value);
            }
        }
        self
    }

    /// All pairs, for a child process that shall see the same settings.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
