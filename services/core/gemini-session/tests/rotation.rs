//! Ten minutes of nonstop speech over music, a connection that lives for half a minute, and a network that is unkind:
//! no phrase is lost, doubled or out of order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod world;

use gemini_live::Ending;
use gemini_session::{Config, Event};
use std::time::Duration;
use world::{Rng, Script, World, nonstop};

const TEN_MINUTES: u64 = 600_000;

fn translate() -> Config {
    let mut config = Config::translate("models/translate", "es", Duration::from_secs(10));
    short_lives(&mut config);
    config
}

fn dialogue() -> Config {
    let mut config = Config::dialogue("models/live", "interpret", Duration::from_secs(20));
    short_lives(&mut config);
    config
}

fn short_lives(config: &mut Config) {
    config.lifetimes.age_soft = Duration::from_secs(18);
    config.lifetimes.age_jitter = Duration::from_secs(1);
    config.lifetimes.age_hard = Duration::from_secs(30);
}

/// What the service does: a warning, and 1008 at the end.
fn polite() -> Script {
    Script {
        go_away_at: Some(20_000),
        time_left_s: Some(10),
        ends_at: Some(30_000),
        ending: Some(Ending::Closed {
            code: 1008,
            reason: "The operation was aborted.".to_owned(),
        }),
        ..Script::default()
    }
}

fn run(seed: u64, config: Config, script: impl Fn(u64, u64) -> Script + 'static) -> World {
    let phrases = nonstop(&mut Rng::new(seed), 1_000, TEN_MINUTES);
    let mut world = World::new(seed, config, phrases, script);
    world.run_to_end();
    world
}

fn expect_whole(world: &World, what: &str) {
    let problems = world.listener.verdict(0, TEN_MINUTES);
    assert!(
        problems.is_empty(),
        "{what}: {} problems\n{}\n{:#?}",
        problems.len(),
        problems.join("\n"),
        world.events
    );
    world.expect_settled();
}

fn rotations(world: &World) -> usize {
    world.count(|event| matches!(event, Event::Rotated { .. }))
}

#[test]
fn twenty_polite_rotations_lose_double_and_reorder_nothing() {
    for config in [translate, dialogue] {
        for seed in 1..=4 {
            let world = run(seed, config(), |_, _| polite());
            expect_whole(&world, &format!("seed {seed}"));
            assert!(rotations(&world) >= 20, "{}", rotations(&world));
            assert_eq!(
                world.session.view().failures_total,
                0,
                "expected ends are nobody's failure"
            );
        }
    }
}

#[test]
fn connections_that_end_at_their_limit_without_a_warning_are_left_before_it() {
    for config in [translate, dialogue] {
        let world = run(11, config(), |_, _| Script {
            go_away_at: None,
            ..polite()
        });
        expect_whole(&world, "no warning");
        assert!(rotations(&world) >= 20);
        assert_eq!(world.session.view().failures_total, 0);
    }
}

#[test]
fn sockets_that_die_without_a_word_lose_nothing() {
    for config in [translate, dialogue] {
        for seed in 21..=24 {
            // At another moment of a phrase each time, before anybody has begun to rotate.
            let mut config = config();
            config.lifetimes.age_hard = Duration::from_secs(45);
            config.lifetimes.age_soft = Duration::from_secs(32);
            let world = run(seed, config, move |number, _| Script {
                ends_at: Some(24_000 + (number * 1_370 + seed * 311) % 6_000),
                ..Script::default()
            });
            expect_whole(&world, &format!("seed {seed}"));
            let failures = world.session.view().failures_total;
            assert!(failures >= 20, "{failures}");
        }
    }
}

#[test]
fn sockets_that_die_lose_nothing_at_a_lag_of_three_seconds() {
    let mut config = translate();
    config.lifetimes.age_hard = Duration::from_secs(45);
    config.lifetimes.age_soft = Duration::from_secs(32);
    let world = run(95, config, move |number, _| Script {
        lag_ms: Some(2_900),
        ends_at: Some(24_000 + number * 1_370 % 6_000),
        ..Script::default()
    });
    expect_whole(&world, "lag of three seconds");
}

#[test]
fn a_go_away_with_silence_behind_it_loses_nothing() {
    for config in [translate, dialogue] {
        for seed in 31..=34 {
            let mut config = config();
            config.lifetimes.age_hard = Duration::from_secs(45);
            config.lifetimes.age_soft = Duration::from_secs(32);
            let world = run(seed, config, |_, _| Script {
                go_away_at: Some(27_000),
                silent_from: Some(27_010),
                ends_at: Some(37_000),
                ..polite()
            });
            expect_whole(&world, &format!("seed {seed}"));
            assert!(world.opens.len() >= 20, "{}", world.opens.len());
        }
    }
}

#[test]
fn a_go_away_that_leaves_no_time_loses_nothing() {
    for config in [translate, dialogue] {
        for time_left_s in [None, Some(1)] {
            let world = run(41, config(), move |_, _| Script {
                go_away_at: Some(17_000),
                time_left_s,
                ends_at: Some(18_250),
                ..polite()
            });
            expect_whole(&world, &format!("{time_left_s:?}"));
        }
    }
}

#[test]
fn a_socket_that_dies_while_it_drains_loses_nothing() {
    for config in [translate, dialogue] {
        for seed in 51..=54 {
            // The successor takes over at the first pause behind 24 s; the old one lives on for a moment.
            let mut config = config();
            config.lifetimes.age_hard = Duration::from_secs(36);
            config.lifetimes.age_soft = Duration::from_secs(24);
            let world = run(seed, config, move |number, _| Script {
                ends_at: Some(23_500 + (number * 730 + seed * 97) % 4_000),
                ..Script::default()
            });
            expect_whole(&world, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_refused_resumption_is_dropped_for_a_fresh_session_and_loses_nothing() {
    for config in [translate, dialogue] {
        let mut config = config();
        config.resume = true;
        let world = run(61, config, |number, _| {
            let refused = number % 2 == 0;
            Script {
                handles: true,
                ends_at: Some(if refused { 300 } else { 17_000 }),
                ending: refused.then(|| Ending::Closed {
                    code: 1007,
                    reason: "Invalid session handle".to_owned(),
                }),
                never_set_up: refused,
                ..Script::default()
            }
        });
        expect_whole(&world, "refused");
        assert!(world.resumptions >= 20, "{}", world.resumptions);
    }
}

#[test]
fn a_successor_that_fails_at_first_leaves_the_old_connection_at_work() {
    for config in [translate, dialogue] {
        let world = run(71, config(), |number, _| {
            if number % 3 == 1 {
                polite()
            } else {
                // Two of three never come to be, one after a close and one after a refusal.
                let refused = (number % 3 == 2).then(|| Ending::Refused {
                    status: 503,
                    retry_after: None,
                    message: String::new(),
                });
                Script {
                    refused,
                    ends_at: Some(300),
                    ending: Some(Ending::Closed {
                        code: 1011,
                        reason: "Internal error encountered.".to_owned(),
                    }),
                    never_set_up: true,
                    ..Script::default()
                }
            }
        });
        expect_whole(&world, "replacement fails");
        assert!(rotations(&world) >= 20);
    }
}

#[test]
fn turns_that_end_by_generation_complete_alone_are_told_apart() {
    let world = run(81, dialogue(), |_, _| Script {
        no_turn_complete: true,
        ..polite()
    });
    expect_whole(&world, "no turn complete");
}

#[test]
fn every_piece_stands_between_the_instants_that_it_names_at_every_lag() {
    for lag_ms in [300, 900, 1_700, 2_900] {
        let world = run(lag_ms, translate(), move |_, _| Script {
            lag_ms: Some(lag_ms),
            ..polite()
        });
        expect_whole(&world, &format!("lag {lag_ms}"));
    }
}

#[test]
fn a_model_that_is_terse_or_leaves_phrases_out_loses_no_other_phrase() {
    for (terse, omits) in [(true, false), (false, true), (true, true)] {
        for dies in [false, true] {
            let mut config = translate();
            if dies {
                config.lifetimes.age_hard = Duration::from_secs(45);
                config.lifetimes.age_soft = Duration::from_secs(32);
            }
            let phrases = nonstop(&mut Rng::new(91), 1_000, TEN_MINUTES);
            let mut world = World::new(91, config, phrases, move |number, _| Script {
                terse,
                omits,
                ends_at: Some(if dies {
                    24_000 + number * 1_370 % 6_000
                } else {
                    30_000
                }),
                go_away_at: (!dies).then_some(20_000),
                ending: (!dies).then(|| polite().ending).flatten(),
                ..Script::default()
            });
            world.listener.omits = omits;
            world.run_to_end();
            expect_whole(&world, &format!("terse {terse}, omits {omits}, dies {dies}"));
        }
    }
}
