//! Neither the key nor a word is anywhere but on the wire to the worker.
use crate::TRANSLATE_HOLD;
use crate::process::Process;
use crate::programme::{KEY, Programme, Twin, heard_of, open};
use crate::repeating::Repeating;
use crate::support::{field, metrics};

#[tokio::test]
async fn neither_key_nor_words_are_in_logs_metrics_or_events() {
    // Everything that is known to go wrong in words: a server that repeats the key, and shapes nobody knows.
    let twin = Twin::start(
        "[[fault]]\nname = \"unknowns\"\nafter = \"1s\"\n[[fault]]\nname = \"error_object\"\nafter = \"5s\"\nconnection = 1",
    );
    let server = Repeating::start(&twin.url).await;
    let process = Process::start(&server.url, &[]);
    let mut dub = process.stream().await;
    dub.say(open(TRANSLATE_HOLD, "es")).await;
    dub.opened().await;
    let heard = heard_of(&mut dub, &Programme::of(4, 500), TRANSLATE_HOLD).await;
    let page = metrics(process.admin).await;
    let log = process.stop().await;
    // The refusal, the error object and the close that repeat the key, and the twin's error object.
    let causes: Vec<&str> = log
        .iter()
        .filter(|line| line.contains("a connection to the provider failed"))
        .map(|line| field(line, "cause"))
        .collect();
    assert!(
        causes.starts_with(&["unavailable", "internal_error", "internal_error"]) && causes.len() > 3,
        "{causes:?}"
    );
    let words: Vec<&str> = heard
        .texts
        .iter()
        .map(|text| text.text.trim())
        .filter(|text| text.len() > 6)
        .collect();
    assert!(words.len() >= 8, "{words:?}");
    let unknown = log
        .iter()
        .filter(|line| line.contains("this version does not know") && line.contains("[redacted]"));
    assert!(unknown.count() >= 1, "the unknown field was not told");
    let log = log.join("\n");
    let events = format!("{:?} {:?}", heard.events, heard.settlements);
    for (place, text) in [("log", &log), ("metrics", &page), ("events", &events)] {
        assert!(!text.contains(&KEY[..8]), "some of the key is in the {place}");
        let found: Vec<&&str> = words.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{found:?} is in the {place}");
    }
}
