//! Every fault by name: what the wire shows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod connections;
mod life;
mod rig;
mod service;
mod sessions;

use std::collections::BTreeSet;

/// A fault and what is checked of it.
type Check = (&'static str, fn());

fn checks() -> Vec<Check> {
    [life::CHECKS, connections::CHECKS, sessions::CHECKS].concat()
}

#[test]
fn every_fault_is_checked_and_nothing_else() {
    let checked: BTreeSet<&str> = checks().into_iter().map(|(name, _)| name).collect();
    let listed: BTreeSet<&str> = gemini_twin::faults::all().map(|fault| fault.name).collect();
    assert_eq!(checked, listed);
}

fn run(checks: &[Check]) {
    for (name, check) in checks {
        assert!(
            std::panic::catch_unwind(check).is_ok(),
            "fault {name} does not show what it should"
        );
    }
}

#[test]
fn the_end_of_a_connections_life_shows_on_the_wire_as_the_list_says() {
    run(life::CHECKS);
}

#[test]
fn faults_of_connections_show_on_the_wire_as_the_list_says() {
    run(connections::CHECKS);
}

#[test]
fn faults_of_sessions_show_on_the_wire_as_the_list_says() {
    run(sessions::CHECKS);
}
