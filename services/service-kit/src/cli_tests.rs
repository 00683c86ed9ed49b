#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]
//! The command line: layers, refusals, what is shown.

use super::*;

const PROGRAM: Program = Program {
    name: "dubber",
    about: "Dubs",
    settings: &[
        &[
            Setting {
                key: "DUBBER_MOCK_DELAY",
                default: "200ms",
                allowed: "0s..60s",
                help: "Delay of the mock",
            },
            Setting {
                key: "DUBBER_MOCK_MODE",
                default: "tone",
                allowed: "tone|coded",
                help: "What the mock says",
            },
        ],
        &[
            Setting {
                key: "DUBBER_MOCK_MODE",
                default: "tone",
                allowed: "tone|coded",
                help: "Declared twice",
            },
            Setting {
                key: "GEMINI_API_KEY",
                default: "",
                allowed: "secret",
                help: "Key",
            },
        ],
    ],
    commands: &[("serve", "Serve"), ("worker", "Work")],
};

fn parse_with(args: &[&str], environment: &[(&str, &str)]) -> Invocation {
    let args = std::iter::once("dubber")
        .chain(args.iter().copied())
        .map(str::to_owned);
    parse_over(&PROGRAM, args, Env::from_pairs(environment.iter().copied()))
}

fn run_env(invocation: Invocation) -> Env {
    match invocation {
        Invocation::Run { env, .. } => env,
        other => panic!("not a run: {other:?}"),
    }
}

fn file_with(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn is_refused(invocation: &Invocation) -> bool {
    matches!(invocation, Invocation::Done(exit) if *exit == ExitCode::from(code::CONFIG))
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default() {
    let file = file_with("DUBBER_MOCK_DELAY=3s\nDUBBER_MOCK_MODE=coded\n");
    let config = file.path().to_str().unwrap();
    let with_file = ["--config", config];

    let env = run_env(parse_with(&with_file, &[]));
    assert_eq!(env.get("DUBBER_MOCK_DELAY"), Some("3s"));

    let env = run_env(parse_with(&with_file, &[("DUBBER_MOCK_DELAY", "2s")]));
    assert_eq!(env.get("DUBBER_MOCK_DELAY"), Some("2s"));
    assert_eq!(env.get("DUBBER_MOCK_MODE"), Some("coded"));

    let with_flag = ["--config", config, "--set", "DUBBER_MOCK_DELAY=1s"];
    let env = run_env(parse_with(&with_flag, &[("DUBBER_MOCK_DELAY", "2s")]));
    assert_eq!(env.get("DUBBER_MOCK_DELAY"), Some("1s"));

    assert_eq!(run_env(parse_with(&[], &[])).get("DUBBER_MOCK_DELAY"), None);
}

#[test]
fn an_empty_value_hides_nothing_below_it() {
    let file = file_with("DUBBER_MOCK_DELAY=3s\n");
    let with_file = ["--config", file.path().to_str().unwrap()];
    let env = run_env(parse_with(&with_file, &[("DUBBER_MOCK_DELAY", "")]));
    assert_eq!(env.get("DUBBER_MOCK_DELAY"), Some("3s"));
}

#[test]
fn flags_may_stand_on_both_sides_of_the_command() {
    let args = [
        "--set",
        "DUBBER_MOCK_DELAY=1s",
        "worker",
        "--set",
        "DUBBER_MOCK_MODE=coded",
    ];
    match parse_with(&args, &[]) {
        Invocation::Run { command, env } => {
            assert_eq!(command.as_deref(), Some("worker"));
            assert_eq!(env.get("DUBBER_MOCK_DELAY"), Some("1s"));
            assert_eq!(env.get("DUBBER_MOCK_MODE"), Some("coded"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_modes_of_the_command_line_are_told_apart() {
    assert!(
        matches!(parse_with(&["serve", "--check-config"], &[]), Invocation::CheckConfig { command: Some(c), .. } if c == "serve")
    );
    assert!(matches!(
        parse_with(&["healthcheck"], &[]),
        Invocation::Healthcheck { .. }
    ));
    for answered in ["--help", "--version"] {
        assert!(matches!(parse_with(&[answered], &[]), Invocation::Done(exit) if exit == ExitCode::SUCCESS));
    }
}

#[test]
fn bad_usage_is_refused() {
    for args in [
        &["--set", "DUBBER_MOCK_DELAY"][..],
        &["--set", "NO_SUCH=1"],
        &["--config", "/no/such/file"],
        &["dance"],
        &["--no-such-flag"],
        &["--set", "DUBBER_MOCK_MODE_FILE=/x"],
    ] {
        assert!(is_refused(&parse_with(args, &[])), "{args:?}");
    }
    assert!(!is_refused(&parse_with(
        &["--set", "GEMINI_API_KEY_FILE=/x"],
        &[]
    )));
}

#[test]
fn a_mistyped_key_in_a_file_is_refused_and_a_key_of_another_program_is_passed_over() {
    let mistyped = file_with("DUBBER_MOK_DELAY=3s\n");
    assert!(is_refused(&parse_with(
        &["--config", mistyped.path().to_str().unwrap()],
        &[]
    )));

    let shared = file_with("ORCH_HTTP_ADDR=0.0.0.0:8080\nDUBBER_MOCK_DELAY=3s\n");
    let env = run_env(parse_with(&["--config", shared.path().to_str().unwrap()], &[]));
    assert_eq!(env.get("DUBBER_MOCK_DELAY"), Some("3s"));
    assert_eq!(
        no_such_setting(&PROGRAM, "DUBBER_MOK_DELAY"),
        "no such setting; did you mean DUBBER_MOCK_DELAY?"
    );
}

#[test]
fn lines_of_a_config_file_are_those_of_a_dot_env_file() {
    assert_eq!(parse_line("  # comment"), Ok(None));
    assert_eq!(parse_line(""), Ok(None));
    assert_eq!(parse_line("export A=b"), Ok(Some(("A", "b"))));
    assert_eq!(parse_line("A = b c  # meaning"), Ok(Some(("A", "b c"))));
    assert_eq!(parse_line("A= # meaning"), Ok(Some(("A", ""))));
    assert_eq!(
        parse_line("A=rtsp://h/p#frag"),
        Ok(Some(("A", "rtsp://h/p#frag")))
    );
    assert_eq!(parse_line("A=\" b # c\" # d"), Ok(Some(("A", " b # c"))));
    assert_eq!(parse_line("A='b'"), Ok(Some(("A", "b"))));
    assert!(parse_line("A='b").is_err());
    assert!(parse_line("A='b'c").is_err());
    assert!(parse_line("just words").is_err());
}

#[test]
fn the_effective_settings_are_shown_once_each_and_without_secrets() {
    let env = Env::from_pairs([("GEMINI_API_KEY", "hush"), ("DUBBER_MOCK_DELAY", "1s")]);
    assert_eq!(
        effective_config(&PROGRAM, &env),
        "DUBBER_MOCK_DELAY=1s\nDUBBER_MOCK_MODE=tone\nGEMINI_API_KEY=[redacted]\n"
    );
}

#[test]
fn help_lists_every_setting_with_default_and_meaning() {
    let help = command_line(&PROGRAM).render_help().to_string();
    assert!(
        help.contains("DUBBER_MOCK_DELAY [200ms] 0s..60s: Delay of the mock"),
        "{help}"
    );
    assert!(help.contains("GEMINI_API_KEY_FILE"), "{help}");
    assert!(help.contains("healthcheck"), "{help}");
}
