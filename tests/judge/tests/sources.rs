//! The makers of test programmes give what the judges expect of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

use media_judge::av::{AvReport, BEEP_HZ, PROGRAMME_BEEP_HZ};
use media_judge::noise::Reference;
use media_judge::source::{
    self, AudioCodec, AudioSpec, Channels, ClipSpec, FixtureSpec, ProgrammeSpec, VideoSpec,
};
use media_judge::verdict::{self, VerdictOptions};
use media_judge::{Audio, dsp, loudness, packets, units};
use std::path::{Path, PathBuf};

fn made(name: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> PathBuf {
    source::cached(Path::new(env!("CARGO_TARGET_TMPDIR")), name, make).unwrap()
}

fn flash_beep(spec: &ClipSpec, extension: &str) -> PathBuf {
    made(&spec.name("flash-beep", extension), |path| {
        source::flash_beep(path, spec)
    })
}

fn with_audio(audio: AudioSpec) -> ClipSpec {
    ClipSpec {
        audio: Some(audio),
        ..ClipSpec::small(8)
    }
}

#[test]
fn every_beep_stands_at_its_flash_within_a_millisecond() {
    let report = AvReport::of_file(&flash_beep(&ClipSpec::small(8), "mp4"), BEEP_HZ).unwrap();
    assert_eq!(report.events.len(), 7);
    for event in report.events {
        let offset = event.offset_ms.unwrap();
        assert!(offset.abs() < 1.0, "{offset} ms at {} ms", event.flash_ms);
    }
}

#[test]
fn every_rate_and_layout_of_sound_keeps_its_marks() {
    let layouts = [
        (44_100, Channels::Stereo, "flv"),
        (22_050, Channels::Mono, "flv"),
        (48_000, Channels::Surround, "ts"),
    ];
    for (rate, channels, extension) in layouts {
        let spec = with_audio(AudioSpec {
            rate,
            channels,
            ..AudioSpec::default()
        });
        let clip = flash_beep(&spec, extension);
        let report = AvReport::of_file(&clip, BEEP_HZ).unwrap();
        assert_eq!(report.offsets().len(), 7, "{rate} {channels:?}");
        assert!(
            report.median_ms().abs() < 1.0,
            "{rate} {channels:?}: {} ms",
            report.median_ms()
        );
        let audio = Audio::decode(&clip).unwrap();
        assert_eq!((audio.rate, audio.channels as usize), (rate, channels.count()));
    }
}

#[test]
fn an_opus_clip_with_b_frames_is_judged_too() {
    let clip = flash_beep(
        &with_audio(AudioSpec {
            codec: AudioCodec::Opus,
            ..AudioSpec::default()
        }),
        "mkv",
    );
    let report = AvReport::of_file(&clip, BEEP_HZ).unwrap();
    let worst = report.against(&report).worst_ms;
    assert_eq!(report.offsets().len(), 7);
    assert!(worst.abs() < 1.0, "{worst} ms off its own median");
}

#[test]
fn a_clip_has_x264s_three_b_frames_and_the_wanted_key_frames() {
    let clip = flash_beep(&ClipSpec::small(8), "flv");
    let units = units::read(&clip).unwrap();
    let keys: Vec<usize> = units
        .iter()
        .enumerate()
        .filter(|(_, unit)| unit.key)
        .map(|(at, _)| at)
        .collect();
    let reordering = units.iter().map(|unit| unit.pts_ms - unit.dts_ms).max().unwrap();
    assert_eq!(keys, (0..8).map(|second| second * 30).collect::<Vec<usize>>());
    assert!(reordering >= 133, "PTS runs ahead of DTS by {reordering} ms only");
}

#[test]
fn two_variants_share_no_access_unit() {
    let spec = ClipSpec::small(8);
    let video = VideoSpec {
        variant: 1,
        ..spec.video.clone().unwrap()
    };
    let other = ClipSpec {
        video: Some(video),
        ..spec.clone()
    };
    let report = units::compare(
        &units::read(&flash_beep(&spec, "flv")).unwrap(),
        &units::read(&flash_beep(&other, "flv")).unwrap(),
    );
    assert_eq!((report.matched, report.foreign), (0, report.judged));
}

#[test]
fn a_clip_without_sound_or_without_picture_is_judged_by_what_it_has() {
    let silent = ClipSpec {
        audio: None,
        ..ClipSpec::small(4)
    };
    let blind = ClipSpec {
        video: None,
        ..ClipSpec::small(4)
    };
    for (spec, kind) in [(silent, "video"), (blind, "audio")] {
        let clip = flash_beep(&spec, "flv");
        let kinds: Vec<String> = packets::tracks(&clip)
            .unwrap()
            .into_iter()
            .map(|track| track.kind)
            .collect();
        assert_eq!(kinds, [kind]);
        let verdict = verdict::verdict(&clip, &clip, &VerdictOptions::default()).unwrap();
        assert!(
            verdict.passed() && verdict.checks.iter().any(|check| check.pass == Some(true)),
            "{}",
            verdict.table()
        );
    }
}

#[test]
fn coded_noise_is_the_same_for_a_seed_at_any_length() {
    let (short, long) = (Reference::new(7, 1), Reference::new(7, 3));
    let other = Reference::new(8, 1);
    let likeness = |a: &[f32], b: &[f32]| -> f64 {
        let dot: f64 = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        dot / (dsp::energy(&a[..48_000]) * dsp::energy(&b[..48_000])).sqrt()
    };
    assert!(likeness(&short.samples, &long.samples) > 0.9999);
    assert!(likeness(&short.samples, &other.samples).abs() < 0.05);
    assert!((dsp::rms_db(&long.samples) + 14.0).abs() < 0.1);
}

#[test]
fn what_is_cached_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut times = 0;
    for _ in 0..2 {
        let path = source::cached(dir.path(), "a.txt", |path| {
            times += 1;
            Ok(std::fs::write(path, "made")?)
        });
        assert_eq!(std::fs::read_to_string(path.unwrap()).unwrap(), "made");
    }
    assert_eq!(times, 1);
}

#[test]
fn missing_sounds_are_named_with_their_package() {
    let dir = tempfile::tempdir().unwrap();
    let spec = FixtureSpec {
        sounds_root: dir.path().into(),
        ..FixtureSpec::default()
    };
    let error = source::fixtures(&dir.path().join("out"), &spec)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("apt-get install asterisk-core-sounds-es-g722"),
        "{error}"
    );
    let spec = ProgrammeSpec {
        sounds_root: dir.path().into(),
        ..ProgrammeSpec::default()
    };
    let error = source::programme(&dir.path().join("p.flv"), &spec)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("apt-get install asterisk-core-sounds-en-g722"),
        "{error}"
    );
}

#[test]
fn fixtures_are_spanish_phrases_of_about_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let spec = FixtureSpec {
        count: 3,
        ..FixtureSpec::default()
    };
    if let Err(error) = source::speech::SPANISH.files(&spec.sounds_root) {
        // A machine without the sounds can still show that it says so.
        assert!(error.to_string().contains("asterisk-core-sounds-es-g722"));
        return;
    }
    let files = source::fixtures(dir.path(), &spec).unwrap();
    assert_eq!(files.len(), 3);
    assert!(files.is_sorted());
    for file in files {
        let audio = Audio::decode(&file).unwrap();
        let seconds = audio.mono.len() as f64 / 48_000.0;
        assert_eq!((audio.rate, audio.channels), (48_000, 1));
        assert!((1.0..=2.2).contains(&seconds), "{}: {seconds} s", file.display());
        assert!((dsp::rms_db(&audio.mono) + 18.0).abs() < 2.0);
    }
}

#[test]
fn the_programme_of_the_demo_can_be_judged_through_speech_and_music() {
    let spec = ProgrammeSpec {
        seconds: 12,
        video: VideoSpec {
            size: (640, 360),
            ..ProgrammeSpec::default().video
        },
        ..ProgrammeSpec::default()
    };
    if let Err(error) = source::speech::ENGLISH.files(&spec.sounds_root) {
        assert!(error.to_string().contains("asterisk-core-sounds-en-g722"));
        return;
    }
    let clip = made("programme1-12s.flv", |path| source::programme(path, &spec));
    let report = AvReport::of_file(&clip, PROGRAMME_BEEP_HZ).unwrap();
    assert_eq!(report.offsets().len(), 2);
    assert!(
        report.offsets().iter().all(|offset| offset.abs() < 1.0),
        "{:?}",
        report.offsets()
    );
    let lufs = loudness::loudness(&Audio::decode(&clip).unwrap())
        .unwrap()
        .integrated_lufs
        .unwrap();
    assert!((-24.0..=-12.0).contains(&lufs), "{lufs} LUFS");
}
