//! What MediaMTX keeps of a stream when it is asked to.
use dub_tests::{Live, flash_beep, http_get, processes::wait_until};
use media_judge::{
    av::{AvReport, BEEP_HZ},
    source::ClipSpec,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// Recorded files of a path.
fn recordings(folder: &Path, path: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(path)).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[tokio::test]
async fn the_dubbed_side_alone_is_recorded_and_played_back_when_only_that_is_asked_for() {
    let settings = [
        ("RECORD_OUT", "true"),
        ("WORKER_STS_MODE", "passthrough"),
        ("WORKER_BUFFER_TARGET", "2s"),
    ];
    let live = Live::start("record-out", &settings).await.unwrap();
    let (folder, playback) = (
        live.stack.dir().join("state/recordings"),
        live.stack.ports().playback,
    );
    let clip = flash_beep(&ClipSpec::small(12), "flv").unwrap();
    let mut publisher = live.publish(&clip, &live.input("a")).unwrap();
    publisher.wait(30 * SECOND).unwrap();
    let is_whole = || {
        let list = http_get(playback, "/list?path=live/a/out").unwrap_or_default();
        let spans: serde_json::Value = serde_json::from_str(&list).unwrap_or_default();
        spans[0]["duration"].as_f64().is_some_and(|seconds| seconds > 9.0)
    };
    wait_until("playback lists what was aired", 20 * SECOND, is_whole).unwrap();
    live.stack.stop().await;

    let files = recordings(&folder, "live/a/out");
    assert_eq!(files.len(), 1, "{files:?}");
    let bytes = std::fs::read(&files[0]).unwrap();
    let fragments = bytes.windows(4).filter(|word| word == b"moof").count();
    assert!(fragments >= 8, "{fragments} parts of a second in 12 s");
    let report = AvReport::of_file(&files[0], BEEP_HZ).unwrap();
    let heard = report.events.iter().filter(|event| event.offset_ms.is_some());
    assert!(heard.count() >= 8, "{report:#?}");
    assert!(recordings(&folder, "live/a/in").is_empty());
}
