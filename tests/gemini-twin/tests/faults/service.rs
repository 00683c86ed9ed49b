//! The service as it is, without a fault: validation, answers by seed, turns, resumption, time.

use crate::rig::{DIALOGUE, Rig, TRANSLATE, near, setup};
use gemini_twin::connection::Out;
use serde_json::{Value, json};

fn session(scenario: &str, model: &str) -> Rig {
    let mut rig = Rig::new(scenario);
    let number = rig.open().unwrap();
    rig.set_up(number, setup(model));
    rig
}

fn invalid(model: &str, message: Value) {
    let mut rig = session("", model);
    rig.send(1, &message);
    assert_eq!(rig.closes().first().map(|close| close.2), Some(1007), "{message}");
}

fn omitted(rig: &Rig) -> Vec<u16> {
    let note = |out: &Out| match out {
        Out::Note(note) => note["omitted"].as_u64().map(|number| number as u16),
        _ => None,
    };
    rig.seen.iter().filter_map(|seen| note(&seen.out)).collect()
}

/// Starts of the phrases that are heard, and the pauses before them.
fn heard(rig: &Rig) -> Vec<(u16, f64, f64)> {
    let cells = gemini_twin::listen::cells(&rig.audio(0.0), 24_000, gemini_twin::tones::ANSWER);
    let phrases = gemini_twin::listen::phrases(&cells);
    let mut last = 0.0;
    let place = |phrase: &gemini_twin::listen::Phrase| {
        let pause = phrase.start_s - last;
        last = phrase.end_s;
        (phrase.number, phrase.start_s, pause)
    };
    phrases.iter().map(place).collect()
}

#[test]
fn what_the_service_does_not_take_closes_with_1007() {
    let audio = json!({"data": "AAAA", "mimeType": "audio/pcm;rate=16000"});
    invalid(TRANSLATE, json!({"realtimeInput": {"mediaChunks": [audio]}}));
    invalid(TRANSLATE, json!({"realtimeInput": {"activityStart": {}}}));
    invalid(DIALOGUE, json!({"realtimeInput": {"audioStreamEnd": true}}));
    invalid(
        "models/gemini-3.1-flash-live-preview",
        json!({"clientContent": {"turns": []}}),
    );
    let mut early = Rig::new("");
    let number = early.open().unwrap();
    early.send(number, &json!({"realtimeInput": {"audio": audio}}));
    assert_eq!(early.closes()[0].2, 1007, "nothing is taken before setupComplete");
    let mut unknown = Rig::new("");
    let number = unknown.open().unwrap();
    unknown.set_up(number, setup("models/gemini-nine"));
    assert!(
        unknown.closes()[0]
            .3
            .starts_with("models/gemini-nine is not found for API version v1beta, or is not")
    );
}

#[test]
fn without_a_target_language_zeros_come_for_ever() {
    let mut rig = Rig::new("");
    let number = rig.open().unwrap();
    rig.set_up(number, json!({"model": TRANSLATE, "inputAudioTranscription": {}}));
    rig.talk(number, 10.0);
    assert!(rig.contents("modelTurn").len() > 35 && rig.contents("inputTranscription").len() > 4);
    assert!(rig.audio(0.0).iter().all(|sample| *sample == 0.0));
}

#[test]
fn the_same_seed_gives_the_same_answers_and_another_seed_gives_others() {
    let wire = |seed: u64| {
        let voice = "[voice]\nomit = 0.2\nsplit = 0.3\nmerge = 0.2\n";
        let mut rig = session(&format!("seed = {seed}\n{voice}"), TRANSLATE);
        rig.talk(1, 15.0);
        rig.audio(0.0)
    };
    assert!(wire(5) == wire(5));
    assert!(wire(5) != wire(6));
}

#[test]
fn omitted_phrases_are_not_answered_and_are_told_in_the_journal() {
    let mut rig = session("seed = 3\n[voice]\nomit = 0.3\n", TRANSLATE);
    rig.talk(1, 42.0);
    rig.be_silent(1, 5.0);
    let left_out = omitted(&rig);
    assert!((3..=16).contains(&left_out.len()), "{left_out:?}");
    let wanted: Vec<u16> = (1..=30).filter(|number| !left_out.contains(number)).collect();
    assert_eq!(rig.phrases(0.0), wanted);
}

#[test]
fn merged_answers_follow_without_a_pause_and_split_ones_have_one() {
    let mut merged = session("[voice]\nmerge = 1.0\nlength_ratio = 1.3\n", TRANSLATE);
    merged.talk(1, 14.0);
    merged.be_silent(1, 6.0);
    let places = heard(&merged);
    assert_eq!(places.len(), 10);
    assert!(places[1..].iter().all(|(_, _, pause)| *pause < 0.6), "{places:?}");
    assert!(
        places[1..].iter().any(|(_, _, pause)| *pause < 0.03),
        "{places:?}"
    );
    let mut split = session("[voice]\nsplit = 1.0\nlength_ratio = 0.5\n", TRANSLATE);
    split.talk(1, 14.0);
    split.be_silent(1, 6.0);
    let cells = gemini_twin::listen::cells(&split.audio(0.0), 24_000, gemini_twin::tones::ANSWER);
    let inside = cells
        .windows(2)
        .filter(|pair| pair[0].cell.number == pair[1].cell.number);
    let pauses = inside
        .filter(|pair| pair[1].start_s - pair[0].end_s > 0.25)
        .count();
    assert_eq!(pauses, 10, "one pause inside each answer");
}

#[test]
fn answers_lag_as_the_scenario_says_and_the_lag_grows_if_it_says_so() {
    let lags = |scenario: &str| -> Vec<f64> {
        let mut rig = session(scenario, TRANSLATE);
        rig.talk(1, 40.0);
        rig.be_silent(1, 20.0);
        // Sound begins 0.25 s after the first chunk of the source, at its own place on the line.
        heard(&rig)
            .iter()
            .map(|(number, start, _)| start + 0.25 - f64::from(number - 1) * 1.4)
            .collect()
    };
    let even = lags("[voice]\nlag = \"2s\"\njitter = \"0s\"\n");
    assert!(even.iter().all(|lag| (lag - 2.0).abs() < 0.15), "{even:?}");
    let growing = lags("[voice]\nlag = \"2s\"\njitter = \"0s\"\nlag_growth_per_minute = \"6s\"\n");
    let growth = growing[25] - growing[0];
    assert!(
        (growth - 3.5).abs() < 0.3,
        "25 phrases of 1.4 s are 35 s: {growth}"
    );
}

#[test]
fn nothing_is_answered_before_it_was_heard() {
    let mut rig = session(
        "[voice]\nlag = \"0s\"\njitter = \"0s\"\nlength_ratio = 0.5\n",
        TRANSLATE,
    );
    rig.talk(1, 14.0);
    rig.be_silent(1, 3.0);
    for (number, start, _) in heard(&rig) {
        let spoken = f64::from(number - 1) * 1.4;
        assert!(
            start + 0.25 > spoken + 0.3,
            "phrase {number}, said at {spoken}, answered at {start}"
        );
    }
}

#[test]
fn speech_interrupts_an_answer_unless_the_setup_forbids_it() {
    let mut rig = Rig::new("");
    let number = rig.open().unwrap();
    let mut setup = setup(DIALOGUE);
    setup["realtimeInputConfig"] = json!({"automaticActivityDetection": {"disabled": true}});
    rig.set_up(number, setup);
    rig.send(number, &json!({"realtimeInput": {"activityStart": {}}}));
    rig.talk(number, 4.2);
    rig.send(number, &json!({"realtimeInput": {"activityEnd": {}}}));
    rig.pass(1.8);
    rig.send(number, &json!({"realtimeInput": {"activityStart": {}}}));
    assert_eq!(rig.contents("interrupted").len(), 1);
    rig.pass(10.0);
    assert!(rig.contents("generationComplete").is_empty());
}

#[test]
fn a_phrase_across_two_windows_is_answered_once_and_whole() {
    let mut rig = session("", DIALOGUE);
    for _ in 0..3 {
        rig.send(1, &json!({"realtimeInput": {"activityStart": {}}}));
        rig.talk(1, 3.1);
        rig.send(1, &json!({"realtimeInput": {"activityEnd": {}}}));
    }
    rig.be_silent(1, 0.5);
    rig.pass(15.0);
    let cells = gemini_twin::listen::cells(&rig.audio(0.0), 24_000, gemini_twin::tones::ANSWER);
    let summary = gemini_twin::listen::summary(&gemini_twin::listen::phrases(&cells));
    assert_eq!(summary.whole, [1, 2, 3, 4, 5, 6], "{summary:?}");
    assert!(summary.doubled.is_empty());
}

#[test]
fn handles_are_good_until_two_hours_after_the_last_connection() {
    for (hours, is_good) in [(1.9, true), (2.1, false)] {
        let mut rig = session("", TRANSLATE);
        rig.talk(1, 5.0);
        let handle = rig.handle().unwrap();
        rig.client_closes(1);
        rig.pass(hours * 3_600.0);
        rig.resume(&handle, TRANSLATE);
        assert_eq!(rig.messages("setupComplete").len() == 2, is_good);
        let reason = rig.closes().last().unwrap().3.clone();
        assert_eq!(
            reason == "BidiGenerateContent session not found",
            !is_good,
            "{reason}"
        );
    }
    let mut rig = Rig::new("");
    rig.resume("nonsense", TRANSLATE);
    assert_eq!(rig.closes()[0].3, "Invalid session handle");
}

#[test]
fn lives_faults_and_handles_pass_faster_by_the_scale_and_sound_does_not() {
    let mut rig = session(
        "scale = 20.0\n[[fault]]\nname = \"tcp_reset\"\nconnection = 2\n",
        TRANSLATE,
    );
    rig.be_silent(1, 31.0);
    near(rig.messages("goAway")[0].0, 27.0);
    assert_eq!(rig.messages("goAway")[0].1, json!({"timeLeft": "2.5s"}));
    near(rig.closes()[0].0, 29.5);
    let chunks = rig.contents("modelTurn").len();
    assert!((110..=118).contains(&chunks), "29 s at 4 a second: {chunks}");
    let began = rig.now.as_secs_f64();
    let number = rig.open().unwrap();
    rig.set_up(number, setup(TRANSLATE));
    rig.pass(10.0);
    near(rig.resets()[0], began + 0.25 + 3.0);
}

#[test]
fn a_fault_happens_at_its_phrase_at_its_time_and_on_its_connection() {
    let mut phrase = session("[[fault]]\nname = \"tcp_reset\"\nphrase = 5\n", TRANSLATE);
    phrase.talk(1, 10.0);
    let at = phrase.resets()[0];
    assert!(
        (5.6 + 0.5..5.6 + 1.1).contains(&at),
        "in the first part of phrase 5: {at}"
    );
    let mut time = session("[[fault]]\nname = \"zero_audio\"\nat = \"4s\"\n", TRANSLATE);
    time.talk(1, 10.0);
    assert!(time.audio(4.6).iter().all(|sample| *sample == 0.0));
    assert!(time.audio(0.0).iter().any(|sample| *sample != 0.0));
    let mut second = session("[[fault]]\nname = \"key_expired\"\nconnection = 2\n", TRANSLATE);
    second.open().unwrap();
    assert_eq!((second.closes().len(), second.closes()[0].1), (1, 2));
    second.open().unwrap();
    assert_eq!(second.closes().len(), 1);
}

#[test]
fn a_mix_draws_faults_by_seed_as_long_as_somebody_is_connected() {
    let scenario =
        "seed = 9\n[mix]\nevery = \"20s\"\nfaults = [\"zero_audio\", \"unknowns\", \"goaway_early_close\"]\n";
    let run = || {
        let mut rig = session(scenario, TRANSLATE);
        rig.pass(500.0);
        let name = |out: &Out| match out {
            Out::Note(note) => note["fault"].as_str().map(str::to_owned),
            _ => None,
        };
        rig.seen
            .iter()
            .filter_map(|seen| Some((seen.at_s, name(&seen.out)?)))
            .collect::<Vec<_>>()
    };
    let drawn = run();
    assert!(!drawn.is_empty());
    assert_eq!(drawn, run());
}

#[test]
fn a_fault_of_attempts_that_begins_on_a_connection_is_met_by_those_that_follow_until_it_is_over() {
    let scenario = "[[fault]]\nname = \"http_503\"\nconnection = 1\nafter = \"5s\"\nfor = \"20s\"\n";
    let mut rig = session(scenario, TRANSLATE);
    rig.pass(6.0);
    near(rig.resets()[0], 5.25);
    for _ in 0..9 {
        assert_eq!(rig.open(), Err(503));
        rig.pass(2.0);
    }
    rig.pass(1.0);
    assert!(rig.open().is_ok());
}

#[test]
fn a_fault_of_a_session_is_over_after_the_time_that_a_scenario_gives_it() {
    let scenario = "scale = 2.0\n[[fault]]\nname = \"zero_audio\"\nafter = \"4s\"\nfor = \"5s\"\n";
    let mut rig = session(scenario, TRANSLATE);
    rig.talk(1, 15.0);
    let loud = |from: f64, to: f64| {
        let sounding = |(at, turn): &(f64, Value)| {
            let data = turn["parts"][0]["inlineData"]["data"]
                .as_str()
                .unwrap_or_default();
            from < *at && *at < to && data.chars().any(|letter| letter != 'A')
        };
        rig.contents("modelTurn").iter().any(sounding)
    };
    assert!(loud(1.0, 4.2) && !loud(4.5, 9.2) && loud(9.5, 15.0));
    let mut quota = session(
        "[[fault]]\nname = \"quota_midway\"\nafter = \"2s\"\nfor = \"4s\"\n",
        TRANSLATE,
    );
    quota.pass(4.0);
    let number = quota.open().unwrap();
    quota.set_up(number, setup(TRANSLATE));
    quota.pass(5.0);
    assert_eq!(quota.closes().len(), 2);
    let number = quota.open().unwrap();
    quota.set_up(number, setup(TRANSLATE));
    quota.pass(5.0);
    assert_eq!(quota.closes().len(), 2, "the quota is back");
}

#[test]
fn vertex_speaks_with_its_own_names() {
    let mut rig = Rig::new("");
    let path = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent";
    let number = rig.open_at(path).unwrap();
    let mut setup = setup(DIALOGUE);
    setup["model"] =
        json!("projects/p/locations/l/publishers/google/models/gemini-live-2.5-flash-native-audio");
    rig.set_up(number, setup);
    assert_eq!(
        rig.messages("setupComplete")[0].1["sessionId"],
        "00000000-0000-4000-8000-000000000001"
    );
    rig.turn(number);
    let turn = &rig.contents("modelTurn")[0].1;
    assert_eq!(turn["role"], "model");
    assert_eq!(turn["parts"][0]["inlineData"]["mimeType"], "audio/pcm");
    let usage = rig.messages("usageMetadata").pop().unwrap().1;
    assert!(usage["candidatesTokenCount"].is_u64() && usage["trafficType"] == "ON_DEMAND");
}

/// What is heard of two sessions of which the second takes over after `cut_s` of the programme.
fn split(model: &str, cut_s: f64) -> gemini_twin::listen::Summary {
    let mut rig = session("[voice]\njitter = \"0s\"\n", model);
    let second = rig.open().unwrap();
    rig.set_up(second, setup(model));
    let manual = model == DIALOGUE;
    let mark = |rig: &mut Rig, number: u64, name: &str| {
        if manual {
            rig.send(number, &json!({"realtimeInput": {name: {}}}));
        }
    };
    mark(&mut rig, 1, "activityStart");
    rig.talk_exactly(1, cut_s);
    mark(&mut rig, 1, "activityEnd");
    if !manual {
        rig.be_silent(1, 2.0);
    }
    rig.pass(8.0);
    let taken_over = rig.now.as_secs_f64();
    mark(&mut rig, second, "activityStart");
    rig.talk_exactly(second, 5.6 - cut_s);
    mark(&mut rig, second, "activityEnd");
    if !manual {
        rig.be_silent(second, 4.0);
    }
    rig.pass(8.0);
    let sound = [rig.audio_of(1, taken_over), rig.audio_of(second, f64::MAX)].concat();
    let cells = gemini_twin::listen::cells(&sound, 24_000, gemini_twin::tones::ANSWER);
    gemini_twin::listen::summary(&gemini_twin::listen::phrases(&cells))
}

#[test]
fn a_phrase_that_is_split_over_two_sessions_anywhere_is_heard_whole_of_both_together() {
    let mut lost = Vec::new();
    for model in [TRANSLATE, DIALOGUE] {
        for step in 0..12 {
            // Through all of phrase 2, which lasts from 1.4 s to 2.4 s.
            let cut_s = 1.36 + 0.091 * f64::from(step);
            let heard = split(model, cut_s);
            let in_order = heard.doubled.is_empty() && heard.out_of_order.is_empty();
            if heard.whole != [1, 2, 3, 4] || !in_order {
                lost.push(format!("{model}, cut at {cut_s:.3} s: {heard:?}"));
            }
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn what_two_turns_of_one_session_share_is_heard_once_wherever_they_are_cut() {
    let mut wrong = Vec::new();
    for step in 0..24 {
        let cut_s = 1.36 + 0.0455 * f64::from(step);
        let mut rig = session("[voice]\njitter = \"0s\"\n", DIALOGUE);
        for (from_s, to_s) in [(0.0, cut_s), (cut_s - 0.16, 5.6)] {
            rig.rewind(if from_s > 0.0 { 0.16 } else { 0.0 });
            rig.send(1, &json!({"realtimeInput": {"activityStart": {}}}));
            rig.talk_exactly(1, to_s - from_s);
            rig.send(1, &json!({"realtimeInput": {"activityEnd": {}}}));
            rig.pass(8.0);
        }
        let sound = rig.audio_of(1, f64::MAX);
        let cells = gemini_twin::listen::cells(&sound, 24_000, gemini_twin::tones::ANSWER);
        let heard = gemini_twin::listen::summary(&gemini_twin::listen::phrases(&cells));
        if heard.whole != [1, 2, 3, 4] || !heard.doubled.is_empty() {
            wrong.push(format!("cut at {cut_s:.3} s: {heard:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
