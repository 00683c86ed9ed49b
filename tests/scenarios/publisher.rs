//! Publishers come, go, come back, and are told of once, twice, late or never.
use dub_proto::{edge::v1::WorkerState, orchestrator::v1::StreamState};
use dub_tests::{
    Live,
    felt::{Pictures, Pulse, longest_gap_of_sound},
    flash_beep, http_post,
};
use media_judge::{
    av::{AvReport, BEEP_HZ},
    source::ClipSpec,
    units,
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);
const READY: &str = "/v1/mediamtx/events/ready";
const NOT_READY: &str = "/v1/mediamtx/events/not-ready";

fn clip(seconds: u32, variant: u32) -> PathBuf {
    let mut spec = ClipSpec::small(seconds);
    spec.video.as_mut().unwrap().variant = variant;
    flash_beep(&spec, "flv").unwrap()
}

/// Hands the orchestrator an event as the hook program does; the HTTP status of the answer.
fn tell(live: &Live, event: &str, id: &str, source_id: &str) -> u16 {
    let body = serde_json::json!({
        "path": format!("live/{id}/in"), "query": "", "sourceType": "rtmpConn", "sourceId": source_id,
    });
    http_post(
        live.stack.ports().orchestrator_http,
        event,
        body.to_string().as_bytes(),
    )
    .unwrap()
    .0
}

fn worker_starts(live: &Live) -> f64 {
    live.metric(
        live.stack.ports().media_edge_admin,
        "media_edge_worker_starts_total",
    )
    .unwrap()
}

#[tokio::test]
async fn a_publisher_that_is_back_within_the_grace_period_continues_on_the_same_air() {
    let settings = [
        ("ORCH_GRACE_PERIOD", "8s"),
        ("WORKER_BUFFER_TARGET", "3s"),
        ("WORKER_STS_MODE", "passthrough"),
    ];
    let (first, second) = (clip(40, 0), clip(10, 1));
    let pulse = Pulse::start();
    let live = Live::start("publisher-back", &settings).await.unwrap();
    let publisher = live.publish(&first, &live.input("a")).unwrap();
    let reader = live.record(&live.output("a"), "out", 20 * SECOND).unwrap();
    let begun = reader.wait_for_picture(20 * SECOND).unwrap();
    let before = live.running_worker("a").await.unwrap();
    publisher.kill().unwrap();
    live.worker_when("a", 3 * SECOND, |now| now.state() == WorkerState::SourceLost)
        .await
        .unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let mut publisher = live.publish(&second, &live.input("a")).unwrap();
    let returned = Instant::now();
    let after = live.running_worker("a").await.unwrap();
    let connected = returned.elapsed();
    assert_eq!(
        (&after.run_id, after.epoch, after.pid),
        (&before.run_id, before.epoch, before.pid)
    );
    let new = Pictures::of(&second)
        .unwrap()
        .wait_for(&reader, 10 * SECOND)
        .unwrap();
    let on_air = returned.elapsed();
    publisher.wait(20 * SECOND).unwrap();
    tokio::time::sleep(3 * SECOND).await;
    let recording = reader.stop().unwrap();
    let gap = longest_gap_of_sound(&recording.arrivals, begun.at_ms);
    eprintln!(
        "publisher back: connected after {connected:?}, on air after {on_air:?}, longest gap {:.0} ms",
        gap.ms
    );
    assert!(
        !recording.dropped,
        "the reader was dropped: {}",
        recording.message
    );
    assert!(
        gap.ms <= 200.0,
        "{gap:?}, longest stall of this machine {:?}",
        pulse.longest()
    );
    assert_eq!(worker_starts(&live), 1.0);

    let out = recording.path.unwrap();
    let got = units::compare(&units::read(&second).unwrap(), &units::read(&out).unwrap());
    assert_eq!((got.lost, got.doubled), (0, 0), "{got:#?}");
    let synced = AvReport::of_file(&out, BEEP_HZ).unwrap().since(new.pts_ms as f64);
    let synced = synced.against(&AvReport::of_file(&second, BEEP_HZ).unwrap());
    eprintln!(
        "publisher back: A/V median {:.1} ms, worst {:.1} ms",
        synced.median_ms, synced.worst_ms
    );
    assert!(
        synced.heard >= 6 && synced.median_ms.abs() <= 5.0 && synced.worst_ms.abs() <= 20.0,
        "{synced:#?}"
    );
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

/// The last picture and the last beep of the clip are in the recording.
fn assert_whole_tail(what: &str, source: &Path, recording: &Path) {
    let (sent, got) = (units::read(source).unwrap(), units::read(recording).unwrap());
    let last = got.last().unwrap().hash;
    let missing = sent.iter().rev().take_while(|unit| unit.hash != last).count();
    let heard = AvReport::of_file(recording, BEEP_HZ).unwrap();
    let report = units::compare(&sent, &got);
    let beeps = heard.offsets().len();
    eprintln!(
        "{what}: {missing} pictures missing at the end, {} inside, {beeps} beeps heard",
        report.lost
    );
    assert_eq!((missing, report.lost), (0, 0), "{report:#?}");
    // Two or three seconds go by before a server and a worker are there for a publisher.
    assert!(beeps == heard.events.len() && beeps >= 4, "{heard:#?}");
}

#[tokio::test]
async fn a_publisher_that_stays_away_ends_the_worker_at_the_later_of_grace_and_hold_with_its_tail_heard() {
    let settings = [("ORCH_GRACE_PERIOD", "4s"), ("WORKER_STS_MODE", "passthrough")];
    let source = clip(14, 0);
    let live = Live::start("publisher-away", &settings).await.unwrap();
    let mut publishers = Vec::new();
    let mut readers = Vec::new();
    for (id, hold) in [("long", "8s"), ("short", "2s")] {
        publishers.push(
            live.publish(&source, &format!("{}?hold={hold}", live.input(id)))
                .unwrap(),
        );
        readers.push(live.record(&live.output(id), id, 25 * SECOND).unwrap());
    }
    for publisher in &mut publishers {
        publisher.wait(30 * SECOND).unwrap();
    }
    let left = Instant::now();
    let (mut long, mut short) = (None, None);
    while long.is_none() || short.is_none() {
        assert!(
            left.elapsed() < 20 * SECOND,
            "still there: long {long:?}, short {short:?}"
        );
        for (id, gone) in [("long", &mut long), ("short", &mut short)] {
            let is_there = live
                .worker(id)
                .await
                .is_ok_and(|worker| worker.state() != WorkerState::Exited);
            if !is_there {
                gone.get_or_insert(left.elapsed());
            }
        }
        tokio::time::sleep(SECOND / 20).await;
    }
    let (long, short) = (long.unwrap(), short.unwrap());
    eprintln!(
        "publisher away: grace 4 s, hold 8 s: gone after {long:?}; grace 4 s, hold 2 s: gone after {short:?}"
    );
    // The source's last sample arrives a moment before its publisher has ended.
    assert!((7.5..=10.5).contains(&long.as_secs_f64()) && (4.0..=6.5).contains(&short.as_secs_f64()));
    for (id, reader) in ["long", "short"].into_iter().zip(readers) {
        assert!(
            reader.wait_for_end(3 * SECOND),
            "the output of {id} has not ended"
        );
        let exit = live.worker(id).await.unwrap();
        assert_eq!(
            (exit.exit_code, exit.detail.as_str()),
            (Some(0), "played out"),
            "{exit:#?}"
        );
        assert_whole_tail(id, &source, &reader.stop().unwrap().path.unwrap());
        let stream = live.stream(id).await.unwrap();
        assert!(
            matches!(stream.state(), StreamState::Stopped | StreamState::Idle),
            "{stream:#?}"
        );
    }
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

#[tokio::test]
async fn hooks_that_come_twice_late_or_out_of_order_start_and_stop_nothing() {
    let settings = [
        ("ORCH_GRACE_PERIOD", "1s"),
        ("WORKER_BUFFER_TARGET", "1s"),
        ("WORKER_STS_MODE", "passthrough"),
    ];
    let live = Live::start("hooks-odd", &settings).await.unwrap();
    let _publisher = live.publish(&clip(40, 0), &live.input("a")).unwrap();
    let before = live.running_worker("a").await.unwrap();
    let source_id = live.stream("a").await.unwrap().source_id;
    assert!(!source_id.is_empty());
    for _ in 0..5 {
        assert_eq!(tell(&live, READY, "a", &source_id), 202);
    }
    // Of a publisher that was there before, and of one that never was.
    assert_eq!(
        tell(&live, NOT_READY, "a", "0b5ce1de-0000-4000-8000-000000000000"),
        202
    );
    // The not-ready of a short visit overtakes its ready.
    assert_eq!(
        tell(&live, NOT_READY, "b", "11111111-0000-4000-8000-000000000000"),
        202
    );
    assert_eq!(
        tell(&live, READY, "b", "11111111-0000-4000-8000-000000000000"),
        202
    );
    tokio::time::sleep(4 * SECOND).await;
    let after = live.worker("a").await.unwrap();
    assert_eq!(
        (&after.run_id, after.epoch, after.pid),
        (&before.run_id, before.epoch, before.pid)
    );
    assert_eq!(after.state(), WorkerState::Running);
    let visit = live.stream("b").await.ok().map(|stream| stream.run_id);
    let starts = worker_starts(&live);
    eprintln!("hooks: {starts} worker started for the streams a and b, run of b: {visit:?}");
    assert_eq!(starts, 1.0);
    assert!(live.worker("b").await.is_err() && visit.is_none_or(|run| run.is_empty()));
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

#[tokio::test]
async fn missed_hooks_heal_by_the_control_api_within_three_seconds() {
    let settings = [
        ("MTX_HOOK_BIN", "/bin/true"),
        ("ORCH_GRACE_PERIOD", "0s"),
        ("WORKER_BUFFER_TARGET", "500ms"),
    ];
    let live = Live::start("hooks-missed", &settings).await.unwrap();
    let publisher = live
        .publish(&clip(40, 0), &format!("{}?lang=fr", live.input("a")))
        .unwrap();
    let api = live.stack.ports().mediamtx_api;
    let path = || dub_tests::http_get(api, "/v3/paths/list").unwrap_or_default();
    dub_tests::processes::wait_until("the path is ready", 10 * SECOND, || path().contains("live/a/in"))
        .unwrap();
    let ready = Instant::now();
    let worker = live.worker_when("a", 4 * SECOND, |_| true).await.unwrap();
    let healed = ready.elapsed();
    assert_eq!(worker.settings.unwrap().target_lang, "fr");
    live.running_worker("a").await.unwrap();
    publisher.stop().unwrap();
    let left = Instant::now();
    live.worker_gone("a", 10 * SECOND).await.unwrap();
    let (gone, counted) = (
        left.elapsed(),
        live.stack.log_text("orchestrator").contains("hook event"),
    );
    eprintln!("missed hooks: worker {healed:?} after the path was ready, gone {gone:?} after its publisher");
    assert!(!counted, "a hook came all the same");
    assert!(healed <= 3 * SECOND);
    // The listing that heals, and then the tail of half a second.
    assert!(gone <= 4 * SECOND);
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}
