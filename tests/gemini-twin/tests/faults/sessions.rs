//! What is said inside sessions, and how.

use crate::Check;
use crate::rig::{DIALOGUE, Rig, TRANSLATE, near};
use gemini_twin::connection::Out;
use serde_json::{Value, json};

/// Loudest sample from this second on.
fn peak(rig: &Rig, from_s: f64) -> f32 {
    rig.audio(from_s)
        .iter()
        .fold(0.0, |peak, sample| sample.abs().max(peak))
}

/// Talks 6 s, is reset by the fault, and comes back with its handle.
fn resumed(fault: &str) -> (Rig, u64) {
    let mut rig = Rig::with(fault, "after = \"6s\"", TRANSLATE);
    rig.talk(1, 7.0);
    near(rig.resets()[0], 6.25);
    rig.seen.retain(|seen| seen.at_s < 6.3);
    let handle = rig.handle().unwrap();
    let number = rig.resume(&handle, TRANSLATE);
    (rig, number)
}

/// Ten seconds of a session whose sound is spoiled after 2 s; says what came after 3 s.
fn spoiled(fault: &str) -> Rig {
    let mut rig = Rig::with(fault, "after = \"2s\"", TRANSLATE);
    rig.talk(1, 12.0);
    rig
}

fn texts(rig: &Rig, field: &str, from_s: f64) -> usize {
    rig.contents(field)
        .iter()
        .filter(|(at, it)| *at > from_s && it["text"].as_str().is_some_and(|t| !t.is_empty()))
        .count()
}

pub const CHECKS: &[Check] = &[
    ("a_clean", || {
        let mut rig = Rig::with("a_clean", "", TRANSLATE);
        rig.talk(1, 21.0);
        rig.be_silent(1, 6.0);
        assert_eq!(rig.phrases(0.0), (1..=15).collect::<Vec<u16>>());
        let times: Vec<f64> = rig.contents("modelTurn").iter().map(|it| it.0).collect();
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] < 0.26),
            "a chunk each 250 ms, zeros included"
        );
        assert!(rig.contents("turnComplete").is_empty() && rig.contents("generationComplete").is_empty());
        assert!(texts(&rig, "inputTranscription", 0.0) > 10 && texts(&rig, "outputTranscription", 0.0) > 10);
        let tokens: u64 = rig
            .messages("usageMetadata")
            .iter()
            .map(|it| it.1["promptTokenCount"].as_u64().unwrap())
            .sum();
        assert!((640..=675).contains(&tokens), "27 s at 25 tokens: {tokens}");
        assert!(rig.messages("sessionResumptionUpdate").len() >= 8);
    }),
    ("resume_ok", || {
        let (mut rig, number) = resumed("resume_ok");
        rig.talk(number, 8.0);
        assert_eq!(rig.messages("setupComplete").len(), 2);
        assert!(rig.phrases(7.5).len() >= 3);
    }),
    ("resume_replay", || {
        let (mut rig, number) = resumed("resume_replay");
        let again: Vec<Value> = rig
            .contents("modelTurn")
            .into_iter()
            .filter(|it| it.0 > 7.0)
            .map(|it| it.1)
            .collect();
        assert_eq!(again.len(), 4, "one second of sound comes again at once");
        assert_eq!(
            texts(&rig, "inputTranscription", 7.0) + texts(&rig, "outputTranscription", 7.0),
            1
        );
        rig.talk(number, 5.0);
        assert!(rig.contents("modelTurn").len() > 30);
    }),
    ("resume_while_open", || {
        let mut rig = Rig::with("resume_while_open", "after = \"5s\"", TRANSLATE);
        rig.talk(1, 6.0);
        assert_eq!(rig.messages("goAway").len(), 1);
        let handle = rig.handle().unwrap();
        let number = rig.resume(&handle, TRANSLATE);
        let close = rig.closes()[0].clone();
        assert_eq!(
            (close.1, close.2, close.3.as_str()),
            (number, 1011, "Internal error encountered.")
        );
    }),
    ("resume_bad_handle", || {
        let (rig, number) = resumed("resume_bad_handle");
        let close = rig.closes()[0].clone();
        assert_eq!(
            (close.1, close.2, close.3.as_str()),
            (number, 1007, "Invalid session handle")
        );
    }),
    ("poisoned_handle", || {
        let (mut rig, number) = resumed("poisoned_handle");
        rig.talk(number, 10.0);
        assert!(texts(&rig, "inputTranscription", 7.5) > 3);
        assert_eq!(
            rig.contents("modelTurn").iter().filter(|it| it.0 > 7.5).count(),
            0
        );
        assert_eq!(texts(&rig, "outputTranscription", 7.5), 0);
    }),
    ("no_handle_yet", || {
        let mut rig = Rig::with("no_handle_yet", "", TRANSLATE);
        rig.talk(1, 21.0);
        near(rig.resets()[0], 20.0);
        assert!(rig.messages("sessionResumptionUpdate").is_empty());
    }),
    ("not_resumable_update", || {
        let mut rig = Rig::with("not_resumable_update", "after = \"10s\"", TRANSLATE);
        rig.talk(1, 21.0);
        near(rig.resets()[0], 20.25);
        let updates = rig.messages("sessionResumptionUpdate");
        assert!(
            updates
                .iter()
                .filter(|(at, _)| *at < 10.0)
                .all(|(_, it)| it["resumable"] == true)
        );
        let later: Vec<&Value> = updates
            .iter()
            .filter(|(at, _)| *at > 10.5)
            .map(|(_, it)| it)
            .collect();
        assert!(later.len() >= 2 && later.iter().all(|it| **it == json!({})));
    }),
    ("asr_alive_no_audio", || {
        let rig = spoiled("asr_alive_no_audio");
        assert!(texts(&rig, "inputTranscription", 3.0) > 4);
        assert_eq!(
            rig.contents("modelTurn").iter().filter(|it| it.0 > 2.3).count(),
            0
        );
    }),
    ("zero_audio", || {
        let rig = spoiled("zero_audio");
        assert_eq!(peak(&rig, 2.6), 0.0);
        assert!(rig.contents("modelTurn").len() > 40 && texts(&rig, "outputTranscription", 3.0) > 4);
    }),
    ("near_zero_audio", || {
        let rig = spoiled("near_zero_audio");
        assert!(
            (0.5 / 32_768.0..3.5 / 32_768.0).contains(&peak(&rig, 2.6)),
            "{}",
            peak(&rig, 2.6)
        );
        assert!(texts(&rig, "outputTranscription", 3.0) > 4);
    }),
    ("no_target", || {
        let rig = spoiled("no_target");
        assert_eq!(
            (peak(&rig, 2.6), texts(&rig, "outputTranscription", 3.0)),
            (0.0, 0)
        );
        assert!(texts(&rig, "inputTranscription", 3.0) > 4);
    }),
    ("tone", || {
        let rig = spoiled("tone");
        assert_eq!(
            texts(&rig, "outputTranscription", 3.0) + texts(&rig, "inputTranscription", 3.0),
            0
        );
        let sound = rig.audio(2.6);
        let crossings = sound
            .windows(2)
            .filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0)
            .count() as f64;
        near(crossings / sound.len() as f64 * 24.0, 0.44);
    }),
    ("slow_generation", || {
        let mut rig = Rig::with("slow_generation", "after = \"2s\"", TRANSLATE);
        rig.be_silent(1, 80.0);
        let chunks = |from: f64, to: f64| {
            rig.contents("modelTurn")
                .iter()
                .filter(|it| from < it.0 && it.0 <= to)
                .count()
        };
        assert!(
            (127..=129).contains(&chunks(10.0, 50.0)),
            "{}",
            chunks(10.0, 50.0)
        );
        assert!((39..=41).contains(&chunks(65.0, 75.0)), "{}", chunks(65.0, 75.0));
    }),
    ("burst_starve", || {
        let mut rig = Rig::with("burst_starve", "after = \"2s\"", TRANSLATE);
        rig.talk(1, 30.0);
        let times: Vec<f64> = rig
            .contents("modelTurn")
            .iter()
            .map(|it| it.0)
            .filter(|at| *at > 3.0)
            .collect();
        assert!(
            times
                .windows(2)
                .all(|pair| pair[1] == pair[0] || pair[1] - pair[0] > 3.9),
            "{times:?}"
        );
        assert_eq!(
            times.iter().filter(|at| **at == times[0]).count(),
            16,
            "four seconds at once"
        );
        assert!(rig.phrases(3.0).len() > 10, "nothing is lost by it");
    }),
    ("source_silence_10min", || {
        let mut rig = Rig::with("source_silence_10min", "", TRANSLATE);
        rig.be_silent(1, 60.0);
        assert_eq!(peak(&rig, 0.0), 0.0);
        assert!(rig.contents("modelTurn").len() > 235);
        assert!(rig.contents("inputTranscription").is_empty());
    }),
    ("source_silence_nothing", || {
        let mut rig = Rig::with("source_silence_nothing", "", TRANSLATE);
        rig.talk(1, 5.0);
        rig.be_silent(1, 60.0);
        assert_eq!(
            rig.contents("modelTurn").iter().filter(|it| it.0 > 12.0).count(),
            0
        );
        assert_eq!(rig.phrases(0.0), [1, 2, 3, 4]);
    }),
    ("language_switch", || {
        let mut rig = Rig::with("language_switch", "", TRANSLATE);
        rig.talk(1, 40.0);
        let languages: std::collections::BTreeSet<String> = rig
            .contents("inputTranscription")
            .iter()
            .map(|it| it.1["languageCode"].as_str().unwrap().to_owned())
            .collect();
        assert!(languages.len() > 1, "{languages:?}");
    }),
    ("odd_shapes", || {
        let mut rig = Rig::with("odd_shapes", "", TRANSLATE);
        rig.talk(1, 15.0);
        rig.be_silent(1, 4.0);
        assert!(rig.messages("serverContent").iter().any(|it| it.1 == json!({})));
        assert!(
            rig.contents("outputTranscription")
                .iter()
                .any(|it| it.1 == json!({}))
        );
        assert!(
            rig.contents("inputTranscription")
                .iter()
                .any(|it| it.1 == json!({"languageCode": "en"}))
        );
        let turns = rig.contents("modelTurn");
        let odd = turns
            .iter()
            .find(|it| it.1["parts"].as_array().unwrap().len() == 3)
            .unwrap();
        assert_eq!(odd.1["parts"][0]["thought"], true);
        let data = odd.1["parts"][1]["inlineData"]["data"].as_str().unwrap();
        assert_ne!(
            data.trim_end_matches('=').len() * 3 / 4 % 2,
            0,
            "an odd number of bytes"
        );
        assert!(
            turns.iter().any(|it| it.1.to_string().contains(['-', '_'])),
            "the other alphabet"
        );
        assert!(rig.phrases(0.0).len() >= 10, "nothing is lost by it");
    }),
    ("unknowns", || {
        let mut rig = Rig::with("unknowns", "", TRANSLATE);
        rig.talk(1, 8.0);
        assert_eq!(rig.messages("somethingNew").len(), 1);
        assert_eq!(rig.contents("somethingNew").len(), 1);
        assert_eq!(rig.contents("interactionStatus")[0].1, "SOMETHING_NEW");
        let not_json = |out: &Out| matches!(out, Out::Frame { text, .. } if text == "this is not JSON\n");
        assert!(rig.seen.iter().any(|seen| not_json(&seen.out)));
        assert!(rig.closes().is_empty());
    }),
    ("error_object", || {
        let mut rig = Rig::with("error_object", "after = \"2s\"", TRANSLATE);
        rig.pass(4.0);
        near(rig.messages("error")[0].0, 2.25);
        assert_eq!(rig.messages("error")[0].1["status"], "INTERNAL");
        near(rig.closes()[0].0, 3.25);
    }),
    ("b_turns", || {
        let mut rig = Rig::with("b_turns", "", DIALOGUE);
        rig.turn(1);
        let (made, over) = (rig.contents("generationComplete"), rig.contents("turnComplete"));
        assert_eq!((made.len(), over.len()), (1, 1));
        assert!(
            over[0].0 > made[0].0 + 0.5,
            "a turn is over when it was heard: {made:?} {over:?}"
        );
        assert_eq!(rig.phrases(0.0), [1, 2, 3]);
        assert!(
            rig.messages("usageMetadata").last().unwrap().1["responseTokenCount"]
                .as_u64()
                .unwrap()
                > 50
        );
        rig.pass(4.0);
        assert!(rig.handle().is_some());
        assert!(
            rig.messages("sessionResumptionUpdate")[0].0 > made[0].0,
            "no handle before the first turn"
        );
    }),
    ("b_no_turncomplete", || {
        let mut rig = Rig::with("b_no_turncomplete", "", DIALOGUE);
        rig.turn(1);
        rig.turn(1);
        assert_eq!(
            (
                rig.contents("generationComplete").len(),
                rig.contents("turnComplete").len()
            ),
            (2, 0)
        );
        assert_eq!(rig.phrases(0.0), [1, 2, 3, 4, 5, 6]);
    }),
    ("b_interrupted", || {
        let mut rig = Rig::with("b_interrupted", "after = \"1s\"", DIALOGUE);
        rig.turn(1);
        assert_eq!(rig.contents("interrupted").len(), 1);
        assert_eq!(rig.contents("turnComplete").len(), 1);
        assert!(rig.contents("generationComplete").is_empty());
        let first = rig.phrases(0.0).len();
        assert!(first < 3, "the rest of the answer is lost: {first}");
        rig.turn(1);
        assert_eq!(rig.contents("generationComplete").len(), 1);
    }),
    ("b_phantom_interrupt", || {
        let mut rig = Rig::with("b_phantom_interrupt", "after = \"1s\"", DIALOGUE);
        rig.pass(1.0);
        assert_eq!(rig.contents("interrupted").len(), 1, "without any input");
        rig.turn(1);
        assert_eq!((peak(&rig, 0.0), rig.contents("turnComplete").len()), (0.0, 1));
    }),
    ("b_rejected", || {
        let mut rig = Rig::with("b_rejected", "after = \"1s\"", DIALOGUE);
        rig.pass(1.0);
        for _ in 0..28 {
            rig.turn(1);
        }
        let reasons = rig.contents("turnCompleteReason");
        assert_eq!(reasons.len(), 27);
        assert!(reasons.iter().all(|it| it.1 == "RESPONSE_REJECTED"));
        assert_eq!(
            rig.contents("generationComplete").len(),
            1,
            "the 28th is answered"
        );
    }),
    ("b_monologue", || {
        let scenario = "[[fault]]\nname = \"b_monologue\"";
        let mut rig = Rig::new(scenario);
        let number = rig.open().unwrap();
        let mut setup = crate::rig::setup(DIALOGUE);
        setup["realtimeInputConfig"] = json!({"activityHandling": "NO_INTERRUPTION"});
        rig.set_up(number, setup);
        // Pauses of 0.4 s are none where 0.8 s of silence end a turn.
        rig.talk(number, 40.6);
        assert!(rig.contents("modelTurn").is_empty(), "nothing until the pause");
        rig.be_silent(number, 60.0);
        assert_eq!(rig.phrases(0.0), (1..=29).collect::<Vec<u16>>());
        assert_eq!(rig.contents("turnComplete").len(), 1);
    }),
    ("b_window_discard", || {
        let mut rig = Rig::with("b_window_discard", "", DIALOGUE);
        rig.talk(1, 4.2);
        rig.turn(1);
        assert_eq!(
            rig.phrases(0.0),
            [4, 5, 6],
            "what was said outside of a window is dropped"
        );
    }),
    ("b_extended", || {
        let mut rig = Rig::with("b_extended", "", DIALOGUE);
        rig.turn(1);
        rig.pass(3.0);
        let steps: Vec<Value> = rig
            .contents("interactionStatus")
            .into_iter()
            .map(|it| it.1)
            .collect();
        assert_eq!(steps, ["IN_PROGRESS", "IN_PROGRESS", "IDLE"]);
        assert_eq!(rig.contents("turnComplete").len(), 3);
    }),
    ("voice_change", || {
        let mut rig = Rig::with("voice_change", "after = \"10s\"", TRANSLATE);
        rig.talk(1, 25.0);
        let hum = |from: f64, hz: f64| {
            let sound = rig.audio(from);
            let turn = |index: usize| index as f64 * std::f64::consts::TAU * hz / 24_000.0;
            let parts = sound.iter().take(96_000).enumerate().map(|(index, sample)| {
                let sample = f64::from(*sample);
                (sample * turn(index).sin(), sample * turn(index).cos())
            });
            let (sine, cosine) = parts.fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
            sine.hypot(cosine)
        };
        assert!(hum(3.0, 140.0) > 5.0 * hum(3.0, 220.0));
        assert!(hum(16.0, 220.0) > 5.0 * hum(16.0, 140.0));
    }),
    ("slow_server_reader", || {
        let mut rig = Rig::with("slow_server_reader", "after = \"2s\"", TRANSLATE);
        rig.pass(3.0);
        let order = rig
            .seen
            .iter()
            .find(|seen| seen.out == Out::ReadSlowly(0.5))
            .unwrap();
        near(order.at_s, 2.25);
    }),
    ("usage_shapes", || {
        let mut rig = Rig::with("usage_shapes", "", TRANSLATE);
        rig.be_silent(1, 70.0);
        let usage = rig.messages("usageMetadata");
        assert!(
            usage
                .iter()
                .all(|(at, it)| *at < 61.0 && it["promptTokenCount"].is_null())
        );
        assert!(
            usage
                .iter()
                .any(|(_, it)| it["promptTokensDetails"][0] == json!({"modality": "AUDIO"}))
        );
        assert!(usage.iter().all(|(_, it)| it["candidatesTokenCount"].is_u64()));
    }),
];
