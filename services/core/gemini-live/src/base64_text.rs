//! Bytes in JSON: standard base64 out, either alphabet with or without padding in.
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serializer};

/// Lenient on the way in only: padding is written, and not asked for.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Bytes> {
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text.trim_end()).ok().map(Bytes::from)
}

pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode(&text).ok_or_else(|| serde::de::Error::custom("no base64"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_alphabets_with_and_without_padding_give_the_same_bytes() {
        let bytes = [0x00, 0x01, 0xfb, 0xff, 0xfe, 0x3e, 0x7f, 0xff];
        assert_eq!(encode(&bytes), "AAH7//4+f/8=");
        for text in ["AAH7//4+f/8=", "AAH7//4+f/8", "AAH7__4-f_8=", "AAH7__4-f_8"] {
            assert_eq!(decode(text).unwrap(), bytes.as_slice(), "{text}");
        }
        assert_eq!(decode("not base64!"), None);
    }
}
