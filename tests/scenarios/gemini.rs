//! The dubber at Gemini Live's twin: sessions change and no phrase is lost, operators see what acts, and neither a key nor
//! a word is written anywhere.
use crate::inspection::{grpcurl_json, tag, tool};
use dub_tests::twin::case::STREAM;
use dub_tests::twin::programme::Shape;
use dub_tests::twin::rotation::{self, End};
use dub_tests::twin::{Case, Family, Programme};
use dub_tests::{Live, http_get, processes};
use gemini_twin::code::Cell;
use gemini_twin::connection::fates::word;
use local_stack::Stack;
use local_stack::settings::Twin;
use local_stack::tools::Tool;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Two sessions of thirty seconds are over in it.
const SECONDS: f64 = 75.0;
/// A key that is nobody's, and easy to find.
const KEY: &str = "a-key-that-is-nobodys-and-written-nowhere";
/// More traces than a minute makes, and no more than Jaeger gives at once.
const TRACES_MAX: usize = 10_000;

fn programme() -> Arc<Programme> {
    let shape = Shape {
        seconds: SECONDS as u32 + 5,
        hole: None,
    };
    Arc::new(Programme::get(shape).unwrap())
}

/// Sessions that the server ends every 25 s: at least two change while phrases are said, and each is heard once.
async fn every_phrase_is_heard_once_over_two_changes(family: Family) {
    let mut case = rotation::case(family, End::GoAway, &programme(), SECONDS);
    case.name = format!("scenario-{}", family.name());
    let live = case.start().await.unwrap();
    let ran = case.run_on(live).await.unwrap();
    let air = ran.air().unwrap();
    eprintln!("{}", air.render());
    let row = rotation::judge(End::GoAway, &ran).unwrap();
    eprintln!("{}", row.cells.join("  "));
    assert_eq!(row.problems, Vec::<String>::new());
    let rotations = ran.seen.links(|link| link.rotations_total);
    assert!(
        rotations >= 2 && air.heard.len() >= 12,
        "{rotations} {}",
        air.heard.len()
    );
    assert_eq!(ran.errors, Vec::<String>::new());
}

#[tokio::test]
async fn no_phrase_is_lost_doubled_or_moved_when_sessions_without_turns_change() {
    every_phrase_is_heard_once_over_two_changes(Family::Translate).await;
}

#[tokio::test]
async fn no_phrase_is_lost_doubled_or_moved_when_sessions_with_turns_change() {
    every_phrase_is_heard_once_over_two_changes(Family::Dialogue).await;
}

/// Files under a folder, recordings aside.
fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.extension().is_none_or(|ending| ending != "flv") {
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

/// The words of a text in small letters, each between two spaces.
fn spaced(text: &str) -> String {
    let small = text.to_lowercase();
    let words = small.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

/// By what every piece of the twin's transcripts of a programme is found, be it heard or said: the beginning of a phrase,
/// two words in a row, a long word, and a short one where it is a text by itself.
fn transcribed(programme: &Programme) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let phrases = programme.phrases.iter();
    for (phrase, language) in phrases.flat_map(|phrase| [(phrase, "en"), (phrase, "es")]) {
        let said = |part: u8| {
            let (number, parts) = (phrase.number, phrase.parts);
            word(Cell { number, part, parts }, language).to_lowercase()
        };
        found.insert(spaced(&said(0)));
        let rest: Vec<String> = (1..phrase.parts).map(said).collect();
        found.extend(rest.windows(2).map(|pair| spaced(&pair.concat())));
        for alone in &rest {
            found.extend([format!("\"{alone}\""), format!("\\\"{alone}\\\"")]);
            let alone = spaced(alone);
            // The services' own words have "about" as well.
            if alone.trim().chars().count() > 4 && alone != " about " {
                found.insert(alone);
            }
        }
    }
    found
}

/// What nobody may write: the key, and what both sides say.
fn assert_says_nothing(place: &str, text: &str, said: &BTreeSet<String>) {
    assert!(!text.contains(KEY), "{place} says the key");
    let (words, small) = (spaced(text), text.to_lowercase());
    let found: Vec<&String> = said
        .iter()
        .filter(|it| words.contains(it.as_str()) || small.contains(it.as_str()))
        .collect();
    assert!(found.is_empty(), "{place} says {found:?}");
}

/// Spans of a service in what Jaeger answers.
fn spans_of<'t>(traces: &'t Value, service: &str) -> Vec<&'t Value> {
    let mut found = Vec::new();
    for trace in traces["data"].as_array().into_iter().flatten() {
        for span in trace["spans"].as_array().into_iter().flatten() {
            let process = span["processID"].as_str().unwrap_or_default();
            if trace["processes"][process]["serviceName"] == service {
                found.push(span);
            }
        }
    }
    found
}

/// What was used and what it costs is on the spans, as numbers.
fn assert_use_is_traced(spans: &[&Value]) {
    for key in [
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "dub.audio_sent_seconds",
        "dub.audio_received_seconds",
        "dub.cost_usd",
        "dub.cost_usd_per_hour",
    ] {
        let tags: Vec<&Value> = spans.iter().filter_map(|span| tag(span, key)).collect();
        let numbers: Vec<f64> = tags.iter().filter_map(|value| value.as_f64()).collect();
        assert_eq!(numbers.len(), tags.len(), "{key} is no number: {tags:?}");
        let sum: f64 = numbers.iter().sum();
        eprintln!("spans: {key} on {} spans, {sum} in sum", numbers.len());
        assert!(sum > 0.0, "{key}: {numbers:?}");
    }
}

#[tokio::test]
async fn neither_the_key_nor_a_word_is_in_logs_traces_or_pages() {
    let programme = programme();
    let said = transcribed(&programme);
    assert!(said.contains(" long river ") && said.contains(" largo río "));
    let dir = Live::folder("gemini-silence").unwrap();
    let scenario = dir.join("twin.toml");
    // A refused setup, a lost connection and an odd frame: what fails is what is written about most.
    let faults = ["setup_close", "tcp_reset", "unknowns", "error_object"];
    let planned: String = faults
        .iter()
        .zip(1..)
        .map(|(name, at)| format!("[[fault]]\nname = \"{name}\"\nat = \"{}s\"\n", 6 * at))
        .collect();
    std::fs::write(&scenario, format!("hears = \"codes\"\n{planned}")).unwrap();
    let builder = Stack::builder()
        .twin(Twin {
            scenario: Some(scenario),
            seed: None,
        })
        .jaeger(true)
        .env("WORKER_GEMINI_API_KEY", KEY)
        .env("WORKER_BUFFER_TARGET", "6s")
        .env("LOG_LEVEL", "debug");
    tool(Tool::Jaeger);
    let live = Live::start_in(dir.clone(), builder).await.unwrap();
    let ports = live.stack.ports();
    let mut publisher = live.publish(&programme.clip, &live.input(STREAM)).unwrap();
    live.running_worker(STREAM).await.unwrap();
    tokio::time::sleep(38 * SECOND).await;
    let session = &grpcurl_json(ports.dubber_grpc, "{}", "dub.v1.DubService/ListSessions")["sessions"][0];
    eprintln!("{session:#}");
    assert_session_is_told(session);
    let page = http_get(ports.dubber_admin, "/metrics").unwrap();
    for part in ["dubber_", "breaker", "in_flight", "tokens"] {
        assert!(
            page.contains(part),
            "{part} is not on the page of metrics:\n{page}"
        );
    }
    let cost = live
        .metric(ports.dubber_admin, "dubber_provider_cost_usd_per_hour")
        .unwrap();
    assert!(cost > 0.0, "{cost} USD an hour:\n{page}");
    assert_says_nothing("the page of metrics", &page, &said);
    assert_says_nothing("the session", &session.to_string(), &said);
    // Spans leave every few seconds.
    tokio::time::sleep(6 * SECOND).await;
    let mut spans = 0;
    for service in ["dubber", "media-edge", "orchestrator"] {
        let path = format!("/api/traces?service={service}&limit={TRACES_MAX}&lookback=1h");
        let answer = http_get(ports.jaeger, &path).unwrap();
        assert_says_nothing(&format!("the traces of {service}"), &answer, &said);
        let traces: Value = serde_json::from_str(&answer).unwrap();
        let count = traces["data"].as_array().map_or(0, Vec::len);
        assert!((1..TRACES_MAX).contains(&count), "{service}: {count} traces");
        let of_service = spans_of(&traces, service);
        spans += of_service.len();
        if service == "dubber" {
            assert_use_is_traced(&of_service);
        }
    }
    let _ = publisher.ended();
    let journal = live.stack.twin_journal();
    let (dir, heard) = (
        live.stack.dir().to_owned(),
        std::fs::read_to_string(&journal).unwrap(),
    );
    live.stack.stop().await;
    let files = texts(&dir);
    for (path, text) in &files {
        assert_says_nothing(&path.display().to_string(), text, &said);
    }
    let lines: usize = files.iter().map(|(_, text)| text.lines().count()).sum();
    eprintln!("silence: {} files, {lines} lines, {spans} spans", files.len());
    assert!(spans > 50 && lines > 200 && heard.matches("\"heard\"").count() > 20);
    for name in faults {
        assert!(
            heard.contains(&format!("\"fault\":\"{name}\"")),
            "{name} did not happen"
        );
    }
}

/// What an operator needs of a session stands in grpcurl's answer.
fn assert_session_is_told(session: &Value) {
    assert_eq!(session["provider"], "gemini-live");
    assert_eq!(session["breaker"], "BREAKER_STATE_CLOSED");
    assert!(session["inFlight"].is_string(), "{session:#}");
    let link = &session["link"];
    for key in ["state", "connectionsTotal", "failuresTotal", "model"] {
        assert!(!link[key].is_null(), "{key} is not told: {link:#}");
    }
    let usage = &session["usage"];
    assert!(
        usage["tokens"].as_array().is_some_and(|tokens| tokens.len() >= 2),
        "{usage:#}"
    );
    for key in ["costUsd", "costUsdPerHour"] {
        assert!(
            usage[key].as_f64().is_some_and(|cost| cost > 0.0),
            "{key}: {usage:#}"
        );
    }
    for key in ["audioSent", "audioReceived"] {
        assert!(usage[key].is_string(), "{key}: {usage:#}");
    }
}

/// A setting and its value.
type Pair<'a> = (&'a str, &'a str);

fn dubber(settings: &[Pair<'_>]) -> processes::Ended {
    let program = local_stack::binaries::folder(None).unwrap().join("dubber");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("WORKER_STS_PROVIDER", "gemini-live")
        .env("DUBBER_GRPC_ADDR", "127.0.0.1:0")
        .env("DUBBER_ADMIN_ADDR", "127.0.0.1:0")
        .envs(settings.iter().copied());
    processes::run(&mut command, 10 * SECOND).unwrap()
}

#[test]
fn wrong_settings_of_the_provider_are_refused_at_the_start_with_name_and_remedy() {
    let long = "x".repeat(2049);
    let key = ("WORKER_GEMINI_API_KEY", KEY);
    let cases: [(&str, &[Pair<'_>], &str); 5] = [
        ("WORKER_GEMINI_API_KEY", &[], "set WORKER_GEMINI_API_KEY"),
        (
            "WORKER_GEMINI_API_KEY",
            &[("WORKER_GEMINI_API_KEY", "two words")],
            "without spaces",
        ),
        (
            "WORKER_GEMINI_SESSION_HINT",
            &[key, ("WORKER_GEMINI_SESSION_HINT", &long)],
            "shorten it",
        ),
        (
            "WORKER_GEMINI_BASE_URL",
            &[key, ("WORKER_GEMINI_BASE_URL", "ftp://twin")],
            "allowed",
        ),
        (
            "WORKER_GEMINI_SESSION_AGE",
            &[key, ("WORKER_GEMINI_SESSION_AGE", "1h")],
            "allowed",
        ),
    ];
    for (setting, wrong, remedy) in cases {
        let ended = dubber(wrong);
        eprintln!("{}", ended.stderr);
        assert_eq!(ended.code, Some(64), "{setting}: {ended:#?}");
        assert!(
            ended.stderr.contains(setting) && ended.stderr.contains(remedy),
            "{}",
            ended.stderr
        );
        assert!(
            !ended.stderr.contains(KEY) && !ended.stderr.contains("two words"),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn an_unknown_language_and_an_address_where_nobody_answers_are_told_with_setting_and_remedy() {
    let case = |name: &str, settings: &[(&str, &str)]| Case {
        name: format!("scenario-{name}"),
        family: Family::Translate,
        programme: programme(),
        seconds: 20.0,
        scenario: String::new(),
        settings: settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let cases = [
        ("language", ("WORKER_TARGET_LANG", "tlh"), "WORKER_TARGET_LANG"),
        (
            "address",
            ("WORKER_GEMINI_BASE_URL", "http://127.0.0.1:9"),
            "WORKER_GEMINI_BASE_URL",
        ),
    ];
    for (name, setting, wanted) in cases {
        let ran = {
            let case = case(name, &[setting]);
            let live = case.start().await.unwrap();
            case.run_on(live).await.unwrap()
        };
        let logs: String = texts(&ran.dir.join("stack/logs"))
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "log"))
            .map(|(_, text)| text)
            .collect();
        let told = logs.lines().find(|line| line.contains(wanted));
        eprintln!("{name}: {told:?}");
        assert!(
            told.is_some(),
            "{wanted} is not named in the logs of {}",
            ran.dir.display()
        );
        // The programme goes on without a dub.
        let units = dub_tests::twin::case::pictures(&ran).unwrap();
        assert!(units.lost == 0 && units.source_last > 450, "{units:#?}");
    }
}
