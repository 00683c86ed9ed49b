//! Every kind of source that a publisher may bring: other protocols, other codecs, half of the media missing.
use dub_proto::edge::v1::Fate;
use dub_tests::{
    Live, NOISE_SEED, coded_noise, flash_beep,
    heard::Heard,
    journal::{Journal, Told},
};
use media_judge::{
    Publisher, Recorder,
    arrivals::Kind,
    av::{AvComparison, AvReport, BEEP_HZ},
    holes::HoleReport,
    loudness::loudness,
    noise::Reference,
    packets::GapReport,
    source::{AudioCodec, Channels, ClipSpec},
    units::{self, UnitReport},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_secs(5);
/// A pull without the publisher's own time stamps has found its alignment after this long.
const SETTLED_MS: f64 = 10_000.0;

/// One source: its stream, its clip, and those who look at it.
struct Source {
    id: &'static str,
    clip: PathBuf,
    journal: Journal,
    recorder: Recorder,
    publisher: Publisher,
}

impl Source {
    fn start(live: &Live, id: &'static str, clip: PathBuf, url: &str) -> Self {
        let recorder = live.record(&live.output(id), id, 30 * SECOND).unwrap();
        let journal = Journal::start(live, id).unwrap();
        let publisher = live.publish(&clip, url).unwrap();
        Self {
            id,
            clip,
            journal,
            recorder,
            publisher,
        }
    }
}

/// What came of it.
struct Played {
    id: &'static str,
    clip: PathBuf,
    told: Told,
    heard: Heard,
}

/// Waits until all have ended and their tails are heard; all clips are of one length.
async fn play(live: &Live, sources: Vec<Source>) -> Vec<Played> {
    let mut ended = Vec::new();
    for mut source in sources {
        source.publisher.wait(90 * SECOND).unwrap();
        ended.push(source);
    }
    tokio::time::sleep(HOLD).await;
    let mut played = Vec::new();
    for source in ended {
        let told = source.journal.told();
        let recording = source.recorder.stop().unwrap();
        let worker = told.worker.as_ref().unwrap();
        let seconds = recording
            .arrivals
            .last()
            .map_or(0.0, |last| last.pts_ms as f64 / 1000.0);
        eprintln!(
            "{}: pulled over {}, fates {:?}, ingest started {} times, output {} times, {seconds:.1} s heard, {}",
            source.id,
            worker.input_protocol,
            worker.fragments_total,
            worker.ingest_starts_total,
            worker.publish_starts_total,
            worker.detail
        );
        played.push(Played {
            id: source.id,
            clip: source.clip,
            told,
            heard: Heard::of(recording).unwrap(),
        });
    }
    for part in ["media-edge", "orchestrator", "dubber"] {
        assert_eq!(live.error_lines(part), Vec::<String>::new(), "{part}");
        assert!(live.stack.pid(part).is_some(), "{part} is gone");
    }
    played
}

impl Played {
    /// Sound against picture over the flashes from `since_ms` of the recording on, beside the clip's own offset.
    fn in_sync(&self, since_ms: f64, worst_ms: f64) -> AvComparison {
        let from = self.heard.within_ms().0 + since_ms;
        let of = |path: &Path| AvReport::of_file(path, BEEP_HZ).unwrap();
        let whole = of(&self.heard.path);
        let all = whole.against(&of(&self.clip));
        let comparison = whole.since(from).against(&of(&self.clip));
        eprintln!(
            "{}: A/V median {:.2} ms, worst {:.2} ms, heard {}, unheard {}; with the start {:.2} and {:.2} ms",
            self.id,
            comparison.median_ms,
            comparison.worst_ms,
            comparison.heard,
            comparison.unheard,
            all.median_ms,
            all.worst_ms
        );
        assert!(
            comparison.worst_ms.abs() <= worst_ms,
            "{}: {comparison:#?}",
            self.id
        );
        assert!(
            comparison.heard >= 8 && comparison.unheard == 0,
            "{}: {comparison:#?}",
            self.id
        );
        comparison
    }

    /// Every access unit of the source, once, at its time.
    fn assert_picture(&self, pts_ms: f64) {
        let source = units::read(&self.clip).unwrap();
        let report = UnitReport::of_files(&self.clip, &self.heard.path).unwrap();
        eprintln!(
            "{}: {} of {} units, {} lost, times off by {:.2} ms at most",
            self.id,
            report.matched,
            source.len(),
            report.lost,
            report.pts_worst_ms
        );
        assert!(report.identical(pts_ms), "{}: {report:#?}", self.id);
    }

    fn assert_dubbed(&self) {
        let dubs = self
            .told
            .fragments
            .values()
            .filter(|fragment| fragment.fate() == Fate::Success)
            .count();
        assert!(dubs >= 8, "{}: {dubs} fragments were dubbed", self.id);
    }

    fn protocol(&self) -> &str {
        self.told
            .worker
            .as_ref()
            .map_or("", |worker| &worker.input_protocol)
    }
}

fn settings() -> [(&'static str, &'static str); 2] {
    [
        ("DUBBER_MOCK_MODE", "passthrough"),
        ("WORKER_BUFFER_TARGET", "5s"),
    ]
}

#[tokio::test]
async fn sources_over_rtsp_with_opus_and_b_frames_and_over_srt_are_dubbed_in_sync() {
    let mut opus = ClipSpec::small(40);
    opus.audio.as_mut().unwrap().codec = AudioCodec::Opus;
    let live = Live::start("sources-protocols", &settings()).await.unwrap();
    let sources = vec![
        Source::start(
            &live,
            "rtsp",
            flash_beep(&opus, "mkv").unwrap(),
            &live.rtsp_input("rtsp"),
        ),
        Source::start(
            &live,
            "srt",
            flash_beep(&ClipSpec::small(40), "mkv").unwrap(),
            &live.srt_input("srt"),
        ),
    ];
    let played = play(&live, sources).await;
    live.stack.stop().await;
    let [rtsp, srt] = &played[..] else {
        panic!("two sources")
    };
    assert_eq!((rtsp.protocol(), srt.protocol()), ("rtsp", "rtmp"));
    for source in [rtsp, srt] {
        source.in_sync(SETTLED_MS, 40.0);
        source.assert_dubbed();
        source.assert_picture(2.0);
    }
}

/// A clip without sound, or without a picture.
fn half(picture: bool) -> ClipSpec {
    let mut spec = ClipSpec::small(30);
    if picture {
        spec.audio = None;
    } else {
        spec.video = None;
    }
    spec
}

fn odd_sound(rate: u32, channels: Channels) -> ClipSpec {
    let mut spec = ClipSpec::small(30);
    let audio = spec.audio.as_mut().unwrap();
    (audio.rate, audio.channels) = (rate, channels);
    spec
}

#[tokio::test]
async fn mono_surround_and_sources_without_sound_or_picture_play_on() {
    let live = Live::start("sources-odd", &settings()).await.unwrap();
    let clips = [
        ("mono", flash_beep(&odd_sound(22_050, Channels::Mono), "flv")),
        (
            "surround",
            flash_beep(&odd_sound(48_000, Channels::Surround), "flv"),
        ),
        ("silent", flash_beep(&half(true), "flv")),
        ("dark", coded_noise(&half(false), "flv")),
    ];
    let sources = clips
        .into_iter()
        .map(|(id, clip)| Source::start(&live, id, clip.unwrap(), &live.input(id)))
        .collect();
    let played = play(&live, sources).await;
    live.stack.stop().await;
    let [mono, surround, silent, dark] = &played[..] else {
        panic!("four sources")
    };
    for source in [mono, surround] {
        source.in_sync(0.0, 20.0);
        source.assert_dubbed();
        source.assert_picture(2.0);
    }
    silent.assert_picture(2.0);
    let level = loudness(&silent.heard.audio).unwrap();
    let gaps = GapReport::of_file(&silent.heard.path).unwrap();
    eprintln!(
        "silent: peak {:.1} dBFS, longest gap of sound {:.0} ms",
        level.peak_db, gaps.audio_gap.ms
    );
    assert!(level.peak_db < -80.0, "{level:?}");
    assert!(
        gaps.audio_steps.is_empty() && gaps.audio_packets > 1_000,
        "{gaps:#?}"
    );
    let report = HoleReport::of(&dark.heard.audio, &Reference::new(NOISE_SEED, 30)).unwrap();
    eprintln!(
        "dark: {} windows, lag wanders {:.2} samples",
        report.windows, report.worst_change
    );
    assert!(report.whole() && report.windows > 230, "{report:#?}");
    let pictures = dark
        .heard
        .recording
        .arrivals
        .iter()
        .filter(|packet| packet.kind == Kind::Video)
        .count();
    assert_eq!(pictures, 0);
    dark.assert_dubbed();
}
