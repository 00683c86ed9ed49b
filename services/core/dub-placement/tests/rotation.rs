//! Speech without end, over one connection after the other: nothing is lost, doubled or out of order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
mod world;

use world::listener::Tally;
use world::provider::Connection;
use world::{Answer, Phrase, Provider, Rng, Word, World, nonstop};

const ROTATION: i64 = 30_000;

/// A provider that answers after `lag`, and splits and glues.
fn provider(lag: f64) -> Provider {
    Provider {
        answer: Answer::Lag {
            start: lag,
            spread: 0.15,
            ratio: 0.95,
        },
        omits: 0.0,
        splits: 0.1,
        glues: 0.2,
    }
}

/// Words of a connection that hears `[from, until)` of the source.
fn heard_by(words: &[Word], phrases: &[Phrase], from: i64, until: i64) -> Vec<Word> {
    let hears = |word: &&Word| {
        let phrase = phrases[word.phrase];
        let at = phrase.start + word.first;
        from <= at.min(phrase.end - 1) && at.min(phrase.end - 1) < until
    };
    words.iter().filter(hears).copied().collect()
}

fn rotate(seed: u64, lag: f64, length: i64) -> (World, Vec<Word>) {
    let mut rng = Rng::new(seed);
    let phrases = nonstop(&mut rng, length);
    let words = provider(lag).words(&mut rng, &phrases);
    let mut world = World::new(10_000, 4_000, &phrases);
    world.detect(&mut rng, &phrases, 40);
    let mut came = 0;
    let mut from = 0;
    for number in 1.. {
        let wanted = from + ROTATION;
        // At a pause, or in the middle of a phrase if there is none for long.
        let pause = phrases
            .iter()
            .map(|phrase| phrase.end + 150)
            .find(|at| wanted <= *at);
        let Some(until) = pause.map(|at| if at < wanted + 2_000 { at } else { wanted + 2_000 }) else {
            break;
        };
        let opened = from - 500 + rng.range(0, 250);
        let connection = Connection {
            not_before: came,
            ..Connection::new(number, opened, (from, until), 400)
        };
        let own = heard_by(&words, &phrases, from, until);
        came = connection.send(&mut rng, &own, &mut world);
        from = until;
    }
    let kept: Vec<Word> = heard_by(&words, &phrases, 0, from);
    (world, kept)
}

#[test]
fn ten_minutes_over_twenty_connections_lose_nothing() {
    for (seed, lag) in [(1, 1_200.0), (2, 2_000.0), (3, 3_000.0)] {
        let (mut world, words) = rotate(seed, lag, 600_000);
        let figures = world.run();
        println!("lag {lag}: {:?} {figures:?}", world.listener.tally(&words));
        assert_eq!(world.listener.problems, Vec::<String>::new());
        assert_eq!(world.listener.tally(&words), Tally::default(), "lag {lag}");
    }
}
