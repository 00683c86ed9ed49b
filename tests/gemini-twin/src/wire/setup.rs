//! What a setup asks for, and what the service does not allow.

use super::Bye;
use serde_json::{Map, Value};
use std::time::Duration;

/// Languages that the translate family speaks.
const LANGUAGES: &str = "af ak sq am ar hy az eu be bn bg my ca zh zh-Hans zh-Hant cmn hr cs da nl en et fil fi fr gl \
    ka de el gu ha he hi hu is id it ja jv kn kk km rw ko lo lv lt mk ms ml mr mn ne no nb fa pl pt-BR pt-PT pt pa ro \
    ru sr sd si sk sl es su sw sv ta te th tr uk ur uz vi zu";
/// Voices of the dialogue family.
const VOICES: &str = "Achernar Achird Algenib Algieba Alnilam Aoede Autonoe Callirrhoe Charon Despina Enceladus Erinome \
    Fenrir Gacrux Iapetus Kore Laomedeia Leda Orus Puck Pulcherrima Rasalgethi Sadachbia Sadaltager Schedar Sulafat \
    Umbriel Vindemiatrix Zephyr Zubenelgenubi";
/// Models that are served, without their prefix.
const MODELS: &[&str] = &[
    "gemini-3.5-live-translate-preview",
    "gemini-3.8-live",
    "gemini-3.8-live-extended-thinking",
    "gemini-3.1-flash-live-preview",
    "gemini-2.5-flash-native-audio-preview-12-2025",
    "gemini-live-2.5-flash-native-audio",
];

/// What a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Interprets without turns.
    Translate,
    /// Answers in turns.
    Dialogue,
}

/// Who says where a turn of the speaker begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// The client.
    Manual,
    /// The service, after so much silence.
    Automatic(Duration),
}

/// A setup that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// As the client wrote it.
    pub model: String,
    /// By the model's name.
    pub family: Family,
    /// Language to translate into.
    pub target: Option<String>,
    /// Who cuts turns.
    pub activity: Activity,
    /// Speech interrupts an answer.
    pub interrupts: bool,
    /// What was heard is to be written down.
    pub input_text: bool,
    /// What is said is to be written down.
    pub output_text: bool,
    /// Session to go on with.
    pub handle: Option<String>,
    /// `sessionResumption` is there, with or without a handle.
    pub resumption: bool,
    /// `contextWindowCompression` is there.
    pub compression: bool,
    /// Content may be sent before the first sound (3.1).
    pub history: bool,
}

/// Value at a path.
fn at<'v>(body: &'v Map<String, Value>, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(body.get(*first)?, |value, name| value.get(name))
}

/// The same in either spelling: the SDK for Python spells what lies deeper with underscores.
fn either<'v>(value: &'v Value, camel: &str, snake: &str) -> Option<&'v Value> {
    value.get(camel).or_else(|| value.get(snake))
}

impl Setup {
    /// Reads the body of a `setup`, its names already in `camelCase`.
    ///
    /// # Errors
    /// The close with which the service answers it.
    pub fn read(body: &Map<String, Value>) -> Result<Self, Bye> {
        let model = body
            .get("model")
            .and_then(Value::as_str)
            .ok_or_else(Bye::invalid_argument)?
            .to_owned();
        let family = if model.contains("translate") {
            Family::Translate
        } else {
            Family::Dialogue
        };
        let detection = at(body, &["realtimeInputConfig", "automaticActivityDetection"]);
        let disabled = detection
            .and_then(|it| it.get("disabled"))
            .and_then(Value::as_bool)
            == Some(true);
        let silence_ms = detection
            .and_then(|it| it.get("silenceDurationMs"))
            .and_then(whole)
            .unwrap_or(800);
        let handling = at(body, &["realtimeInputConfig", "activityHandling"]).and_then(Value::as_str);
        let text = |path: &[&str]| at(body, path).and_then(Value::as_str).map(str::to_owned);
        let setup = Self {
            family,
            target: text(&["generationConfig", "translationConfig", "targetLanguageCode"])
                .or_else(|| at(body, &["generationConfig", "translationConfig"]).map(|_| "en".to_owned())),
            activity: if disabled {
                Activity::Manual
            } else {
                Activity::Automatic(Duration::from_millis(silence_ms.min(2_000)))
            },
            interrupts: handling != Some("NO_INTERRUPTION"),
            input_text: body.contains_key("inputAudioTranscription"),
            output_text: body.contains_key("outputAudioTranscription"),
            handle: text(&["sessionResumption", "handle"]).filter(|handle| !handle.is_empty()),
            resumption: body.contains_key("sessionResumption"),
            compression: body.contains_key("contextWindowCompression"),
            history: at(body, &["historyConfig", "initialHistoryInClientContent"]).and_then(Value::as_bool)
                == Some(true),
            model,
        };
        setup.allow(body)?;
        Ok(setup)
    }

    /// Name of the model, whatever stands before it.
    pub fn model_name(&self) -> &str {
        self.model.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the service has this model.
    pub fn is_served(&self, more: &[String]) -> bool {
        let name = self.model_name();
        MODELS.contains(&name) || more.iter().any(|model| model == name)
    }

    /// What the service refuses. The translate family takes every field of the dialogue family and ignores it.
    fn allow(&self, body: &Map<String, Value>) -> Result<(), Bye> {
        let modalities = at(body, &["generationConfig", "responseModalities"]).and_then(Value::as_array);
        let speaks = modalities.is_none_or(|list| list.iter().all(|it| it.as_str() == Some("AUDIO")));
        let language = self
            .target
            .as_deref()
            .is_none_or(|target| LANGUAGES.split(' ').any(|known| known == target));
        let allowed = match self.family {
            Family::Translate => speaks && language,
            Family::Dialogue => speaks && self.dialogue_allows(body),
        };
        if allowed {
            Ok(())
        } else {
            Err(Bye::invalid_argument())
        }
    }

    fn dialogue_allows(&self, body: &Map<String, Value>) -> bool {
        let voice = at(body, &["generationConfig", "speechConfig"])
            .and_then(|speech| either(speech, "voiceConfig", "voice_config"))
            .and_then(|voice| either(voice, "prebuiltVoiceConfig", "prebuilt_voice_config"))
            .and_then(|voice| either(voice, "voiceName", "voice_name"))
            .and_then(Value::as_str);
        let known_voice = voice.is_none_or(|name| VOICES.split(' ').any(|known| known == name));
        let newest = self.model_name().starts_with("gemini-3.8-live");
        let thinks = at(body, &["generationConfig", "thinkingConfig"]).is_some();
        let passive = at(body, &["proactivity", "proactiveAudio"]).and_then(Value::as_bool) == Some(false);
        known_voice && !(newest && (thinks || passive))
    }
}

/// An int64 of proto-JSON: a number, or a string that holds one.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<Setup, Bye> {
        Setup::read(body.as_object().unwrap())
    }

    #[test]
    fn the_two_families_are_told_by_the_model() {
        let translate = read(json!({"model": "models/gemini-3.5-live-translate-preview",
            "generationConfig": {"responseModalities": ["AUDIO"], "translationConfig": {"targetLanguageCode": "es"}}}))
        .unwrap();
        assert_eq!(
            (translate.family, translate.target.as_deref()),
            (Family::Translate, Some("es"))
        );
        let dialogue = read(json!({"model": "models/gemini-3.8-live",
            "realtimeInputConfig": {"automaticActivityDetection": {"disabled": true}, "activityHandling": "NO_INTERRUPTION"}}))
        .unwrap();
        assert_eq!(
            (dialogue.family, dialogue.activity),
            (Family::Dialogue, Activity::Manual)
        );
        assert!(!dialogue.interrupts);
    }

    #[test]
    fn what_the_service_does_not_allow_is_an_invalid_argument() {
        for body in [
            json!({"model": "models/gemini-3.5-live-translate-preview",
                "generationConfig": {"translationConfig": {"targetLanguageCode": "xx"}}}),
            json!({"model": "models/gemini-3.5-live-translate-preview",
                "generationConfig": {"responseModalities": ["TEXT"]}}),
            json!({"model": "models/gemini-3.8-live", "generationConfig": {"speechConfig":
                {"voice_config": {"prebuilt_voice_config": {"voice_name": "Nobody"}}}}}),
            json!({"model": "models/gemini-3.8-live", "generationConfig": {"thinkingConfig": {}}}),
            json!({"model": "models/gemini-3.8-live", "proactivity": {"proactiveAudio": false}}),
        ] {
            assert_eq!(read(body.clone()), Err(Bye::invalid_argument()), "{body}");
        }
    }
}
