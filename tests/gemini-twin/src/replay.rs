//! Plays a recorded exchange: what the service really sent, at its times, whatever the client says.

use crate::connection::Out;
use crate::twin::Opening;
use crate::twin::opening::{Asks, Request};
use crate::wire::Bye;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is not what the format says.
    #[error("line {0}: {1}")]
    Line(usize, serde_json::Error),
    /// There is nothing to play.
    #[error("no frame of the server is in it")]
    Empty,
}

/// Who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Client,
    Server,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame that holds text, as the service sends it.
    Binary(String),
    /// A close.
    Close { code: u16, reason: String },
}

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Line {
    t_ms: u64,
    #[serde(default = "first")]
    connection: u64,
    direction: Direction,
    frame: Frame,
}

fn first() -> u64 {
    1
}

/// One recorded connection.
#[derive(Debug, Clone, Default, PartialEq)]
struct Take {
    /// When the client's first message was sent.
    asked_ms: u64,
    frames: VecDeque<(u64, Frame)>,
}

/// One connection that is played.
#[derive(Debug)]
struct Playing {
    take: Take,
    /// When the first message came: the recording is played from there.
    asked: Option<Duration>,
    out: VecDeque<Out>,
}

/// Plays recorded connections in their order, the last one again and again.
#[derive(Debug)]
pub struct Replay {
    takes: Vec<Take>,
    playing: BTreeMap<u64, Playing>,
    attempts: u64,
}

impl Replay {
    /// Reads a recording: JSON lines.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut takes: BTreeMap<u64, Take> = BTreeMap::new();
        let mut asked: BTreeMap<u64, u64> = BTreeMap::new();
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let line: Line = serde_json::from_str(line).map_err(|error| Error::Line(index + 1, error))?;
            match line.direction {
                Direction::Client => {
                    asked.entry(line.connection).or_insert(line.t_ms);
                }
                Direction::Server => {
                    takes
                        .entry(line.connection)
                        .or_default()
                        .frames
                        .push_back((line.t_ms, line.frame));
                }
            }
        }
        for (connection, take) in &mut takes {
            take.asked_ms = asked.get(connection).copied().unwrap_or_default();
        }
        if takes.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self {
            takes: takes.into_values().collect(),
            playing: BTreeMap::new(),
            attempts: 0,
        })
    }

    /// A request came.
    pub fn handle_request(&mut self, request: &Request) -> Opening {
        if let Asks::Else(answer) = request.asks(&[]) {
            return Opening::Answer(answer);
        }
        self.attempts += 1;
        let index = (self.attempts as usize).min(self.takes.len()) - 1;
        let take = self.takes.get(index).cloned().unwrap_or_default();
        self.playing.insert(
            self.attempts,
            Playing {
                take,
                asked: None,
                out: VecDeque::new(),
            },
        );
        Opening::Upgrade(self.attempts)
    }

    /// A client sent a message.
    pub fn handle_message(&mut self, now: Duration, number: u64) {
        if let Some(playing) = self.playing.get_mut(&number) {
            playing.asked.get_or_insert(now);
        }
    }

    /// A client sent a ping.
    pub fn handle_ping(&mut self, number: u64, payload: Vec<u8>) {
        if let Some(playing) = self.playing.get_mut(&number) {
            playing.out.push_back(Out::Pong(payload));
        }
    }

    /// A client sent a close frame.
    pub fn handle_close(&mut self, number: u64, bye: Bye) {
        if let Some(playing) = self.playing.get_mut(&number) {
            playing.take.frames.clear();
            playing.out.push_back(Out::Close(bye));
        }
    }

    /// The socket is gone.
    pub fn handle_gone(&mut self, number: u64) {
        self.playing.remove(&number);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        for playing in self.playing.values_mut() {
            while playing.due().is_some_and(|due| due <= now) {
                let Some((_, frame)) = playing.take.frames.pop_front() else {
                    break;
                };
                let binary = matches!(frame, Frame::Binary(_));
                playing.out.push_back(match frame {
                    Frame::Text(text) | Frame::Binary(text) => Out::Frame {
                        text,
                        binary,
                        fragmented: false,
                    },
                    Frame::Close { code, reason } => Out::Close(Bye::new(code, reason)),
                });
            }
        }
    }

    /// When time has to be told again.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.playing.values().filter_map(Playing::due).min()
    }

    /// What a socket is to do next.
    pub fn poll_output(&mut self) -> Option<(u64, Out)> {
        self.playing
            .iter_mut()
            .find_map(|(number, it)| Some((*number, it.out.pop_front()?)))
    }
}

impl Playing {
    fn due(&self) -> Option<Duration> {
        let (time_ms, _) = self.take.frames.front()?;
        Some(self.asked? + Duration::from_millis(time_ms.saturating_sub(self.take.asked_ms)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RECORDING: &str = r#"{"t_ms":5200,"direction":"client","frame":{"text":"{\"setup\":{}}"}}
{"t_ms":5450,"direction":"server","frame":{"binary":"{\n  \"setupComplete\": {}\n}\n"}}
{"t_ms":6000,"direction":"server","frame":{"close":{"code":1008,"reason":"The operation was aborted."}}}
"#;

    #[test]
    fn a_recording_is_played_at_its_times_from_the_clients_first_message_on() {
        let mut replay = Replay::parse(RECORDING).unwrap();
        let target = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k";
        let request = Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
        };
        assert_eq!(replay.handle_request(&request), Opening::Upgrade(1));
        assert_eq!(
            replay.poll_timeout(),
            None,
            "nothing is played before the client asks"
        );
        replay.handle_message(Duration::from_secs(9), 1);
        assert_eq!(replay.poll_timeout(), Some(Duration::from_millis(9_250)));
        replay.handle_timeout(Duration::from_millis(9_250));
        let (_, frame) = replay.poll_output().unwrap();
        let text = "{\n  \"setupComplete\": {}\n}\n".to_owned();
        assert_eq!(
            frame,
            Out::Frame {
                text,
                binary: true,
                fragmented: false
            }
        );
        replay.handle_timeout(Duration::from_millis(9_800));
        assert_eq!(replay.poll_output().unwrap().1, Out::Close(Bye::aborted()));
    }

    #[test]
    fn a_line_that_is_not_of_the_format_is_named() {
        assert!(
            Replay::parse("{}")
                .unwrap_err()
                .to_string()
                .starts_with("line 1: missing field")
        );
        assert_eq!(
            Replay::parse("").unwrap_err().to_string(),
            "no frame of the server is in it"
        );
    }
}
