//! A part dies: what a reader of the output feels of it, and how long.
use dub_proto::edge::v1::{ListWorkersRequest, WorkerState};
use dub_tests::{
    Live,
    felt::{Pictures, Pulse, longest_gap_of_picture, longest_gap_of_sound, wall_ms},
    flash_beep,
    processes::{is_alive, kill_hard, wait_until},
    republisher::Republisher,
};
use local_stack::Signal;
use media_judge::{
    Recording,
    av::{AvComparison, AvReport, BEEP_HZ},
    source::ClipSpec,
    units::{self, UnitReport},
};
use std::{
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const GAP_MS_MAX: f64 = 200.0;
const SECOND: Duration = Duration::from_secs(1);

fn clip(seconds: u32, variant: u32) -> PathBuf {
    let mut spec = ClipSpec::small(seconds);
    spec.video.as_mut().unwrap().variant = variant;
    flash_beep(&spec, "flv").unwrap()
}

/// Sound against picture over the flashes in a part of a recording, the source's own offset taken away.
fn in_sync(recording: &Path, source: &Path, from_ms: f64, to_ms: f64) -> AvComparison {
    let whole = AvReport::of_file(recording, BEEP_HZ).unwrap();
    let events = whole
        .events
        .into_iter()
        .filter(|event| (from_ms..to_ms).contains(&event.flash_ms))
        .collect();
    AvReport { events }.against(&AvReport::of_file(source, BEEP_HZ).unwrap())
}

fn assert_in_sync(what: &str, comparison: &AvComparison) {
    let AvComparison {
        median_ms,
        worst_ms,
        heard,
        unheard,
        ..
    } = comparison;
    eprintln!(
        "{what}: A/V median {median_ms:.1} ms, worst {worst_ms:.1} ms, heard {heard}, unheard {unheard}"
    );
    assert!(
        median_ms.abs() <= 5.0 && worst_ms.abs() <= 20.0 && *heard > 0,
        "{what}: {comparison:#?}"
    );
}

fn assert_no_gap_of_sound(what: &str, recording: &Recording, from_ms: f64, pulse: &Pulse) {
    let (sound, picture) = (
        longest_gap_of_sound(&recording.arrivals, from_ms),
        longest_gap_of_picture(&recording.arrivals, from_ms),
    );
    let stall = pulse.longest();
    eprintln!(
        "{what}: longest gap of sound {:.0} ms, of picture {:.0} ms; machine stalled {:.0} ms",
        sound.ms, picture.ms, stall.ms
    );
    assert!(
        sound.ms <= GAP_MS_MAX,
        "{what}: {sound:?}, longest stall of this machine {stall:?}"
    );
}

#[tokio::test]
async fn a_killed_ingest_costs_what_its_restart_takes_and_drops_no_reader() {
    let hold = 10 * SECOND;
    let settings = [
        ("WORKER_STS_MODE", "passthrough"),
        ("WORKER_BUFFER_TARGET", "10s"),
    ];
    let source = clip(23, 0);
    let pulse = Pulse::start();
    let live = Live::start("ingest-killed", &settings).await.unwrap();
    let mut publisher = live.publish(&source, &live.input("a")).unwrap();
    let reader = live.record(&live.output("a"), "out", hold + 15 * SECOND).unwrap();
    let begun = reader.wait_for_picture(hold + 15 * SECOND).unwrap();
    let worker = live.running_worker("a").await.unwrap();
    kill_hard(worker.ingest_pid).unwrap();
    let killed = Instant::now();
    let healed = live
        .worker_when("a", 5 * SECOND, |now| {
            now.ingest_pid != 0 && now.ingest_pid != worker.ingest_pid && now.state() == WorkerState::Running
        })
        .await
        .unwrap();
    let restart = killed.elapsed();
    assert_eq!((healed.pid, healed.epoch), (worker.pid, worker.epoch));
    publisher.wait(60 * SECOND).unwrap();
    tokio::time::sleep(hold).await;
    let recording = reader.stop().unwrap();
    let out = recording.path.clone().unwrap();

    assert!(
        !recording.dropped,
        "the reader was dropped: {}",
        recording.message
    );
    assert_no_gap_of_sound("ingest killed", &recording, begun.at_ms, &pulse);
    let report = UnitReport::of_files(&source, &out).unwrap();
    eprintln!(
        "ingest killed: back after {restart:?}, lost {:.0} ms in {:?}",
        report.lost_ms(),
        report.lost_runs
    );
    assert_eq!(
        (report.lost_runs.len(), report.doubled, report.foreign),
        (1, 0, 0),
        "{report:#?}"
    );
    // The restart, and the wait for a key frame of a clip that has one each second.
    assert!(report.lost_ms() <= 1500.0 + 1000.0, "{report:#?}");
    let hole_ms = report.lost_runs[0].source_pts_ms as f64 + report.pts_offset_ms;
    let (before, after) = (
        in_sync(&out, &source, 0.0, hole_ms - 500.0),
        in_sync(&out, &source, hole_ms, f64::MAX),
    );
    assert_in_sync("before the hole", &before);
    assert_in_sync("after the hole", &after);
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

#[tokio::test]
async fn a_killed_worker_has_one_successor_in_the_same_run_and_the_output_plays_again() {
    let hold = 4 * SECOND;
    let source = clip(40, 0);
    let live = Live::start("worker-killed", &[("WORKER_BUFFER_TARGET", "4s")])
        .await
        .unwrap();
    let _publisher = live.publish(&source, &live.input("a")).unwrap();
    let reader = live
        .record(&live.output("a"), "before", hold + 15 * SECOND)
        .unwrap();
    reader.wait_for_picture(hold + 15 * SECOND).unwrap();
    let before = live
        .worker_when("a", 10 * SECOND, |now| {
            now.fragments_total.contains_key("success")
        })
        .await
        .unwrap();
    kill_hard(before.pid).unwrap();
    let (killed_ms, killed) = (wall_ms(), Instant::now());
    assert!(
        reader.wait_for_end(3 * SECOND),
        "the reader hangs on a stream without a publisher"
    );
    let second = live
        .record(&live.output("a"), "after", hold + 6 * SECOND)
        .unwrap();
    let again = Pictures::of(&source)
        .unwrap()
        .wait_for(&second, hold + 10 * SECOND)
        .unwrap();
    let after = live.running_worker("a").await.unwrap();
    let rising = live
        .worker_when("a", 10 * SECOND, |now| {
            now.last_fragment_seq > before.last_fragment_seq && now.dub_connected
        })
        .await
        .unwrap();
    let workers = live
        .edge()
        .unwrap()
        .list_workers(ListWorkersRequest {})
        .await
        .unwrap()
        .into_inner()
        .workers;
    let alive = workers
        .iter()
        .filter(|worker| worker.state() != WorkerState::Exited)
        .count();
    let ports = live.stack.ports();
    let starts = live
        .metric(ports.media_edge_admin, "media_edge_worker_starts_total")
        .unwrap();
    let restarts = live
        .metric(ports.orchestrator_admin, "orchestrator_worker_restarts_total")
        .unwrap();
    eprintln!(
        "worker killed: picture again after {:.0} ms, looked for {:?}; epoch {} -> {}, fragment {} -> {}",
        again.at_ms - killed_ms,
        killed.elapsed(),
        before.epoch,
        after.epoch,
        before.last_fragment_seq,
        rising
            .recent_fragments
            .first()
            .map_or(0, |fragment| fragment.fragment_seq),
    );
    assert!(again.at_ms - killed_ms <= 10_000.0);
    assert_eq!(after.run_id, before.run_id);
    assert_eq!(
        (after.epoch, alive, starts, restarts),
        (before.epoch + 1, 1, 2.0, 1.0)
    );
    assert_ne!(after.pid, before.pid);
    assert!(
        rising
            .recent_fragments
            .iter()
            .all(|fragment| fragment.fragment_seq > before.last_fragment_seq)
    );
    wait_until("the old ingest is gone", 2 * SECOND, || {
        !is_alive(before.ingest_pid)
    })
    .unwrap();
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

#[tokio::test]
async fn a_killed_media_server_comes_back_with_its_publisher_and_the_run_goes_on() {
    let hold = 4 * SECOND;
    let (first, then) = (clip(40, 0), clip(40, 1));
    let pulse = Pulse::start();
    let live = Live::start("mediamtx-killed", &[("WORKER_BUFFER_TARGET", "4s")])
        .await
        .unwrap();
    let publisher = Republisher::start(first, then.clone(), live.input("a")).unwrap();
    let reader = live
        .record(&live.output("a"), "before", hold + 15 * SECOND)
        .unwrap();
    reader.wait_for_picture(hold + 15 * SECOND).unwrap();
    let before = live.running_worker("a").await.unwrap();
    live.stack.kill("mediamtx", Signal::SIGKILL).unwrap();
    let killed_ms = wall_ms();
    assert!(
        reader.wait_for_end(3 * SECOND),
        "the reader hangs on a dead server"
    );
    let second = live
        .record(&live.output("a"), "after", hold + 10 * SECOND)
        .unwrap();
    let played = second.wait_for_picture(hold + 10 * SECOND).unwrap();
    let again = Pictures::of(&then)
        .unwrap()
        .wait_for(&second, hold + 15 * SECOND)
        .unwrap();
    let after = live.running_worker("a").await.unwrap();
    eprintln!(
        "media server killed: held picture after {:.0} ms, new picture after {:.0} ms, publisher connected {} times",
        played.at_ms - killed_ms,
        again.at_ms - killed_ms,
        publisher.starts(),
    );
    // From the kill itself, which is earlier than the publisher's return.
    assert!(again.at_ms - killed_ms <= 14_000.0);
    assert_eq!(
        (&after.run_id, after.epoch, after.pid),
        (&before.run_id, before.epoch, before.pid)
    );
    assert!(after.publish_starts_total > before.publish_starts_total);
    tokio::time::sleep(2 * SECOND).await;
    let recording = second.stop().unwrap();
    assert!(!recording.dropped, "{}", recording.message);
    assert_no_gap_of_sound("new pictures on air", &recording, again.at_ms, &pulse);
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

#[tokio::test]
async fn a_killed_orchestrator_leaves_the_air_alone_and_still_ends_it_when_the_publisher_leaves() {
    let hold = 3 * SECOND;
    let settings = [("WORKER_BUFFER_TARGET", "3s"), ("ORCH_GRACE_PERIOD", "2s")];
    let source = clip(40, 0);
    let pulse = Pulse::start();
    let live = Live::start("orchestrator-killed", &settings).await.unwrap();
    let publisher = live.publish(&source, &live.input("a")).unwrap();
    let reader = live.record(&live.output("a"), "out", hold + 15 * SECOND).unwrap();
    let begun = reader.wait_for_picture(hold + 15 * SECOND).unwrap();
    let before = live.running_worker("a").await.unwrap();
    live.stack.kill("orchestrator", Signal::SIGKILL).unwrap();
    let killed = Instant::now();
    let mut adopted = None;
    while adopted.is_none() {
        assert!(killed.elapsed() < 10 * SECOND, "the worker was not adopted");
        tokio::time::sleep(SECOND / 10).await;
        let stream = live.stream("a").await.ok();
        adopted = stream.filter(|stream| stream.publishing && stream.run_id == before.run_id);
    }
    eprintln!("orchestrator killed: worker adopted after {:?}", killed.elapsed());
    // Long enough for whatever a mistaken orchestrator would do to a worker that it does not know.
    tokio::time::sleep(4 * SECOND).await;
    let after = live.worker("a").await.unwrap();
    assert_eq!(
        (&after.run_id, after.epoch, after.pid),
        (&before.run_id, before.epoch, before.pid)
    );
    let starts = live
        .metric(
            live.stack.ports().media_edge_admin,
            "media_edge_worker_starts_total",
        )
        .unwrap();
    assert_eq!(starts, 1.0);
    let felt = reader.arrivals_from(0);
    let (sound, picture) = (
        longest_gap_of_sound(&felt, begun.at_ms),
        longest_gap_of_picture(&felt, begun.at_ms),
    );
    let stall = pulse.longest().ms;
    eprintln!(
        "orchestrator killed: longest gap of sound {:.0} ms, of picture {:.0} ms; machine stalled {stall:.0} ms",
        sound.ms, picture.ms
    );
    assert!(
        reader.is_running() && sound.ms <= GAP_MS_MAX && picture.ms <= GAP_MS_MAX,
        "{sound:?} {picture:?}"
    );
    publisher.stop().unwrap();
    let gone = live.worker_gone("a", hold + 5 * SECOND).await.unwrap();
    eprintln!("orchestrator killed: worker gone {gone:?} after its publisher");
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}

/// A port of this machine that refuses connections until it is opened, and from then on leads to another one.
struct Door(tokio::net::TcpSocket, u16);

impl Door {
    fn closed() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        Self(socket, port)
    }

    fn open_to(self, port: u16) {
        let listener = self.0.listen(16).unwrap().into_std().unwrap();
        listener.set_nonblocking(false).unwrap();
        std::thread::spawn(move || {
            for inside in listener.incoming().map_while(Result::ok) {
                let Ok(outside) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let back = (outside.try_clone().unwrap(), inside.try_clone().unwrap());
                for (mut from, mut to) in [(inside, outside), back] {
                    std::thread::spawn(move || {
                        // Either end may hang up at any time.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
    }
}

#[tokio::test]
async fn an_unreachable_output_is_said_and_counted_and_published_to_as_soon_as_it_answers() {
    let door = Door::closed();
    let output = format!("rtmp://127.0.0.1:{}/live/{{stream_id}}/out", door.1);
    let settings = [
        ("WORKER_OUTPUT_URL", output.as_str()),
        ("WORKER_BUFFER_TARGET", "2s"),
    ];
    let source = clip(40, 0);
    let pulse = Pulse::start();
    let live = Live::start("output-unreachable", &settings).await.unwrap();
    let _publisher = live.publish(&source, &live.input("a")).unwrap();
    let before = live.running_worker("a").await.unwrap();
    let said = live
        .worker_when("a", 10 * SECOND, |now| now.publish_starts_total >= 3)
        .await
        .unwrap();
    assert!(said.detail.contains("output") && !said.publishing, "{said:#?}");
    let admin = live.stack.ports().media_edge_admin;
    let errors = live.metric(admin, "worker_gst_bus_errors_total").unwrap();
    assert!(errors >= 2.0, "{errors} bus errors");
    assert_eq!((said.pid, said.epoch), (before.pid, before.epoch));

    door.open_to(live.stack.ports().rtmp);
    let opened = wall_ms();
    let reader = live.record(&live.output("a"), "out", 10 * SECOND).unwrap();
    let first = Pictures::of(&source)
        .unwrap()
        .wait_for(&reader, 10 * SECOND)
        .unwrap();
    let after = live
        .worker_when("a", 5 * SECOND, |now| now.publishing)
        .await
        .unwrap();
    eprintln!(
        "output unreachable: said {:?} after {} tries and {errors} errors; picture {:.0} ms after it answers; then {:?}",
        said.detail,
        said.publish_starts_total,
        first.at_ms - opened,
        after.detail,
    );
    // The longest wait between two tries is 2 s; the rest is RTMP's and the reader's own start.
    assert!(first.at_ms - opened <= 4000.0);
    assert!(!after.detail.contains("lost"), "{}", after.detail);
    assert_eq!((after.pid, after.epoch), (before.pid, before.epoch));
    tokio::time::sleep(3 * SECOND).await;
    let recording = reader.stop().unwrap();
    assert_no_gap_of_sound("output answers", &recording, first.at_ms, &pulse);
    let report = units::compare(
        &units::read(&source).unwrap(),
        &units::read(&recording.path.unwrap()).unwrap(),
    );
    assert_eq!(
        (report.lost, report.doubled, report.foreign),
        (0, 0, 0),
        "{report:#?}"
    );
    assert_eq!(live.errors_of_services(), Vec::<String>::new());
    live.stack.stop().await;
}
