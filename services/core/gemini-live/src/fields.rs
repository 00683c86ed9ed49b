//! Fields of a server message, taken out one by one. What nobody took, or nobody could read, is noted by its path.
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest path that is noted, in bytes: keys are the server's own, and may be of any length. Whoever tells them cuts them
/// further, and takes out before what nobody is to see: that is shorter than this.
const PATH_BYTES_MAX: usize = 8 * 1024;

/// Paths that nobody understood, in one message.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    paths: BTreeSet<String>,
}

impl Notes {
    pub(crate) fn note(&mut self, path: &str) {
        let end = path.floor_char_boundary(PATH_BYTES_MAX);
        self.paths.insert(path[..end].escape_debug().to_string());
    }

    pub(crate) fn into_paths(self) -> BTreeSet<String> {
        self.paths
    }
}

/// One JSON object under way.
pub(crate) struct Fields<'n> {
    path: String,
    map: Map<String, Value>,
    notes: &'n mut Notes,
}

impl<'n> Fields<'n> {
    pub(crate) fn new(path: &str, map: Map<String, Value>, notes: &'n mut Notes) -> Self {
        Self {
            path: path.to_owned(),
            map,
            notes,
        }
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Takes a value; proto-JSON's `null` is an absent one.
    fn value(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    fn read<T>(&mut self, key: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.value(key)?;
        let got = read(&value);
        if got.is_none() {
            let path = self.below(key);
            self.notes.note(&format!("{path} (type)"));
        }
        got
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        if let Value::String(text) = value {
            Some(text)
        } else {
            let path = self.below(key);
            self.notes.note(&format!("{path} (type)"));
            None
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> bool {
        self.read(key, Value::as_bool).unwrap_or(false)
    }

    /// A 64-bit integer, as a number or as a string; a negative count is none.
    pub(crate) fn count(&mut self, key: &str) -> Option<u64> {
        self.read(key, |value| {
            let whole = |number: f64| (0.0..9e15).contains(&number).then_some(number as u64);
            value
                .as_u64()
                .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
                .or_else(|| value.as_f64().and_then(whole))
        })
    }

    /// A proto duration, `"49.999999s"`.
    pub(crate) fn duration(&mut self, key: &str) -> Option<Duration> {
        self.read(key, |value| value.as_str().and_then(duration))
    }

    /// A value that is known and of no use to us.
    pub(crate) fn ignore(&mut self, key: &str) {
        self.map.remove(key);
    }

    pub(crate) fn object<T>(&mut self, key: &str, read: impl FnOnce(Fields<'_>) -> T) -> Option<T> {
        let path = self.below(key);
        match self.value(key)? {
            Value::Object(map) => Some(read(Fields::new(&path, map, self.notes))),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Null => {
                self.notes.note(&format!("{path} (type)"));
                None
            }
        }
    }

    pub(crate) fn objects<T>(&mut self, key: &str, mut read: impl FnMut(Fields<'_>) -> T) -> Vec<T> {
        let path = format!("{}[]", self.below(key));
        let values = match self.value(key) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => {
                self.notes.note(&format!("{path} (type)"));
                return Vec::new();
            }
        };
        let mut got = Vec::with_capacity(values.len());
        for value in values {
            if let Value::Object(map) = value {
                got.push(read(Fields::new(&path, map, self.notes)));
            } else {
                self.notes.note(&format!("{path} (type)"));
            }
        }
        got
    }

    /// A word of an open set that is new to us.
    pub(crate) fn new_word(&mut self, key: &str, word: &str) {
        let path = self.below(key);
        self.notes.note(&format!("{path} = {word}"));
    }

    /// Something known that could not be read.
    pub(crate) fn unreadable(&mut self, key: &str) {
        let path = self.below(key);
        self.notes.note(&format!("{path} (content)"));
    }

    /// Notes what nobody took.
    pub(crate) fn finish(self) {
        for key in self.map.keys() {
            let path = self.below(key);
            self.notes.note(&path);
        }
    }
}

/// A proto duration: seconds with an optional fraction and an `s`; a negative one is over already.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().strip_suffix('s')?.parse().ok()?;
    if seconds.is_nan() {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_fractional_or_over() {
        assert_eq!(duration("50s"), Some(Duration::from_secs(50)));
        assert_eq!(duration("49.999999s"), Some(Duration::from_nanos(49_999_999_000)));
        assert_eq!(duration("-3s"), Some(Duration::ZERO));
        assert_eq!(duration("1e300s"), Some(Duration::MAX));
        for text in ["", "s", "50", "50 ms", "NaNs"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }
}
