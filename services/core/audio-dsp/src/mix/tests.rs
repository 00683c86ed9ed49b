use super::*;

const LEVELS: Levels = Levels {
    bed: 1.0,
    dub: 1.0,
    duck: 0.0,
    bed_mode: BedMode::None,
};

fn range(start: i64, end: i64) -> MediaRange {
    MediaRange::new(MediaTime::from_frames(start), MediaTime::from_frames(end))
}

fn block(frames: usize, value: i16) -> Vec<i16> {
    vec![value; frames * CHANNELS]
}

#[test]
fn the_untouched_original_is_copied_bit_by_bit() {
    let mut mixer = Mixer::new(LEVELS);
    let original: Vec<i16> = (0..2000).map(|n| (n * 31 % 65_536 - 32_768) as i16).collect();
    let mut out = block(1000, 0);
    let span = MixSpan {
        range: range(0, 1000),
        state: AirState::Original,
        dub: false,
    };
    mixer.mix(&[span], &original, &block(1000, 99), &mut out);
    assert_eq!(out, original);
}

#[test]
fn a_dub_is_at_minus_six_db_within_5_ms_of_its_edges() {
    let mut mixer = Mixer::new(LEVELS);
    let whole = range(1000, 3000);
    let spans = [
        MixSpan {
            range: range(0, 1000),
            state: AirState::Original,
            dub: false,
        },
        MixSpan {
            range: whole,
            state: AirState::Dub,
            dub: true,
        },
        MixSpan {
            range: range(3000, 4000),
            state: AirState::Original,
            dub: false,
        },
    ];
    let mut out = block(4000, 0);
    mixer.mix(&spans, &block(4000, 0), &block(4000, 10_000), &mut out);
    let loud: Vec<usize> = (0..4000).filter(|frame| out[frame * CHANNELS] >= 5_000).collect();
    let (first, last) = (loud[0], loud[loud.len() - 1]);
    assert!(
        (1000..=1240).contains(&first) && (2759..3000).contains(&last),
        "{first} {last}"
    );
}

#[test]
fn the_same_signal_as_dub_and_original_shows_no_seam() {
    let mut mixer = Mixer::new(LEVELS);
    let whole = range(500, 1500);
    let spans = [
        MixSpan {
            range: range(0, 500),
            state: AirState::Original,
            dub: false,
        },
        MixSpan {
            range: whole,
            state: AirState::Dub,
            dub: true,
        },
        MixSpan {
            range: range(1500, 2000),
            state: AirState::Original,
            dub: false,
        },
    ];
    let signal: Vec<i16> = (0..4000)
        .map(|n| (f64::from(n / 2) * 0.05).sin() * 12_000.0)
        .map(|v| v as i16)
        .collect();
    let mut out = block(2000, 0);
    mixer.mix(&spans, &signal, &signal, &mut out);
    assert!(out.iter().zip(&signal).all(|(a, b)| (a - b).abs() <= 1));
}

#[test]
fn mute_is_silent_after_one_fade_and_comes_back() {
    let mut mixer = Mixer::new(LEVELS);
    let mut out = block(1000, 0);
    let mute = MixSpan {
        range: range(0, 1000),
        state: AirState::Mute,
        dub: false,
    };
    mixer.mix(&[mute], &block(1000, 8_000), &block(1000, 0), &mut out);
    assert!(out[480 * CHANNELS..].iter().all(|sample| *sample == 0));
    assert!(
        out[..480 * CHANNELS]
            .chunks_exact(CHANNELS)
            .zip(out[CHANNELS..].chunks_exact(CHANNELS))
            .all(|(a, b)| a[0] >= b[0])
    );
    let back = MixSpan {
        range: range(1000, 2000),
        state: AirState::Original,
        dub: false,
    };
    mixer.mix(&[back], &block(1000, 8_000), &block(1000, 0), &mut out);
    assert_eq!(out[999 * CHANNELS], 8_000);
}

#[test]
fn the_switch_to_original_silences_a_running_dub() {
    let mut mixer = Mixer::new(LEVELS);
    let mut out = block(1000, 0);
    let dubbed = MixSpan {
        range: range(0, 1000),
        state: AirState::Dub,
        dub: true,
    };
    mixer.mix(&[dubbed], &block(1000, 1_000), &block(1000, 9_000), &mut out);
    assert_eq!(out[999 * CHANNELS], 9_000);
    let original = MixSpan {
        range: range(1000, 2000),
        state: AirState::Original,
        dub: true,
    };
    mixer.mix(&[original], &block(1000, 1_000), &block(1000, 9_000), &mut out);
    assert_eq!(out[999 * CHANNELS], 1_000);
    let again = MixSpan {
        range: range(2000, 3000),
        state: AirState::Dub,
        dub: true,
    };
    mixer.mix(&[again], &block(1000, 1_000), &block(1000, 9_000), &mut out);
    assert_eq!(out[999 * CHANNELS], 9_000);
}

#[test]
fn a_loud_sum_never_wraps() {
    let mut mixer = Mixer::new(Levels {
        duck: 1.0,
        bed_mode: BedMode::Ducked,
        ..LEVELS
    });
    let span = MixSpan {
        range: range(0, 1000),
        state: AirState::Dub,
        dub: true,
    };
    let mut out = block(1000, 0);
    mixer.mix(&[span], &block(1000, 30_000), &block(1000, 30_000), &mut out);
    assert!(out.iter().all(|sample| *sample > 25_000));
}

/// Sine of a deep voice: an edge in it would be far above its own steps.
fn sine(frames: usize, hz: f64, peak: f64) -> Vec<i16> {
    (0..frames * CHANNELS)
        .map(|n| ((n / CHANNELS) as f64 * hz * std::f64::consts::TAU / 48_000.0).sin() * peak)
        .map(|value| value as i16)
        .collect()
}

/// Largest step from one frame to the next.
fn edge(out: &[i16]) -> i32 {
    out.chunks_exact(CHANNELS)
        .zip(out[CHANNELS..].chunks_exact(CHANNELS))
        .map(|(one, next)| (i32::from(one[0]) - i32::from(next[0])).abs())
        .max()
        .unwrap_or(0)
}

const ALL: [(AirState, bool); 7] = [
    (AirState::Dub, true),
    (AirState::VoiceOver, true),
    (AirState::Original, true),
    (AirState::Original, false),
    (AirState::VoiceOver, false),
    (AirState::Mute, false),
    (AirState::Mute, true),
];

/// Every pair of what can air, one behind the other, with the border at `border`, mixed in blocks of 1000 frames that are
/// told what comes `ahead` frames before it comes.
fn every_transition(border: i64, ahead: i64, mut check: impl FnMut(String, Vec<i16>)) {
    let original = sine(4000, 110.0, 9_000.0);
    let dub = sine(4000, 170.0, 9_000.0);
    for bed_mode in [BedMode::None, BedMode::Ducked] {
        for one in ALL {
            for next in ALL {
                let mut mixer = Mixer::new(Levels {
                    bed_mode,
                    duck: gain_from_db(-15.0),
                    ..LEVELS
                });
                let mut out = block(4000, 0);
                for start in (0..4000).step_by(1000) {
                    let seen = range(start, start + 1000 + ahead);
                    let spans: Vec<MixSpan> = [(range(-5000, border), one), (range(border, 9000), next)]
                        .into_iter()
                        .filter_map(|(range, (state, dub))| {
                            seen.intersection(range)
                                .map(|range| MixSpan { range, state, dub })
                        })
                        .collect();
                    let part = start as usize * CHANNELS..(start as usize + 1000) * CHANNELS;
                    mixer.mix(
                        &spans,
                        &original[part.clone()],
                        &dub[part.clone()],
                        &mut out[part],
                    );
                }
                check(format!("{one:?} to {next:?} with {bed_mode:?} at {border}"), out);
            }
        }
    }
}

#[test]
fn nothing_that_takes_over_from_anything_else_clicks() {
    // Two sines at full swing and both gains on their way within 10 ms: no step is larger.
    let slope = |hz: f64| 9_000.0 * hz * std::f64::consts::TAU / 48_000.0;
    let allowed = (slope(110.0) + slope(170.0) + 2.0 * 9_000.0 / 480.0) as i32 + 4;
    for border in [1500, 2000, 2100, 2999] {
        for ahead in [0, FADE.frames()] {
            every_transition(border, ahead, |what, out| {
                assert!(edge(&out) <= allowed, "{what}: {} of {allowed}", edge(&out));
            });
        }
    }
}

#[test]
fn what_follows_a_dub_is_at_its_own_level_from_its_first_frame_on() {
    let original = sine(4000, 110.0, 9_000.0);
    for border in [1500, 2000, 2100] {
        every_transition(border, FADE.frames(), |what, out| {
            let behind = border as usize * CHANNELS..4000 * CHANNELS;
            if what.starts_with("(Dub, true) to (Original, false)") {
                assert_eq!(out[behind.clone()], original[behind], "{what}");
            } else if what.starts_with("(VoiceOver, true) to (Mute, false)") {
                assert!(out[behind].iter().all(|sample| *sample == 0), "{what}");
            }
        });
    }
}

#[test]
fn between_a_dub_and_a_lowered_original_the_original_never_rises() {
    let levels = Levels {
        duck: 0.25,
        bed_mode: BedMode::Ducked,
        ..LEVELS
    };
    for dub_first in [true, false] {
        let mut mixer = Mixer::new(levels);
        let lowered = MixSpan {
            range: range(0, 1500),
            state: AirState::VoiceOver,
            dub: dub_first,
        };
        let next = MixSpan {
            range: range(1500, 4000),
            dub: !dub_first,
            ..lowered
        };
        let mut out = block(4000, 0);
        mixer.mix(&[lowered, next], &block(4000, 8_000), &block(4000, 0), &mut out);
        let settled = &out[480 * CHANNELS..];
        assert!(settled.iter().all(|sample| *sample == 2_000), "{dub_first}");
    }
}

#[test]
fn a_dub_that_goes_on_where_it_was_to_end_swells_again_without_an_edge() {
    let mut mixer = Mixer::new(LEVELS);
    let dub = |from, until| MixSpan {
        range: range(from, until),
        state: AirState::Dub,
        dub: true,
    };
    let behind = MixSpan {
        range: range(1200, 1480),
        state: AirState::Original,
        dub: false,
    };
    let voice = sine(3000, 170.0, 9_000.0);
    let mut out = block(3000, 0);
    mixer.mix(
        &[dub(0, 1200), behind],
        &block(1000, 0),
        &voice[..1000 * CHANNELS],
        &mut out[..1000 * CHANNELS],
    );
    mixer.mix(
        &[dub(1000, 3000)],
        &block(2000, 0),
        &voice[1000 * CHANNELS..],
        &mut out[1000 * CHANNELS..],
    );
    let slope = 9_000.0 * 170.0 * std::f64::consts::TAU / 48_000.0;
    assert!(
        edge(&out) <= (slope + 9_000.0 / 480.0) as i32 + 4,
        "{}",
        edge(&out)
    );
    assert_eq!(out[1480 * CHANNELS..], voice[1480 * CHANNELS..]);
}
