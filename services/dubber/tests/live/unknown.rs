//! What the provider says and this version does not know: told once a session, and no more than that.
use crate::process::Process;
use crate::programme::{Programme, Twin, heard_of, open};
use crate::support::field;
use crate::{SHORT_LIVES, TRANSLATE_HOLD, assert_whole};
use std::time::Duration;

/// Lines of a session that have this message.
fn told<'l>(log: &'l [String], session_id: &str, message: &str) -> Vec<&'l str> {
    log.iter()
        .map(String::as_str)
        .filter(|line| line.contains(session_id) && line.contains(message))
        .collect()
}

#[tokio::test]
async fn what_nobody_knows_is_told_once_a_session_and_every_phrase_is_heard() {
    // Every connection meets all of it, a second after its setup.
    let twin = Twin::start("[[fault]]\nname = \"unknowns\"\nafter = \"1s\"");
    let process = Process::start(&twin.url, &SHORT_LIVES);
    let mut dub = process.stream().await;
    dub.say(open(TRANSLATE_HOLD, "es")).await;
    let first = dub.opened().await.session_id;
    let programme = Programme::of(8, 500);
    let heard = heard_of(&mut dub, &programme, TRANSLATE_HOLD).await;
    assert_whole(&heard, &programme);
    // What was told in one session is news in the next.
    let mut next = process.stream().await;
    next.say(open(TRANSLATE_HOLD, "es")).await;
    let second = next.opened().await.session_id;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(next);
    let log = process.stop().await;
    let unknown = "the provider said something that this version does not know";
    for session_id in [&first, &second] {
        let paths: Vec<&str> = told(&log, session_id, unknown)
            .into_iter()
            .map(|line| field(line, "path"))
            .collect();
        assert_eq!(
            paths,
            [
                "somethingNew",
                "serverContent.somethingNew",
                "serverContent.interactionStatus = SOMETHING_NEW"
            ],
            "session {session_id}"
        );
    }
    // What is no JSON at all is a warning once; the rest of it shows that other connections met the same.
    let nonsense = told(&log, &first, "a frame of the provider is no message");
    let levels: Vec<&str> = nonsense.iter().map(|line| field(line, "level")).collect();
    assert!(levels.len() >= 2, "{levels:?}");
    let warnings = levels.iter().filter(|level| **level == "warn").count();
    assert_eq!((levels[0], warnings), ("warn", 1), "{levels:?}");
}
