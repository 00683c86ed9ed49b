//! Settings of one stream: the same message in the orchestrator, the worker and the dubber.
use crate::{AirState, BedMode, Fallback, StsMode};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest hold.
pub const HOLD_MAX: Duration = Duration::from_secs(60);
/// Shortest fragment.
pub const FRAGMENT_MIN: Duration = Duration::from_millis(250);
/// Longest fragment.
pub const FRAGMENT_MAX: Duration = Duration::from_secs(10);
/// Quietest and loudest gain that a setting may ask for, in dB.
pub const GAIN_DB: std::ops::RangeInclusive<f64> = -60.0..=12.0;

/// Settings of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSettings {
    /// Language spoken in the source, BCP-47; empty lets the provider detect it.
    pub source_lang: String,
    /// Language of the dub, BCP-47.
    pub target_lang: String,
    /// Voice of the dub, a provider's own name, or `default`.
    pub tts_voice: String,
    /// How speech is treated.
    pub sts_mode: StsMode,
    /// What the worker holds back.
    pub hold: Duration,
    /// Length of one fragment.
    pub fragment_duration: Duration,
    /// What airs where no dub is due in time.
    pub fallback: Fallback,
    /// What the original does under a dub.
    pub bed_mode: BedMode,
    /// Gain of the programme sound, in dB.
    pub bg_gain_db: f64,
    /// Gain of the dub, in dB.
    pub dub_gain_db: f64,
    /// Gain of the original under a dub and in `ducked-original`, in dB.
    pub duck_gain_db: f64,
    /// Air state at the start of the run.
    pub initial_air_state: AirState,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            source_lang: String::new(),
            target_lang: "es".to_owned(),
            tts_voice: "default".to_owned(),
            sts_mode: StsMode::Enabled,
            hold: Duration::from_secs(10),
            fragment_duration: Duration::from_secs(2),
            fallback: Fallback::PassThrough,
            bed_mode: BedMode::Ducked,
            bg_gain_db: 0.0,
            dub_gain_db: 0.0,
            duck_gain_db: -15.0,
            initial_air_state: AirState::Dub,
        }
    }
}

/// A setting out of its bounds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, allowed is {allowed}")]
pub struct SettingsError {
    /// Field to blame.
    pub field: &'static str,
    /// What it says.
    pub value: String,
    /// What it may say.
    pub allowed: &'static str,
}

impl StreamSettings {
    /// Checks the bounds of every field and names all that are crossed.
    pub fn validate(&self) -> Result<(), Vec<SettingsError>> {
        let lang_ok =
            |lang: &str| lang.len() <= 35 && lang.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let dubbing = self.sts_mode == StsMode::Enabled;
        let switchable = [
            AirState::Dub,
            AirState::VoiceOver,
            AirState::Original,
            AirState::Mute,
        ];
        let (source, target, voice) = (&self.source_lang, &self.target_lang, &self.tts_voice);
        let hold = || format!("{:?}", self.hold);
        let gain = |field, gain_db: f64| {
            (
                GAIN_DB.contains(&gain_db),
                field,
                gain_db.to_string(),
                "-60 to 12 dB",
            )
        };
        let target_ok = lang_ok(target) && !target.is_empty();
        let voice_ok = (1..=128).contains(&voice.len());
        let fragment_ok = (FRAGMENT_MIN..=FRAGMENT_MAX).contains(&self.fragment_duration);
        let fragment = format!("{:?}", self.fragment_duration);
        let air = self.initial_air_state;
        let checks = [
            (
                lang_ok(source),
                "source_lang",
                format!("{source:?}"),
                "a BCP-47 tag or empty",
            ),
            (target_ok, "target_lang", format!("{target:?}"), "a BCP-47 tag"),
            (voice_ok, "tts_voice", format!("{voice:?}"), "1 to 128 bytes"),
            (self.hold <= HOLD_MAX, "hold", hold(), "0s to 60s"),
            (
                !(dubbing && self.hold.is_zero()),
                "hold",
                hold(),
                "more than 0s while dubbing is enabled",
            ),
            (fragment_ok, "fragment_duration", fragment, "250ms to 10s"),
            gain("bg_gain_db", self.bg_gain_db),
            gain("dub_gain_db", self.dub_gain_db),
            gain("duck_gain_db", self.duck_gain_db),
            (
                switchable.contains(&air),
                "initial_air_state",
                air.to_string(),
                "dub, voice-over, original, mute",
            ),
        ];
        let crossed = checks.into_iter().filter(|(ok, ..)| !ok);
        let errors: Vec<_> = crossed
            .map(|(_, field, value, allowed)| SettingsError {
                field,
                value,
                allowed,
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}
