//! The worker tells the dubber of every 20 ms of source sound whether somebody speaks.
use dub_proto::dub::v1::{ListSessionsRequest, Session};
use dub_tests::{
    Live, flash_beep, scratch,
    talk::{self, Talk},
};
use media_judge::source::{self, ClipSpec};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Fragments that are back well within the hold.
const SHORT: [(&str, &str); 2] = [
    ("WORKER_BUFFER_TARGET", "2s"),
    ("WORKER_FRAGMENT_TARGET_DUR", "500ms"),
];
/// Sentences of the talk: about a minute.
const PROMPTS: usize = 14;
/// Share by which the seconds of speech may be off: the edges of words are nobody's.
const OFF: f64 = 0.1;

async fn session(live: &Live, id: &str) -> Session {
    let request = ListSessionsRequest {
        stream_id: id.to_owned(),
        ..ListSessionsRequest::default()
    };
    let answer = live.dubber().unwrap().list_sessions(request).await.unwrap();
    answer.into_inner().sessions.into_iter().next().unwrap()
}

fn seconds(length: Option<&prost_types::Duration>) -> f64 {
    length.map_or(0.0, |length| {
        length.seconds as f64 + f64::from(length.nanos) / 1e9
    })
}

#[tokio::test]
async fn the_dubber_is_told_when_somebody_speaks_and_when_nobody_does() {
    let talk = Talk::new(PROMPTS).unwrap();
    let length = talk.samples.len() as f64 / 48_000.0;
    let name = format!("talk-{PROMPTS}.flv");
    let clip = source::cached(&scratch().join("clips"), &name, |out| {
        talk::clip(out, &talk.samples)
    })
    .unwrap();
    let beeps = flash_beep(&ClipSpec::small(25), "flv").unwrap();
    let live = Live::start("speech", &SHORT).await.unwrap();

    let mut silent = live.publish(&beeps, &live.input("beeps")).unwrap();
    silent.wait(40 * SECOND).unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let nobody = session(&live, "beeps").await;
    let before = live
        .metric(live.stack.ports().media_edge_admin, "worker_speech_seconds_total")
        .unwrap();
    let (heard, came) = (
        seconds(nobody.speech_in.as_ref()),
        seconds(nobody.audio_in.as_ref()),
    );
    eprintln!("beeps: {came:.1} s came, {heard:.2} s of them speech");
    assert!(came > 20.0 && heard == 0.0 && before == 0.0);

    let mut speaking = live.publish(&clip, &live.input("talk")).unwrap();
    speaking.wait(Duration::from_secs_f64(length + 20.0)).unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let somebody = session(&live, "talk").await;
    let counted = live
        .metric(live.stack.ports().media_edge_admin, "worker_speech_seconds_total")
        .unwrap();
    let (heard, came) = (
        seconds(somebody.speech_in.as_ref()),
        seconds(somebody.audio_in.as_ref()),
    );
    eprintln!(
        "talk: {length:.1} s published with {:.1} s of speech; {came:.1} s came, {heard:.1} s of them speech; the worker \
         counts {counted:.1} s",
        talk.seconds()
    );
    // The worker begins to pull some seconds into the clip.
    let expected = talk.seconds_behind(length - came);
    assert!(came > length - 6.0, "{came} s of {length} s came");
    assert!(
        (heard - expected).abs() <= OFF * expected,
        "{heard} s of {expected} s"
    );
    assert!(
        (heard - counted).abs() <= 0.1,
        "{heard} s at the dubber, {counted} s at the worker"
    );
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}
