//! What the client sends, compared with what Google's own SDKs send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use bytes::Bytes;
use gemini_live::{
    ActivityDetection, ActivityHandling, ClientMessage, Content, ContextWindowCompression, Empty, Frame,
    GenerationConfig, Int64, Modality, PrebuiltVoice, RealtimeInput, RealtimeInputConfig, SessionResumption,
    Setup, SlidingWindow, SpeechConfig, TranscriptionConfig, TranslationConfig, VoiceConfig, encode,
};
use serde_json::{Map, Value};

const JS: [&str; 2] = [
    include_str!("../testdata/js_sdk_2.32.0_all.json"),
    include_str!("../testdata/js_sdk_2.32.0_camelcase_full.json"),
];

const PYTHON: [&str; 16] = [
    include_str!("../testdata/python_sdk_3.4.0/A1_translate_minimal.json"),
    include_str!("../testdata/python_sdk_3.4.0/A2_translate_official_example_plus_audio.json"),
    include_str!("../testdata/python_sdk_3.4.0/A3_translate_resumption_new_and_compression.json"),
    include_str!("../testdata/python_sdk_3.4.0/A4_translate_resume_with_handle.json"),
    include_str!("../testdata/python_sdk_3.4.0/A5_translate_transcription_options.json"),
    include_str!("../testdata/python_sdk_3.4.0/A7_translate_v1alpha.json"),
    include_str!("../testdata/python_sdk_3.4.0/A8_translate_ephemeral_token.json"),
    include_str!("../testdata/python_sdk_3.4.0/A9_translate_vertex.json"),
    include_str!("../testdata/python_sdk_3.4.0/B1_dialogue_auto_vad_no_interruption.json"),
    include_str!("../testdata/python_sdk_3.4.0/B2_dialogue_manual_activity.json"),
    include_str!("../testdata/python_sdk_3.4.0/B3_dialogue_31_thinking_history.json"),
    include_str!("../testdata/python_sdk_3.4.0/B4_dialogue_25_proactive_affective_v1alpha.json"),
    include_str!("../testdata/python_sdk_3.4.0/B5_dialogue_vertex_oauth_transparent.json"),
    include_str!("../testdata/python_sdk_3.4.0/B6_context_update.json"),
    include_str!("../testdata/python_sdk_3.4.0/B7_live_model_labels_safety.json"),
    include_str!("../testdata/python_sdk_3.4.0/B8_default_config.json"),
];

/// The capture that nests a whole generation configuration in snake case.
const PYTHON_NESTED: &str = include_str!("../testdata/python_sdk_3.4.0/B9_generation_config_nested.json");

fn text(message: &ClientMessage) -> String {
    match encode(message).unwrap() {
        Frame::Text(text) => text,
        Frame::Binary(_) => panic!("clients send text"),
    }
}

/// Frames of a capture, as they were sent.
fn payloads(capture: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(capture).unwrap();
    let sessions = match value {
        Value::Array(sessions) => sessions,
        session @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![session]
        }
    };
    sessions
        .iter()
        .flat_map(|session| session["frames"].as_array().unwrap().clone())
        .map(|frame| frame["payload"].as_str().unwrap().to_owned())
        .collect()
}

/// A model closes the connection on it: there is no type that could send it.
fn is_media_chunks(payload: &str) -> bool {
    payload.contains("mediaChunks")
}

#[test]
fn every_frame_that_the_js_sdk_sends_is_written_byte_for_byte() {
    let mut seen = 0;
    for payload in JS.iter().flat_map(|capture| payloads(capture)) {
        if is_media_chunks(&payload) {
            assert!(serde_json::from_str::<ClientMessage>(&payload).is_err());
            continue;
        }
        let message: ClientMessage =
            serde_json::from_str(&payload).unwrap_or_else(|error| panic!("{payload}: {error}"));
        assert_eq!(text(&message), payload);
        seen += 1;
    }
    assert_eq!(seen, 18);
}

fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let mut out = words.next().unwrap().to_owned();
    for word in words {
        out.extend(word.chars().take(1).map(|c| c.to_ascii_uppercase()));
        out.extend(word.chars().skip(1));
    }
    out
}

/// A Python capture in the spelling of the JS SDK: camel case, 64-bit integers as strings, standard base64.
fn respelled(value: Value, key: &str) -> Value {
    match value {
        Value::Object(map) if key == "labels" => Value::Object(map),
        Value::Object(map) => {
            let renamed: Map<String, Value> = map
                .into_iter()
                .map(|(key, value)| (camel(&key), value))
                .map(|(key, value)| (key.clone(), respelled(value, &key)))
                .collect();
            Value::Object(renamed)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|value| respelled(value, "")).collect()),
        Value::Number(number) if key == "triggerTokens" || key == "targetTokens" => {
            Value::String(number.to_string())
        }
        Value::String(data) if key == "data" => Value::String(data.replace('-', "+").replace('_', "/")),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[test]
fn every_message_that_the_python_sdk_sends_can_be_said_in_the_js_spelling() {
    let mut seen = 0;
    for payload in PYTHON
        .iter()
        .chain([&PYTHON_NESTED])
        .flat_map(|capture| payloads(capture))
    {
        if is_media_chunks(&payload) {
            continue;
        }
        let wanted = respelled(serde_json::from_str(&payload).unwrap(), "");
        let message: ClientMessage =
            serde_json::from_value(wanted.clone()).unwrap_or_else(|error| panic!("{payload}: {error}"));
        // The order of keys is free here: the two SDKs write in different orders.
        assert_eq!(serde_json::from_str::<Value>(&text(&message)).unwrap(), wanted);
        seen += 1;
    }
    assert_eq!(seen, 35);
}

#[test]
fn every_canonical_client_message_is_written_as_it_stands_there() {
    let mut left_out = Vec::new();
    for line in include_str!("../testdata/client_canonical.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["name"].as_str().unwrap();
        match serde_json::from_value::<ClientMessage>(line["message"].clone()) {
            Ok(message) => {
                assert_eq!(
                    serde_json::from_str::<Value>(&text(&message)).unwrap(),
                    line["message"],
                    "{name}"
                );
            }
            Err(_) => left_out.push(name.to_owned()),
        }
    }
    // The first ends the connection, the second is another SDK's spelling.
    assert_eq!(left_out, ["legacy_media_chunks", "py_audio_urlsafe_snake"]);
}

#[test]
fn a_translate_setup_built_here_is_the_captured_one() {
    let setup = Setup {
        model: "models/gemini-3.5-live-translate-preview".to_owned(),
        generation_config: Some(GenerationConfig {
            response_modalities: Some(vec![Modality::Audio]),
            translation_config: Some(TranslationConfig {
                target_language_code: Some("es".to_owned()),
                echo_target_language: Some(false),
            }),
            ..GenerationConfig::default()
        }),
        session_resumption: Some(SessionResumption::default()),
        input_audio_transcription: Some(TranscriptionConfig::default()),
        output_audio_transcription: Some(TranscriptionConfig::default()),
        context_window_compression: Some(ContextWindowCompression {
            trigger_tokens: Some(Int64(104_857)),
            sliding_window: Some(SlidingWindow {
                target_tokens: Some(Int64(52_428)),
            }),
        }),
        ..Setup::default()
    };
    let captured = payloads(JS[0]);
    assert_eq!(text(&ClientMessage::Setup(Box::new(setup))), captured[0]);
    let pcm = Bytes::from_static(&[0x00, 0x01, 0xfb, 0xff, 0xfe, 0x3e, 0x7f, 0xff]);
    assert_eq!(text(&ClientMessage::audio(pcm)), captured[1]);
    let end = ClientMessage::RealtimeInput(RealtimeInput::AudioStreamEnd(true));
    assert_eq!(text(&end), captured[2]);
}

#[test]
fn a_dialogue_with_manual_windows_built_here_is_the_captured_one() {
    let setup = Setup {
        model: "models/gemini-3.8-live".to_owned(),
        generation_config: Some(GenerationConfig {
            response_modalities: Some(vec![Modality::Audio]),
            speech_config: Some(SpeechConfig {
                language_code: None,
                voice_config: Some(VoiceConfig {
                    prebuilt_voice_config: Some(PrebuiltVoice {
                        voice_name: Some("Kore".to_owned()),
                    }),
                }),
            }),
            ..GenerationConfig::default()
        }),
        system_instruction: Some(Content::user("Interpret into Spanish.")),
        input_audio_transcription: Some(TranscriptionConfig::default()),
        output_audio_transcription: Some(TranscriptionConfig::default()),
        realtime_input_config: Some(RealtimeInputConfig {
            automatic_activity_detection: Some(ActivityDetection {
                disabled: Some(true),
                ..ActivityDetection::default()
            }),
            activity_handling: Some(ActivityHandling::NoInterruption),
            ..RealtimeInputConfig::default()
        }),
        ..Setup::default()
    };
    let captured = payloads(JS[0]);
    assert_eq!(text(&ClientMessage::Setup(Box::new(setup))), captured[3]);
    let start = ClientMessage::RealtimeInput(RealtimeInput::ActivityStart(Empty {}));
    let end = ClientMessage::RealtimeInput(RealtimeInput::ActivityEnd(Empty {}));
    assert_eq!(
        (text(&start), text(&end)),
        (captured[4].clone(), captured[6].clone())
    );
}

#[test]
fn transcription_is_asked_for_at_setup_level_and_can_be_asked_for_nowhere_else() {
    let nested = r#"{"setup":{"model":"m","generationConfig":{"inputAudioTranscription":{}}}}"#;
    assert!(serde_json::from_str::<ClientMessage>(nested).is_err());
}

#[test]
fn what_a_client_message_holds_is_not_printed() {
    let message = r#"{"setup":{"model":"m","systemInstruction":{"parts":[{"text":"PRIVATE"}],"role":"user"},"sessionResumption":{"handle":"PRIVATE"}}}"#;
    let message: ClientMessage = serde_json::from_str(message).unwrap();
    assert!(!format!("{message:?}").contains("PRIVATE"), "{message:?}");
    let text = r#"{"realtimeInput":{"text":"PRIVATE"}}"#;
    let text: ClientMessage = serde_json::from_str(text).unwrap();
    assert!(!format!("{text:?}").contains("PRIVATE"), "{text:?}");
    let audio = format!("{:?}", ClientMessage::audio(Bytes::from_static(b"PRIVATE!")));
    assert!(audio.contains("8 bytes") && !audio.contains("PRIVATE"), "{audio}");
}
