//! Every judge is seen to fail on a spoiled recording and to pass on an honest copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

use media_judge::holes::HoleReport;
use media_judge::noise::{RATE, Reference};
use media_judge::source::{self, ClipSpec};
use media_judge::spoil::{Spoil, spoil};
use media_judge::units::{self, UnitReport};
use media_judge::verdict::{Verdict, VerdictOptions, verdict};
use media_judge::{Audio, clicks};
use std::path::{Path, PathBuf};

const SECONDS: u32 = 15;
const SEED: u64 = 1;

fn beeps() -> PathBuf {
    let spec = ClipSpec::small(SECONDS);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    source::cached(dir, &spec.name("flash-beep", "flv"), |path| {
        source::flash_beep(path, &spec)
    })
    .unwrap()
}

fn noise() -> PathBuf {
    let spec = ClipSpec::small(SECONDS);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    source::cached(dir, &spec.name("noise", "flv"), |path| {
        source::coded_noise(path, &spec, SEED)
    })
    .unwrap()
}

/// A spoiled copy in a directory that lives as long as the test.
fn spoiled(source: &Path, how: Spoil) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.flv");
    spoil(source, &path, how).unwrap();
    (dir, path)
}

fn judged(source: &Path, how: Spoil, noise_seed: Option<u64>) -> Verdict {
    let (_dir, path) = spoiled(source, how);
    verdict(
        source,
        &path,
        &VerdictOptions {
            noise_seed,
            ..VerdictOptions::default()
        },
    )
    .unwrap()
}

fn failed(verdict: &Verdict) -> Vec<&str> {
    verdict.failed()
}

#[test]
fn an_honest_copy_passes_every_check() {
    let verdict = judged(&beeps(), Spoil::Nothing, None);
    assert!(verdict.passed(), "{}", verdict.table());
    assert_eq!(verdict.av.unwrap().heard, SECONDS as usize - 1);
}

#[test]
fn honest_coded_noise_passes_every_check_even_when_it_was_encoded_again() {
    for how in [Spoil::Nothing, Spoil::Recode] {
        let verdict = judged(&noise(), how, Some(SEED));
        assert!(verdict.passed(), "{how:?}\n{}", verdict.table());
        assert!(verdict.holes.as_ref().unwrap().windows >= SECONDS as usize * 10 - 2);
        assert!(verdict.holes.unwrap().coefficient_min > 0.9);
    }
}

#[test]
fn sound_shifted_by_30_ms_is_caught_and_measured() {
    for ms in [30, -30] {
        let verdict = judged(&beeps(), Spoil::ShiftAudio { ms }, None);
        assert_eq!(
            failed(&verdict),
            ["A/V offset, median", "A/V offset, worst"],
            "{}",
            verdict.table()
        );
        let av = verdict.av.unwrap();
        assert!((av.median_ms - f64::from(ms)).abs() < 1.0 && (av.worst_ms - f64::from(ms)).abs() < 1.0);
    }
}

#[test]
fn shifted_coded_noise_is_measured_without_any_beep() {
    let verdict = judged(&noise(), Spoil::ShiftAudio { ms: 30 }, Some(SEED));
    let av = verdict.av.as_ref().unwrap();
    assert!((av.median_ms - 30.0).abs() < 1.0, "{}", verdict.table());
    assert_eq!(av.heard, SECONDS as usize - 1);
}

#[test]
fn one_dropped_frame_is_caught_and_named() {
    let verdict = judged(&beeps(), Spoil::DropFrame { index: 101 }, None);
    assert_eq!(failed(&verdict), ["access units lost"], "{}", verdict.table());
    let units = verdict.units.unwrap();
    assert_eq!((units.lost, units.lost_runs[0].first), (1, 101));
    assert!((units.lost_ms() - 33.3).abs() < 1.0);
}

#[test]
fn one_doubled_frame_is_caught() {
    let verdict = judged(&beeps(), Spoil::DoubleFrame { index: 101 }, None);
    assert_eq!(verdict.units.as_ref().unwrap().doubled, 1, "{}", verdict.table());
    assert!(failed(&verdict).contains(&"access units doubled"));
}

#[test]
fn sixty_four_samples_cut_or_doubled_are_caught_where_they_are() {
    let reference = Reference::new(SEED, SECONDS);
    let at = 6 * RATE as usize;
    for (how, expected) in [
        (Spoil::CutSamples { at, count: 64 }, 64.0),
        (Spoil::DoubleSamples { at, count: 64 }, -64.0),
    ] {
        let (_dir, path) = spoiled(&noise(), how);
        let report = HoleReport::of_file(&path, &reference).unwrap();
        assert!(!report.whole(), "{report:?}");
        let moved: f64 = report.changes.iter().map(|change| change.samples).sum();
        assert!((moved - expected).abs() < 2.0, "{report:?}");
        let place = report.changes[0].sample.abs_diff(at);
        assert!(place <= 2 * RATE as usize / 10, "found {place} samples off");
    }
}

#[test]
fn sixty_four_samples_cut_or_doubled_fail_the_verdict() {
    for how in [
        Spoil::CutSamples {
            at: 288_000,
            count: 64,
        },
        Spoil::DoubleSamples {
            at: 288_000,
            count: 64,
        },
    ] {
        let verdict = judged(&noise(), how, Some(SEED));
        assert!(
            failed(&verdict).contains(&"missing or doubled sound"),
            "{}",
            verdict.table()
        );
    }
}

#[test]
fn a_wandering_of_eight_samples_is_allowed_and_twelve_are_not() {
    let reference = Reference::new(SEED, SECONDS);
    for (count, whole) in [(7, true), (12, false)] {
        let (_dir, path) = spoiled(&noise(), Spoil::CutSamples { at: 288_000, count });
        let report = HoleReport::of_file(&path, &reference).unwrap();
        assert_eq!(report.whole(), whole, "{count} samples: {report:?}");
    }
}

#[test]
fn another_seed_is_not_found() {
    let report = HoleReport::of_file(&noise(), &Reference::new(SEED + 1, SECONDS)).unwrap();
    assert_eq!(report.found, 0, "{report:?}");
    assert!(!report.whole());
}

#[test]
fn a_click_is_new_in_the_recording_only() {
    let source = beeps();
    let (_dir, path) = spoiled(
        &source,
        Spoil::Click {
            at: 5 * RATE as usize + 24_000,
        },
    );
    let (own, heard) = (Audio::decode(&source).unwrap(), Audio::decode(&path).unwrap());
    assert_eq!(clicks::clicks(&own), []);
    let new = clicks::new_clicks(&own, &heard, 0.0);
    assert_eq!(new.len(), 1, "{new:?}");
    assert!((new[0].at_ms - own.time_ms(264_000.0)).abs() < 5.0, "{new:?}");
}

#[test]
fn a_recording_cut_off_at_both_ends_is_still_identical_in_between() {
    let all = units::read(&beeps()).unwrap();
    let part = &all[60..250];
    let report: UnitReport = units::compare(&all, part);
    assert!(report.identical(0.0), "{report:?}");
    assert_eq!((report.source_first, report.judged), (60, 190 - units::TAIL));
}
