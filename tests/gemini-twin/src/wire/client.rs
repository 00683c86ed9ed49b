//! Client messages, in every spelling that Google's SDKs use.

use super::setup::Setup;
use super::{Bye, schema};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// Sample rates that are taken.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// One client message.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    /// The first message.
    Setup(Box<Setup>),
    /// Sound, mono, and its rate.
    Audio {
        /// Samples.
        samples: Vec<i16>,
        /// Hertz.
        rate: u32,
        /// It came as `mediaChunks`, which new models refuse.
        legacy: bool,
    },
    /// The source pauses.
    AudioStreamEnd,
    /// A manual window opens.
    ActivityStart,
    /// A manual window closes.
    ActivityEnd,
    /// Text as realtime input.
    Text,
    /// Turns of a conversation.
    Content {
        /// The model is to answer.
        turn_complete: bool,
    },
    /// Anything that an interpreter does not use: it is taken and has no effect.
    Other,
}

/// Reads one frame.
///
/// # Errors
/// The close with which the service answers it.
pub fn parse(frame: &[u8]) -> Result<ClientMessage, Bye> {
    let Ok(Value::Object(given)) = serde_json::from_slice::<Value>(frame) else {
        return Err(Bye::new(1007, "Invalid JSON payload received."));
    };
    let message = schema::normalise(&given)?;
    let mut members = message.iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else {
        return Err(Bye::invalid_argument());
    };
    let body = value.as_object().ok_or_else(Bye::invalid_argument)?;
    match name.as_str() {
        "setup" => Ok(ClientMessage::Setup(Box::new(Setup::read(body)?))),
        "realtimeInput" => realtime(body),
        "clientContent" => Ok(ClientMessage::Content {
            turn_complete: body.get("turnComplete").and_then(Value::as_bool) == Some(true),
        }),
        _ => Ok(ClientMessage::Other),
    }
}

fn realtime(body: &Map<String, Value>) -> Result<ClientMessage, Bye> {
    if let Some(blob) = body.get("audio") {
        return audio(blob, false);
    }
    if let Some(chunks) = body.get("mediaChunks") {
        return audio(chunks.get(0).unwrap_or(&Value::Null), true);
    }
    if body.get("audioStreamEnd").and_then(Value::as_bool) == Some(true) {
        return Ok(ClientMessage::AudioStreamEnd);
    }
    if body.contains_key("activityStart") {
        return Ok(ClientMessage::ActivityStart);
    }
    if body.contains_key("activityEnd") {
        return Ok(ClientMessage::ActivityEnd);
    }
    Ok(if body.contains_key("text") {
        ClientMessage::Text
    } else {
        ClientMessage::Other
    })
}

fn audio(blob: &Value, legacy: bool) -> Result<ClientMessage, Bye> {
    let text = |name: &str, other: &str| blob.get(name).or_else(|| blob.get(other)).and_then(Value::as_str);
    let data = text("data", "data").ok_or_else(Bye::invalid_argument)?;
    let kind = text("mimeType", "mime_type").unwrap_or("audio/pcm");
    if !kind.starts_with("audio/pcm") {
        return Err(Bye::invalid_argument());
    }
    let rate = match kind.split("rate=").nth(1) {
        Some(rate) => rate.trim().parse().map_err(|_| Bye::invalid_argument())?,
        None => 16_000,
    };
    let data: String = data.chars().map(standard).collect();
    let bytes = STANDARD.decode(data).map_err(|_| Bye::invalid_argument())?;
    if !RATES.contains(&rate) {
        return Err(Bye::invalid_argument());
    }
    let samples = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| i16::from_le_bytes(*pair))
        .collect();
    Ok(ClientMessage::Audio {
        samples,
        rate,
        legacy,
    })
}

/// A letter of the URL-safe alphabet in the standard one.
fn standard(letter: char) -> char {
    match letter {
        '-' => '+',
        '_' => '/',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_base64_alphabets_and_both_spellings_carry_the_same_sound() {
        let python = br#"{"realtime_input": {"audio": {"data": "AAH7__4-f_8=", "mime_type": "audio/pcm;rate=16000"}}}"#;
        let js = br#"{"realtimeInput":{"audio":{"data":"AAH7//4+f/8=","mimeType":"audio/pcm;rate=16000"}}}"#;
        let bare = br#"{"realtimeInput":{"audio":{"data":"AAH7//4+f/8","mimeType":"audio/pcm"}}}"#;
        assert_eq!(parse(python).unwrap(), parse(js).unwrap());
        assert_eq!(parse(python).unwrap(), parse(bare).unwrap());
        let ClientMessage::Audio {
            samples,
            rate,
            legacy,
        } = parse(js).unwrap()
        else {
            unreachable!()
        };
        assert_eq!(
            (samples, rate, legacy),
            (vec![256, -5, 16_126, -129], 16_000, false)
        );
    }

    #[test]
    fn a_message_with_two_members_or_none_is_refused() {
        for frame in [
            &br#"{}"#[..],
            br#"{"setup":{"model":"m"},"realtimeInput":{}}"#,
            br#"[]"#,
            b"hello",
        ] {
            assert_eq!(parse(frame).unwrap_err().code, 1007);
        }
    }
}
