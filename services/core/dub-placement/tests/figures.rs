//! Placement against providers as they are in the field: a table of where phrases are heard.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
mod world;

use world::listener::{Tally, quantile};
use world::provider::Connection;
use world::{Answer, Provider, Rng, World, talk};

struct Outcome {
    p50: i64,
    p95: i64,
    wrong: f64,
    tally: Tally,
    fell_back: u64,
    answered: usize,
    phrases: usize,
}

fn run(provider: Provider, hold: i64, seed: u64, count: usize) -> Outcome {
    let mut rng = Rng::new(seed);
    let phrases = talk(&mut rng, count);
    let words = provider.words(&mut rng, &phrases);
    let mut world = World::new(hold, 4_000, &phrases);
    world.detect(&mut rng, &phrases, 40);
    let connection = Connection::new(1, 0, (0, i64::MAX / 96), 60);
    connection.send(&mut rng, &words, &mut world);
    let figures = world.run();
    let errors = world.listener.errors();
    assert_eq!(world.listener.problems, Vec::<String>::new());
    let mut answered: Vec<usize> = words.iter().map(|word| word.phrase).collect();
    answered.dedup();
    Outcome {
        p50: quantile(&errors, 0.5),
        p95: quantile(&errors, 0.95),
        wrong: world.listener.wrong(),
        tally: world.listener.tally(&words),
        fell_back: figures.phrases_fell_back_total,
        answered: answered.len(),
        phrases: count,
    }
}

fn scenarios() -> Vec<(&'static str, Provider)> {
    let tail = Provider::tail();
    let lag = |start, spread, ratio| Provider {
        answer: Answer::Lag { start, spread, ratio },
        ..tail
    };
    vec![
        ("tail", tail),
        ("tail, 12 % omitted", Provider { omits: 0.12, ..tail }),
        ("tail, 25 % split", Provider { splits: 0.25, ..tail }),
        ("fastlag", lag(1_600.0, 0.3, 0.95)),
        ("steady 3 s", lag(3_000.0, 0.05, 0.9)),
        (
            "tail_late",
            Provider {
                answer: Answer::Tail {
                    mean: 2_500.0,
                    spread: 1_000.0,
                },
                ..tail
            },
        ),
        ("tail, 20 % glued", Provider { glues: 0.2, ..tail }),
        ("tail, 50 % glued", Provider { glues: 0.5, ..tail }),
    ]
}

fn table(hold: i64, count: usize, seeds: std::ops::Range<u64>) {
    for (name, provider) in scenarios() {
        let (mut p50, mut p95, mut wrong, mut lost, mut doubled, mut fell, mut omitted) =
            (0, 0, 0.0, 0, 0, 0, 0);
        let n = (seeds.end - seeds.start) as i64;
        for seed in seeds.clone() {
            let o = run(provider, hold, seed, count);
            p50 += o.p50;
            p95 += o.p95;
            wrong += o.wrong;
            lost += o.tally.lost;
            doubled += o.tally.doubled + o.tally.out_of_order;
            fell += o.fell_back as i64;
            omitted += (o.phrases - o.answered) as i64;
        }
        println!(
            "{name:20} hold {hold:5}: p50 {:4} p95 {:5} ms, wrong {:4.1} %, lost {lost} doubled {doubled}, fell back {fell} omitted {omitted}",
            p50 / n,
            p95 / n,
            100.0 * wrong / n as f64,
        );
    }
}

#[test]
fn phrases_are_heard_at_their_onsets() {
    for (name, provider) in scenarios().into_iter().take(5) {
        let outcome = run(provider, 6_000, 1, 60);
        assert!(outcome.p50 <= 45, "{name}: {}", outcome.p50);
    }
}

#[test]
#[ignore = "minutes"]
fn wide() {
    table(6_000, 300, 1..4);

}
