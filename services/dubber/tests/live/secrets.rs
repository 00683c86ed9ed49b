//! Neither the key nor a word is anywhere but on the wire to the worker.
use crate::TRANSLATE_HOLD;
use crate::programme::{KEY, Programme, Twin, heard_of, open};
use crate::support::{metrics, stream};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// A field of a JSON line.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":\"")).expect("the field");
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn neither_key_nor_words_are_in_logs_or_metrics() {
    // Everything that is known to go wrong in words: a server that repeats the key, and shapes nobody knows.
    let twin = Twin::start(
        "[[fault]]\nname = \"unknowns\"\nafter = \"1s\"\n[[fault]]\nname = \"error_object\"\nafter = \"5s\"\nconnection = 1",
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_dubber"))
        .env_clear()
        .env("DUBBER_GRPC_ADDR", "127.0.0.1:0")
        .env("DUBBER_ADMIN_ADDR", "127.0.0.1:0")
        .env("WORKER_GEMINI_BASE_URL", &twin.url)
        .env("WORKER_GEMINI_API_KEY", KEY)
        .env("LOG_LEVEL", "debug")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let bound = lines.find(|line| line.contains("grpc_addr")).unwrap();
    assert_eq!(field(&bound, "provider"), "gemini-live");
    // The pipe is read while the session runs, so that the program never waits for us.
    let reading = std::thread::spawn(move || lines.collect::<Vec<String>>());
    let mut dub = stream(field(&bound, "grpc_addr").parse().unwrap()).await;
    dub.say(open(TRANSLATE_HOLD, "es")).await;
    dub.opened().await;
    let heard = heard_of(&mut dub, &Programme::of(4, 500), TRANSLATE_HOLD).await;
    let page = metrics(field(&bound, "admin_addr").parse().unwrap()).await;
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let log = reading.join().unwrap().join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(log.contains("a connection to the provider failed"), "{log}");
    let words: Vec<&str> = heard
        .texts
        .iter()
        .map(|text| text.text.trim())
        .filter(|text| text.len() > 6)
        .collect();
    assert!(words.len() >= 8, "{words:?}");
    for (place, text) in [("log", &log), ("metrics", &page)] {
        assert!(!text.contains(KEY), "the key is in the {place}");
        let found: Vec<&&str> = words.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{found:?} is in the {place}");
    }
}
