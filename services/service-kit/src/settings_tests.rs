#![allow(clippy::unwrap_used, clippy::panic)]
//! Reading settings: what is accepted, what is refused, in which words.

use secrecy::ExposeSecret as _;

use super::*;

const fn setting(key: &'static str, default: &'static str, allowed: &'static str) -> Setting {
    Setting {
        key,
        default,
        allowed,
        help: "",
    }
}

const HOLD: Setting = setting("WORKER_BUFFER_TARGET", "10s", "0s..60s");
const SECONDS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

fn read<T>(
    pairs: &[(&str, &str)],
    reading: impl FnOnce(&mut Reader<'_>) -> T,
) -> (T, Result<(), ConfigErrors>) {
    let env = Env::from_pairs(pairs.iter().copied());
    let mut reader = Reader::new(&env);
    let value = reading(&mut reader);
    (value, reader.finish())
}

fn refusal<T>(pairs: &[(&str, &str)], reading: impl FnOnce(&mut Reader<'_>) -> T) -> String {
    read(pairs, reading).1.unwrap_err().to_string()
}

#[test]
fn an_unset_or_empty_value_is_the_default() {
    for pairs in [
        &[][..],
        &[("WORKER_BUFFER_TARGET", "")],
        &[("WORKER_BUFFER_TARGET", "  ")],
    ] {
        let (hold, outcome) = read(pairs, |r| r.duration(&HOLD, SECONDS));
        assert_eq!((hold, outcome), (Duration::from_secs(10), Ok(())));
    }
}

#[test]
fn durations_carry_their_unit() {
    for (text, expected) in [("250ms", 250), ("10s", 10_000), ("1m", 60_000), ("0s", 0)] {
        let (hold, outcome) = read(&[("WORKER_BUFFER_TARGET", text)], |r| r.duration(&HOLD, SECONDS));
        assert_eq!(
            (hold, outcome),
            (Duration::from_millis(expected), Ok(())),
            "{text}"
        );
    }
    let hour = Duration::ZERO..=Duration::from_secs(7200);
    let (one_hour, _) = read(&[("WORKER_BUFFER_TARGET", "1h")], |r| r.duration(&HOLD, hour));
    assert_eq!(one_hour, Duration::from_secs(3600));
    for wrong in ["10", "1.5s", "-1s", "10 s", "1m30s", "1month", "s", "fast"] {
        let refused = refusal(&[("WORKER_BUFFER_TARGET", wrong)], |r| r.duration(&HOLD, SECONDS));
        assert!(refused.contains("250ms, 10s, 2m or 1h"), "{refused}");
    }
}

#[test]
fn a_refusal_names_setting_value_what_is_allowed_and_the_remedy() {
    assert_eq!(
        refusal(&[("WORKER_BUFFER_TARGET", "2m")], |r| r.duration(&HOLD, SECONDS)),
        "WORKER_BUFFER_TARGET=\"2m\": is out of range; allowed: 0s..1m; choose a value in range (default 10s)"
    );
}

#[test]
fn all_problems_are_told_at_once_one_a_line_and_the_reading_goes_on_with_defaults() {
    const DEBUG: Setting = setting("DEBUG", "true", "true|false");
    const ADDRESS: Setting = setting("ADDRESS", "127.0.0.1:1", "IP:PORT");
    let pairs = [
        ("WORKER_BUFFER_TARGET", "x"),
        ("DEBUG", "yes"),
        ("ADDRESS", "localhost"),
    ];
    let ((hold, debug, address), outcome) = read(&pairs, |r| {
        (r.duration(&HOLD, SECONDS), r.flag(&DEBUG), r.address(&ADDRESS))
    });
    assert_eq!((hold, debug), (Duration::from_secs(10), true));
    assert_eq!(address, SocketAddr::from(([127, 0, 0, 1], 1)));
    let errors = outcome.unwrap_err();
    let keys: Vec<&str> = errors.errors().iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["WORKER_BUFFER_TARGET", "DEBUG", "ADDRESS"]);
    assert_eq!(errors.to_string().lines().count(), 3);
}

#[test]
fn booleans_are_true_or_false_and_nothing_else() {
    const DEBUG: Setting = setting("DEBUG", "false", "true|false");
    assert!(read(&[("DEBUG", "true")], |r| r.flag(&DEBUG)).0);
    for wrong in ["1", "yes", "TRUE", "on"] {
        assert!(
            read(&[("DEBUG", wrong)], |r| r.flag(&DEBUG)).1.is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn numbers_keep_to_their_range() {
    const GAIN: Setting = setting("GAIN", "-15", "-60..12");
    const COUNT: Setting = setting("COUNT", "5", "1..9");
    assert_eq!(
        read(&[("GAIN", "-3.5")], |r| r.number(&GAIN, -60.0..=12.0)),
        (-3.5, Ok(()))
    );
    assert_eq!(read(&[], |r| r.number(&GAIN, -60.0..=12.0)), (-15.0, Ok(())));
    assert!(refusal(&[("GAIN", "NaN")], |r| r.number(&GAIN, -60.0..=12.0)).contains("-60..12"));
    assert!(refusal(&[("COUNT", "10")], |r| r.number(&COUNT, 1_u32..=9)).contains("allowed: 1..9"));
    assert!(
        read(&[("COUNT", "-1")], |r| r.number(&COUNT, 1_u32..=9))
            .1
            .is_err()
    );
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Even(u32);

impl FromStr for Even {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if number % 2 == 0 => Ok(Self(number)),
            _ => Err(format!("{text:?} is not even")),
        }
    }
}

#[test]
fn a_word_is_what_its_own_type_knows() {
    const WORD: Setting = setting("WORD", "2", "an even number");
    assert_eq!(
        read(&[("WORD", "4")], |r| r.word::<Even>(&WORD)),
        (Even(4), Ok(()))
    );
    assert!(refusal(&[("WORD", "3")], |r| r.word::<Even>(&WORD)).contains("allowed: an even number"));
    const OPTIONAL: Setting = setting("OPTIONAL", "", "an even number");
    assert_eq!(read(&[], |r| r.parsed::<Even>(&OPTIONAL)), (None, Ok(())));
    let (wrong, outcome) = read(&[("OPTIONAL", "3")], |r| r.parsed::<Even>(&OPTIONAL));
    assert!(wrong.is_none() && outcome.is_err());
}

#[test]
fn a_url_has_a_known_scheme_and_a_host() {
    const URL: Setting = setting("URL", "", "http://HOST:PORT");
    let url = |text: &str| read(&[("URL", text)], |r| r.url(&URL, &["http", "rtsp"]));
    assert_eq!(
        url("http://jaeger:4317/"),
        ("http://jaeger:4317".to_owned(), Ok(()))
    );
    assert_eq!(url("rtsp://[::1]:8554/in?x=1").1, Ok(()));
    assert_eq!(url(""), (String::new(), Ok(())));
    for wrong in [
        "jaeger:4317",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://a b",
        "http://:80",
    ] {
        assert!(url(wrong).1.is_err(), "{wrong}");
    }
}

#[test]
fn a_password_in_a_url_is_never_shown() {
    const URL: Setting = setting("URL", "", "rtsp://HOST");
    let refused = refusal(&[("URL", "ftp://user:hush@host/in")], |r| r.url(&URL, &["rtsp"]));
    assert!(
        !refused.contains("hush") && refused.contains("@host/in"),
        "{refused}"
    );
}

#[test]
fn a_secret_comes_from_its_key_or_its_file_and_not_from_both() {
    const KEY: Setting = setting("GEMINI_API_KEY", "", "secret");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "from file\n").unwrap();
    let path = path.to_str().unwrap();
    let secret = |pairs: &[(&str, &str)]| {
        let (secret, outcome) = read(pairs, |r| r.secret(&KEY));
        (secret.map(|s| s.expose_secret().to_owned()), outcome)
    };
    assert_eq!(secret(&[]), (None, Ok(())));
    assert_eq!(
        secret(&[("GEMINI_API_KEY", "plain")]),
        (Some("plain".to_owned()), Ok(()))
    );
    assert_eq!(
        secret(&[("GEMINI_API_KEY_FILE", path)]),
        (Some("from file".to_owned()), Ok(()))
    );

    let both = secret(&[("GEMINI_API_KEY", "hush"), ("GEMINI_API_KEY_FILE", path)])
        .1
        .unwrap_err()
        .to_string();
    assert!(
        both.contains("GEMINI_API_KEY_FILE") && !both.contains("hush"),
        "{both}"
    );
    let missing = secret(&[("GEMINI_API_KEY_FILE", "/no/such/file")])
        .1
        .unwrap_err()
        .to_string();
    for word in [
        "GEMINI_API_KEY_FILE",
        "/no/such/file",
        "cannot be read",
        "write the secret into",
    ] {
        assert!(missing.contains(word), "{missing}");
    }
}

#[test]
fn an_empty_secret_file_is_an_unset_one() {
    const KEY: Setting = setting("GEMINI_API_KEY", "", "secret");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    for nothing in ["", " \n\t\n"] {
        std::fs::write(&path, nothing).unwrap();
        let file = ("GEMINI_API_KEY_FILE", path.to_str().unwrap());
        let (secret, outcome) = read(&[file], |r| r.secret(&KEY));
        assert!(secret.is_none() && outcome.is_ok(), "{outcome:?}");
        let (secret, outcome) = read(&[file, ("GEMINI_API_KEY", "plain")], |r| r.secret(&KEY));
        assert_eq!(
            (secret.unwrap().expose_secret(), outcome),
            ("plain", Ok(())),
            "an empty file stands in nobody's way"
        );
    }
}

#[test]
fn a_secret_file_that_may_not_be_read_is_refused_with_the_rights_as_remedy() {
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let remedy = unreadable_remedy(&denied);
    assert!(
        remedy.contains("chmod or chown") && remedy.contains("10001"),
        "{remedy}"
    );
    const KEY: Setting = setting("GEMINI_API_KEY", "", "secret");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let refused = refusal(&[("GEMINI_API_KEY_FILE", path)], |r| r.secret(&KEY));
    assert!(
        refused.starts_with("GEMINI_API_KEY_FILE=") && refused.contains(path),
        "{refused}"
    );
}

#[test]
fn a_refused_secret_is_never_shown() {
    const KEY: Setting = setting("SRT_PASSPHRASE", "", "10..79 characters");
    let refused = refusal(&[("SRT_PASSPHRASE", "hush")], |r| {
        r.reject(&KEY, "hush", "\"hush\" is too short")
    });
    assert!(
        !refused.contains("hush") && refused.contains("too short"),
        "{refused}"
    );
}

#[test]
fn a_directory_is_made_and_must_be_writable() {
    const DIR: Setting = setting("LOG_DIR", "", "a writable directory");
    let directory = tempfile::tempdir().unwrap();
    let wanted = directory.path().join("a/b");
    let (made, outcome) = read(&[("LOG_DIR", wanted.to_str().unwrap())], |r| r.directory(&DIR));
    assert_eq!((made, outcome), (Some(wanted.clone()), Ok(())));
    assert_eq!(
        std::fs::read_dir(&wanted).unwrap().count(),
        0,
        "the probe file is gone"
    );

    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let below_a_file = file.join("dir");
    let refused = refusal(&[("LOG_DIR", below_a_file.to_str().unwrap())], |r| {
        r.directory(&DIR)
    });
    assert!(
        refused.starts_with("LOG_DIR=") && refused.contains("cannot be written"),
        "{refused}"
    );
    assert_eq!(read(&[], |r| r.directory(&DIR)), (None, Ok(())));
}

#[test]
fn a_fixed_setting_takes_its_default_only() {
    const MODE: Setting = setting("WORKER_VIDEO_MODE", "copy", "copy");
    assert_eq!(
        read(&[("WORKER_VIDEO_MODE", "copy")], |r| r.fixed(&MODE)).1,
        Ok(())
    );
    let refused = refusal(&[("WORKER_VIDEO_MODE", "transcode")], |r| r.fixed(&MODE));
    assert!(
        refused.contains("not supported by this version; allowed: copy"),
        "{refused}"
    );
}
