#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)]
use super::*;
use crate::link::frames::AccessUnit;
use dub_placement::{Placed, Speech};
use media_types::StsMode;

const MS: u64 = 1_000_000;

fn tick(ms: u64) -> Tick {
    Tick::from_nanos(ms * MS)
}

fn settings(hold_ms: u64, mode: StsMode) -> StreamSettings {
    StreamSettings {
        hold: Duration::from_millis(hold_ms),
        sts_mode: mode,
        bed_mode: media_types::BedMode::None,
        fragment_duration: Duration::from_secs(1),
        ..StreamSettings::default()
    }
}

fn air(settings: StreamSettings, first: u64) -> Air {
    Air::new(settings, FragmentSeq(first), Duration::from_secs(4))
}

/// A counting sample, so that every frame of the output can be told.
fn sample(frame: i64) -> i16 {
    i16::try_from(frame % 20_000).unwrap()
}

fn pcm(from_frame: i64, frames: i64) -> Vec<u8> {
    (from_frame..from_frame + frames)
        .flat_map(|frame| [sample(frame), sample(frame)])
        .flat_map(i16::to_le_bytes)
        .collect()
}

/// Feeds `ms` of audio in 20 ms buffers stamped in whole milliseconds, and 25 access units a second; collects what is due.
fn feed(air: &mut Air, from_ms: u64, ms: u64, clock_skew: i64) -> (Vec<i16>, Vec<i64>, Vec<DubStep>) {
    let (mut sound, mut video, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for at in (from_ms..from_ms + ms).step_by(20) {
        let source_ms = i64::try_from(at).unwrap() + clock_skew;
        if at % 40 == 0 {
            let data = Bytes::from_static(b"unit");
            let ns = source_ms * 1_000_000;
            air.video(
                tick(at),
                AccessUnit {
                    pts_ns: ns,
                    dts_ns: ns,
                    key: at % 1000 == 0,
                    discontinuity: false,
                    data,
                },
            );
        }
        steps.extend(air.audio(
            tick(at),
            source_ms * 1_000_000,
            &pcm(i64::try_from(at).unwrap() * 48, 960),
        ));
        let due = air.release(tick(at));
        sound.extend(due.sound.map(|(_, samples)| samples).unwrap_or_default());
        video.extend(due.video.iter().map(|unit| unit.dts.millis()));
    }
    (sound, video, steps)
}

#[test]
fn what_goes_in_comes_out_after_the_hold_without_a_sample_lost() {
    let mut air = air(settings(2000, StsMode::Disabled), 1);
    air.source_connected(tick(0));
    air.expect_audio(true);
    let (sound, video, _) = feed(&mut air, 0, 10_000, 123_456);
    assert_eq!(sound.len(), 7_980 * 48 * 2);
    assert!(
        sound
            .chunks_exact(2)
            .enumerate()
            .all(|(frame, pair)| pair[0] == sample(frame as i64))
    );
    assert_eq!(video, (0..200).map(|unit| unit * 40).collect::<Vec<i64>>());
}

#[test]
fn a_hold_of_nothing_waits_for_what_arrives() {
    let mut air = air(settings(0, StsMode::Disabled), 1);
    air.source_connected(tick(0));
    air.expect_audio(true);
    let (sound, _, _) = feed(&mut air, 0, 5_000, 0);
    assert!(
        sound
            .chunks_exact(2)
            .enumerate()
            .all(|(frame, pair)| pair[0] == sample(frame as i64))
    );
    assert_eq!(air.counts.missing_audio_frames, 0);
}

#[test]
fn exact_speech_replaces_its_fragment_and_nothing_else() {
    let mut air = air(settings(3000, StsMode::Enabled), 7);
    air.source_connected(tick(0));
    air.expect_audio(true);
    let (mut sound, _, steps) = feed(&mut air, 0, 2_500, 0);
    let closed: Vec<_> = steps
        .iter()
        .filter_map(|step| {
            if let DubStep::Close(seq, range) = step {
                Some((*seq, *range))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(closed.len(), 2);
    let (seq, range) = closed[1];
    assert_eq!(
        (seq, range.start.millis(), range.end.millis()),
        (FragmentSeq(8), 1000, 2000)
    );
    let speech = Speech {
        earliest: range.start,
        latest: range.end,
        exact: true,
        fragment: Some(seq),
        connection: 0,
        at: None,
        turn: None,
        pcm: vec![-9_000; 48_000 * 2],
    };
    assert!(matches!(air.speech(speech.clone()), Placed::At(_)));
    let (more, _, _) = feed(&mut air, 2_500, 5_000, 0);
    sound.extend(more);
    let at = |ms: usize| sound[ms * 48 * 2];
    assert_eq!(
        (at(990), at(1500), at(2010)),
        (sample(990 * 48), -9_000, sample(2010 * 48))
    );
    assert!(
        matches!(air.speech(speech.clone()), Placed::Late),
        "what has aired is not heard twice"
    );
}

#[test]
fn an_outage_is_a_hole_and_the_run_goes_on_behind_it() {
    let mut air = air(settings(1000, StsMode::Enabled), 1);
    air.source_connected(tick(0));
    air.expect_audio(true);
    let (mut sound, _, _) = feed(&mut air, 0, 3_000, 0);
    let steps = air.source_lost();
    assert!(steps.is_empty(), "the last fragment was complete");
    for at in (3_000..6_000).step_by(20) {
        sound.extend(
            air.release(tick(at))
                .sound
                .map(|(_, samples)| samples)
                .unwrap_or_default(),
        );
    }
    air.source_connected(tick(6_000));
    air.expect_audio(true);
    // A new publisher, with a clock of its own.
    let (more, video, _) = feed(&mut air, 6_000, 3_000, -5_000_000);
    sound.extend(more);
    let at = |ms: usize| sound[ms * 48 * 2];
    assert_eq!((at(2_990), at(4_000), at(5_500)), (sample(2_990 * 48), 0, 0));
    assert_eq!(at(6_500), sample(6_500 * 48));
    assert_eq!(video.first(), Some(&6_000));
}

#[test]
fn a_picture_whose_decoding_time_was_guessed_a_moment_early_is_kept_and_one_of_another_clock_is_not() {
    let mut air = air(settings(1000, StsMode::Disabled), 1);
    air.source_connected(tick(0));
    for (pts_ms, dts_ms) in [(0, 0), (67, 34), (33, 33), (34, 34), (100, 50), (90, -40)] {
        let unit = AccessUnit {
            pts_ns: pts_ms * 1_000_000,
            dts_ns: dts_ms * 1_000_000,
            key: pts_ms == 0,
            discontinuity: false,
            data: Bytes::from_static(b"unit"),
        };
        air.video(tick(0), unit);
    }
    let due = air.release(tick(2000));
    let shown: Vec<i64> = due.video.iter().map(|unit| unit.pts.millis()).collect();
    assert_eq!(
        (shown, air.counts.dropped_video_units),
        (vec![0, 67, 33, 34, 100], 1)
    );
    assert!(due.video.windows(2).all(|two| two[0].dts < two[1].dts));
}

#[test]
fn a_drained_air_has_nothing_left() {
    let mut air = air(settings(1000, StsMode::Enabled), 1);
    air.source_connected(tick(0));
    air.expect_audio(true);
    feed(&mut air, 0, 2_000, 0);
    air.source_lost();
    assert!(!air.is_drained(tick(2_500)));
    air.release(tick(3_100));
    assert!(air.is_drained(tick(3_100)));
}

#[test]
fn the_switch_is_in_force_with_the_next_block() {
    let mut air = air(settings(1000, StsMode::Enabled), 1);
    air.source_connected(tick(0));
    air.expect_audio(true);
    feed(&mut air, 0, 3_000, 0);
    let from = air.switch(AirState::Mute);
    let (sound, _, _) = feed(&mut air, 3_000, 1_000, 0);
    assert!(from.millis() <= 2_000);
    assert!(sound[10 * 48 * 2..].iter().all(|sample| *sample == 0));
}
