//! Where the next connection begins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod bench;

use bench::{Bench, ONE, TWO, config};
use gemini_live::{ClientMessage, Ending, RealtimeInput};
use gemini_session::{Config, ConnectionId, Event, Input, Output};
use media_types::MediaTime;
use std::time::Duration;

/// Milliseconds of source that a connection was sent.
fn sent_ms(bench: &Bench, to: ConnectionId) -> usize {
    let of = |output: &Output| {
        let Output::Send { connection, message } = output else {
            return 0;
        };
        let ClientMessage::RealtimeInput(RealtimeInput::Audio(blob)) = message.as_ref() else {
            return 0;
        };
        if *connection == to {
            blob.data.len() / 32
        } else {
            0
        }
    };
    bench.out.iter().map(of).sum()
}

/// Where source is answered anew from, the last time.
fn superseded_from(bench: &Bench) -> Option<MediaTime> {
    let from = |output: &Output| {
        let Output::Supersede(it) = output else {
            return None;
        };
        Some(it.from)
    };
    bench.out.iter().rev().find_map(from)
}

#[test]
fn a_speaker_who_does_not_pause_is_heard_by_both_connections_for_a_syllable() {
    let mut config = config();
    config.lifetimes.age_soft = Duration::from_secs(8);
    config.lifetimes.age_hard = Duration::from_secs(20);
    let mut bench = Bench::ready(config);
    let mut sets_up = true;
    while sent_ms(&bench, TWO) < 1_000 {
        if bench.opened() == 2 && sets_up {
            bench.set_up(TWO);
            sets_up = false;
        }
        bench.speak(ONE);
        bench.pass(250, true);
        assert!(bench.now < 20_000, "no rotation");
    }
    let split = |output: &Output| {
        let Output::Report(Event::Rotated { at, .. }) = output else {
            return None;
        };
        Some(at.millis())
    };
    let at = bench.out.iter().find_map(split).expect("a rotation");
    let heard_twice = at - bench.now.cast_signed() + sent_ms(&bench, TWO).cast_signed() as i64;
    // The last chunk is not full yet.
    assert!((80..=180).contains(&heard_twice), "{heard_twice} ms");
}

/// Two phrases; the model says nine tenths of them and then breaks off.
fn broken_off(silent_at_the_end: bool) -> MediaTime {
    let mut config = Config::translate("models/translate", "es", Duration::from_secs(20));
    // All of it may be sent again.
    config.pace.replay_max = Duration::from_secs(12);
    let mut bench = Bench::ready(config);
    bench.pass(1_000, true);
    for _ in 0..14 {
        bench.speak(ONE);
        for _ in 0..20 {
            let pauses = (4_000..4_500).contains(&bench.now);
            bench.pass(20, !pauses);
        }
    }
    if silent_at_the_end {
        bench.pass(200, true);
        bench.hush(ONE);
    } else {
        bench.speak(ONE);
    }
    bench.input(Input::ConnectionEnded {
        connection: ONE,
        ending: Ending::Dropped,
    });
    bench.pass(100, true);
    bench.set_up(TWO);
    bench.pass(100, true);
    superseded_from(&bench).expect("source is sent again")
}

#[test]
fn who_breaks_off_while_he_speaks_owes_the_phrase_that_he_seems_to_have_ended() {
    let (silent, speaking) = (broken_off(true), broken_off(false));
    assert!(MediaTime::from_millis(4_100) < silent, "{silent:?}");
    assert!(speaking < MediaTime::from_millis(300), "{speaking:?}");
}

#[test]
fn who_catches_up_keeps_another_time_though_nobody_was_asked_the_same() {
    for (late_ms, catches_up) in [(100, false), (2_000, true)] {
        let mut bench = Bench::ready(config());
        bench.pass(3_000, false);
        bench.input(Input::ConnectionEnded {
            connection: ONE,
            ending: Ending::Dropped,
        });
        bench.pass(late_ms, true);
        bench.set_up(TWO);
        bench.pass(100, true);
        let from = superseded_from(&bench).map(MediaTime::millis);
        assert_eq!(from.is_some(), catches_up, "{late_ms} ms: {from:?}");
        assert!(
            from.is_none_or(|from| (2_800..=3_000).contains(&from)),
            "{from:?}"
        );
    }
}
