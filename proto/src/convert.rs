//! Wire to domain and back. A peer's bytes are checked here and nowhere else.
use crate::media::v1 as wire;
use media_types::{
    AirState, BedMode, Fallback, MediaRange, MediaTime, SAMPLE_RATE_HZ, StreamSettings, StsMode,
};
use std::time::Duration;

/// Why a peer's message is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// A message field is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value out of its bounds.
    #[error("{field} is {value}, allowed is {allowed}")]
    OutOfBounds {
        /// Field to blame.
        field: String,
        /// What it says.
        value: String,
        /// What it may say.
        allowed: String,
    },
}

impl ConvertError {
    /// Name of the field to blame.
    pub fn field(&self) -> &str {
        match self {
            Self::Missing(field) => field,
            Self::OutOfBounds { field, .. } => field,
        }
    }
    /// As a gRPC status that names the field.
    pub fn status(&self) -> tonic::Status {
        crate::status::ErrorCode::InvalidField.status(self.to_string(), Some(self.field()))
    }
}

/// Domain to wire.
pub fn time_to_wire(time: MediaTime) -> wire::MediaTime {
    wire::MediaTime {
        ticks: time.frames(),
        rate: SAMPLE_RATE_HZ,
    }
}

/// Wire to domain; `field` names it in the error.
pub fn time_from_wire(
    time: Option<&wire::MediaTime>,
    field: &'static str,
) -> Result<MediaTime, ConvertError> {
    let time = time.ok_or(ConvertError::Missing(field))?;
    MediaTime::from_ticks(time.ticks, time.rate).ok_or_else(|| ConvertError::OutOfBounds {
        field: field.to_owned(),
        value: format!("{}/{}", time.ticks, time.rate),
        allowed: "a rate above zero and an instant within 64 bit".to_owned(),
    })
}

/// Domain to wire.
pub fn range_to_wire(range: MediaRange) -> wire::MediaRange {
    wire::MediaRange {
        start: Some(time_to_wire(range.start)),
        end: Some(time_to_wire(range.end)),
    }
}

/// Wire to domain; `field` names it in the error.
pub fn range_from_wire(
    range: Option<&wire::MediaRange>,
    field: &'static str,
) -> Result<MediaRange, ConvertError> {
    let range = range.ok_or(ConvertError::Missing(field))?;
    let start = time_from_wire(range.start.as_ref(), field)?;
    let end = time_from_wire(range.end.as_ref(), field)?;
    if end < start {
        return Err(ConvertError::OutOfBounds {
            field: field.to_owned(),
            value: format!("{}..{}", start.frames(), end.frames()),
            allowed: "an end that is not before its start".to_owned(),
        });
    }
    Ok(MediaRange::new(start, end))
}

/// Domain to wire.
pub fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// Wire to domain; `field` names it in the error. A negative length is refused.
pub fn duration_from_wire(
    duration: Option<&prost_types::Duration>,
    field: &'static str,
) -> Result<Duration, ConvertError> {
    let duration = duration.ok_or(ConvertError::Missing(field))?;
    Duration::try_from(*duration).map_err(|_| ConvertError::OutOfBounds {
        field: field.to_owned(),
        value: format!("{}s {}ns", duration.seconds, duration.nanos),
        allowed: "a length that is not negative".to_owned(),
    })
}

/// Wall-clock time to wire.
pub fn timestamp_to_wire(time: std::time::SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(time)
}

/// Domain to wire.
pub const fn air_to_wire(state: AirState) -> wire::AirState {
    match state {
        AirState::Dub => wire::AirState::Dub,
        AirState::VoiceOver => wire::AirState::VoiceOver,
        AirState::Original => wire::AirState::Original,
        AirState::Bed => wire::AirState::Bed,
        AirState::Mute => wire::AirState::Mute,
        AirState::Outage => wire::AirState::Outage,
    }
}

/// Wire to domain; nothing when it is not said or not known.
pub fn air_from_wire(state: i32) -> Option<AirState> {
    match wire::AirState::try_from(state).ok()? {
        wire::AirState::Unspecified => None,
        wire::AirState::Dub => Some(AirState::Dub),
        wire::AirState::VoiceOver => Some(AirState::VoiceOver),
        wire::AirState::Original => Some(AirState::Original),
        wire::AirState::Bed => Some(AirState::Bed),
        wire::AirState::Mute => Some(AirState::Mute),
        wire::AirState::Outage => Some(AirState::Outage),
    }
}

/// Domain to wire.
pub fn settings_to_wire(settings: &StreamSettings) -> wire::StreamSettings {
    wire::StreamSettings {
        source_lang: settings.source_lang.clone(),
        target_lang: settings.target_lang.clone(),
        tts_voice: settings.tts_voice.clone(),
        sts_mode: match settings.sts_mode {
            StsMode::Enabled => wire::StsMode::Enabled,
            StsMode::Passthrough => wire::StsMode::Passthrough,
            StsMode::Disabled => wire::StsMode::Disabled,
        }
        .into(),
        hold: Some(duration_to_wire(settings.hold)),
        fragment_duration: Some(duration_to_wire(settings.fragment_duration)),
        fallback: match settings.fallback {
            Fallback::PassThrough => wire::Fallback::PassThrough,
            Fallback::DuckedOriginal => wire::Fallback::DuckedOriginal,
            Fallback::Silence => wire::Fallback::Silence,
        }
        .into(),
        bed_mode: match settings.bed_mode {
            BedMode::Ducked => wire::BedMode::Ducked,
            BedMode::None => wire::BedMode::None,
        }
        .into(),
        bg_gain_db: settings.bg_gain_db,
        dub_gain_db: settings.dub_gain_db,
        duck_gain_db: settings.duck_gain_db,
        initial_air_state: air_to_wire(settings.initial_air_state).into(),
    }
}

/// Wire to domain. What the sender left out is taken from `defaults`; gains are always said by the sender when
/// `hold` is, because a gain of 0 dB and an absent one look the same on the wire.
pub fn settings_from_wire(
    settings: Option<&wire::StreamSettings>,
    defaults: &StreamSettings,
) -> Result<StreamSettings, ConvertError> {
    let Some(settings) = settings else {
        return Ok(defaults.clone());
    };
    let text = |said: &str, default: &str| {
        if said.is_empty() {
            default.to_owned()
        } else {
            said.to_owned()
        }
    };
    let whole = settings.hold.is_some();
    let gain = |said: f64, default: f64| if whole || said != 0.0 { said } else { default };
    let result = StreamSettings {
        source_lang: text(&settings.source_lang, &defaults.source_lang),
        target_lang: text(&settings.target_lang, &defaults.target_lang),
        tts_voice: text(&settings.tts_voice, &defaults.tts_voice),
        sts_mode: match wire::StsMode::try_from(settings.sts_mode).unwrap_or_default() {
            wire::StsMode::Unspecified => defaults.sts_mode,
            wire::StsMode::Enabled => StsMode::Enabled,
            wire::StsMode::Passthrough => StsMode::Passthrough,
            wire::StsMode::Disabled => StsMode::Disabled,
        },
        hold: match &settings.hold {
            None => defaults.hold,
            hold => duration_from_wire(hold.as_ref(), "settings.hold")?,
        },
        fragment_duration: match &settings.fragment_duration {
            None => defaults.fragment_duration,
            length => duration_from_wire(length.as_ref(), "settings.fragment_duration")?,
        },
        fallback: match wire::Fallback::try_from(settings.fallback).unwrap_or_default() {
            wire::Fallback::Unspecified => defaults.fallback,
            wire::Fallback::PassThrough => Fallback::PassThrough,
            wire::Fallback::DuckedOriginal => Fallback::DuckedOriginal,
            wire::Fallback::Silence => Fallback::Silence,
        },
        bed_mode: match wire::BedMode::try_from(settings.bed_mode).unwrap_or_default() {
            wire::BedMode::Unspecified => defaults.bed_mode,
            wire::BedMode::Ducked => BedMode::Ducked,
            wire::BedMode::None => BedMode::None,
        },
        bg_gain_db: gain(settings.bg_gain_db, defaults.bg_gain_db),
        dub_gain_db: gain(settings.dub_gain_db, defaults.dub_gain_db),
        duck_gain_db: gain(settings.duck_gain_db, defaults.duck_gain_db),
        initial_air_state: air_from_wire(settings.initial_air_state).unwrap_or(defaults.initial_air_state),
    };
    match result.validate() {
        Ok(()) => Ok(result),
        Err(errors) => Err(errors
            .into_iter()
            .next()
            .map_or(ConvertError::Missing("settings"), |error| {
                ConvertError::OutOfBounds {
                    field: format!("settings.{}", error.field),
                    value: error.value,
                    allowed: error.allowed.to_owned(),
                }
            })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_wire() {
        let settings = StreamSettings {
            duck_gain_db: 0.0,
            target_lang: "pt-BR".to_owned(),
            ..StreamSettings::default()
        };
        let back = settings_from_wire(Some(&settings_to_wire(&settings)), &StreamSettings::default());
        assert_eq!(back, Ok(settings));
    }

    #[test]
    fn what_the_sender_left_out_is_the_default() {
        let said = wire::StreamSettings {
            target_lang: "fr".to_owned(),
            ..Default::default()
        };
        let back = settings_from_wire(Some(&said), &StreamSettings::default());
        assert_eq!(
            back,
            Ok(StreamSettings {
                target_lang: "fr".to_owned(),
                ..StreamSettings::default()
            })
        );
    }

    #[test]
    fn a_hold_out_of_bounds_is_named() {
        let mut said = settings_to_wire(&StreamSettings::default());
        said.hold = Some(prost_types::Duration {
            seconds: 61,
            nanos: 0,
        });
        let error = settings_from_wire(Some(&said), &StreamSettings::default());
        assert_eq!(
            error.err().map(|error| error.field().to_owned()),
            Some("settings.hold".to_owned())
        );
    }
}
