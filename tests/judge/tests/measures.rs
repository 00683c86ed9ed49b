//! Measures on synthetic media whose truth is known.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

use media_judge::arrivals::{self, Arrival, Kind};
use media_judge::audio::AudioFrame;
use media_judge::noise::Reference;
use media_judge::packets::{GapReport, Packet};
use media_judge::tones::{self, tone_ranges};
use media_judge::video::{COLUMNS, ROWS};
use media_judge::{Audio, Pictures, flv, loudness, stalls};
use std::f64::consts::TAU;

const RATE: u32 = 48_000;

/// A tone with 3 ms fades inside its range, mixed onto `samples`.
fn add_tone(samples: &mut [f32], frequency: f64, start_ms: f64, end_ms: f64) {
    for (at, sample) in samples.iter_mut().enumerate() {
        let ms = at as f64 * 1000.0 / f64::from(RATE);
        if (start_ms..end_ms).contains(&ms) {
            let fade = ((ms - start_ms) / 3.0).min((end_ms - ms) / 3.0).min(1.0);
            *sample += (0.25 * fade * (TAU * frequency * ms / 1000.0).sin()) as f32;
        }
    }
}

fn silence(seconds: u32) -> Vec<f32> {
    vec![0.0; (seconds * RATE) as usize]
}

#[test]
fn the_6_db_points_of_a_tone_are_found_to_within_a_millisecond_of_the_middle_of_its_fades() {
    for frequency in [400.0, 440.0, 1950.0] {
        let mut samples = silence(4);
        add_tone(&mut samples, frequency, 1000.25, 3000.5);
        let audio = Audio::from_mono(RATE, 500.0, samples).unwrap();
        let ranges = tone_ranges(&audio, frequency);
        assert_eq!(ranges.len(), 1, "{ranges:?}");
        assert!((ranges[0].start_ms - 1501.75).abs() < 1.0, "{ranges:?}");
        assert!((ranges[0].end_ms - 3499.0).abs() < 1.0, "{ranges:?}");
        assert!((ranges[0].amplitude - 0.25).abs() < 0.01);
    }
}

#[test]
fn a_tone_is_found_between_noise_before_and_behind_it() {
    let noise = Reference::new(3, 6).samples;
    let mut samples = noise;
    samples[2 * RATE as usize..4 * RATE as usize].fill(0.0);
    add_tone(&mut samples, 650.0, 2000.0, 4000.0);
    let ranges = tone_ranges(&Audio::from_mono(RATE, 0.0, samples).unwrap(), 650.0);
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert!((ranges[0].start_ms - 2001.5).abs() < 3.0, "{ranges:?}");
    assert!((ranges[0].end_ms - 3998.5).abs() < 3.0, "{ranges:?}");
}

#[test]
fn neighbouring_code_tones_are_told_apart() {
    let mut samples = silence(8);
    for fragment in 0..4u32 {
        let start = f64::from(fragment) * 2000.0;
        add_tone(
            &mut samples,
            400.0 + 50.0 * f64::from(fragment),
            start,
            start + 2000.0,
        );
    }
    let audio = Audio::from_mono(RATE, 0.0, samples).unwrap();
    for fragment in 0..4u32 {
        let start = f64::from(fragment) * 2000.0;
        let frequency = 400.0 + 50.0 * f64::from(fragment);
        let found =
            tones::dominant(&audio, start + 100.0, start + 1900.0, &tones::coded_frequencies()).unwrap();
        assert_eq!(found.frequency_hz, frequency);
        assert!(found.share > 0.99, "{found:?}");
        let ranges = tone_ranges(&audio, frequency);
        assert_eq!(ranges.len(), 1, "{frequency} Hz: {ranges:?}");
        // A tone at the very start or end of a recording has no edge there but the recording's own.
        let expected = if fragment == 0 {
            0.0..=3.0
        } else {
            start + 0.5..=start + 2.5
        };
        assert!(expected.contains(&ranges[0].start_ms), "{ranges:?}");
    }
}

#[test]
fn a_tone_that_fades_for_a_moment_on_its_way_is_one_tone_with_the_edges_of_the_whole() {
    let mut samples = vec![0.0; 10 * RATE as usize];
    for second in [1, 3, 5, 7] {
        let start = f64::from(second) * 1000.0;
        add_tone(&mut samples, 440.0, start, start + 2000.0);
    }
    let ranges = tone_ranges(&Audio::from_mono(RATE, 0.0, samples).unwrap(), 440.0);
    assert_eq!(ranges.len(), 1, "{ranges:#?}");
    assert!((ranges[0].start_ms - 1001.5).abs() < 2.0, "{ranges:#?}");
    assert!((ranges[0].end_ms - 8998.5).abs() < 2.0, "{ranges:#?}");
}

#[test]
fn a_tone_that_is_not_there_is_not_found() {
    let audio = Audio::from_mono(RATE, 0.0, Reference::new(3, 3).samples).unwrap();
    assert_eq!(tone_ranges(&audio, 650.0), []);
    let share = tones::dominant(&audio, 0.0, 3000.0, &tones::coded_frequencies())
        .unwrap()
        .share;
    assert!(share < 0.05, "{share}");
}

#[test]
fn time_stamps_rounded_to_milliseconds_are_averaged_and_holes_are_kept() {
    let length = 1024.0 * 1000.0 / 44_100.0;
    let frames: Vec<AudioFrame> = (0..200)
        .map(|at| AudioFrame {
            pts_ms: (100.0 + f64::from(at) * length + if at < 100 { 0.0 } else { 250.0 }).round(),
            first_sample: at as usize * 1024,
            samples: 1024,
        })
        .collect();
    let audio = Audio::from_parts(44_100, 1, vec![0.0; 200 * 1024], frames).unwrap();
    assert_eq!(audio.segments.len(), 2);
    assert!((audio.time_ms(50.0 * 1024.0) - (100.0 + 50.0 * length)).abs() < 0.15);
    assert!((audio.time_ms(150.0 * 1024.0) - (350.0 + 150.0 * length)).abs() < 0.15);
    let hole = 100.0 + 100.0 * length + 125.0;
    assert_eq!(audio.sample_at(hole), None);
    assert_eq!(audio.index_at(hole), 100 * 1024);
    let back = audio.sample_at(audio.time_ms(70_000.0)).unwrap();
    assert!((back - 70_000.0).abs() < 1.0, "{back}");
    assert_eq!((audio.sample_at(99.0), audio.sample_at(1e6)), (None, None));
}

#[test]
fn silence_and_holes_of_sound_are_one_stall() {
    let mut samples = Reference::new(5, 3).samples;
    samples[RATE as usize..RATE as usize * 3 / 2].fill(0.0);
    let frames: Vec<AudioFrame> = (0..3)
        .map(|second| AudioFrame {
            pts_ms: f64::from(second) * 1000.0 + if second == 2 { 400.0 } else { 0.0 },
            first_sample: (second * RATE) as usize,
            samples: RATE as usize,
        })
        .collect();
    let audio = Audio::from_parts(RATE, 1, samples, frames).unwrap();
    let found = stalls::silences(&audio, 100.0);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        (found[0].from_ms - 1000.0).abs() < 11.0 && (found[0].ms - 500.0).abs() < 21.0,
        "{found:?}"
    );
    assert!(
        (found[1].from_ms - 2000.0).abs() < 1.0 && (found[1].ms - 400.0).abs() < 1.0,
        "{found:?}"
    );
}

#[test]
fn standing_and_missing_pictures_are_stalls() {
    let mut pictures = Pictures::default();
    for at in 0..60u8 {
        // Pictures 20 to 29 are the same; picture 40 comes half a second late.
        let shade = if (20..30).contains(&at) { 60 } else { at * 4 };
        pictures
            .pts_ms
            .push(f64::from(at) * 40.0 + if at >= 40 { 500.0 } else { 0.0 });
        pictures.luma.extend(std::iter::repeat_n(shade, COLUMNS * ROWS));
    }
    let found = stalls::freezes(&pictures, 100.0);
    let spans: Vec<(f64, f64)> = found.iter().map(|stall| (stall.from_ms, stall.ms)).collect();
    assert_eq!(spans, [(800.0, 400.0), (1560.0, 540.0)]);
    assert_eq!(stalls::longest(&found).ms, 540.0);
}

#[test]
fn gaps_and_steps_of_time_stamps_are_measured() {
    let packet = |pts_ms: f64| Packet {
        track: 0,
        pts_ms,
        dts_ms: pts_ms,
        duration_ms: 0.0,
    };
    let exact = 1024.0 / 48.0;
    let gapless: Vec<Packet> = (0..100)
        .map(|at| packet((f64::from(at) * exact).round()))
        .collect();
    let report = GapReport::of(&gapless, Some(exact), &[]);
    assert!(
        report.audio_worst_ms <= 0.6 && report.audio_steps.is_empty(),
        "{report:?}"
    );
    let mut holed = gapless;
    holed[50..].iter_mut().for_each(|packet| packet.pts_ms += 80.0);
    let report = GapReport::of(&holed, Some(exact), &[]);
    assert_eq!(report.audio_steps.len(), 1);
    assert!((report.audio_steps[0].by_ms - 80.0).abs() < 1.0);
    assert!((report.audio_gap.ms - 101.0).abs() < 1.5, "{report:?}");
}

#[test]
fn likeness_finds_the_shift_of_the_same_sound_and_none_in_another() {
    let all = Reference::new(11, 5).samples;
    let whole = Audio::from_mono(RATE, 1000.0, all.clone()).unwrap();
    let part = Audio::from_mono(RATE, 9000.0, all[RATE as usize + 123..4 * RATE as usize].to_vec()).unwrap();
    let there = loudness::likeness(&whole, &part).unwrap();
    let expected = 9000.0 - (2000.0 + 123.0 / 48.0);
    assert!(
        (there.shift_ms - expected).abs() < 0.1 && there.coefficient > 0.999,
        "{there:?}"
    );
    let back = loudness::likeness(&part, &whole).unwrap();
    assert!((back.shift_ms + expected).abs() < 0.1, "{back:?}");
    let other = Audio::from_mono(RATE, 0.0, Reference::new(12, 5).samples).unwrap();
    assert!(loudness::likeness(&whole, &other).unwrap().coefficient < 0.1);
}

#[test]
fn loudness_of_a_stereo_sine_is_the_textbook_value() {
    // EBU Tech 3341: 1 kHz at -23 dBFS in both channels reads -23 LUFS.
    let peak = 10f64.powf(-23.0 / 20.0);
    let samples: Vec<f32> = (0..5 * RATE)
        .flat_map(|at| [(peak * (TAU * 1000.0 * f64::from(at) / f64::from(RATE)).sin()) as f32; 2])
        .collect();
    let frames = vec![AudioFrame {
        pts_ms: 0.0,
        first_sample: 0,
        samples: 5 * RATE as usize,
    }];
    let measured = loudness::loudness(&Audio::from_parts(RATE, 2, samples, frames).unwrap()).unwrap();
    assert!(
        (measured.integrated_lufs.unwrap() + 23.0).abs() < 0.1,
        "{measured:?}"
    );
    assert_eq!(measured.rms_db.len(), 5);
    assert!((measured.rms_db[0] + 26.0).abs() < 0.1);
}

#[test]
fn flv_survives_any_cut_of_its_bytes_and_keeps_negative_times() {
    let tags: Vec<flv::Tag> = [-67, 0, 33, 0x0123_4567]
        .into_iter()
        .map(|dts_ms| flv::Tag {
            kind: flv::TagKind::Video,
            dts_ms,
            body: vec![0x17, 1, 0, 0, 33, 1, 2, 3],
        })
        .collect();
    let mut bytes = flv::HEADER.to_vec();
    tags.iter().for_each(|tag| bytes.extend(tag.to_bytes()));
    for size in [1, 7, 64] {
        let mut parser = flv::Parser::default();
        let parsed: Vec<flv::Tag> = bytes
            .chunks(size)
            .flat_map(|piece| parser.push(piece).unwrap())
            .collect();
        assert_eq!(parsed, tags);
    }
    assert_eq!(
        flv::tags(&bytes[..bytes.len() - 1]).unwrap().len(),
        3,
        "a torn tag is left out"
    );
    assert!(matches!(
        tags[0].avc(),
        Some(flv::Avc::Unit {
            cts_ms: 33,
            key: true,
            ..
        })
    ));
}

#[test]
fn parameter_sets_and_delimiters_do_not_change_a_fingerprint_but_a_slice_does() {
    let unit = |nals: &[&[u8]]| -> Vec<u8> {
        nals.iter()
            .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
            .collect()
    };
    let print = |nals: &[&[u8]]| flv::fingerprint(&unit(nals), 4).unwrap();
    let (delimiter, sps, sei, slice): (&[u8], &[u8], &[u8], &[u8]) =
        (&[9, 16], &[0x67, 1], &[6, 5], &[0x65, 1, 2]);
    assert_eq!(print(&[sei, slice]), print(&[delimiter, sps, sei, slice]));
    assert_ne!(print(&[sei, slice]), print(&[slice]));
    assert_ne!(print(&[sei, slice]), print(&[sei, &[0x65, 1, 3]]));
    assert!(flv::fingerprint(&[0, 0, 0, 9, 1], 4).is_err());
}

#[test]
fn latency_and_silence_come_from_arrivals_alone() {
    let arrival = |at_ms: f64, hash: u64| Arrival {
        kind: if hash == 0 { Kind::Audio } else { Kind::Video },
        at_ms,
        dts_ms: 0,
        pts_ms: 0,
        key: false,
        bytes: 1,
        hash,
    };
    let input: Vec<Arrival> = (1..=100)
        .map(|n| arrival(f64::from(n) * 40.0, u64::from(n as u32)))
        .collect();
    let mut output: Vec<Arrival> = (1..=99)
        .map(|n| arrival(f64::from(n) * 40.0 + 2000.0 + f64::from(n), u64::from(n as u32)))
        .collect();
    output.push(arrival(9000.0, 0));
    let latency = arrivals::latency(&input, &output);
    assert_eq!((latency.units, latency.worst_ms), (99, 2099.0));
    assert_eq!(latency.p50_ms, 2050.0);
    let silence = arrivals::longest_silence(&output, None);
    assert!((silence.ms - (9000.0 - 6059.0)).abs() < 1e-6, "{silence:?}");
    assert!((arrivals::longest_silence(&output, Some(Kind::Video)).ms - 41.0).abs() < 1e-6);
}
