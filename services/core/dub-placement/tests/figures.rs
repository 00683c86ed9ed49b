//! Placement against providers as they are in the field: where phrases are heard.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
mod world;

use world::outcome::{run, scenarios};

/// Bars: 1.5 times what a study of the method found, or what is reached where that is more.
#[test]
fn phrases_are_heard_at_their_onsets() {
    let bars = [
        ("tail", 45, 150, 0.055),
        ("tail, 12 % omitted", 45, 150, 0.05),
        ("tail, 25 % split", 45, 700, 0.08),
        ("fastlag", 45, 160, 0.06),
        ("steady 3 s", 45, 160, 0.02),
        ("tail_late", 50, 3_500, 0.25),
        ("tail, 20 % glued", 50, 1_300, 0.08),
        ("tail, 50 % glued", 55, 1_500, 0.15),
    ];
    for ((name, provider), bar) in scenarios().into_iter().zip(bars) {
        let outcome = run(provider, 6_000, 2, 150);
        let told = format!(
            "{name}: p50 {} p95 {} ms, wrong {:.3}, {:?}",
            outcome.p50, outcome.p95, outcome.wrong, outcome.tally
        );
        println!("{told}");
        assert_eq!(name, bar.0);
        assert!(
            outcome.p50 <= bar.1 && outcome.p95 <= bar.2 && outcome.wrong <= bar.3,
            "{told}"
        );
        assert_eq!(outcome.tally.doubled + outcome.tally.out_of_order, 0, "{told}");
    }
}
