//! What the server says, in every shape that was seen or reported.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use bytes::Bytes;
use gemini_live::{
    DecodeError, Decoder, Frame, InteractionStatus, Part, ServerContent, ServerMessage, TokenModality,
    TurnCompleteReason,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Every captured server message with its name. Where a capture says only that there was sound, there is sound.
fn captured() -> BTreeMap<String, Value> {
    let sound = |value: &Value| {
        let text = serde_json::to_string(value).unwrap();
        serde_json::from_str(
            &text
                .replace("<base64 pcm s16le 24k mono>", "AQACAA==")
                .replace("<base64 pcm s16le 24k>", "AQACAA=="),
        )
        .unwrap()
    };
    let mut messages: BTreeMap<String, Value> = include_str!("../testdata/server_canonical.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["name"].as_str().unwrap().to_owned(), sound(&line["message"])))
        .collect();
    let parsed: Value =
        serde_json::from_str(include_str!("../testdata/server_messages_sdk_parse.json")).unwrap();
    for (name, entry) in parsed["results"].as_object().unwrap() {
        messages.insert(format!("sdk_{name}"), sound(&entry["message"]));
    }
    messages
}

/// As the service sends: pretty-printed, a newline behind, in a binary frame.
fn binary(value: &Value) -> Frame {
    Frame::Binary(Bytes::from(serde_json::to_string_pretty(value).unwrap() + "\n"))
}

fn read(json: &str) -> (ServerMessage, Vec<String>) {
    let decoded = Decoder::default().decode(&Frame::Text(json.to_owned())).unwrap();
    (decoded.message, decoded.unknown)
}

fn named(name: &str) -> ServerMessage {
    let message = captured().remove(name).unwrap_or_else(|| panic!("no {name}"));
    Decoder::default().decode(&binary(&message)).unwrap().message
}

fn content(name: &str) -> ServerContent {
    named(name).content.unwrap()
}

#[test]
fn every_captured_message_is_read_alike_from_binary_and_text_frames() {
    let messages = captured();
    assert_eq!(messages.len(), 34 + 35);
    let mut with_unknown = Vec::new();
    for (name, message) in &messages {
        let from_binary = Decoder::default().decode(&binary(message)).unwrap();
        let from_text = Decoder::default()
            .decode(&Frame::Text(message.to_string()))
            .unwrap();
        assert_eq!(from_binary, from_text, "{name}");
        if !from_binary.unknown.is_empty() {
            with_unknown.push((name.as_str(), from_binary.unknown.join(", ")));
        }
        let said_something = from_binary.message != ServerMessage::default();
        let nothing_in_it =
            ["unknown_top_level", "sdk_unknown_toplevel", "sdk_empty"].contains(&name.as_str());
        assert_eq!(said_something, !nothing_in_it, "{name}");
    }
    let unknown = [
        (
            "sdk_turn_complete_reason_unknown",
            "serverContent.turnCompleteReason = BRAND_NEW_REASON",
        ),
        ("sdk_unknown_inside", "serverContent.brandNewField"),
        ("sdk_unknown_toplevel", "somethingNew"),
        ("sdk_voice_activity_altname", "voiceActivity.voiceActivityType"),
        (
            "turn_complete_unknown_reason",
            "serverContent.turnCompleteReason = SOMETHING_NEW",
        ),
        ("unknown_top_level", "somethingNew"),
    ];
    let with_unknown: Vec<(&str, &str)> = with_unknown
        .iter()
        .map(|(name, paths)| (*name, paths.as_str()))
        .collect();
    assert_eq!(with_unknown, unknown);
}

#[test]
fn setup_and_sound_are_read_on_both_surfaces() {
    assert_eq!(
        named("setup_complete_dev").setup_complete.unwrap().session_id,
        None
    );
    let vertex = named("setup_complete_vertex").setup_complete.unwrap();
    assert_eq!(vertex.session_id.unwrap(), "00000000-0000-4000-8000-000000000000");
    let sound = Part::Audio {
        pcm: Bytes::from_static(&[1, 0, 2, 0]),
        rate_hz: 24_000,
        thought: false,
    };
    assert_eq!(content("audio_dev").parts, std::slice::from_ref(&sound));
    assert_eq!(content("audio_vertex").parts, std::slice::from_ref(&sound));
    let bundle = content("bundle_audio_and_transcript");
    assert_eq!(bundle.parts, [sound.clone(), sound]);
    assert_eq!(bundle.output_transcription.unwrap().text, " hola");
}

#[test]
fn words_keep_their_leading_space_and_may_be_missing() {
    let heard = content("input_transcription").input_transcription.unwrap();
    assert_eq!(
        (heard.text.as_str(), heard.language.as_deref()),
        (" hello", Some("en"))
    );
    let language_only = content("input_transcription_lang_only")
        .input_transcription
        .unwrap();
    assert_eq!(
        (language_only.text.as_str(), language_only.language.as_deref()),
        ("", Some("en"))
    );
    assert_eq!(
        content("output_transcription_empty")
            .output_transcription
            .unwrap()
            .text,
        ""
    );
    assert!(
        content("output_transcription_finished")
            .output_transcription
            .unwrap()
            .finished
    );
    assert_eq!(
        content("interim_input_transcription")
            .interim_input_transcription
            .unwrap()
            .text,
        "hel"
    );
    assert_eq!(content("empty_server_content"), ServerContent::default());
    let thought = Part::Text {
        text: "...".to_owned(),
        thought: true,
    };
    assert_eq!(content("thought_part").parts, [thought]);
}

#[test]
fn every_mark_of_a_turn_is_read() {
    assert!(content("generation_complete").generation_complete);
    assert!(content("turn_complete_with_usage").turn_complete);
    assert!(content("interrupted").interrupted);
    assert!(content("waiting_for_input").waiting_for_input);
    let rejected = content("turn_complete_rejected");
    assert_eq!(
        rejected.turn_complete_reason,
        Some(TurnCompleteReason::ResponseRejected)
    );
    let new = content("turn_complete_unknown_reason");
    assert_eq!(
        new.turn_complete_reason,
        Some(TurnCompleteReason::Other("SOMETHING_NEW".to_owned()))
    );
    let status = |name| content(name).interaction_status;
    assert_eq!(
        status("turn_complete_in_progress"),
        Some(InteractionStatus::InProgress)
    );
    assert_eq!(status("turn_complete_idle"), Some(InteractionStatus::Idle));
}

#[test]
fn usage_is_read_in_both_surfaces_names_and_with_counts_missing() {
    let turn = named("sdk_turn_complete_usage");
    assert!(turn.content.unwrap().turn_complete, "usage is a sibling");
    let usage = turn.usage.unwrap();
    assert_eq!(
        (usage.prompt, usage.response, usage.total),
        (Some(515), Some(31), Some(546))
    );
    let kinds: Vec<_> = usage
        .prompt_details
        .iter()
        .map(|it| (it.modality, it.count))
        .collect();
    assert_eq!(
        kinds,
        [(TokenModality::Text, Some(500)), (TokenModality::Audio, Some(15))]
    );
    let increment = named("usage_only_increment").usage.unwrap();
    assert_eq!(increment.response_details[0].count, None);
    let vertex = named("usage_vertex_names").usage.unwrap();
    assert_eq!((vertex.prompt, vertex.response), (Some(25), Some(10)));
    let (as_text, _) = read(r#"{"usageMetadata":{"promptTokenCount":"25","totalTokenCount":25.0}}"#);
    let usage = as_text.usage.unwrap();
    assert_eq!((usage.prompt, usage.total), (Some(25), Some(25)));
}

#[test]
fn a_go_away_may_be_whole_fractional_or_silent_about_the_time_left() {
    let left = |name| named(name).go_away.unwrap().time_left;
    assert_eq!(left("go_away"), Some(Duration::from_secs(50)));
    assert_eq!(
        left("go_away_fraction"),
        Some(Duration::from_nanos(49_999_999_000))
    );
    assert_eq!(left("go_away_empty"), None);
}

#[test]
fn only_a_resumable_update_with_a_handle_is_usable() {
    let update = |name| named(name).resumption.unwrap();
    assert!(update("resumption_update").usable().is_some());
    assert!(update("resumption_update_not_resumable").usable().is_none());
    assert_eq!(
        update("resumption_update_transparent").last_consumed_client_message,
        Some(42)
    );
    let (empty, _) = read(r#"{"sessionResumptionUpdate":{"newHandle":"","resumable":true}}"#);
    assert!(empty.resumption.unwrap().usable().is_none());
}

#[test]
fn complaints_and_tool_calls_are_tolerated() {
    for name in [
        "error_object_top_level_code",
        "error_object_nested",
        "sdk_error_obj",
    ] {
        let error = named(name).error.unwrap();
        assert_eq!(
            (error.code, error.status.as_str()),
            (Some(429), "RESOURCE_EXHAUSTED"),
            "{name}"
        );
    }
    assert_eq!(named("tool_call").tool_calls, ["f"]);
    let voice = named("voice_activity").voice_activity.unwrap();
    assert_eq!(
        (voice.kind.as_str(), voice.offset),
        ("ACTIVITY_START", Some(Duration::from_millis(1500)))
    );
    assert_eq!(
        named("sdk_vad_signal").voice_activity.unwrap().kind,
        "VAD_SIGNAL_TYPE_SOS"
    );
}

#[test]
fn a_field_of_another_type_costs_itself_and_nothing_else() {
    let (message, unknown) = read(
        r#"{"serverContent":{"turnComplete":"yes","outputTranscription":{"text":7,"languageCode":"es"},
            "modelTurn":{"parts":[3,{"inlineData":{"mimeType":"audio/pcm","data":"!!"}},{"text":"ok"}]}},
            "goAway":null,"usageMetadata":[]}"#,
    );
    let content = message.content.unwrap();
    assert_eq!(
        content.output_transcription.unwrap().language.as_deref(),
        Some("es")
    );
    assert_eq!(content.parts.len(), 2);
    assert_eq!((message.go_away, message.usage), (None, None));
    assert_eq!(
        unknown,
        [
            "serverContent.modelTurn.parts[] (type)",
            "serverContent.modelTurn.parts[].inlineData.data (content)",
            "serverContent.outputTranscription.text (type)",
            "serverContent.turnComplete (type)",
            "usageMetadata (type)",
        ]
    );
}

#[test]
fn an_unknown_path_is_named_once_and_paths_are_bounded_in_length_and_number() {
    let mut decoder = Decoder::default();
    let mut named = |json: &str| decoder.decode(&Frame::Text(json.to_owned())).unwrap().unknown;
    assert_eq!(named(r#"{"new":1}"#), ["new"]);
    assert_eq!(named(r#"{"new":2}"#), Vec::<String>::new());
    let long = named(&format!(r#"{{"{}":1}}"#, "ä".repeat(10_000)));
    assert!(long[0].len() < 10_000, "{} bytes", long[0].len());
    let mut total = 0;
    for number in 0..10_000 {
        total += named(&format!(r#"{{"key{number}":1}}"#)).len();
    }
    assert!((100..300).contains(&total), "{total}");
}

#[test]
fn what_is_no_message_is_told_apart_and_shows_nothing_of_itself() {
    let mut decoder = Decoder::default();
    let mut error = |frame| decoder.decode(&frame).unwrap_err();
    assert_eq!(error(Frame::Text("[1]".to_owned())), DecodeError::NoObject);
    let garbage = error(Frame::Binary(Bytes::from_static(b"\xff\xfePRIVATE")));
    assert!(
        matches!(garbage, DecodeError::NoJson { line: 1, .. }),
        "{garbage:?}"
    );
    assert!(!garbage.to_string().contains("PRIVATE"));
    let cut = error(Frame::Text(
        r#"{"serverContent":{"outputTranscription":{"text":"PRIV"#.to_owned(),
    ));
    assert!(!format!("{cut} {cut:?}").contains("PRIV"));
    let deep = error(Frame::Text("{\"a\":".repeat(5_000)));
    assert!(matches!(deep, DecodeError::NoJson { .. }));
    let huge = error(Frame::Binary(Bytes::from(vec![
        b' ';
        gemini_live::FRAME_BYTES_MAX + 1
    ])));
    assert!(matches!(huge, DecodeError::TooLong(_)));
}

#[test]
fn words_sound_and_handles_of_a_server_message_are_not_printed() {
    let (message, _) = read(
        r#"{"serverContent":{"modelTurn":{"parts":[{"text":"PRIVATE"},{"inlineData":{"mimeType":"audio/pcm","data":"UFJJVkFURQ=="}}]},
            "inputTranscription":{"text":"PRIVATE"},"outputTranscription":{"text":"PRIVATE"}},
            "sessionResumptionUpdate":{"newHandle":"PRIVATE","resumable":true}}"#,
    );
    let printed = format!("{message:?}");
    assert!(
        !printed.contains("PRIVATE") && !printed.contains("UFJJ"),
        "{printed}"
    );
    assert!(!format!("{:?}", Frame::Text("PRIVATE".to_owned())).contains("PRIVATE"));
}
