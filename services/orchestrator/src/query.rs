//! Settings in the query of a publisher's URL, for example `rtmp://host/live/derby/in?lang=fr&hold=6s`.
//!
//! A bad setting is ignored, never fatal: the stream starts with the configured one.
use media_types::{SettingsError, StreamSettings};
use std::fmt::Display;
use std::str::FromStr;

/// Longest value that is repeated in a log line.
const SHOWN_CHARS_MAX: usize = 64;

/// A setting of a query that was ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its name in the query.
    pub key: &'static str,
    /// What it said, shortened.
    pub value: String,
    /// Why it was ignored.
    pub problem: String,
}

/// A setter of one field; the error says what is wrong.
type Set = fn(&mut StreamSettings, &str) -> Result<(), String>;
/// Takes one field back to what it was.
type Undo = fn(&mut StreamSettings, &StreamSettings);

/// Name in the query, name of the field, how to set it, how to take it back.
const KEYS: [(&str, &str, Set, Undo); 9] = [
    (
        "lang",
        "target_lang",
        |s, v| text(&mut s.target_lang, v),
        |s, b| s.target_lang.clone_from(&b.target_lang),
    ),
    (
        "source_lang",
        "source_lang",
        |s, v| text(&mut s.source_lang, v),
        |s, b| s.source_lang.clone_from(&b.source_lang),
    ),
    (
        "voice",
        "tts_voice",
        |s, v| text(&mut s.tts_voice, v),
        |s, b| s.tts_voice.clone_from(&b.tts_voice),
    ),
    (
        "mode",
        "sts_mode",
        |s, v| word(&mut s.sts_mode, v),
        |s, b| s.sts_mode = b.sts_mode,
    ),
    (
        "hold",
        "hold",
        |s, v| duration(&mut s.hold, v),
        |s, b| s.hold = b.hold,
    ),
    (
        "fragment",
        "fragment_duration",
        |s, v| duration(&mut s.fragment_duration, v),
        |s, b| s.fragment_duration = b.fragment_duration,
    ),
    (
        "fallback",
        "fallback",
        |s, v| word(&mut s.fallback, v),
        |s, b| s.fallback = b.fallback,
    ),
    (
        "bed",
        "bed_mode",
        |s, v| word(&mut s.bed_mode, v),
        |s, b| s.bed_mode = b.bed_mode,
    ),
    (
        "air",
        "initial_air_state",
        |s, v| word(&mut s.initial_air_state, v),
        |s, b| s.initial_air_state = b.initial_air_state,
    ),
];

fn text(field: &mut String, value: &str) -> Result<(), String> {
    value.clone_into(field);
    Ok(())
}

fn word<T>(field: &mut T, value: &str) -> Result<(), String>
where
    T: FromStr,
    T::Err: Display,
{
    *field = value.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(())
}

fn duration(field: &mut std::time::Duration, value: &str) -> Result<(), String> {
    *field =
        humantime::parse_duration(value).map_err(|_| "is not a duration such as 250ms or 10s".to_owned())?;
    Ok(())
}

/// Lays the settings of a query over `base`. The result is always valid when `base` is.
pub fn apply(query: &str, base: &StreamSettings) -> (StreamSettings, Vec<Rejected>) {
    let mut settings = base.clone();
    let mut rejected = Vec::new();
    let mut said = Vec::new();
    for (key, value) in pairs(query) {
        let Some((name, field, set, undo)) = KEYS.iter().find(|(name, ..)| *name == key) else {
            continue;
        };
        match set(&mut settings, &value) {
            Ok(()) => said.push((*name, *field, value, *undo)),
            Err(problem) => rejected.push(Rejected {
                key: name,
                value: shown(&value),
                problem,
            }),
        }
    }
    let blame = |errors: &[SettingsError], field: &str| {
        errors
            .iter()
            .find(|error| error.field == field)
            .map(|error| format!("allowed is {}", error.allowed))
    };
    if let Err(errors) = settings.validate() {
        said.retain(|(name, field, value, undo)| {
            let Some(problem) = blame(&errors, field) else {
                return true;
            };
            undo(&mut settings, base);
            rejected.push(Rejected {
                key: name,
                value: shown(value),
                problem,
            });
            false
        });
    }
    // What is left can only be wrong together with a configured setting.
    if settings.validate().is_err() {
        settings = base.clone();
        rejected.extend(said.into_iter().map(|(name, _, value, _)| Rejected {
            key: name,
            value: shown(&value),
            problem: "does not go together with the other settings".to_owned(),
        }));
    }
    (settings, rejected)
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN_CHARS_MAX).collect()
}

/// Pairs of a query. MediaMTX hands it on as it is up to 1.18.0, and percent-encoded as a whole from 1.18.1 on.
fn pairs(query: &str) -> Vec<(String, String)> {
    let query = query.strip_prefix('?').unwrap_or(query);
    let query = if query.contains('=') {
        query.to_owned()
    } else {
        decode(query)
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// Percent-decoding; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, escape.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use media_types::{AirState, BedMode, Fallback, StsMode};
    use std::time::Duration;

    #[test]
    fn every_setting_of_a_query_is_taken_encoded_as_a_whole_or_not() {
        let plain = "token=s3cr3t&lang=pt-BR&source_lang=en&voice=Kore%20A&mode=passthrough&hold=0s&fragment=500ms\
                     &fallback=silence&bed=none&air=original";
        let whole: String = plain
            .chars()
            .map(|c| match c {
                '=' => "%3D".to_owned(),
                '&' => "%26".to_owned(),
                '%' => "%25".to_owned(),
                c => c.to_string(),
            })
            .collect();
        for query in [plain, &whole, &format!("?{plain}")] {
            let (settings, rejected) = apply(query, &StreamSettings::default());
            assert_eq!(rejected, []);
            let expected = StreamSettings {
                source_lang: "en".to_owned(),
                target_lang: "pt-BR".to_owned(),
                tts_voice: "Kore A".to_owned(),
                sts_mode: StsMode::Passthrough,
                hold: Duration::ZERO,
                fragment_duration: Duration::from_millis(500),
                fallback: Fallback::Silence,
                bed_mode: BedMode::None,
                initial_air_state: AirState::Original,
                ..StreamSettings::default()
            };
            assert_eq!(settings, expected);
        }
    }

    #[test]
    fn a_bad_setting_is_named_and_the_good_ones_beside_it_stand() {
        let query = "lang=fr&hold=90s&mode=loud&air=outage&fragment=&bed=";
        let (settings, rejected) = apply(query, &StreamSettings::default());
        assert_eq!(
            settings,
            StreamSettings {
                target_lang: "fr".to_owned(),
                ..StreamSettings::default()
            }
        );
        let mut keys: Vec<&str> = rejected.iter().map(|rejected| rejected.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["air", "bed", "fragment", "hold", "mode"]);
    }

    #[test]
    fn a_setting_that_is_wrong_only_beside_a_configured_one_is_ignored_too() {
        let base = StreamSettings {
            sts_mode: StsMode::Passthrough,
            hold: Duration::ZERO,
            ..StreamSettings::default()
        };
        let (settings, rejected) = apply("mode=enabled", &base);
        assert_eq!((settings, rejected.len()), (base, 1));
    }

    #[test]
    fn what_is_no_query_changes_nothing() {
        for query in [
            "",
            "&&&",
            "%",
            "%zz=%",
            "=",
            "lang",
            "user=a&pass=b",
            "%F0%9F=%9F",
        ] {
            let (settings, rejected) = apply(query, &StreamSettings::default());
            assert_eq!(
                (settings, rejected),
                (StreamSettings::default(), vec![]),
                "{query}"
            );
        }
    }
}
