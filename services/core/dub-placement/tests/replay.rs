//! Connections that die in the middle of an answer: what they owe is answered again, and nothing is lost or doubled.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing)]
mod world;

use world::provider::Connection;
use world::{Answer, Provider, Rng, Word, World, nonstop};

const LIFE: i64 = 30_000;
/// From a death to its discovery, and to the next connection.
const NOTICED: i64 = 1_000;
const OPENED: i64 = 1_400;

fn provider(lag: f64) -> Provider {
    Provider {
        answer: Answer::Lag {
            start: lag,
            spread: 0.15,
            ratio: 0.95,
        },
        omits: 0.0,
        splits: 0.1,
        glues: 0.0,
    }
}

/// Ten minutes; a connection dies every half a minute.
fn deaths(seed: u64, lag: f64, length: i64) -> (World, Vec<Word>) {
    let mut rng = Rng::new(seed);
    let phrases = nonstop(&mut rng, length);
    let mut world = World::new(10_000, 4_000, &phrases);
    world.detect(&mut rng, &phrases, 40);
    let mut from = 0;
    let mut opened = 0;
    let mut said = Vec::new();
    for number in 1.. {
        let mut connection = Connection::new(number, opened, (from, i64::MAX / 96), 100);
        connection.replays = (1 < number).then_some(from);
        connection.dies = opened + LIFE + rng.range(0, 5_000);
        let own: Vec<_> = phrases
            .iter()
            .map(|phrase| connection.as_heard(*phrase))
            .collect();
        let words: Vec<Word> = provider(lag).words_from(&mut rng, &own, from);
        connection.send(&mut rng, &words, &mut world);
        let last_chunk = opened + (connection.dies - opened) / 250 * 250;
        let owed = words
            .iter()
            .find(|word| last_chunk < word.end)
            .map(|word| word.phrase);
        let kept = words
            .iter()
            .filter(|word| owed.is_none_or(|owed| word.phrase < owed));
        said.extend(kept.copied());
        let Some(owed) = owed else { break };
        from = phrases[owed].start - 100;
        world.supersede(connection.dies + NOTICED, number + 1, from);
        opened = connection.dies + OPENED;
    }
    (world, said)
}

#[test]
fn what_a_dead_connection_owed_is_heard_once() {
    for (seed, lag) in [
        (1, 1_200.0),
        (4, 1_200.0),
        (2, 2_000.0),
        (5, 2_000.0),
        (3, 3_000.0),
    ] {
        let (mut world, words) = deaths(seed, lag, 300_000);
        let figures = world.run();
        assert_eq!(world.listener.problems, Vec::<String>::new());
        let tally = world.listener.tally(&words);
        println!("lag {lag} {tally:?} {figures:?}");
        // What is lost is the end of an answer that paused before it: it sounds like the beginning of the next one.
        assert!(tally.lost <= 2, "lag {lag}: {tally:?}");
        assert_eq!((tally.doubled, tally.out_of_order), (0, 0), "lag {lag}");
    }
}
