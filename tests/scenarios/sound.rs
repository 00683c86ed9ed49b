//! No sample is lost, doubled or spoiled on the way.
use dub_proto::edge::v1::Fate;
use dub_tests::{Live, NOISE_SEED, coded_noise, heard::Heard, journal::Journal, scratch};
use media_judge::{
    Audio,
    clicks::new_clicks,
    holes::HoleReport,
    loudness::likeness,
    noise::{self, Reference},
    packets::GapReport,
    source::{self, ClipSpec, ProgrammeSpec, VideoSpec},
    stalls::silences,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
/// What is dubbed in these tests.
const DUBBED_S: u32 = 40;

fn noise_clip(seconds: u32, rate: u32) -> PathBuf {
    let mut spec = ClipSpec::small(seconds);
    spec.audio.as_mut().unwrap().rate = rate;
    coded_noise(&spec, "flv").unwrap()
}

/// Real speech over music: a click shows in it, in noise it hides.
fn speech_clip(seconds: u32) -> PathBuf {
    let video = VideoSpec {
        size: (640, 360),
        gop_s: Some(1),
        preset: "veryfast".into(),
        ..VideoSpec::default()
    };
    let spec = ProgrammeSpec {
        seconds,
        video,
        ..ProgrammeSpec::default()
    };
    let name = format!("programme-small-{seconds}s.flv");
    source::cached(&scratch().join("clips"), &name, |out| {
        source::programme(out, &spec)
    })
    .unwrap()
}

/// Every sample of the noise came through once, and the reader never waited for a time stamp.
fn assert_whole(what: &str, heard: &Heard, seconds: u32) {
    let report = HoleReport::of(&heard.audio, &Reference::new(NOISE_SEED, seconds)).unwrap();
    let stamps = GapReport::of_file(&heard.path).unwrap();
    eprintln!(
        "{what}: {} windows, {} found, lag wanders {:.2} samples, correlation {:.3} at least, time stamps off by {:.2} ms",
        report.windows, report.found, report.worst_change, report.coefficient_min, stamps.audio_worst_ms
    );
    assert!(report.whole(), "{what}: {report:#?}");
    // Sound that is replaced by as much silence leaves the lag where it is. Noise never holds its breath.
    let last = heard.audio.start_ms() + (report.windows as f64 - 1.0) * f64::from(noise::WINDOW_MS);
    let mut breaths = silences(&heard.audio, 10.0);
    breaths.retain(|stall| stall.from_ms > heard.audio.start_ms() + 100.0 && stall.from_ms < last);
    assert!(breaths.is_empty(), "{what}: {breaths:#?}");
    // The start of the worker costs the first seconds of a stream.
    assert!(
        report.windows >= (seconds as usize - 6) * 10,
        "{what}: {}",
        report.windows
    );
    assert!(stamps.audio_steps.is_empty(), "{what}: {stamps:#?}");
}

/// A dubber that gives the speech back changes nothing that is heard.
fn assert_alike(heard: &Heard, clip: &Path) {
    let original = Audio::decode_at(clip, Some(noise::RATE)).unwrap();
    let alike = likeness(&original, &heard.audio).unwrap();
    let clicks = new_clicks(&original, &heard.audio, alike.shift_ms);
    eprintln!(
        "given back by the dubber: correlation {:.4} over {:.1} s, {} new clicks {clicks:?}",
        alike.coefficient,
        alike.overlap_s,
        clicks.len()
    );
    assert!(
        alike.coefficient > 0.95 && alike.overlap_s > f64::from(DUBBED_S) - 6.0,
        "{alike:?}"
    );
    assert!(clicks.is_empty(), "{clicks:#?}");
}

#[tokio::test]
async fn no_sample_is_missing_or_doubled_in_120_s_and_speech_that_is_given_back_sounds_the_same() {
    let clips = [
        ("long", "mode=passthrough", noise_clip(120, 48_000)),
        ("cd", "mode=passthrough", noise_clip(40, 44_100)),
        ("dub", "mode=enabled&hold=5s", speech_clip(DUBBED_S)),
    ];
    let settings = [
        ("DUBBER_MOCK_MODE", "passthrough"),
        ("WORKER_BUFFER_TARGET", "2s"),
    ];
    let live = Live::start("sound", &settings).await.unwrap();
    let mut running = Vec::new();
    for (id, query, clip) in &clips {
        let recorder = live.record(&live.output(id), id, 30 * SECOND).unwrap();
        let journal = Journal::start(&live, id).unwrap();
        let publisher = live
            .publish(clip, &format!("{}?{query}", live.input(id)))
            .unwrap();
        running.push((recorder, journal, publisher));
    }
    let mut heard = Vec::new();
    // The shortest first: its worker is gone when the longest has ended.
    for (recorder, journal, mut publisher) in running.into_iter().rev() {
        publisher.wait(150 * SECOND).unwrap();
        tokio::time::sleep(6 * SECOND).await;
        let told = journal.told();
        let recording = recorder.stop().unwrap();
        heard.push((told, Heard::of(recording).unwrap()));
    }
    for part in ["media-edge", "orchestrator", "dubber"] {
        assert_eq!(live.error_lines(part), Vec::<String>::new(), "{part}");
    }
    live.stack.stop().await;

    let [(told, dubbed), (_, cd), (_, long)] = &heard[..] else {
        panic!("three streams")
    };
    assert_whole("48 kHz", long, 120);
    assert_whole("44.1 kHz", cd, 40);
    assert_alike(dubbed, &clips[2].2);
    let fates: Vec<Fate> = told.fragments.values().map(|fragment| fragment.fate()).collect();
    let dubs = fates.iter().filter(|fate| **fate == Fate::Success).count();
    eprintln!("{dubs} of {} fragments were dubbed", fates.len());
    assert!(dubs >= 15, "{fates:?}");
}
