//! The twin: all connections, and what they share. It has no clock and no socket; the shell brings both.

pub mod commons;
pub mod opening;

use crate::connection::{Connection, Out};
use crate::faults::{Act, Step};
use crate::scenario::Scenario;
use crate::wire::Bye;
use commons::Commons;
use opening::{Answer, Asks, Request};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub enum Opening {
    /// It is upgraded; this is the connection's number.
    Upgrade(u64),
    /// It is answered, and that is all.
    Answer(Answer),
}

/// All connections. Times are counted from its start.
#[derive(Debug)]
pub struct Twin {
    commons: Commons,
    connections: BTreeMap<u64, Connection>,
    attempts: u64,
}

impl Twin {
    /// A twin that follows a scenario.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            commons: Commons::new(scenario),
            connections: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// A request came.
    pub fn handle_request(&mut self, now: Duration, request: &Request) -> Opening {
        let (surface, version, key, bye) = match request.asks(&self.commons.scenario.keys) {
            Asks::Live {
                surface,
                version,
                key,
                bye,
            } => (surface, version, key, bye),
            Asks::Else(answer) => return Opening::Answer(answer),
        };
        self.attempts += 1;
        let number = self.attempts;
        let met = self.commons.attempt(now, number, key.as_deref());
        let refused = met.iter().flat_map(|(_, steps)| steps).find_map(|step: &Step| {
            if let Act::Refuse { status, retry_after } = step.act {
                Some((status, retry_after))
            } else {
                None
            }
        });
        if let Some((status, retry_after)) = refused {
            return Opening::Answer(Answer::error(status, retry_after));
        }
        let mut connection = Connection::new(number, now, surface, &version, key, &self.commons);
        for (name, steps) in met {
            connection.begin_named(now, name, steps, &mut self.commons);
        }
        if let Some(bye) = bye {
            let steps = vec![Step {
                after: Duration::ZERO,
                act: Act::Close(bye),
            }];
            connection.begin(now, steps, &mut self.commons);
        }
        self.connections.insert(number, connection);
        Opening::Upgrade(number)
    }

    fn with(&mut self, number: u64, act: impl FnOnce(&mut Connection, &mut Commons)) {
        if let Some(connection) = self.connections.get_mut(&number) {
            act(connection, &mut self.commons);
        }
    }

    /// A client sent a message.
    pub fn handle_message(&mut self, now: Duration, number: u64, frame: &[u8]) {
        self.with(number, |connection, commons| {
            connection.message(now, frame, commons)
        });
        self.go_away_all(now);
    }

    /// A client sent a ping.
    pub fn handle_ping(&mut self, now: Duration, number: u64, payload: Vec<u8>) {
        self.with(number, |connection, commons| {
            connection.ping(now, payload, commons)
        });
    }

    /// A client sent a close frame.
    pub fn handle_close(&mut self, now: Duration, number: u64, bye: Bye) {
        self.with(number, |connection, commons| {
            connection.client_closed(now, bye, commons)
        });
    }

    /// The socket is gone.
    pub fn handle_gone(&mut self, now: Duration, number: u64) {
        self.with(number, |connection, commons| connection.gone(now, commons));
        self.connections.remove(&number);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        let live = self.connections.values().any(Connection::is_live);
        for fault in self.commons.at_time(now, live) {
            for connection in self.connections.values_mut().filter(|it| it.is_live()) {
                if self.commons.is_for(fault, connection.number, connection.key()) {
                    connection.fire(now, fault, &mut self.commons);
                }
            }
        }
        for connection in self.connections.values_mut() {
            connection.tick(now, &mut self.commons);
        }
        self.go_away_all(now);
    }

    /// One connection's fault may tell all others to go.
    fn go_away_all(&mut self, now: Duration) {
        if let Some(left) = self.commons.go_away_all.take() {
            let left = self.commons.scenario.scaled(left);
            for connection in self.connections.values_mut().filter(|it| it.is_open()) {
                connection.go_away_with_all(now, left);
            }
        }
    }

    /// When time has to be told again.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let connections = self.connections.values().filter_map(Connection::due);
        let live = self.connections.values().any(Connection::is_live);
        connections.chain(self.commons.due().filter(|_| live)).min()
    }

    /// What a socket is to do next.
    pub fn poll_output(&mut self) -> Option<(u64, Out)> {
        self.connections
            .values_mut()
            .find_map(|it| Some((it.number, it.take_out()?)))
    }
}

impl Connection {
    /// Steps of a fault that an attempt meets.
    fn begin_named(&mut self, now: Duration, name: &str, steps: Vec<Step>, commons: &mut Commons) {
        if !name.is_empty() {
            self.note(json!({"fault": name}));
        }
        self.begin(now, steps, commons);
    }
}
