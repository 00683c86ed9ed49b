//! The recorder against a real RTMP server (ffmpeg's own), with nothing in between that could spoil the stream.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

use media_judge::arrivals::{self, Kind};
use media_judge::flv;
use media_judge::live::{RecordOptions, Recorder};
use media_judge::publish::{PublishOptions, Publisher, arguments};
use media_judge::source::{self, ClipSpec};
use media_judge::verdict::{VerdictOptions, verdict};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn clip() -> PathBuf {
    let spec = ClipSpec::small(5);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    source::cached(dir, &spec.name("flash-beep", "flv"), |path| {
        source::flash_beep(path, &spec)
    })
    .unwrap()
}

fn free_address() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("rtmp://{}/live/x", socket.local_addr().unwrap())
}

/// ffmpeg as an RTMP server; killed when dropped.
struct Server(Child);

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "error"]).args(arguments);
        Self(
            command
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that plays the clip once, in real time, to its one reader.
fn player(clip: &Path, url: &str) -> Server {
    Server::start(&[
        "-re",
        "-i",
        clip.to_str().unwrap(),
        "-c",
        "copy",
        "-f",
        "flv",
        "-listen",
        "1",
        url,
    ])
}

#[test]
fn a_recording_over_rtmp_holds_every_byte_and_time_stamp() {
    let (clip, url, dir) = (clip(), free_address(), tempfile::tempdir().unwrap());
    let out = dir.path().join("recording.flv");
    let _server = player(&clip, &url);
    let recorder = Recorder::start(&url, Some(&out), RecordOptions::default()).unwrap();
    let first = recorder.wait_for_picture(PATIENCE).unwrap();
    assert!(recorder.wait_for_end(PATIENCE));
    let recording = recorder.stop().unwrap();
    assert!(recording.dropped, "the end of the stream is the server's doing");
    let media = |path: &Path| -> Vec<flv::Tag> {
        let tags = flv::tags(&std::fs::read(path).unwrap()).unwrap();
        tags.into_iter().filter(|tag| !tag.is_config()).collect()
    };
    assert!(
        media(&out) == media(&clip),
        "the recording's tags differ from the clip's"
    );
    let kept = arrivals::read(&out).unwrap();
    assert_eq!(
        arrivals::access_units(&kept),
        arrivals::access_units(&recording.arrivals)
    );
    assert_eq!(kept.len(), recording.arrivals.len());
    assert_eq!((first.kind, first.key), (Kind::Video, true));
    let verdict = verdict(&clip, &out, &VerdictOptions::default()).unwrap();
    assert!(verdict.passed(), "{}", verdict.table());
    let lasted = recording.arrivals.last().unwrap().at_ms - recording.arrivals[0].at_ms;
    assert!(
        (3_500.0..6_500.0).contains(&lasted),
        "5 s of media arrived within {lasted} ms"
    );
    assert!(arrivals::longest_silence(&recording.arrivals, None).ms < 1_000.0);
}

#[test]
fn a_recording_that_is_stopped_early_ends_in_a_whole_tag() {
    let (clip, url, dir) = (clip(), free_address(), tempfile::tempdir().unwrap());
    let out = dir.path().join("recording.flv");
    let _server = player(&clip, &url);
    let recorder = Recorder::start(&url, Some(&out), RecordOptions::default()).unwrap();
    recorder
        .wait_for(PATIENCE, |arrival| arrival.dts_ms > 2_000)
        .unwrap();
    let recording = recorder.stop().unwrap();
    assert!(!recording.dropped);
    let verdict = verdict(&clip, &out, &VerdictOptions::default()).unwrap();
    assert!(verdict.passed(), "{}", verdict.table());
    let holes = (verdict.gaps.video_gap.ms, verdict.freeze.ms);
    assert!(
        holes.0 < 40.0 && holes.1 < 40.0,
        "B-frames missing at the cut count as holes: {holes:?}"
    );
}

#[test]
fn a_stream_that_never_comes_is_an_error_that_says_so() {
    let options = RecordOptions {
        retry_for: Duration::from_millis(300),
        stop_after: None,
    };
    let recorder = Recorder::start(&free_address(), None, options).unwrap();
    let error = recorder.wait_for_picture(PATIENCE).unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
    assert!(!recorder.is_running());
}

/// The server takes one connection, so it cannot be asked whether it listens: a refused publisher tries again.
fn publish_once_it_listens(clip: &Path, url: &str) {
    for _ in 0..50 {
        let mut publisher = Publisher::start(clip, url, &PublishOptions::default()).unwrap();
        if publisher.wait(PATIENCE).unwrap().success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing listens at {url}");
}

#[test]
fn a_published_clip_arrives_untouched() {
    let (clip, url, dir) = (clip(), free_address(), tempfile::tempdir().unwrap());
    let out = dir.path().join("published.flv");
    let path = out.to_str().unwrap();
    let copy = [
        "-f", "data", "-listen", "1", "-i", &url, "-map", "0", "-c", "copy", "-f", "data", path,
    ];
    let mut server = Server::start(&copy);
    publish_once_it_listens(&clip, &url);
    server.0.wait().unwrap();
    let verdict = verdict(&clip, &out, &VerdictOptions::default()).unwrap();
    assert!(verdict.passed(), "{}", verdict.table());
}

#[test]
fn every_protocol_has_its_arguments_and_others_are_refused() {
    let words = |url: &str| -> String {
        let all = arguments(
            Path::new("clip.flv"),
            url,
            &PublishOptions {
                repeat: -1,
                ..Default::default()
            },
        )
        .unwrap();
        all.iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(words("rtmp://h/live/x/in").contains("-stream_loop -1 -i clip.flv -map 0 -c copy -f flv"));
    assert!(words("rtsp://h/live/x/in").contains("-f rtsp -rtsp_transport tcp rtsp://h/live/x/in"));
    assert!(
        words(&media_judge::publish::srt_publish_url("h", 8890, "live/x/in"))
            .contains("-f mpegts srt://h:8890?streamid")
    );
    assert!(arguments(Path::new("clip.flv"), "ftp://h/x", &PublishOptions::default()).is_err());
}
