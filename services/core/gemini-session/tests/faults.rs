//! Connections that go wrong and do not say so: each fault is found in its time, and what is no fault is left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod world;

use gemini_session::{BreakerState, Cause, Config, Event, State, Watchdog};
use std::time::Duration;
use world::scripts::{MINUTE, dialogue, expect_whole_from, failed_by, translate, world};
use world::{Phrase, Script, World};

#[test]
fn a_server_that_is_silent_from_the_start_is_left_in_time() {
    for (never_opens, limit, watchdog) in [(true, 10_000, Watchdog::Upgrade), (false, 8_100, Watchdog::Setup)]
    {
        let mut it = world(9, translate(), 2, move |number, _| Script {
            never_opens: never_opens && number == 1,
            never_set_up: number == 1,
            ..Script::default()
        });
        it.run_to_end();
        let failed = failed_by(&it, Cause::Silent(watchdog));
        assert!(failed.len() == 1 && failed[0] <= limit + 100, "{failed:?}");
        expect_whole_from(&it, failed[0], "silent start");
    }
}

/// A connection that goes wrong at 30 s in some silent way, and the watchdog that finds it.
fn silent_fault(config: Config, fault: Script, watchdog: Watchdog, limit_ms: u64) {
    let mut it = world(10, config, 3, move |number, _| {
        if number == 1 {
            fault.clone()
        } else {
            Script::default()
        }
    });
    it.run_to_end();
    let failed = failed_by(&it, Cause::Silent(watchdog));
    assert_eq!(failed.len(), 1, "{watchdog:?}: {:#?}", it.events);
    assert!(failed[0] <= 30_000 + limit_ms, "{watchdog:?} at {}", failed[0]);
    let back = it.listener.heard_since(failed[0]).unwrap();
    assert!(back <= failed[0] + 5_000, "{watchdog:?}: back at {back}");
    expect_whole_from(&it, back + 1_000, watchdog.as_str());
}

#[test]
fn every_silent_fault_is_found_by_its_watchdog_and_the_dub_is_back_five_seconds_later() {
    let at = Some(30_000);
    let script = Script::default;
    silent_fault(
        translate(),
        Script {
            silent_from: at,
            ..script()
        },
        Watchdog::Message,
        6_500,
    );
    silent_fault(
        dialogue(),
        Script {
            silent_from: at,
            ..script()
        },
        Watchdog::Answer,
        16_000,
    );
    silent_fault(
        translate(),
        Script {
            deaf_from: at,
            ..script()
        },
        Watchdog::SendStall,
        5_600,
    );
    silent_fault(
        translate(),
        Script {
            asr_only_from: at,
            ..script()
        },
        Watchdog::Answer,
        12_000,
    );
    silent_fault(
        translate(),
        Script {
            voiceless_from: at,
            ..script()
        },
        Watchdog::Voice,
        8_000,
    );
    silent_fault(
        translate(),
        Script {
            tone_from: at,
            ..script()
        },
        Watchdog::Tone,
        6_500,
    );
}

#[test]
fn what_a_slow_reader_had_not_read_is_owed_whatever_was_said_last() {
    let mut too_old = 0;
    for seed in 10..20 {
        let mut it = world(seed, translate(), 2, |number, _| Script {
            slow_from: (number == 1).then_some(30_000),
            ..Script::default()
        });
        it.run_to_end();
        let failed = failed_by(&it, Cause::Silent(Watchdog::SendStall));
        assert_eq!(failed.len(), 1, "{:#?}", it.events);
        let airs = failed[0] - it.listener.hold_ms;
        let owed = it
            .listener
            .first_unanswered(airs, gemini_session::ConnectionId(1))
            .unwrap();
        let (anew, asked) = it.listener.first_superseded().unwrap();
        assert!(anew <= owed, "seed {seed}: {owed} is owed, told from {anew} on");
        too_old += usize::from(anew < asked);
        assert!(it.listener.heard_since(failed[0]).unwrap() <= failed[0] + 5_000);
    }
    // Some of it airs before it could be answered, and is not asked again.
    assert!(0 < too_old);
}

#[test]
fn what_was_said_last_stays_but_behind_a_tone_where_what_is_too_old_is_told_to_be_nobodys() {
    let at = Some(30_000);
    let script = Script::default;
    let tone = Script {
        tone_from: at,
        ..script()
    };
    let words_only = Script {
        asr_only_from: at,
        ..script()
    };
    let silent = Script {
        silent_from: at,
        ..script()
    };
    for (fault, is_doubtful) in [(tone, true), (words_only, false), (silent, false)] {
        let mut too_old = 0;
        for seed in 10..20 {
            let fault = fault.clone();
            let mut it = world(seed, translate(), 2, move |number, _| {
                if number == 1 { fault.clone() } else { script() }
            });
            it.run_to_end();
            let (anew, asked) = it.listener.first_superseded().unwrap();
            too_old += usize::from(anew < asked);
        }
        assert_eq!(0 < too_old, is_doubtful, "{fault:?}: {too_old}");
    }
}

#[test]
fn the_rest_of_a_phrase_that_is_too_old_is_asked_for_where_somebody_broke_off_in_it() {
    // Three short phrases, one that is answered from 23.2 s on, and one that is still spoken when the socket dies.
    let phrases = [
        (2_000, 100),
        (7_000, 100),
        (12_000, 100),
        (20_000, 225),
        (24_900, 150),
    ]
    .map(|(start, blocks)| Phrase { start, blocks });
    let (broken, next) = (phrases[3], phrases[4]);
    for (silent_from, in_it) in [(None, true), (Some(22_500), false)] {
        let mut it = World::new(9, translate(), phrases.to_vec(), move |number, _| Script {
            lag_ms: Some(2_900),
            silent_from: silent_from.filter(|_| number == 1),
            ends_at: (number == 1).then_some(26_900),
            ..Script::default()
        });
        it.run_to_end();
        let (from, asked) = it.listener.first_superseded().unwrap();
        assert_eq!(from, asked);
        if in_it {
            assert!((broken.start + 20..broken.end()).contains(&from), "{from}");
            assert_eq!(it.listener.unsaid(3), 0);
        } else {
            // Nothing of it was said, and half of it is no answer.
            assert!((broken.end()..=next.start).contains(&from), "{from}");
        }
    }
}

/// A connection whose sound becomes a tone at 30 s.
fn hums(script: Script) -> World {
    let mut it = world(10, translate(), 2, move |number, _| Script {
        tone_from: (number == 1).then_some(30_000),
        ..script.clone()
    });
    it.run_to_end();
    it
}

#[test]
fn a_tone_is_not_handed_over_but_what_words_come_with_is_and_what_is_over_before_its_watchdog() {
    let script = Script::default;
    let tone = hums(script());
    assert_eq!(failed_by(&tone, Cause::Silent(Watchdog::Tone)).len(), 1);
    assert_eq!(tone.listener.noise_ms, 0);
    let sung = Script {
        tone_until: Some(110_000),
        tone_speaks: true,
        ..script()
    };
    let short = Script {
        tone_until: Some(33_000),
        wordless: true,
        ..script()
    };
    let wavering = Script {
        tone_wavers: true,
        tone_until: Some(42_000),
        wordless: true,
        ..script()
    };
    let cases = [
        (sung, 60_000, 3_500),
        (short, 2_800, 4_000),
        (wavering, 11_500, 2_000),
    ];
    for (script, least_ms, late_ms) in cases {
        let it = hums(script);
        assert_eq!(failed_by(&it, Cause::Silent(Watchdog::Tone)), Vec::<u64>::new());
        assert!(least_ms <= it.listener.noise_ms, "{}", it.listener.noise_ms);
        assert!(
            it.listener.noise_late_ms <= late_ms,
            "{}",
            it.listener.noise_late_ms
        );
        assert_eq!(it.listener.problems, Vec::<String>::new());
    }
}

#[test]
fn a_vowel_is_heard_though_nothing_comes_behind_it() {
    let vowel = || Script {
        tone_until: Some(30_400),
        ..Script::default()
    };
    let silence = Script {
        silent_from: Some(30_400),
        ..vowel()
    };
    let end = Script {
        ends_at: Some(30_400),
        ..vowel()
    };
    for (script, late_ms) in [(silence, 1_000), (end, 400)] {
        let it = hums(script);
        assert!(240 <= it.listener.noise_ms, "{}", it.listener.noise_ms);
        let late = it.listener.noise_late_ms;
        assert!(late <= late_ms, "{late}");
    }
}

#[test]
fn a_vowel_at_the_end_of_a_turn_is_no_tone_however_long_nothing_is_said_after_it() {
    let phrases = [1_000, 20_000, 39_000].map(|start| Phrase { start, blocks: 150 });
    let mut it = World::new(12, dialogue(), phrases.to_vec(), |_, _| Script {
        tone_ends_turns_ms: 480,
        wordless: true,
        ..Script::default()
    });
    it.run_to_end();
    assert_eq!(failed_by(&it, Cause::Silent(Watchdog::Tone)), Vec::<u64>::new());
    assert!(900 <= it.listener.noise_ms, "{}", it.listener.noise_ms);
}

#[test]
fn a_turn_that_ends_in_a_tone_loses_the_tone_and_one_that_ends_in_a_vowel_nothing() {
    let noise_of = |tone_ms| {
        let mut it = world(12, dialogue(), 2, move |_, _| Script {
            tone_ends_turns_ms: tone_ms,
            wordless: true,
            ..Script::default()
        });
        it.run_to_end();
        it.listener.noise_ms
    };
    assert!(2_000 <= noise_of(480));
    // A turn that is shorter than a second is no longer than a vowel.
    assert!(noise_of(1_440) <= 1_000);
}

#[test]
fn three_empty_turns_in_a_row_end_a_connection() {
    // Words are no answer where nobody says them.
    for only_words in [false, true] {
        let mut it = world(12, dialogue(), 3, move |number, _| Script {
            empty_turns: number == 1 && !only_words,
            voiceless_from: (number == 1 && only_words).then_some(0),
            ..Script::default()
        });
        it.run_to_end();
        assert_eq!(
            failed_by(&it, Cause::Silent(Watchdog::EmptyTurns)).len(),
            1,
            "{only_words}"
        );
        let back = it.listener.heard_since(0).unwrap();
        expect_whole_from(&it, back, "empty turns");
    }
}

#[test]
fn a_source_that_is_silent_for_ten_minutes_starts_no_watchdog() {
    for config in [translate, dialogue] {
        let phrases = [2_000, 11 * MINUTE].map(|start| Phrase { start, blocks: 100 });
        let mut config = config();
        config.lifetimes.age_hard = Duration::from_secs(3_600);
        config.lifetimes.age_soft = Duration::from_secs(3_000);
        let mut it = World::new(13, config, phrases.to_vec(), |_, _| Script::default());
        it.run_to_end();
        assert_eq!(it.opens.len(), 1, "{:#?}", it.events);
        expect_whole_from(&it, 0, "silence");
    }
}

#[test]
fn a_speaker_of_the_target_language_is_answered_by_silence_and_that_is_no_fault() {
    let mut it = world(14, translate(), 3, |_, _| Script {
        mute: true,
        language: Some("es-MX"),
        ..Script::default()
    });
    it.run_to_end();
    assert_eq!(
        (it.opens.len(), it.session.view().failures_total),
        (1, 0),
        "{:#?}",
        it.events
    );
}

#[test]
fn minutes_of_slow_answers_open_the_breaker() {
    // Phrases with pauses behind which the lag can be told.
    let phrases = (0..20).map(|n| Phrase {
        start: 2_000 + n * 12_000,
        blocks: 100,
    });
    let mut config = translate();
    config.hold = Duration::from_secs(30);
    let mut it = World::new(15, config, phrases.collect(), |_, _| Script {
        lag_ms: Some(6_800),
        ..Script::default()
    });
    it.run_until(3 * MINUTE);
    let slow = it.count(|event| {
        matches!(
            event,
            Event::Breaker {
                state: BreakerState::Open,
                cause: Some(Cause::Slow)
            }
        )
    });
    assert!(slow >= 1, "{:#?}", it.events);
}

#[test]
fn speech_in_flight_past_its_limit_opens_the_breaker() {
    let mut config = translate();
    config.watchdogs.answer = Duration::from_secs(600);
    config.watchdogs.deaf = Duration::from_secs(600);
    config.watchdogs.translation = Duration::from_secs(600);
    let mut it = world(16, config, 2, |_, _| Script {
        asr_only_from: Some(20_000),
        ..Script::default()
    });
    it.run_until(20_000);
    assert!(it.session.view().in_flight < Duration::from_secs(5));
    it.run_until(50_000);
    let full = it.count(|event| {
        matches!(
            event,
            Event::Breaker {
                state: BreakerState::Open,
                cause: Some(Cause::InFlight)
            }
        )
    });
    assert!(full >= 1, "{:#?}", it.events);
}

#[test]
fn a_connection_that_leaves_a_replay_unanswered_is_exchanged_before_the_provider_is_left_alone() {
    for seed in 40..50 {
        let mut it = world(seed, translate(), 2, |number, _| Script {
            lag_ms: Some(2_000),
            ends_at: (number == 1).then_some(30_000),
            asr_only_from: (number == 2).then_some(0),
            ..Script::default()
        });
        it.run_to_end();
        let opened = |event: &Event| {
            matches!(
                event,
                Event::Breaker {
                    state: BreakerState::Open,
                    ..
                }
            )
        };
        assert_eq!(it.count(opened), 0, "seed {seed}: {:#?}", it.events);
        let failed = failed_by(&it, Cause::Silent(Watchdog::Answer));
        assert_eq!(failed.len(), 1, "seed {seed}");
    }
}

#[test]
fn what_was_sent_and_received_is_counted_and_priced() {
    for (config, minutes) in [(translate(), 3), (dialogue(), 3)] {
        let mut it = world(18, config, minutes, |_, _| Script::default());
        it.run_to_end();
        let usage = it.session.usage();
        let heard: u64 = it.phrases.iter().map(|phrase| phrase.blocks * 20).sum();
        let sent = u64::try_from(usage.sent().as_millis()).unwrap();
        assert!(
            sent >= heard && sent <= (minutes + 1) * MINUTE,
            "{sent} of {heard}"
        );
        assert!(usage.received() > Duration::from_secs(60));
        assert!(it.session.nano_usd() > 0);
        assert_eq!(it.session.view().state, State::Closed);
    }
}
