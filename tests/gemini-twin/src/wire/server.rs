//! Server messages, as values; the wire's form is made at the very end.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use std::time::Duration;

/// Which surface speaks: names differ a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// generativelanguage.googleapis.com
    Developer,
    /// aiplatform.googleapis.com
    Vertex,
}

/// A message as it goes into a frame: two spaces, and a line end behind it.
pub fn frame(message: &Value) -> String {
    format!("{message:#}\n")
}

/// A duration of proto-JSON.
pub fn seconds(duration: Duration) -> String {
    let text = format!("{:.9}", duration.as_secs_f64());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}s")
}

/// The session stands.
pub fn setup_complete(surface: Surface, session: u64) -> Value {
    match surface {
        Surface::Developer => json!({"setupComplete": {}}),
        Surface::Vertex => {
            json!({"setupComplete": {"sessionId": format!("00000000-0000-4000-8000-{session:012}")}})
        }
    }
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn part(surface: Surface, data: String) -> Value {
    let kind = match surface {
        Surface::Developer => "audio/pcm;rate=24000",
        Surface::Vertex => "audio/pcm",
    };
    json!({"inlineData": {"mimeType": kind, "data": data}})
}

fn turn(surface: Surface, parts: Vec<Value>) -> Value {
    match surface {
        Surface::Developer => json!({"parts": parts}),
        Surface::Vertex => json!({"role": "model", "parts": parts}),
    }
}

/// Speech.
pub fn audio(surface: Surface, samples: &[i16]) -> Value {
    let parts = vec![part(surface, STANDARD.encode(bytes(samples)))];
    json!({"serverContent": {"modelTurn": turn(surface, parts)}})
}

/// The same speech in its oddest allowed form: a thought first, then two parts of an odd number of bytes each, in the
/// other alphabet, and a piece of transcript in the same message.
pub fn odd_audio(surface: Surface, samples: &[i16], text: &str) -> Value {
    let bytes = bytes(samples);
    let (one, two) = bytes.split_at((bytes.len() / 2) | 1);
    let parts = vec![
        json!({"text": "thinking about it", "thought": true}),
        part(surface, URL_SAFE.encode(one)),
        part(surface, URL_SAFE.encode(two)),
    ];
    json!({"serverContent": {"modelTurn": turn(surface, parts), "outputTranscription": {"text": text}}})
}

/// What was heard.
pub fn input_text(text: &str, language: &str) -> Value {
    json!({"serverContent": {"inputTranscription": {"text": text, "languageCode": language}}})
}

/// What is said.
pub fn output_text(text: &str, language: &str) -> Value {
    json!({"serverContent": {"outputTranscription": {"text": text, "languageCode": language}}})
}

/// A field of `serverContent` that is true.
pub fn flag(name: &str) -> Value {
    json!({"serverContent": {name: true}})
}

/// The end of a turn.
pub fn turn_complete(reason: Option<&str>, status: Option<&str>) -> Value {
    let mut content = json!({"turnComplete": true});
    if let Some(reason) = reason {
        content["turnCompleteReason"] = json!(reason);
    }
    if let Some(status) = status {
        content["interactionStatus"] = json!(status);
    }
    json!({"serverContent": content})
}

/// How usage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// As the surface does.
    #[default]
    Plain,
    /// Without counts inside the details, and under the other surface's names.
    Odd,
    /// Never.
    Silent,
}

/// Tokens, by direction; nothing where usage is not told.
pub fn usage(surface: Surface, usage: Usage, prompt: u64, response: u64) -> Option<Value> {
    let total = prompt + response;
    let plain = json!({
        "promptTokenCount": prompt, "responseTokenCount": response, "totalTokenCount": total,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": prompt}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": response}],
    });
    let vertex = json!({
        "promptTokenCount": prompt, "candidatesTokenCount": response, "totalTokenCount": total,
        "trafficType": "ON_DEMAND",
    });
    let metadata = match (usage, surface) {
        (Usage::Silent, _) => return None,
        (Usage::Plain, Surface::Developer) => plain,
        (Usage::Plain, Surface::Vertex) => vertex,
        (Usage::Odd, Surface::Developer) => json!({
            "totalTokenCount": total, "candidatesTokenCount": response,
            "promptTokensDetails": [{"modality": "AUDIO"}], "responseTokensDetails": [{"tokenCount": response}],
        }),
        (Usage::Odd, Surface::Vertex) => json!({}),
    };
    Some(json!({"usageMetadata": metadata}))
}

/// The connection will end.
pub fn go_away(time_left: Option<&str>) -> Value {
    match time_left {
        Some(left) => json!({"goAway": {"timeLeft": left}}),
        None => json!({"goAway": {}}),
    }
}

/// A handle to go on with, or, without one, that there is none at the moment.
pub fn resumption(handle: Option<&str>) -> Value {
    match handle {
        Some(handle) => json!({"sessionResumptionUpdate": {"newHandle": handle, "resumable": true}}),
        None => json!({"sessionResumptionUpdate": {}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_pretty_and_ends_with_a_line_end() {
        assert_eq!(
            frame(&setup_complete(Surface::Developer, 1)),
            "{\n  \"setupComplete\": {}\n}\n"
        );
    }

    #[test]
    fn durations_are_those_of_proto_json() {
        assert_eq!(seconds(Duration::from_secs(50)), "50s");
        assert_eq!(seconds(Duration::from_micros(49_999_999)), "49.999999s");
        assert_eq!(seconds(Duration::ZERO), "0s");
    }
}
