//! The drills with the Gemini twin in virtual time: no process, no socket, the same sound. What an hour of stacks shows by
//! chance is looked for here every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dub_tests::rehearsal::{Drill, Options, outcomes, soak_problems};
use dub_tests::twin::rotation::End;
use gemini_twin::faults::{self, Class};

/// Speech of which a part is at the end of two connections each time.
const SECONDS: f64 = 150.0;

fn options(drill: Drill, only: Vec<String>) -> Options {
    Options {
        only,
        jobs: 2,
        drill,
        seconds: SECONDS,
        seeds: 0..2,
        show: None,
    }
}

/// Every phrase is heard once, whole and in order, in both families and by both seeds.
fn loses_nothing(end: End) {
    let only = ["translate", "dialogue"].map(|family| format!("{family}-{}", end.name()));
    let outcomes = outcomes(&options(Drill::Rotation, only.to_vec())).expect("rehearsals");
    assert_eq!(outcomes.len(), 4);
    for (name, outcome) in outcomes {
        let outcome = outcome.expect(&name);
        let air = &outcome.air;
        let lost: Vec<u16> = air
            .not_dubbed(&outcome.journal.omitted())
            .map(|it| it.spoken.number)
            .collect();
        assert!(air.heard.len() > 35, "{name}: {} phrases", air.heard.len());
        assert!(lost.is_empty(), "{name} lost {lost:?}");
        assert!(air.doubled().is_empty(), "{name} doubled {:?}", air.doubled());
        assert!(air.out_of_order.is_empty(), "{name}: {:?}", air.out_of_order);
        assert_eq!(air.foreign, 0, "{name}");
        let early = air.early();
        assert!(early.len() <= 1, "{name} said before their phrases: {early:?}");
    }
}

#[test]
fn a_session_that_is_exchanged_at_its_age_loses_nothing() {
    loses_nothing(End::Age);
}

#[test]
fn a_session_that_is_told_to_go_loses_nothing() {
    loses_nothing(End::GoAway);
}

#[test]
fn a_connection_that_is_reset_loses_nothing() {
    loses_nothing(End::Reset);
}

#[test]
fn a_connection_that_falls_silent_loses_nothing() {
    loses_nothing(End::Silence);
}

#[test]
fn a_handle_that_is_refused_loses_nothing() {
    loses_nothing(End::Refused);
}

#[test]
fn every_phrase_is_accounted_for_whatever_strikes() {
    let options = Options {
        seconds: 600.0,
        seeds: 2..4,
        ..options(Drill::Soak, Vec::new())
    };
    let outcomes = outcomes(&options).expect("rehearsals");
    assert_eq!(outcomes.len(), 4);
    for (name, outcome) in outcomes {
        let outcome = outcome.expect(&name);
        assert!(outcome.air.heard.len() > 150, "{name}");
        assert!(outcome.journal.all_faults().len() > 3, "{name} had no faults");
        let problems = soak_problems(&outcome);
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
}

/// Faults of some classes: nothing is heard twice, in another order or in another's place, whatever is not dubbed.
fn no_word_is_out_of_place(classes: &[Class]) {
    let only: Vec<String> = faults::all()
        .filter(|fault| classes.contains(&fault.class))
        .map(|fault| format!("{}-", fault.name))
        .collect();
    let count = only.len();
    let mut options = options(Drill::Faults, only);
    options.seeds = 0..1;
    let outcomes = outcomes(&options).expect("rehearsals");
    assert_eq!(outcomes.len(), count);
    for (name, outcome) in outcomes {
        let outcome = outcome.expect(&name);
        let air = &outcome.air;
        assert!(air.heard.len() > 5, "{name}: {} phrases", air.heard.len());
        assert!(air.doubled().is_empty(), "{name} doubled {:?}", air.doubled());
        assert!(air.out_of_order.is_empty(), "{name}: {:?}", air.out_of_order);
        assert!(air.early().is_empty(), "{name} early {:?}", air.early());
        assert_eq!(air.foreign, 0, "{name}");
        let omitted = outcome.journal.omitted();
        if classes.contains(&Class::Transparent) {
            let lost: Vec<u16> = air.not_dubbed(&omitted).map(|it| it.spoken.number).collect();
            assert!(lost.is_empty(), "{name} lost {lost:?}");
        }
        let last = air
            .heard
            .iter()
            .rev()
            .find(|it| !omitted.contains(&it.spoken.number));
        let is_back = last.is_some_and(|it| it.is_whole());
        assert_eq!(
            is_back,
            !classes.contains(&Class::Fatal),
            "{name}: the dub is back"
        );
    }
}

#[test]
fn a_fault_that_passes_unheard_puts_no_word_out_of_place() {
    no_word_is_out_of_place(&[Class::Transparent]);
}

#[test]
fn a_fault_that_is_recovered_from_puts_no_word_out_of_place() {
    no_word_is_out_of_place(&[Class::Recover]);
}

#[test]
fn a_service_that_refuses_puts_no_word_out_of_place() {
    no_word_is_out_of_place(&[Class::Overload, Class::Quota]);
}

#[test]
fn what_a_person_has_to_mend_leaves_the_programme_in_its_place() {
    no_word_is_out_of_place(&[Class::Fatal]);
}
