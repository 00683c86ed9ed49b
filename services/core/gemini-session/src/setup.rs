//! The first message of a connection.
use crate::config::{Config, Family};
use gemini_live::{
    ActivityDetection, ActivityHandling, ClientMessage, Content, ContextWindowCompression, GenerationConfig,
    Handle, Int64, Modality, PrebuiltVoice, RealtimeInputConfig, SessionResumption, Setup, SlidingWindow,
    SpeechConfig, TranscriptionConfig, TranslationConfig, VoiceConfig, translate_language,
};

/// What a setup leaves out after refusals without a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Nothing.
    #[default]
    Full,
    /// Resumption.
    NoResumption,
    /// Compression too.
    NoCompression,
    /// Transcription too.
    NoTranscription,
}

impl Step {
    /// The next step that leaves out something that is there; nothing when the setup is bare.
    pub(crate) fn next(self, config: &Config) -> Option<Self> {
        [Self::NoResumption, Self::NoCompression, Self::NoTranscription]
            .into_iter()
            .filter(|step| *step > self)
            .find(|step| match step {
                Self::Full => false,
                Self::NoResumption => config.resume,
                Self::NoCompression => config.compression_tokens.is_some(),
                Self::NoTranscription => config.transcription,
            })
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::NoResumption => 1,
            Self::NoCompression => 2,
            Self::NoTranscription => 3,
        }
    }
}

/// The setup of a connection.
pub(crate) fn message(config: &Config, step: Step, handle: Option<Handle>) -> ClientMessage {
    let transcription = config.transcription && step < Step::NoTranscription;
    let words = transcription.then(TranscriptionConfig::default);
    let resumption = (config.resume && step < Step::NoResumption).then_some(SessionResumption {
        handle,
        transparent: None,
    });
    let compression = config
        .compression_tokens
        .filter(|_| step < Step::NoCompression)
        .map(|(trigger, target)| ContextWindowCompression {
            trigger_tokens: Some(Int64(trigger.into())),
            sliding_window: Some(SlidingWindow {
                target_tokens: Some(Int64(target.into())),
            }),
        });
    let mut generation = GenerationConfig {
        response_modalities: Some(vec![Modality::Audio]),
        ..GenerationConfig::default()
    };
    let mut setup = Setup {
        model: config.model.clone(),
        session_resumption: resumption,
        input_audio_transcription: words.clone(),
        output_audio_transcription: words,
        context_window_compression: compression,
        ..Setup::default()
    };
    match &config.family {
        Family::Translate(translate) => {
            let tag = &translate.target_language;
            generation.translation_config = Some(TranslationConfig {
                target_language_code: Some(
                    translate_language(tag).map_or_else(|_| tag.clone(), str::to_owned),
                ),
                echo_target_language: Some(translate.echo_target_language),
            });
        }
        Family::Dialogue(dialogue) => {
            let voice = dialogue.voice.as_ref().map(|name| VoiceConfig {
                prebuilt_voice_config: Some(PrebuiltVoice {
                    voice_name: Some(name.clone()),
                }),
            });
            if voice.is_some() || dialogue.language.is_some() {
                generation.speech_config = Some(SpeechConfig {
                    language_code: dialogue.language.clone(),
                    voice_config: voice,
                });
            }
            setup.system_instruction = Some(Content::user(&dialogue.instruction));
            setup.realtime_input_config = Some(RealtimeInputConfig {
                automatic_activity_detection: Some(ActivityDetection {
                    disabled: Some(true),
                    ..ActivityDetection::default()
                }),
                activity_handling: Some(ActivityHandling::NoInterruption),
                ..RealtimeInputConfig::default()
            });
        }
    }
    setup.generation_config = Some(generation);
    ClientMessage::Setup(Box::new(setup))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use gemini_live::{Frame, encode};
    use std::time::Duration;

    fn text(message: &ClientMessage) -> String {
        match encode(message).unwrap() {
            Frame::Text(text) => text,
            Frame::Binary(_) => panic!("clients send text"),
        }
    }

    #[test]
    fn the_translate_setup_is_the_one_that_the_js_sdk_sends() {
        let mut config = Config::translate(
            "models/gemini-3.5-live-translate-preview",
            "es",
            Duration::from_secs(10),
        );
        config.resume = true;
        config.compression_tokens = Some((104_857, 52_428));
        assert_eq!(
            text(&message(&config, Step::Full, None)),
            r#"{"setup":{"model":"models/gemini-3.5-live-translate-preview","generationConfig":{"responseModalities":["AUDIO"],"translationConfig":{"targetLanguageCode":"es","echoTargetLanguage":false}},"sessionResumption":{},"inputAudioTranscription":{},"outputAudioTranscription":{},"contextWindowCompression":{"triggerTokens":"104857","slidingWindow":{"targetTokens":"52428"}}}}"#
        );
    }

    #[test]
    fn the_dialogue_setup_turns_the_servers_own_ears_off() {
        let mut config = Config::dialogue(
            "models/gemini-3.8-live",
            "Interpret into Spanish.",
            Duration::from_secs(15),
        );
        config.compression_tokens = None;
        if let Family::Dialogue(dialogue) = &mut config.family {
            dialogue.voice = Some("Kore".to_owned());
        }
        assert_eq!(
            text(&message(&config, Step::Full, None)),
            r#"{"setup":{"model":"models/gemini-3.8-live","generationConfig":{"responseModalities":["AUDIO"],"speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"Kore"}}}},"systemInstruction":{"parts":[{"text":"Interpret into Spanish."}],"role":"user"},"inputAudioTranscription":{},"outputAudioTranscription":{},"realtimeInputConfig":{"automaticActivityDetection":{"disabled":true},"activityHandling":"NO_INTERRUPTION"}}}"#
        );
    }

    #[test]
    fn each_step_leaves_out_something_that_was_there_and_the_last_has_no_next() {
        let mut config = Config::translate("m", "es", Duration::from_secs(10));
        config.resume = true;
        config.compression_tokens = Some((100, 50));
        let mut step = Step::Full;
        let mut lengths = vec![text(&message(&config, step, None)).len()];
        while let Some(next) = step.next(&config) {
            step = next;
            lengths.push(text(&message(&config, step, None)).len());
        }
        assert_eq!(lengths.len(), 4);
        assert!(lengths.windows(2).all(|pair| pair[1] < pair[0]), "{lengths:?}");
        let bare = Config {
            transcription: false,
            ..Config::translate("m", "es", Duration::from_secs(10))
        };
        assert_eq!(Step::Full.next(&bare), None);
    }
}
