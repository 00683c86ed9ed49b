//! `dubber check`, the program, against the twin.
use crate::place::{Scripted, Twin};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use tokio::process::Command;

/// What the check needs of a person: exit code, and all that was printed.
struct Checked {
    code: Option<i32>,
    said: String,
}

impl Checked {
    /// A line of the report, without its name.
    fn line(&self, name: &str) -> &str {
        let found = self.said.lines().find_map(|line| line.strip_prefix(name));
        found
            .unwrap_or_else(|| panic!("{name} is missing in {}", self.said))
            .trim()
    }
}

async fn check(settings: &[(&str, &str)], words: &[&str]) -> Checked {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubber"));
    command
        .env_clear()
        .env("WORKER_GEMINI_API_KEY", "any-key")
        .arg("check")
        .args(words);
    command.envs(settings.iter().copied()).kill_on_drop(true);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.unwrap();
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    assert!(!said.contains("any-key"), "{said}");
    Checked {
        code: status.code(),
        said,
    }
}

#[tokio::test]
async fn it_says_what_was_heard_and_said_how_late_and_for_how_much_and_its_record_is_played_again_alike() {
    let (twin, folder) = (Twin::plain(), tempfile::tempdir().unwrap());
    let file = folder.path().join("wire.jsonl");
    let words = ["--seconds", "4", "--record", file.to_str().unwrap()];
    let first = check(&[("WORKER_GEMINI_BASE_URL", &twin.base())], &words).await;
    assert_eq!(first.code, Some(0), "{}", first.said);
    for (line, word) in [
        ("heard", "Phrase"),
        ("said", "Frase"),
        ("lag", " s "),
        ("tokens", "in audio"),
        ("cost", "USD"),
    ] {
        assert!(first.line(line).contains(word), "{}", first.said);
    }
    let record = std::fs::read_to_string(&file).unwrap();
    assert!(!record.contains("any-key"));
    assert!(
        record.lines().next().unwrap().contains("\\\"setup\\\""),
        "{record}"
    );
    let frames = |direction: &str| {
        let is = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["direction"] == direction;
        record.lines().filter(is).count()
    };
    // Four seconds in pieces of a tenth, and an answer that is not shorter than two.
    assert!(frames("client") > 40 && frames("server") > 8, "{record}");

    let replay = Twin::replay(Path::new(&file));
    let again = check(&[("WORKER_GEMINI_BASE_URL", &replay.base())], &["--seconds", "4"]).await;
    assert_eq!(again.code, Some(0), "{}", again.said);
    for line in ["heard", "said", "answer", "tokens"] {
        assert_eq!(again.line(line), first.line(line), "{line}");
    }
}

#[tokio::test]
async fn a_failure_ends_with_its_cause_its_remedy_and_its_exit_code() {
    for (fault, code, cause, remedy) in [
        (
            "key_bad",
            64,
            "key_refused: closed with 1007: API key not valid",
            "WORKER_GEMINI_API_KEY",
        ),
        ("model_missing", 64, "model_missing", "WORKER_GEMINI_MODEL"),
        ("http_404", 64, "address_wrong", "WORKER_GEMINI_API_VERSION"),
        ("http_429", 69, "quota_spent", "quota"),
        (
            "http_503",
            69,
            "unavailable: refused with status 503",
            "tried again",
        ),
        ("quota_at_start", 69, "quota_spent", "quota"),
    ] {
        let twin = Twin::start(false, &format!("[[fault]]\nname = \"{fault}\"\n"));
        let checked = check(&[("WORKER_GEMINI_BASE_URL", &twin.base())], &["--seconds", "2"]).await;
        assert_eq!(checked.code, Some(code), "{fault}: {}", checked.said);
        assert!(
            checked.line("FAILED").contains(cause),
            "{fault}: {}",
            checked.said
        );
        assert!(
            checked.line("remedy").contains(remedy),
            "{fault}: {}",
            checked.said
        );
    }
}

#[tokio::test]
async fn words_without_sound_are_no_success() {
    let twin = Twin::start(false, "[[fault]]\nname = \"zero_audio\"\nafter = \"0s\"\n");
    let checked = check(&[("WORKER_GEMINI_BASE_URL", &twin.base())], &[]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.said);
    assert!(checked.line("said").contains("Frase"), "{}", checked.said);
    assert!(
        checked.said.contains("FAILED") && checked.said.contains("remedy"),
        "{}",
        checked.said
    );
}

#[tokio::test]
async fn nobody_there_no_key_and_a_language_that_is_none_are_told_without_a_call() {
    let unreachable = check(&[("WORKER_GEMINI_BASE_URL", "http://127.0.0.1:1")], &[]).await;
    assert_eq!(unreachable.code, Some(69), "{}", unreachable.said);
    assert!(
        unreachable.line("FAILED").contains("Connection refused"),
        "{}",
        unreachable.said
    );
    assert!(unreachable.line("remedy").contains("WORKER_GEMINI_BASE_URL"));

    let server = Scripted::start(|_| String::new()).await;
    let base = ("WORKER_GEMINI_BASE_URL", server.base());
    let base = (base.0, base.1.as_str());
    let refused = check(&[base, ("WORKER_GEMINI_API_KEY", "")], &["--lang", "tlh"]).await;
    assert_eq!(refused.code, Some(64), "{}", refused.said);
    for word in ["WORKER_GEMINI_API_KEY", "--lang=\"tlh\"", "zh-Hant"] {
        assert!(refused.said.contains(word), "{}", refused.said);
    }
    for words in [
        ["--speech", "/nowhere.wav"],
        ["--record", "/nowhere/wire.jsonl"],
        ["--seconds", "0"],
    ] {
        let refused = check(&[base], &words).await;
        assert_eq!(refused.code, Some(64), "{}", refused.said);
        assert!(refused.said.contains(words[0]), "{}", refused.said);
    }
    assert_eq!(server.heads(), [""; 0]);
}

#[tokio::test]
async fn its_help_names_its_options_and_exit_codes_and_costs_nothing() {
    let help = check(&[], &["--help"]).await;
    assert_eq!(help.code, Some(0));
    for word in ["--record", "--lang", "--seconds", "--speech", "billed", "69"] {
        assert!(help.said.contains(word), "{}", help.said);
    }
}
