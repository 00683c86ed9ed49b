//! Which names a client message may have, and where: proto-JSON takes `camelCase` and `snake_case`, and nothing else.

use super::Bye;
use serde_json::{Map, Value};

/// What may stand at a place.
#[derive(Debug)]
enum Shape {
    /// Anything: the twin does not look into it.
    Any,
    /// An object with these names, in `camelCase`.
    Object(&'static [(&'static str, Shape)]),
}

use Shape::{Any, Object};

const BLOB: Shape = Object(&[("data", Any), ("mimeType", Any), ("displayName", Any)]);
const TRANSCRIPTION: Shape = Object(&[
    ("languageCodes", Any),
    ("customVocabulary", Any),
    ("wordTimestamp", Any),
    ("interimTranscriptTimestampEnabled", Any),
    ("diarization", Any),
    ("mode", Any),
    ("sourceText", Any),
    ("languageAuto", Any),
    ("languageHints", Any),
    ("adaptationPhrases", Any),
]);
const GENERATION: Shape = Object(&[
    ("responseModalities", Any),
    (
        "translationConfig",
        Object(&[("targetLanguageCode", Any), ("echoTargetLanguage", Any)]),
    ),
    ("speechConfig", Any),
    ("thinkingConfig", Any),
    ("enableAffectiveDialog", Any),
    ("temperature", Any),
    ("topP", Any),
    ("topK", Any),
    ("maxOutputTokens", Any),
    ("seed", Any),
    ("mediaResolution", Any),
    ("candidateCount", Any),
    ("stopSequences", Any),
    ("presencePenalty", Any),
    ("frequencyPenalty", Any),
    ("responseMimeType", Any),
    ("responseSchema", Any),
]);
const DETECTION: Shape = Object(&[
    ("disabled", Any),
    ("startOfSpeechSensitivity", Any),
    ("endOfSpeechSensitivity", Any),
    ("prefixPaddingMs", Any),
    ("silenceDurationMs", Any),
]);
const SETUP: Shape = Object(&[
    ("model", Any),
    ("generationConfig", GENERATION),
    ("systemInstruction", Any),
    ("tools", Any),
    ("inputAudioTranscription", TRANSCRIPTION),
    ("outputAudioTranscription", TRANSCRIPTION),
    (
        "realtimeInputConfig",
        Object(&[
            ("automaticActivityDetection", DETECTION),
            ("activityHandling", Any),
            ("turnCoverage", Any),
        ]),
    ),
    (
        "sessionResumption",
        Object(&[("handle", Any), ("transparent", Any)]),
    ),
    (
        "contextWindowCompression",
        Object(&[
            ("triggerTokens", Any),
            ("slidingWindow", Object(&[("targetTokens", Any)])),
        ]),
    ),
    ("proactivity", Object(&[("proactiveAudio", Any)])),
    ("historyConfig", Object(&[("initialHistoryInClientContent", Any)])),
    ("explicitVadSignal", Any),
    ("safetySettings", Any),
    ("labels", Any),
    ("avatarConfig", Any),
]);
const REALTIME: Shape = Object(&[
    ("audio", BLOB),
    ("video", BLOB),
    ("mediaChunks", Any),
    ("text", Any),
    ("audioStreamEnd", Any),
    ("activityStart", Any),
    ("activityEnd", Any),
]);
const MESSAGE: Shape = Object(&[
    ("setup", SETUP),
    ("clientContent", Object(&[("turns", Any), ("turnComplete", Any)])),
    ("realtimeInput", REALTIME),
    ("toolResponse", Any),
    ("contextUpdate", Any),
]);

/// `snake_case` as `camelCase`; what is `camelCase` already stays.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        if letter == '_' {
            raise = !out.is_empty();
        } else if raise {
            out.extend(letter.to_uppercase());
            raise = false;
        } else {
            out.push(letter);
        }
    }
    out
}

/// `camelCase` as `snake_case`, as the service writes places.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() {
            out.push('_');
            out.extend(letter.to_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

/// The message with all known names in `camelCase`.
///
/// # Errors
/// The close with which the service answers a name that it does not know.
pub fn normalise(message: &Map<String, Value>) -> Result<Map<String, Value>, Bye> {
    object(message, &MESSAGE, "")
}

fn object(given: &Map<String, Value>, shape: &Shape, place: &str) -> Result<Map<String, Value>, Bye> {
    let Object(names) = shape else {
        return Ok(given.clone());
    };
    let mut out = Map::new();
    for (name, value) in given {
        let proper = camel(name);
        let Some((_, inner)) = names.iter().find(|(known, _)| *known == proper) else {
            return Err(Bye::unknown_name(name, place));
        };
        let value = match value.as_object() {
            Some(map) => {
                let below = if place.is_empty() {
                    snake(&proper)
                } else {
                    format!("{place}.{}", snake(&proper))
                };
                Value::Object(object(map, inner, &below)?)
            }
            None => value.clone(),
        };
        out.insert(proper, value);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn check(message: Value) -> Result<Map<String, Value>, Bye> {
        normalise(message.as_object().unwrap())
    }

    #[test]
    fn both_spellings_are_the_same_message() {
        let snake =
            check(json!({"realtime_input": {"audio": {"data": "", "mime_type": "audio/pcm"}}})).unwrap();
        let camel =
            check(json!({"realtimeInput": {"audio": {"data": "", "mimeType": "audio/pcm"}}})).unwrap();
        assert_eq!(snake, camel);
    }

    #[test]
    fn a_name_in_the_wrong_place_is_refused_in_the_words_of_the_service() {
        let nested = json!({"setup": {"model": "m", "generationConfig": {"inputAudioTranscription": {}}}});
        assert_eq!(
            check(nested).unwrap_err().reason,
            "Invalid JSON payload received. Unknown name \"inputAudioTranscription\" at 'setup.generation_config': \
             Cannot find field."
        );
        assert_eq!(
            check(json!({"hello": {}})).unwrap_err().reason,
            "Invalid JSON payload received. Unknown name \"hello\": Cannot find field."
        );
    }
}
