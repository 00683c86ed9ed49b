//! A small world in virtual time: a speaker, a detector that is a little off, a provider that answers as providers do,
//! and a listener who knows which word belongs to which phrase.
//!
//! Every millisecond of an answer carries the number of its phrase in the left channel and its own number in the
//! right one. Placement sees nothing of this: for it they are samples.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
pub mod listener;
pub mod outcome;
pub mod provider;

use dub_placement::{Config, Decision, Figures, Placement, Speech};
pub use listener::Listener;
use media_types::{CHANNELS, MediaRange, MediaTime};
pub use provider::{Answer, Provider, Word};
use std::collections::VecDeque;

pub fn ms(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn even(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn range(&mut self, from: i64, until: i64) -> i64 {
        from + (self.even() * (until - from) as f64) as i64
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.even() < share
    }

    pub fn normal(&mut self) -> f64 {
        let (one, two) = (self.even().max(1e-12), self.even());
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()
    }
}

/// A phrase of the source, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Phrase {
    pub start: i64,
    pub end: i64,
}

/// A speaker who pauses as people do.
pub fn talk(rng: &mut Rng, count: usize) -> Vec<Phrase> {
    let mut at = 1_000;
    (0..count)
        .map(|_| {
            let length = ((2_200.0 * (0.55 * rng.normal()).exp()) as i64).clamp(500, 8_000);
            let phrase = Phrase {
                start: at,
                end: at + length,
            };
            let kind = rng.even();
            at = phrase.end
                + match kind {
                    kind if kind < 0.7 => rng.range(340, 900),
                    kind if kind < 0.95 => rng.range(900, 2_000),
                    _ => rng.range(2_000, 5_000),
                };
            phrase
        })
        .collect()
}

/// A commentator: phrases back to back with short pauses.
pub fn nonstop(rng: &mut Rng, length: i64) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    let mut at = 1_000;
    while at < length {
        let phrase = Phrase {
            start: at,
            end: at + rng.range(40, 200) * 20,
        };
        at = phrase.end + rng.range(17, 60) * 20;
        phrases.push(phrase);
    }
    phrases
}

enum Fact {
    Began(MediaTime),
    Ended(MediaRange),
    Speech(Box<Speech>),
    Supersede(u64, MediaTime),
}

pub struct World {
    pub placement: Placement,
    pub listener: Listener,
    pub hold: i64,
    facts: VecDeque<(i64, Fact)>,
}

impl World {
    pub fn new(hold: i64, backlog_max: i64, phrases: &[Phrase]) -> Self {
        Self {
            placement: Placement::new(Config {
                reach: ms(hold + 10_000),
                hold: ms(hold),
                backlog_max: ms(backlog_max),
            }),
            listener: Listener::new(phrases),
            hold,
            facts: VecDeque::new(),
        }
    }

    /// What a detector says of the phrases, off by up to `noise`.
    pub fn detect(&mut self, rng: &mut Rng, phrases: &[Phrase], noise: i64) {
        for phrase in phrases {
            let start = phrase.start + rng.range(-noise, noise + 1);
            let end = phrase.end + rng.range(-noise, noise + 1);
            self.facts.push_back((start + 180, Fact::Began(ms(start))));
            let range = MediaRange::new(ms(start), ms(end));
            self.facts.push_back((end + 340, Fact::Ended(range)));
        }
    }

    pub fn say(&mut self, at: i64, speech: Speech) {
        self.facts.push_back((at, Fact::Speech(Box::new(speech))));
    }

    pub fn supersede(&mut self, at: i64, connection: u64, from: i64) {
        self.facts.push_back((at, Fact::Supersede(connection, ms(from))));
    }

    /// Lets everything happen, and hears it.
    pub fn run(&mut self) -> Figures {
        let mut facts: Vec<_> = std::mem::take(&mut self.facts).into();
        facts.sort_by_key(|(at, _)| *at);
        let mut facts: VecDeque<_> = facts.into();
        let end = facts.back().map_or(0, |(at, _)| *at) + 2 * self.hold + 10_000;
        let mut block = vec![0; 40 * 48 * CHANNELS];
        for now in (0..end).step_by(40) {
            while facts.front().is_some_and(|(at, _)| *at <= now) {
                match facts.pop_front().unwrap().1 {
                    Fact::Began(onset) => self.placement.phrase_began(onset),
                    Fact::Ended(range) => self.placement.phrase_ended(range),
                    Fact::Speech(speech) => {
                        self.placement.speech(&speech);
                    }
                    Fact::Supersede(connection, from) => self.placement.supersede(connection, from, from),
                }
            }
            let from = now - self.hold;
            if from < 0 {
                continue;
            }
            let decisions: Vec<Decision> = self.placement.decide(ms(from + 40));
            self.placement.read(ms(from), &mut block);
            let range = MediaRange::new(ms(from), ms(from + 40));
            self.listener
                .hear(range, &block, &decisions, self.placement.ranges());
            self.placement.commit(ms(from + 40));
        }
        self.placement.figures()
    }
}
