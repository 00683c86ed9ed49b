#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use service_kit::{ConfigErrors, Env};

const DIALOGUE: (&str, &str) = ("WORKER_GEMINI_MODEL", "gemini-3.8-live");
const BUDGETS: (Duration, Duration) = (Duration::from_secs(7), Duration::from_secs(11));

fn read(pairs: &[(&str, &str)]) -> Result<(SessionSettings, Vec<String>), ConfigErrors> {
    let env = Env::from_pairs(pairs.iter().copied());
    let (mut reader, mut warnings) = (Reader::new(&env), Vec::new());
    let settings = SessionSettings::read(&mut reader, BUDGETS, &mut warnings);
    reader.finish().map(|()| (settings, warnings))
}

fn plan(pairs: &[(&str, &str)], stream: &StreamSettings) -> Result<Plan, Refusal> {
    let (settings, _) = read(pairs).unwrap();
    settings.of_stream(stream, format!("models/{}", settings.model()), 9)
}

/// Key and text of the one refusal.
fn refused(pairs: &[(&str, &str)]) -> (String, String) {
    let errors = read(pairs).unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{errors}");
    (errors.errors()[0].key.clone(), errors.to_string())
}

fn stream(hold_s: u64) -> StreamSettings {
    StreamSettings {
        source_lang: "en".to_owned(),
        target_lang: "es-MX".to_owned(),
        hold: Duration::from_secs(hold_s),
        ..StreamSettings::default()
    }
}

#[test]
fn what_nobody_set_is_the_familys_own() {
    let translate = plan(&[], &stream(10)).unwrap().config;
    let mut usual = Config::translate(
        "models/gemini-3.5-live-translate-preview",
        "es",
        Duration::from_secs(10),
    );
    (usual.budget_soft, usual.budget_hard) = BUDGETS;
    usual.seed = 9;
    assert_eq!(translate, usual);
    let dialogue = plan(&[DIALOGUE], &stream(20)).unwrap().config;
    let usual = Config::dialogue("models/gemini-3.8-live", "any", Duration::from_secs(20));
    assert_eq!(
        (&dialogue.watchdogs, &dialogue.breaker, dialogue.ring),
        (&usual.watchdogs, &usual.breaker, usual.ring)
    );
    assert_eq!(dialogue.prices, prices::of_family(false));
}

#[test]
fn what_somebody_set_holds_for_the_family_in_use() {
    let set = [
        ("WORKER_GEMINI_WATCHDOG_MESSAGE", "9s"),
        ("WORKER_GEMINI_WATCHDOG_AFTER_GO_AWAY", "3s"),
        ("WORKER_GEMINI_BREAKER_IN_FLIGHT", "12s"),
        ("WORKER_GEMINI_WATCHDOG_FRAME", "30s"),
        ("WORKER_GEMINI_WATCHDOG_EMPTY_TURNS", "2"),
        ("WORKER_GEMINI_RESUMPTION", "true"),
    ];
    let usual = gemini_session::Watchdogs::default();
    let translate = plan(&set, &stream(10)).unwrap().config;
    assert_eq!(translate.watchdogs.message_translate, Duration::from_secs(9));
    assert_eq!(translate.watchdogs.message_dialogue, usual.message_dialogue);
    assert_eq!(
        (translate.watchdogs.frame, translate.watchdogs.ping),
        (Duration::from_secs(30), Duration::from_secs(10))
    );
    let both: Vec<_> = set.iter().copied().chain([DIALOGUE]).collect();
    let dialogue = plan(&both, &stream(20)).unwrap().config;
    assert_eq!(dialogue.watchdogs.after_go_away_dialogue, Duration::from_secs(3));
    assert_eq!(
        dialogue.watchdogs.after_go_away_translate,
        usual.after_go_away_translate
    );
    assert_eq!(dialogue.breaker.in_flight_max, Duration::from_secs(12));
    assert!(dialogue.resume && translate.resume);
    assert_eq!(dialogue.watchdogs.empty_turns, 2);
}

#[test]
fn a_short_age_is_enough_to_say_and_one_beyond_the_services_limit_is_refused_by_name() {
    let short = plan(&[("WORKER_GEMINI_SESSION_AGE", "30s")], &stream(10)).unwrap();
    assert_eq!(short.config.lifetimes.age_jitter, Duration::from_secs(3));
    let copied = [
        ("WORKER_GEMINI_SESSION_AGE", "30s"),
        ("WORKER_GEMINI_SESSION_AGE_JITTER", "45s"),
    ];
    assert!(read(&copied).is_ok(), "the default, written down");
    let (key, text) = refused(&[("WORKER_GEMINI_SESSION_AGE", "580s")]);
    assert_eq!(key, "WORKER_GEMINI_SESSION_AGE");
    assert!(text.contains("580") && text.contains("536"), "{text}");
    let jitter = [
        ("WORKER_GEMINI_SESSION_AGE", "30s"),
        ("WORKER_GEMINI_SESSION_AGE_JITTER", "40s"),
    ];
    let (key, text) = refused(&jitter);
    assert_eq!(key, "WORKER_GEMINI_SESSION_AGE");
    assert!(text.contains("40s"), "{text}");
}

#[test]
fn a_hint_reaches_a_dialogue_model_and_is_said_to_be_unused_by_any_other() {
    let hint = ("WORKER_GEMINI_SESSION_HINT", "Roller derby; jammer, blocker");
    let config = plan(&[DIALOGUE, hint], &stream(20)).unwrap().config;
    let Family::Dialogue(dialogue) = config.family else {
        panic!("{config:?}")
    };
    for part in [hint.1, " en ", "es-MX"] {
        assert!(dialogue.instruction.contains(part), "{}", dialogue.instruction);
    }
    assert_eq!(read(&[DIALOGUE, hint]).unwrap().1, [""; 0]);
    let (_, warnings) = read(&[hint]).unwrap();
    assert!(
        warnings.len() == 1 && warnings[0].contains("WORKER_GEMINI_SESSION_HINT"),
        "{warnings:?}"
    );
}

#[test]
fn a_hint_that_is_too_long_and_prices_that_are_none_are_refused_by_name() {
    let long = "x".repeat(2049);
    let (key, text) = refused(&[("WORKER_GEMINI_SESSION_HINT", &long)]);
    assert_eq!(key, "WORKER_GEMINI_SESSION_HINT");
    assert!(text.contains("2049 bytes") && !text.contains("xxx"), "{text}");
    assert!(read(&[("WORKER_GEMINI_SESSION_HINT", &long[1..])]).is_ok());
    assert_eq!(
        refused(&[("WORKER_GEMINI_PRICES", "input.audio=free")]).0,
        "WORKER_GEMINI_PRICES"
    );
}

#[test]
fn a_stream_that_the_model_cannot_serve_is_refused_with_field_and_remedy() {
    let unknown = StreamSettings {
        target_lang: "tlh".to_owned(),
        ..stream(10)
    };
    let refusal = plan(&[], &unknown).unwrap_err();
    assert_eq!(refusal.field, "settings.target_lang");
    assert!(refusal.to_string().contains("WORKER_TARGET_LANG"), "{refusal}");
    assert!(
        plan(
            &[DIALOGUE],
            &StreamSettings {
                hold: Duration::from_secs(20),
                ..unknown
            }
        )
        .is_ok(),
        "a dialogue model has no list"
    );
    let refusal = plan(&[DIALOGUE], &stream(5)).unwrap_err();
    assert_eq!((refusal.field, refusal.value.as_str()), ("settings.hold", "5s"));
    assert!(plan(&[DIALOGUE], &stream(6)).is_ok());
}

#[test]
fn a_voice_is_the_dialogue_models_and_a_warning_for_the_other() {
    let voiced = |hold_s| StreamSettings {
        tts_voice: "Kore".to_owned(),
        ..stream(hold_s)
    };
    let Family::Dialogue(dialogue) = plan(&[DIALOGUE], &voiced(20)).unwrap().config.family else {
        panic!("no dialogue")
    };
    assert_eq!(dialogue.voice.as_deref(), Some("Kore"));
    let translate = plan(&[], &voiced(10)).unwrap();
    assert!(translate.warnings.len() == 1 && translate.warnings[0].contains("Kore"));
    let usual = plan(&[DIALOGUE], &stream(20)).unwrap();
    let Family::Dialogue(dialogue) = usual.config.family else {
        panic!("no dialogue")
    };
    assert_eq!((dialogue.voice, usual.warnings.len()), (None, 0));
}
