//! One provider against one listener: where phrases are heard.
use super::listener::{Tally, quantile};
use super::provider::Connection;
use super::{Answer, Provider, Rng, World, talk};

/// What a run shows; times in milliseconds.
pub struct Outcome {
    pub p50: i64,
    pub p95: i64,
    pub wrong: f64,
    pub tally: Tally,
    pub fell_back: u64,
}

/// A provider answers `count` phrases, and the worker holds the air for `hold` ms.
pub fn run(provider: Provider, hold: i64, seed: u64, count: usize) -> Outcome {
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
    Outcome {
        p50: quantile(&errors, 0.5),
        p95: quantile(&errors, 0.95),
        wrong: world.listener.wrong(),
        tally: world.listener.tally(&words),
        fell_back: figures.phrases_fell_back_total,
    }
}

/// Providers as they are in the field.
pub fn scenarios() -> Vec<(&'static str, Provider)> {
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
