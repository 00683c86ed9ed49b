//! Connections that end, however the provider says it: how often it is tried, and how soon the dub is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod world;

use gemini_live::{Ending, Fault};
use gemini_session::{BreakerState, Cause, Event, Outcome};
use media_types::ErrorClass;
use std::time::Duration;
use world::scripts::{
    MINUTE, closed, closes, dialogue, expect_whole_from, refused, translate, unavailable, world,
};
use world::{Rng, Script};

#[test]
fn what_no_further_try_can_mend_is_tried_once_and_named() {
    let rows = [
        (
            closed(1007, "API key not valid. Please pass a valid API key."),
            Fault::KeyRefused,
        ),
        (
            closed(
                1008,
                "Your API key was reported as leaked. Please use another API key.",
            ),
            Fault::KeyRefused,
        ),
        (
            closed(
                1007,
                "Invalid JSON payload received. Unknown name \"x\" at 'setup'",
            ),
            Fault::UnknownField,
        ),
        (
            closed(1008, "models/x is not found for API version v1beta"),
            Fault::ModelMissing,
        ),
        (refused(403, None), Fault::KeyRefused),
        (refused(404, None), Fault::AddressWrong),
    ];
    for (ending, fault) in rows {
        for config in [translate, dialogue] {
            let script = ending.clone();
            let refusal = matches!(ending, Ending::Refused { .. });
            let mut it = world(1, config(), 10, move |_, _| {
                if refusal {
                    Script {
                        refused: Some(script.clone()),
                        ..Script::default()
                    }
                } else {
                    closes(script.clone())
                }
            });
            it.run_to_end();
            assert_eq!(it.opens.len(), 1, "{fault:?}");
            let halted = it
                .events
                .iter()
                .find(|(_, event)| matches!(event, Event::Halted { .. }));
            let (at, event) = halted.expect("it is said");
            assert!(*at < 5_000 && *event == Event::Halted { fault }, "{at} {event:?}");
            assert_eq!(it.session.view().halted, Some(fault));
            assert_eq!(it.session.view().breaker, BreakerState::Open, "at once");
            let class = Cause::Ended(fault).class();
            for (_, settlement) in &it.settlements {
                let Outcome::Failed(error) = &settlement.outcome else {
                    panic!("{settlement:?}");
                };
                assert!(!error.retryable && error.class == class, "{error:?}");
            }
            it.expect_settled();
        }
    }
}

#[test]
fn a_feature_that_is_not_enabled_is_tried_three_times() {
    let mut it = world(2, translate(), 5, |_, _| {
        closes(closed(
            1008,
            "Operation is not implemented, or supported, or enabled.",
        ))
    });
    it.run_to_end();
    assert_eq!(it.opens.len(), 3);
    assert_eq!(it.session.view().halted, Some(Fault::NotEnabled));
}

#[test]
fn a_spent_quota_is_waited_for_and_an_open_connection_is_no_proof_that_it_is_back() {
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    let mut it = world(3, translate(), 20, move |_, now| {
        if now < 8 * MINUTE {
            Script {
                ends_at: Some(1_000),
                ending: Some(closed(1011, quota)),
                mute: true,
                ..Script::default()
            }
        } else {
            Script::default()
        }
    });
    it.run_to_end();
    let waits: Vec<u64> = it.opens.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= 65_000 && waits[0] < 70_000, "{waits:?}");
    assert!(waits[1] >= 300_000 && waits[1] < 305_000, "{waits:?}");
    let back = it.opens.iter().find(|at| **at >= 8 * MINUTE).unwrap();
    expect_whole_from(&it, *back + 2_000, "quota");
    let class = it.settlements.iter().find_map(|(_, it)| match &it.outcome {
        Outcome::Failed(error) => Some(error.class),
        Outcome::Delivered => None,
    });
    assert_eq!(class, Some(ErrorClass::RateLimit));
}

#[test]
fn a_refusal_that_says_when_to_come_again_is_taken_at_its_word() {
    let mut it = world(4, translate(), 2, |number, _| Script {
        refused: (number == 1).then(|| refused(429, Some(Duration::from_secs(7)))),
        ..Script::default()
    });
    it.run_to_end();
    assert_eq!(it.opens.len(), 2);
    assert!((7_000..7_400).contains(&it.opens[1]), "{:?}", it.opens);
    expect_whole_from(&it, 8_000, "retry-after");
}

#[test]
fn an_overload_opens_the_breaker_and_the_dub_is_back_within_35_seconds_of_its_end() {
    for config in [translate, dialogue] {
        for seed in 1..=5 {
            let over = 2 * MINUTE + seed * 3_700;
            let mut it = world(seed, config(), 5, move |_, now| {
                if (20_000..over).contains(&now) {
                    closes(unavailable())
                } else {
                    Script {
                        ends_at: (now < 20_000).then_some(25_000),
                        ending: Some(unavailable()),
                        ..Script::default()
                    }
                }
            });
            it.run_to_end();
            let opened = |(_, event): &&(u64, Event)| {
                matches!(
                    event,
                    Event::Breaker {
                        state: BreakerState::Open,
                        ..
                    }
                )
            };
            let (at, _) = it.events.iter().find(opened).expect("it opens");
            assert!(*at < 32_000, "after five failures, at {at}");
            let tries = it.opens.iter().filter(|at| (25_000..over).contains(*at)).count();
            assert!(tries <= 10, "{tries} tries in the time of the fault");
            let back = it.listener.heard_since(over).unwrap();
            assert!(
                back <= over + 35_000 + 3_000,
                "back {} ms after the fault",
                back - over
            );
            expect_whole_from(&it, back + 1_000, "overload");
            assert_eq!(it.session.view().breaker, BreakerState::Closed);
        }
    }
}

#[test]
fn a_close_in_the_middle_with_a_refused_reconnect_behind_it_is_over_within_two_seconds() {
    for config in [translate, dialogue] {
        let mut it = world(6, config(), 3, |number, _| match number {
            1 => Script {
                ends_at: Some(40_000),
                ending: Some(closed(1011, "Internal error encountered.")),
                ..Script::default()
            },
            2 => closes(closed(1011, "Internal error encountered.")),
            _ => Script::default(),
        });
        it.run_to_end();
        assert!(it.opens[2] - 40_000 < 2_000, "{:?}", it.opens);
        expect_whole_from(&it, 0, "1011 and a reject");
    }
}

#[test]
fn a_setup_that_is_refused_without_a_reason_asks_for_less_until_it_is_taken() {
    let mut config = translate();
    config.resume = true;
    config.compression_tokens = Some((104_857, 52_428));
    // The third setup, without resumption and compression, is taken.
    let mut it = world(7, config, 2, |number, _| {
        if number < 3 {
            closes(closed(1007, "Request contains an invalid argument."))
        } else {
            Script::default()
        }
    });
    it.run_to_end();
    assert_eq!(it.count(|event| matches!(event, Event::Simplified { .. })), 2);
    expect_whole_from(&it, 0, "ladder");
    it = world(8, translate(), 2, |_, _| {
        closes(closed(1007, "Request contains an invalid argument."))
    });
    it.run_to_end();
    assert_eq!(it.session.view().halted, Some(Fault::InvalidArgument));
    assert_eq!(it.opens.len(), 2, "full, and without transcription");
}

#[test]
fn no_fault_however_it_repeats_makes_a_storm_of_tries_and_the_dub_comes_back() {
    for config in [translate, dialogue] {
        for seed in 0..12 {
            let over = 5 * MINUTE;
            let mut it = world(seed, config(), 8, move |number, now| {
                if now >= over {
                    return Script::default();
                }
                // Everything that is worth another try, at every age; some of it right behind a success.
                let endings = [
                    unavailable(),
                    closed(1011, "Internal error encountered."),
                    closed(1008, ""),
                    closed(1008, "The operation was aborted."),
                    closed(1000, ""),
                    Ending::Dropped,
                    closed(4000, "new"),
                ];
                let mut rng = Rng::new(seed * 1_000 + number + 1);
                rng.below(7);
                Script {
                    refused: (rng.below(5) == 0).then(|| refused(503, None)),
                    never_set_up: rng.below(3) == 0,
                    ends_at: Some(rng.range(50..20_000)),
                    ending: Some(endings[usize::try_from(rng.below(7)).unwrap()].clone()),
                    ..Script::default()
                }
            });
            it.run_to_end();
            for start in (0..over).step_by(5_000) {
                let tries = it
                    .opens
                    .iter()
                    .filter(|at| (start..start + MINUTE).contains(*at))
                    .count();
                assert!(
                    tries <= 30,
                    "seed {seed}: {tries} tries in the minute from {start}"
                );
            }
            let back = it.listener.heard_since(over).unwrap();
            assert!(back <= over + 40_000, "seed {seed}: back at {back}");
            expect_whole_from(&it, over + 60_000, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_provider_that_is_gone_for_good_is_asked_twice_a_minute_and_not_given_up() {
    let mut it = world(17, translate(), 30, |_, _| Script {
        refused: Some(Ending::Unreachable),
        ..Script::default()
    });
    it.run_to_end();
    let late = it.opens.iter().filter(|at| **at > 2 * MINUTE).count();
    assert!((50..=58).contains(&late), "{late} tries in 28 minutes");
    let failed = it
        .settlements
        .iter()
        .all(|(_, it)| matches!(it.outcome, Outcome::Failed(_)));
    assert!(failed);
    it.expect_settled();
}
