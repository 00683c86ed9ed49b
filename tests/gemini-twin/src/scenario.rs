//! The scenario file: how the service behaves, and which fault happens when. TOML; every name has a default.

use crate::faults;
use crate::phrases::Hears;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// What is wrong with a scenario.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML, or has a name or a value that is not known.
    #[error(transparent)]
    Form(#[from] toml::de::Error),
    /// A fault that is not in the list.
    #[error("there is no fault {0:?}; `gemini-twin faults` lists them")]
    Fault(String),
    /// A number out of its range.
    #[error("{0} must be {1}")]
    Range(&'static str, &'static str),
}

/// A duration as text: `9m`, `1.2s` is written `1200ms`.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Every draw follows from it; `--seed` overrides it.
    pub seed: u64,
    /// Lives, handles, faults and quotas pass so many times faster. Sound keeps its pace.
    pub scale: f64,
    /// How phrases are told in the sound.
    pub hears: Hears,
    /// Models served besides the known ones.
    pub models: Vec<String>,
    /// Keys that are taken; none named takes every key.
    pub keys: Vec<String>,
    /// How long connections and handles live.
    pub life: Life,
    /// How answers are given.
    pub voice: Voice,
    /// What is special to models with turns.
    pub dialogue: Dialogue,
    /// Faults, each with its time or place.
    #[serde(rename = "fault")]
    pub faults: Vec<Planned>,
    /// Faults by chance.
    pub mix: Option<Mix>,
}

/// How long connections and handles live.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Life {
    /// After the connection opened, `goAway` is sent.
    #[serde(deserialize_with = "duration")]
    pub go_away_after: Duration,
    /// After the connection opened, it is closed with 1008. What lies between is the `timeLeft` of the `goAway`.
    #[serde(deserialize_with = "duration")]
    pub close_after: Duration,
    /// From setup to `setupComplete`.
    #[serde(deserialize_with = "duration")]
    pub setup: Duration,
    /// From one resumption handle to the next.
    #[serde(deserialize_with = "duration")]
    pub handle_every: Duration,
    /// How long a handle is good after its connection is gone.
    #[serde(deserialize_with = "duration")]
    pub handle_lives: Duration,
}

/// How answers are given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Voice {
    /// From the start of a phrase to the start of its answer (translate); an answer never runs ahead of what was heard.
    #[serde(deserialize_with = "duration")]
    pub lag: Duration,
    /// The lag is off by up to this much.
    #[serde(deserialize_with = "duration")]
    pub jitter: Duration,
    /// The lag grows by this much in a minute of a connection's life.
    #[serde(deserialize_with = "duration")]
    pub lag_growth_per_minute: Duration,
    /// Length of an answer against its phrase.
    pub length_ratio: f64,
    /// The ratio is off by up to this much.
    pub length_jitter: f64,
    /// Share of phrases that are not answered.
    pub omit: f64,
    /// Share of answers with a pause of 0.3 to 0.6 s in them.
    pub split: f64,
    /// Share of answers that follow the one before without a pause.
    pub merge: f64,
}

/// What is special to models with turns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dialogue {
    /// From the end of a window to the first sound.
    #[serde(deserialize_with = "duration")]
    pub think: Duration,
    /// How much faster than it is heard an answer is sent.
    pub speed: f64,
}

/// One fault and when it happens.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// At this time of the twin, in every connection that lives.
    #[serde(deserialize_with = "some_duration")]
    pub at: Option<Duration>,
    /// So long after `setupComplete` of a connection.
    #[serde(deserialize_with = "some_duration")]
    pub after: Option<Duration>,
    /// When this phrase is first heard.
    pub phrase: Option<u16>,
    /// In this connection only; attempts that were refused count too. The first is 1.
    pub connection: Option<u64>,
    /// For connections with this key only.
    pub key: Option<String>,
    /// So many connections; by default what the fault itself says.
    pub times: Option<u32>,
    /// It is over after so long: attempts go well again, and manners are good again.
    #[serde(rename = "for", deserialize_with = "some_duration")]
    pub lasts: Option<Duration>,
}

/// Faults by chance.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Mean time from one to the next.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// Names to draw from.
    pub faults: Vec<String>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            scale: 1.0,
            hears: Hears::Auto,
            models: Vec::new(),
            keys: Vec::new(),
            life: Life::default(),
            voice: Voice::default(),
            dialogue: Dialogue::default(),
            faults: Vec::new(),
            mix: None,
        }
    }
}

impl Default for Life {
    fn default() -> Self {
        Self {
            go_away_after: Duration::from_secs(540),
            close_after: Duration::from_secs(590),
            setup: Duration::from_millis(250),
            handle_every: Duration::from_secs(3),
            handle_lives: Duration::from_secs(2 * 3600),
        }
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            lag: Duration::from_millis(1_200),
            jitter: Duration::from_millis(400),
            lag_growth_per_minute: Duration::ZERO,
            length_ratio: 0.95,
            length_jitter: 0.1,
            omit: 0.0,
            split: 0.0,
            merge: 0.0,
        }
    }
}

impl Default for Dialogue {
    fn default() -> Self {
        Self {
            think: Duration::from_millis(1_100),
            speed: 1.5,
        }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let scenario: Self = toml::from_str(text)?;
        let names = scenario.faults.iter().map(|fault| &fault.name);
        for name in names.chain(scenario.mix.iter().flat_map(|mix| &mix.faults)) {
            if faults::find(name).is_none() {
                return Err(Error::Fault(name.clone()));
            }
        }
        let within = |value: f64, low: f64, high: f64| value.is_finite() && low <= value && value <= high;
        let checks = [
            (within(scenario.scale, 0.01, 1000.0), "scale", "0.01 to 1000"),
            (
                within(scenario.voice.length_ratio, 0.3, 3.0),
                "voice.length_ratio",
                "0.3 to 3",
            ),
            (
                within(scenario.voice.length_jitter, 0.0, 0.25),
                "voice.length_jitter",
                "0 to 0.25",
            ),
            (
                within(scenario.dialogue.speed, 0.5, 20.0),
                "dialogue.speed",
                "0.5 to 20",
            ),
            (within(scenario.voice.omit, 0.0, 1.0), "voice.omit", "0 to 1"),
            (within(scenario.voice.split, 0.0, 1.0), "voice.split", "0 to 1"),
            (within(scenario.voice.merge, 0.0, 1.0), "voice.merge", "0 to 1"),
            (
                scenario.life.go_away_after <= scenario.life.close_after,
                "life.close_after",
                "go_away_after or later",
            ),
        ];
        match checks.into_iter().find(|(holds, _, _)| !holds) {
            Some((_, name, range)) => Err(Error::Range(name, range)),
            None => Ok(scenario),
        }
    }

    /// A duration of lives, faults and quotas as it passes here.
    pub fn scaled(&self, duration: Duration) -> Duration {
        duration.div_f64(self.scale)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_scenario_is_the_service_as_it_is_known() {
        let scenario = Scenario::parse("").unwrap();
        assert_eq!(scenario, Scenario::default());
        assert_eq!(scenario.life.go_away_after, Duration::from_secs(540));
        assert_eq!(scenario.life.close_after, Duration::from_secs(590));
    }

    #[test]
    fn a_name_that_is_not_known_is_refused_with_what_to_do() {
        let unknown = Scenario::parse("[[fault]]\nname = \"nonsense\"").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "there is no fault \"nonsense\"; `gemini-twin faults` lists them"
        );
        assert!(
            Scenario::parse("skale = 2")
                .unwrap_err()
                .to_string()
                .contains("skale")
        );
        assert_eq!(
            Scenario::parse("scale = 0.0").unwrap_err().to_string(),
            "scale must be 0.01 to 1000"
        );
    }

    #[test]
    fn faults_have_their_time_or_place() {
        let text = "scale = 20.0\n[[fault]]\nname = \"tcp_reset\"\nafter = \"30s\"\nconnection = 2\n";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.faults[0].after, Some(Duration::from_secs(30)));
        assert_eq!(scenario.faults[0].connection, Some(2));
        assert_eq!(scenario.scaled(Duration::from_secs(600)), Duration::from_secs(30));
    }
}
