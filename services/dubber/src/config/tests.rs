#![allow(clippy::unwrap_used)]
use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::read(&Env::from_pairs(pairs.iter().copied()))
}

fn refused(pairs: &[(&str, &str)]) -> Vec<String> {
    read(pairs)
        .unwrap_err()
        .errors()
        .iter()
        .map(|error| error.key.clone())
        .collect()
}

#[test]
fn without_a_word_the_mock_answers_and_one_warning_is_loud() {
    let config = read(&[]).unwrap();
    assert_eq!(config.provider.name(), "mock");
    assert_eq!(config.warnings.len(), 1);
    assert!(
        config.warnings[0].contains("NOTHING IS TRANSLATED"),
        "{:?}",
        config.warnings
    );
    assert_eq!(
        read(&[("WORKER_STS_PROVIDER", "mock")]).unwrap().warnings,
        [""; 0]
    );
}

#[test]
fn a_key_is_enough_to_say_who_dubs_and_is_never_shown() {
    let config = read(&[("WORKER_GEMINI_API_KEY", "k-123")]).unwrap();
    assert_eq!(
        (config.provider.name(), config.warnings.len()),
        ("gemini-live", 0)
    );
    assert!(!format!("{config:?}").contains("k-123"));
    let mock = read(&[
        ("WORKER_GEMINI_API_KEY", "k-123"),
        ("WORKER_STS_PROVIDER", "mock"),
    ])
    .unwrap();
    assert_eq!((mock.provider.name(), mock.warnings.len()), ("mock", 0));
}

#[test]
fn gemini_live_by_name_without_a_key_stops_the_start() {
    assert_eq!(
        refused(&[("WORKER_STS_PROVIDER", "gemini-live")]),
        ["WORKER_GEMINI_API_KEY"]
    );
}

#[test]
fn an_empty_key_file_means_no_key_and_an_unreadable_one_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "\n").unwrap();
    let config = read(&[("WORKER_GEMINI_API_KEY_FILE", file.to_str().unwrap())]).unwrap();
    assert_eq!(config.warnings, read(&[]).unwrap().warnings);

    let missing = directory.path().join("nothing");
    let error = read(&[("WORKER_GEMINI_API_KEY_FILE", missing.to_str().unwrap())]).unwrap_err();
    let error = error.to_string();
    for word in [
        "WORKER_GEMINI_API_KEY_FILE",
        missing.to_str().unwrap(),
        "write the secret into this file",
    ] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_provider_that_is_not_here_is_refused_with_those_that_are() {
    for provider in ["local", "gemini"] {
        let error = read(&[("WORKER_STS_PROVIDER", provider)])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(provider) && error.contains("this version, which has: gemini-live, mock"),
            "{error}"
        );
    }
}

#[test]
fn every_wrong_value_is_named_at_once() {
    let keys = refused(&[
        ("DUBBER_GRPC_ADDR", "nowhere"),
        ("DUBBER_MOCK_MODE", "loud"),
        ("DUBBER_MOCK_LOSS", "1.5"),
        ("DUBBER_MOCK_REORDER", "NaN"),
        ("DUBBER_MOCK_DELAY", "200"),
        ("DUBBER_MOCK_SEED", "-1"),
        ("DUBBER_HARD_BUDGET", "4s"),
        ("DUBBER_SOFT_BUDGET", "5s"),
    ]);
    let mut expected = vec![
        "DUBBER_GRPC_ADDR",
        "DUBBER_MOCK_MODE",
        "DUBBER_MOCK_LOSS",
        "DUBBER_MOCK_REORDER",
        "DUBBER_MOCK_DELAY",
        "DUBBER_MOCK_SEED",
        "DUBBER_SOFT_BUDGET",
    ];
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
}

#[test]
fn fixtures_without_recordings_are_refused_with_the_remedy() {
    assert_eq!(
        refused(&[("DUBBER_MOCK_MODE", "fixtures")]),
        ["DUBBER_MOCK_FIXTURES_DIR"]
    );
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let error = read(&[
        ("DUBBER_MOCK_MODE", "fixtures"),
        ("DUBBER_MOCK_FIXTURES_DIR", path),
    ])
    .unwrap_err();
    assert!(
        error.to_string().contains("put at least one recording"),
        "{error}"
    );
    assert!(
        read(&[("DUBBER_MOCK_FIXTURES_DIR", "/nowhere")]).is_ok(),
        "unused, so it harms nobody"
    );
}

#[test]
fn a_short_hard_budget_bounds_the_soft_one_that_nobody_set() {
    let limits = read(&[("DUBBER_HARD_BUDGET", "1s")]).unwrap().limits;
    assert_eq!(
        (limits.soft_budget, limits.hard_budget),
        (Duration::from_secs(1), Duration::from_secs(1))
    );
}
