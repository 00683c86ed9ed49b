//! Settings at the start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use media_types::StreamSettings;
use orchestrator::config::{Config, SETTINGS, WorkerMode};
use service_kit::Env;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

#[test]
fn without_any_setting_everything_has_its_documented_default() {
    let config = Config::from_env(&Env::default()).unwrap();
    assert_eq!(config.stream_settings, StreamSettings::default());
    assert_eq!(config.policy, stream_lifecycle::Policy::default());
    assert_eq!(
        (config.worker_mode, config.workers_max),
        (WorkerMode::Process, None)
    );
    assert_eq!(config.edge_url, "http://media-edge:50052");
    assert_eq!(config.reconcile_interval, Duration::from_secs(1));
    let keys: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(keys.len(), SETTINGS.len());
}

const WRONG: [(&str, &str); 15] = [
    ("ORCH_HTTP_ADDR", "8080"),
    ("ORCH_EDGE_URL", "media-edge:50052"),
    ("ORCH_STREAM_ID_FROM_PATH_REGEX", "^live/([^/]+"),
    ("ORCH_GRACE_PERIOD", "6m"),
    ("ORCH_WORKER_MODE", "thread"),
    ("ORCH_STATE_DIR", "/dev/null/state"),
    ("ORCH_MAX_WORKERS", "-1"),
    ("ORCH_WORKER_RESTART_WINDOW", "10"),
    ("WORKER_TARGET_LANG", "español"),
    ("WORKER_STS_MODE", "on"),
    ("WORKER_BUFFER_TARGET", "61s"),
    ("WORKER_FRAGMENT_TARGET_DUR", "100ms"),
    ("WORKER_FALLBACK", "none"),
    ("WORKER_DUCK_GAIN_DB", "loud"),
    ("WORKER_AIR_STATE", "outage"),
];

#[test]
fn every_wrong_setting_is_named_at_once() {
    let errors = Config::from_env(&Env::from_pairs(WRONG)).unwrap_err();
    let text = errors.to_string();
    for (key, value) in WRONG {
        assert!(
            text.lines()
                .any(|line| line.contains(key) && line.contains(value)),
            "{key} is not in:\n{text}"
        );
    }
    assert_eq!(errors.errors().len(), WRONG.len(), "{text}");
}

#[test]
fn a_hold_of_nothing_is_refused_while_dubbing_is_enabled_and_allowed_without() {
    let hold = ("WORKER_BUFFER_TARGET", "0s");
    assert!(Config::from_env(&Env::from_pairs([hold])).is_err());
    assert!(Config::from_env(&Env::from_pairs([hold, ("WORKER_STS_MODE", "passthrough")])).is_ok());
}

#[test]
fn the_program_ends_with_64_and_names_every_wrong_setting() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    let output = program.env_clear().envs(WRONG).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for (key, _) in WRONG {
        assert!(said.contains(key), "{key} is not in:\n{said}");
    }
}
