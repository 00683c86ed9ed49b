//! From a MediaMTX path to a stream.
use media_types::StreamId;
use regex::Regex;
use std::str::FromStr;

/// Longest path that is looked at; a longer one holds no valid stream id.
const PATH_BYTES_MAX: usize = 512;

/// Which end of a stream a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the broadcaster publishes.
    In,
    /// Where the dubbed stream is read.
    Out,
}

impl Side {
    /// As in the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// A path that names no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Not of the form that the setting asks for.
    #[error("path is not of the form live/<streamId>/in or live/<streamId>/out")]
    Form,
    /// The stream id in it is none.
    #[error("stream id in the path is not valid: {0}")]
    Id(#[from] media_types::InvalidId),
}

/// The setting `ORCH_STREAM_ID_FROM_PATH_REGEX`: the first group is the stream id, a second group that says
/// `out` marks the dubbed side. The default one matches nothing.
#[derive(Clone, Debug, Default)]
pub struct PathPattern(Option<Regex>);

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let regex = Regex::new(text).map_err(|error| {
            // A syntax error draws the pattern over several lines; its last line says what is wrong.
            let text = error.to_string();
            let problem = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            format!("does not compile: {problem}")
        })?;
        if regex.captures_len() < 2 {
            return Err("has no group for the stream id".to_owned());
        }
        Ok(Self(Some(regex)))
    }
}

impl PathPattern {
    /// The stream and the end of it that a path means.
    pub fn parse(&self, path: &str) -> Result<(StreamId, Side), InvalidPath> {
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        let odd = path
            .split('/')
            .any(|part| part.is_empty() || part.chars().all(|c| c == '.'));
        let matched = self.0.as_ref().and_then(|regex| regex.captures(path));
        let groups = matched
            .filter(|_| path.len() <= PATH_BYTES_MAX)
            .ok_or(InvalidPath::Form)?;
        let id = StreamId::new(groups.get(1).map_or("", |group| group.as_str()))?;
        if odd || !path.chars().all(named) {
            return Err(InvalidPath::Form);
        }
        match groups.get(2).map(|group| group.as_str()) {
            Some("out") => Ok((id, Side::Out)),
            Some(_) | None => Ok((id, Side::In)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pattern() -> PathPattern {
        crate::config::STREAM_ID_FROM_PATH_REGEX.default.parse().unwrap()
    }

    #[test]
    fn a_path_names_a_stream_and_its_end() {
        let derby = StreamId::new("Derby_2026-11").unwrap();
        assert_eq!(
            pattern().parse("live/Derby_2026-11/in"),
            Ok((derby.clone(), Side::In))
        );
        assert_eq!(pattern().parse("live/Derby_2026-11/out"), Ok((derby, Side::Out)));
    }

    #[test]
    fn a_path_that_could_mean_something_else_is_refused() {
        let long = format!("live/{}/in", "x".repeat(10_000));
        for bad in [
            "live/../in",
            "live//in",
            "live/a%2Fb/in",
            "live/a b/in",
            "live/./in",
            "/live/a/in",
            "live/a/in/",
            "live/a/in\n",
            "live/a/b/in",
            "live/a",
            "",
            "live/ä/in",
            &long,
        ] {
            assert!(pattern().parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pattern_that_does_not_compile_or_has_no_group_is_refused() {
        assert!("live/(".parse::<PathPattern>().is_err());
        assert!("^live/x/in$".parse::<PathPattern>().is_err());
    }
}
