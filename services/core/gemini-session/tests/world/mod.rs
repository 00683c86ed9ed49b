//! A small world in virtual time: a speaker whose phrases are coded in his samples, a network, a model that answers
//! what it hears, and a listener who knows what was said.
//!
//! Every 20 ms of a phrase carry the phrase's number, their own number in it and the count of them; an answer names the
//! numbers that it answers. The session sees nothing of this: for it they are samples.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod listener;
pub mod scripts;
mod server;

use gemini_live::{ClientMessage, Ending, ServerMessage};
use gemini_session::{Config, ConnectionId, Event, Input, Output, Session, Settlement};
use media_types::{FragmentSeq, MediaTime, Tick};
use std::collections::{BTreeMap, VecDeque};

pub use listener::Listener;
pub use server::{Family, Script, Server};

/// Marks a coded block.
pub const MAGIC: i16 = 0x7A5A;
/// One way through the network.
const NETWORK_MS: u64 = 30;

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
    pub fn range(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}

/// A phrase of the source, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Phrase {
    pub start: u64,
    pub blocks: u64,
}

impl Phrase {
    pub fn end(&self) -> u64 {
        self.start + self.blocks * 20
    }
}

/// Phrases back to back with short pauses, as a commentator speaks.
pub fn nonstop(rng: &mut Rng, from: u64, until: u64) -> Vec<Phrase> {
    let mut phrases = Vec::new();
    let mut at = from;
    while at + 6_000 < until {
        let phrase = Phrase {
            start: at,
            blocks: rng.range(40..200),
        };
        at = phrase.end() + rng.range(15..60) * 20;
        phrases.push(phrase);
    }
    phrases
}

enum Fact {
    Opened,
    Message(Box<ServerMessage>),
    Ended(Ending),
}

pub struct World {
    pub now_ms: u64,
    pub session: Session,
    pub phrases: Vec<Phrase>,
    pub listener: Listener,
    pub servers: BTreeMap<ConnectionId, Server>,
    pub events: Vec<(u64, Event)>,
    pub settlements: Vec<(u64, Settlement)>,
    pub opens: Vec<u64>,
    /// Setups that went on with an earlier session.
    pub resumptions: usize,
    /// Messages that the socket of a connection has not taken yet.
    unwritten: BTreeMap<ConnectionId, usize>,
    family: Family,
    /// What happens to the connection of this number, from 1 on.
    script: Box<dyn Fn(u64, u64) -> Script>,
    facts: VecDeque<(u64, ConnectionId, Fact)>,
    rng: Rng,
    source_ends: u64,
    fragment: u64,
    bed: i16,
}

pub fn tick(millis: u64) -> Tick {
    Tick::from_nanos((1_000 + millis) * 1_000_000)
}

impl World {
    /// `script` says what happens to the connection of a number that is opened at an instant.
    pub fn new(
        seed: u64,
        mut config: Config,
        phrases: Vec<Phrase>,
        script: impl Fn(u64, u64) -> Script + 'static,
    ) -> Self {
        config.seed = seed;
        let family = match &config.family {
            gemini_session::Family::Translate(_) => Family::Translate,
            gemini_session::Family::Dialogue(_) => Family::Dialogue,
        };
        let hold_ms = u64::try_from(config.hold.as_millis()).unwrap();
        let source_ends = phrases.last().map_or(10_000, Phrase::end) + 1_000;
        let mut world = Self {
            now_ms: 0,
            session: Session::new(tick(0), config).expect("a good config"),
            listener: Listener::new(phrases.clone(), hold_ms),
            phrases,
            servers: BTreeMap::new(),
            events: Vec::new(),
            settlements: Vec::new(),
            opens: Vec::new(),
            resumptions: 0,
            unwritten: BTreeMap::new(),
            family,
            script: Box::new(script),
            facts: VecDeque::new(),
            rng: Rng::new(seed),
            source_ends,
            fragment: 0,
            bed: 300,
        };
        world.drain();
        world
    }

    /// Silence under the speech instead of music.
    pub fn without_bed(mut self) -> Self {
        self.bed = 0;
        self
    }

    /// Lets time pass.
    pub fn run_until(&mut self, millis: u64) {
        while self.now_ms < millis {
            self.now_ms += 10;
            if self.now_ms.is_multiple_of(20) && self.now_ms <= self.source_ends {
                self.speak();
            }
            self.run_servers();
            self.deliver();
            while self
                .session
                .poll_timeout()
                .is_some_and(|at| at <= tick(self.now_ms))
            {
                self.session.handle_timeout(tick(self.now_ms));
                self.drain();
            }
        }
    }

    /// Lets the whole source pass, and what is under way be answered.
    pub fn run_to_end(&mut self) {
        self.run_until(self.source_ends);
        self.input(Input::SourceEnded);
        self.run_until(self.source_ends + 20_000);
    }

    pub fn input(&mut self, input: Input) {
        self.session.handle_input(tick(self.now_ms), input);
        self.drain();
    }

    fn speak(&mut self) {
        let start = self.now_ms - 20;
        let fragment = FragmentSeq(self.fragment);
        if start.is_multiple_of(2_000) {
            self.input(Input::FragmentStarted {
                fragment,
                start: MediaTime::from_millis(start.cast_signed()),
            });
        }
        let inside = self
            .phrases
            .iter()
            .enumerate()
            .find(|(_, phrase)| phrase.start <= start && start < phrase.end());
        let mut pcm: Vec<i16> = (0..320_i16)
            .map(|n| if n % 2 == 0 { self.bed } else { -self.bed })
            .collect();
        if let Some((number, phrase)) = inside {
            pcm = (0..320_i16)
                .map(|n| if n % 2 == 0 { 2_000 + n } else { -2_000 })
                .collect();
            let block = (start - phrase.start) / 20;
            let code = |value: u64| i16::try_from(value).unwrap();
            pcm[..4].copy_from_slice(&[
                MAGIC,
                code(u64::try_from(number).unwrap()),
                code(block),
                code(phrase.blocks),
            ]);
        }
        self.input(Input::AudioArrived {
            start: MediaTime::from_millis(start.cast_signed()),
            pcm,
            speech_probability: Some(if inside.is_some() { 0.9 } else { 0.05 }),
        });
        if self.now_ms.is_multiple_of(2_000) {
            self.input(Input::FragmentEnded {
                fragment,
                end: MediaTime::from_millis(self.now_ms.cast_signed()),
            });
            self.fragment += 1;
        }
        let hold = i64::try_from(self.listener.hold_ms).unwrap();
        let position = MediaTime::from_millis(self.now_ms.cast_signed() - hold);
        if self.now_ms.is_multiple_of(250) {
            self.input(Input::PlayheadMoved { position });
        }
    }

    fn run_servers(&mut self) {
        let due = self.now_ms + NETWORK_MS;
        for (id, server) in &mut self.servers {
            for fact in server.run(self.now_ms) {
                let fact = match fact {
                    server::Said::Message(message) => Fact::Message(message),
                    server::Said::End(ending) => Fact::Ended(ending),
                };
                self.facts.push_back((due, *id, fact));
            }
            let unwritten = self.unwritten.entry(*id).or_default();
            while server.untaken() < *unwritten && !server.reads_nothing(self.now_ms) {
                *unwritten -= 1;
                let connection = *id;
                self.session
                    .handle_input(tick(self.now_ms), Input::MessageWritten { connection });
            }
        }
    }

    fn deliver(&mut self) {
        while self.facts.front().is_some_and(|(due, ..)| *due <= self.now_ms) {
            let Some((_, connection, fact)) = self.facts.pop_front() else {
                return;
            };
            let input = match fact {
                Fact::Opened => Input::ConnectionOpened { connection },
                Fact::Message(message) => Input::MessageReceived { connection, message },
                Fact::Ended(ending) => {
                    self.servers.remove(&connection);
                    Input::ConnectionEnded { connection, ending }
                }
            };
            self.input(input);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        let now = self.now_ms;
        match output {
            Output::Open { connection } => {
                self.opens.push(now);
                let script = (self.script)(connection.0, now);
                let fact = match script.refused.clone() {
                    Some(ending) => Fact::Ended(ending),
                    None => Fact::Opened,
                };
                if script.refused.is_none() {
                    let server = Server::new(self.family, script, &mut self.rng, now + NETWORK_MS);
                    self.servers.insert(connection, server);
                }
                if !self.servers.get(&connection).is_some_and(Server::never_opens) {
                    self.facts.push_back((now + 2 * NETWORK_MS, connection, fact));
                    self.facts.make_contiguous().sort_by_key(|(due, ..)| *due);
                }
            }
            Output::Send { connection, message } => {
                if let ClientMessage::Setup(setup) = message.as_ref() {
                    let handle = setup
                        .session_resumption
                        .as_ref()
                        .and_then(|it| it.handle.as_ref());
                    self.resumptions += usize::from(handle.is_some());
                    assert!(
                        handle.is_none() || self.servers.len() == 1,
                        "a handle while its old connection is open"
                    );
                }
                if let Some(server) = self.servers.get_mut(&connection) {
                    server.hear(now, &message);
                    let unwritten = self.unwritten.entry(connection).or_default();
                    let waits = server.reads_nothing(now) || 0 < server.untaken();
                    *unwritten += usize::from(waits);
                    assert!(
                        *unwritten <= 32,
                        "a socket that takes nothing is given more and more"
                    );
                    if !waits {
                        self.session
                            .handle_input(tick(now), Input::MessageWritten { connection });
                    }
                }
            }
            Output::Ping { connection } => {
                if self
                    .servers
                    .get(&connection)
                    .is_some_and(|server| !server.is_dead(now))
                {
                    self.session
                        .handle_input(tick(now), Input::FrameReceived { connection });
                }
            }
            Output::Close { connection } => {
                self.servers.remove(&connection);
            }
            Output::Speak(speech) => self.listener.hear(now, &speech),
            Output::Write(_) => {}
            Output::Settle(settlement) => self.settlements.push((now, settlement)),
            Output::Supersede(supersession) => self.listener.supersede(supersession),
            Output::Report(event) => self.events.push((now, event)),
        }
    }

    /// Fails unless fragments were settled in order, each once.
    pub fn expect_settled(&self) {
        let numbers: Vec<u64> = self.settlements.iter().map(|(_, it)| it.fragment.0).collect();
        let wanted: Vec<u64> = (0..numbers.len()).map(|n| u64::try_from(n).unwrap()).collect();
        assert_eq!(numbers, wanted);
        assert!(
            u64::try_from(numbers.len()).unwrap() >= self.fragment,
            "{} of {}",
            numbers.len(),
            self.fragment
        );
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| wanted(event)).count()
    }
}
