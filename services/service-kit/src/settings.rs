//! Settings: declared once as constant tables, read all together, refused all together.
//!
//! * A wrong value never stops the reading: the default takes its place, the problem is kept, and
//!   [`Reader::finish`] hands over every problem at once.
//! * An empty value is an unset value.
//! * A secret comes from `KEY` or from the file that `KEY_FILE` names, and never appears in a message.
//!   An empty file is an unset one.
//! * Durations carry their unit (`250ms`, `10s`, `2m`, `1h`); booleans are `true` or `false`.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

pub use crate::env::Env;

/// What stands in a message where a secret would stand.
pub const REDACTED: &str = "[redacted]";

/// One setting of a program, as `.env.example` and `--help` show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name of the environment variable.
    pub key: &'static str,
    /// Value when unset; empty means that it stays unset.
    pub default: &'static str,
    /// What is allowed, in words for a message: `0s..60s`, `mock`, `true|false`, `a path`.
    /// A text that begins with `secret` makes the setting a secret.
    pub allowed: &'static str,
    /// One line of meaning.
    pub help: &'static str,
}

impl Setting {
    /// Whether the value must never be shown, and `KEY_FILE` is read beside `KEY`.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        const SUFFIXES: [&str; 5] = ["_SECRET", "_PASSWORD", "_PASSPHRASE", "_TOKEN", "_API_KEY"];
        self.allowed.starts_with("secret") || SUFFIXES.iter().any(|suffix| self.key.ends_with(suffix))
    }

    /// A value of this setting as it may be shown.
    #[must_use]
    pub fn shown(&self, value: &str) -> String {
        if self.is_secret() && !value.is_empty() {
            REDACTED.to_owned()
        } else {
            without_userinfo(value)
        }
    }
}

/// `scheme://user:password@host` without the part before the `@`.
fn without_userinfo(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{REDACTED}@{host}{path}"),
        None => value.to_owned(),
    }
}

/// One refused value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Name of the setting.
    pub key: String,
    /// The value as it may be shown.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What is allowed.
    pub allowed: String,
    /// What to do.
    pub remedy: String,
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            problem,
            allowed,
            remedy,
        } = self;
        write!(f, "{key}={value:?}: {problem}; allowed: {allowed}; {remedy}")
    }
}

/// Every refused value of a start, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The problems in the order of reading.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads settings and keeps every problem until [`Reader::finish`].
#[derive(Debug)]
pub struct Reader<'e> {
    env: &'e Env,
    errors: Vec<ConfigError>,
}

impl<'e> Reader<'e> {
    /// Reads from `env`.
    #[must_use]
    pub fn new(env: &'e Env) -> Self {
        Self {
            env,
            errors: Vec::new(),
        }
    }

    /// The value or the default, as text.
    pub fn text(&mut self, setting: &Setting) -> String {
        self.env.get(setting.key).unwrap_or(setting.default).to_owned()
    }

    /// As [`Reader::text`]; `None` where both value and default are empty.
    pub fn optional_text(&mut self, setting: &Setting) -> Option<String> {
        Some(self.text(setting)).filter(|value| !value.is_empty())
    }

    /// A duration with its unit, inside `range`.
    pub fn duration(&mut self, setting: &Setting, range: RangeInclusive<Duration>) -> Duration {
        const REMEDY: &str = "write a whole number with its unit, as in 250ms, 10s, 2m or 1h";
        let allowed = format!(
            "{}..{}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        if let Some(value) = self.env.get(setting.key) {
            match parse_duration(value) {
                Some(duration) if range.contains(&duration) => return duration,
                Some(_) => self.record(
                    setting,
                    value,
                    "is out of range",
                    &allowed,
                    "choose a value in range",
                ),
                None => self.record(setting, value, "is not a duration", &allowed, REMEDY),
            }
        }
        parse_duration(setting.default).unwrap_or_else(|| *range.start())
    }

    /// `true` or `false`.
    pub fn flag(&mut self, setting: &Setting) -> bool {
        match self.env.get(setting.key) {
            Some("true") => true,
            Some("false") => false,
            Some(value) => {
                self.record(
                    setting,
                    value,
                    "is not a boolean",
                    "true|false",
                    "write true or false",
                );
                setting.default == "true"
            }
            None => setting.default == "true",
        }
    }

    /// A number inside `range`.
    pub fn number<T>(&mut self, setting: &Setting, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let allowed = format!("{}..{}", range.start(), range.end());
        if let Some(value) = self.env.get(setting.key) {
            match value.parse::<T>() {
                Ok(number) if range.contains(&number) => return number,
                Ok(_) => self.record(
                    setting,
                    value,
                    "is out of range",
                    &allowed,
                    "choose a value in range",
                ),
                Err(_) => self.record(
                    setting,
                    value,
                    "is not such a number",
                    &allowed,
                    "write a plain number",
                ),
            }
        }
        setting.default.parse::<T>().unwrap_or(*range.start())
    }

    /// One word of a closed set, which the type's own `FromStr` knows.
    pub fn word<T>(&mut self, setting: &Setting) -> T
    where
        T: FromStr + Copy,
        T::Err: Display,
    {
        if let Some(value) = self.env.get(setting.key) {
            match value.parse::<T>() {
                Ok(word) => return word,
                Err(error) => self.record(
                    setting,
                    value,
                    &error.to_string(),
                    setting.allowed,
                    "write one of these words",
                ),
            }
        }
        match setting.default.parse::<T>() {
            Ok(word) => word,
            Err(error) => broken_default(setting, &error.to_string()),
        }
    }

    /// Whatever `T` parses; `None` when unset (and without default) or wrong.
    pub fn parsed<T>(&mut self, setting: &Setting) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let value = self.optional_text(setting)?;
        match value.parse::<T>() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.record(
                    setting,
                    &value,
                    &error.to_string(),
                    setting.allowed,
                    "correct or unset it",
                );
                None
            }
        }
    }

    /// `IP:PORT`, as in `0.0.0.0:8080` or `[::]:8080`; port 0 takes a free one.
    pub fn address(&mut self, setting: &Setting) -> SocketAddr {
        if let Some(value) = self.env.get(setting.key) {
            match value.parse() {
                Ok(address) => return address,
                Err(_) => self.record(
                    setting,
                    value,
                    "is not a listen address",
                    "IP:PORT",
                    "write an IP address and a port, as in 0.0.0.0:8080 or [::]:8080",
                ),
            }
        }
        match setting.default.parse() {
            Ok(address) => address,
            Err(_) => broken_default(setting, "is not IP:PORT"),
        }
    }

    /// A URL of one of `schemes`, without a trailing slash; empty when unset and without default.
    pub fn url(&mut self, setting: &Setting, schemes: &[&str]) -> String {
        if let Some(value) = self.env.get(setting.key) {
            match url_problem(value, schemes) {
                None => return value.trim_end_matches('/').to_owned(),
                Some(problem) => {
                    let allowed = schemes
                        .iter()
                        .map(|s| format!("{s}://HOST[:PORT]"))
                        .collect::<Vec<_>>()
                        .join(" | ");
                    self.record(
                        setting,
                        value,
                        problem,
                        &allowed,
                        "write a whole URL with scheme and host",
                    );
                }
            }
        }
        setting.default.to_owned()
    }

    /// A directory, created when missing, in which this process can write; `None` when unset.
    pub fn directory(&mut self, setting: &Setting) -> Option<PathBuf> {
        let value = self.optional_text(setting)?;
        let path = PathBuf::from(&value);
        if let Err(error) = prove_writable(&path) {
            let uid_hint = "make it writable for the user of this process, or name another directory";
            self.record(
                setting,
                &value,
                &format!("cannot be written: {error}"),
                "a writable directory",
                uid_hint,
            );
        }
        Some(path)
    }

    /// A secret from `KEY` or from the file named by `KEY_FILE`; both at once are refused. An empty file counts as
    /// unset, as an empty value does: a container gets its file whether or not somebody has a secret for it.
    pub fn secret(&mut self, setting: &Setting) -> Option<SecretString> {
        let file_key = format!("{}_FILE", setting.key);
        let value = self.env.get(setting.key).map(SecretString::from);
        let Some(path) = self.env.get(&file_key) else {
            return value;
        };
        let in_file = match std::fs::read_to_string(path) {
            Ok(text) => Some(SecretString::from(text.trim())).filter(|text| !text.expose_secret().is_empty()),
            Err(error) => {
                let problem = format!("cannot be read: {error}");
                self.record_key(
                    &file_key,
                    path,
                    &problem,
                    "a readable file",
                    unreadable_remedy(&error),
                );
                return None;
            }
        };
        if value.is_some() && in_file.is_some() {
            let problem = format!("is set together with {}", setting.key);
            self.record_key(&file_key, path, &problem, "one of the two", "unset one of them");
            return None;
        }
        value.or(in_file)
    }

    /// A setting that this version knows in one shape only.
    pub fn fixed(&mut self, setting: &Setting) {
        if let Some(value) = self.env.get(setting.key)
            && value != setting.default
        {
            let problem = "is not supported by this version";
            self.record(
                setting,
                value,
                problem,
                setting.default,
                "unset it or write the allowed value",
            );
        }
    }

    /// Records a problem that only the caller can see, such as two settings that exclude each other.
    pub fn reject(&mut self, setting: &Setting, value: impl Display, problem: impl Display) {
        let (value, problem) = (value.to_string(), problem.to_string());
        self.record(setting, &value, &problem, setting.allowed, "correct it");
    }

    /// Everything that was refused, or nothing.
    ///
    /// # Errors
    /// When at least one value was refused.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(self.errors))
        }
    }

    fn record(&mut self, setting: &Setting, value: &str, problem: &str, allowed: &str, remedy: &str) {
        let shown = setting.shown(value);
        let remedy = if setting.default.is_empty() {
            format!("{remedy} (unset it to go without)")
        } else {
            format!("{remedy} (default {})", setting.default)
        };
        // A parser's own words may repeat the value; a secret must not slip out that way.
        let problem = if shown == value {
            problem.to_owned()
        } else {
            problem.replace(value, &shown)
        };
        self.record_key(setting.key, &shown, &problem, allowed, &remedy);
    }

    fn record_key(&mut self, key: &str, value: &str, problem: &str, allowed: &str, remedy: &str) {
        self.errors.push(ConfigError {
            key: key.to_owned(),
            value: value.to_owned(),
            problem: problem.to_owned(),
            allowed: allowed.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}

/// What helps against a secret's file that cannot be read.
fn unreadable_remedy(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        "let the user of this process read it: chmod or chown the file (our containers run as uid 10001)"
    } else {
        "write the secret into this file, leave the file empty, or unset the setting"
    }
}

/// A default that its own type refuses is a mistake in a constant table; no run can be right with it.
#[allow(
    clippy::panic,
    reason = "a broken constant table is found by the first start or test, and nothing can replace it"
)]
fn broken_default(setting: &Setting, problem: &str) -> ! {
    panic!("the default {:?} of {} {problem}", setting.default, setting.key)
}

/// A whole number and one unit; humantime alone would also take `1month` or `1m 30s`.
fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if !matches!(unit, "us" | "ms" | "s" | "m" | "h") {
        return None;
    }
    humantime::parse_duration(text).ok()
}

fn url_problem(value: &str, schemes: &[&str]) -> Option<&'static str> {
    let Some((scheme, rest)) = value.split_once("://") else {
        return Some("has no scheme");
    };
    if !schemes.contains(&scheme) {
        return Some("has a scheme that is not spoken here");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if value.contains(char::is_whitespace) {
        return Some("contains a space");
    }
    let (host, port) = match host_port.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, port)) => (v6, port.strip_prefix(':')),
        None => host_port
            .split_once(':')
            .map_or((host_port, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Some("has no host");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Some("has a port that is not one"),
        Some(_) | None => None,
    }
}

/// Creates `path` and proves by a probe file that this process can write into it.
fn prove_writable(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    let probe = path.join(format!(".write-probe-{}", std::process::id()));
    std::fs::write(&probe, b"probe")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
