//! Connections to the twin without sockets: bytes take their time, wait where nobody reads, and break off as ordered.

use crate::twin::journal::TwinJournal;
use bytes::Bytes;
use gemini_live::{ClientMessage, Decoder, Ending, Frame, encode};
use gemini_session::{ConnectionId, Input};
use gemini_twin::connection::Out;
use gemini_twin::twin::opening::{Answer, Request};
use gemini_twin::twin::{Opening, Twin};
use gemini_twin::wire::Bye;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// From one side to the other, at least.
const WAY: Duration = Duration::from_millis(2);
/// What a way takes besides, by chance, at most.
const WAY_JITTER_MS: u64 = 12;
/// An upgrade takes so long, at least and by chance.
const DIAL: Duration = Duration::from_millis(15);
const DIAL_JITTER_MS: u64 = 60;
/// Bytes that a server's buffers hold unread before a client's message waits.
const BUFFERED: usize = 200 << 10;
/// A reset reaches the client behind what was sent before.
const RESET: Duration = Duration::from_millis(20);
/// Bytes of a second of sound on the wire: PCM in base64 in JSON.
const SOUND_BYTES_PER_S: f64 = 43_500.0;

enum Up {
    Message(Vec<u8>),
    Ping,
    Close,
}

#[derive(Debug)]
struct Link {
    number: u64,
    decoder: Decoder,
    /// What the session has sent and the socket has not taken.
    unwritten: VecDeque<UpAt>,
    /// What is on its way to the twin, and when it may be read.
    up: VecDeque<(Duration, UpAt)>,
    down: VecDeque<(Duration, Out)>,
    read_free_at: Duration,
    pace: f64,
    frozen: bool,
    closed: bool,
}

struct UpAt(Up);

impl std::fmt::Debug for UpAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("message")
    }
}

impl UpAt {
    fn bytes(&self) -> usize {
        match &self.0 {
            Up::Message(bytes) => bytes.len(),
            Up::Ping | Up::Close => 8,
        }
    }
}

/// The twin and everything between it and a session.
#[derive(Debug)]
pub struct Wires {
    twin: Twin,
    dialing: Vec<(Duration, ConnectionId)>,
    links: BTreeMap<ConnectionId, Link>,
    /// What the twin did.
    pub journal: TwinJournal,
    dice: u64,
}

impl Wires {
    /// No connection yet.
    pub fn new(twin: Twin, seed: u64) -> Self {
        Self {
            twin,
            dialing: Vec::new(),
            links: BTreeMap::new(),
            journal: TwinJournal::default(),
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn chance(&mut self, most_ms: u64) -> Duration {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        Duration::from_millis(self.dice % (most_ms + 1))
    }

    /// Opens a connection.
    pub fn open(&mut self, now: Duration, connection: ConnectionId) {
        let at = now + DIAL + self.chance(DIAL_JITTER_MS);
        self.dialing.push((at, connection));
    }

    /// Sends a message.
    pub fn send(&mut self, connection: ConnectionId, message: &ClientMessage) {
        if let (Some(link), Ok(frame)) = (self.links.get_mut(&connection), encode(message)) {
            let bytes = match frame {
                Frame::Text(text) => text.into_bytes(),
                Frame::Binary(bytes) => bytes.to_vec(),
            };
            link.unwritten.push_back(UpAt(Up::Message(bytes)));
        }
    }

    /// Sends a ping.
    pub fn ping(&mut self, connection: ConnectionId) {
        if let Some(link) = self.links.get_mut(&connection) {
            link.unwritten.push_back(UpAt(Up::Ping));
        }
    }

    /// Closes a connection, or gives it up while it opens.
    pub fn close(&mut self, connection: ConnectionId) {
        self.dialing.retain(|(_, dialed)| *dialed != connection);
        if let Some(link) = self.links.get_mut(&connection) {
            link.unwritten.push_back(UpAt(Up::Close));
            link.closed = true;
        }
    }

    /// What connections say until now.
    pub fn step(&mut self, now: Duration) -> Vec<Input> {
        let mut said = Vec::new();
        self.dial(now, &mut said);
        let ids: Vec<ConnectionId> = self.links.keys().copied().collect();
        for id in ids {
            self.write(now, id, &mut said);
            self.read(now, id);
        }
        if self.twin.poll_timeout().is_none_or(|due| due <= now) {
            self.twin.handle_timeout(now);
        }
        self.take_orders(now);
        let ids: Vec<ConnectionId> = self.links.keys().copied().collect();
        for id in ids {
            self.hear(now, id, &mut said);
        }
        said
    }

    fn dial(&mut self, now: Duration, said: &mut Vec<Input>) {
        let due = |dialing: &(Duration, ConnectionId)| dialing.0 <= now;
        let (ready, waiting) = std::mem::take(&mut self.dialing).into_iter().partition(due);
        self.dialing = waiting;
        let ready: Vec<(Duration, ConnectionId)> = ready;
        for (_, connection) in ready {
            let opening = self.twin.handle_request(now, &request());
            match opening {
                Opening::Upgrade(number) => {
                    self.note(now, number, &json!({"opened": true}));
                    self.links.insert(connection, Link::new(number));
                    said.push(Input::ConnectionOpened { connection });
                }
                Opening::Answer(answer) => {
                    self.note(now, 0, &json!({"answered": answer.status, "path": "Bidi"}));
                    said.push(Input::ConnectionEnded {
                        connection,
                        ending: refused(answer),
                    });
                }
            }
        }
    }

    fn note(&mut self, now: Duration, connection: u64, note: &Value) {
        self.journal.note(1_000.0 * now.as_secs_f64(), connection, note);
    }

    /// The socket takes what there is room for.
    fn write(&mut self, now: Duration, id: ConnectionId, said: &mut Vec<Input>) {
        let way = WAY + self.chance(WAY_JITTER_MS);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let mut under_way: usize = link.up.iter().map(|(_, up)| up.bytes()).sum();
        while let Some(first) = link.unwritten.front() {
            if BUFFERED < under_way + first.bytes() {
                return;
            }
            under_way += first.bytes();
            let seconds = first.bytes() as f64 / (SOUND_BYTES_PER_S * link.pace);
            let takes = if link.pace.is_finite() {
                Duration::from_secs_f64(seconds)
            } else {
                Duration::ZERO
            };
            let at = link.read_free_at.max(now + way) + takes;
            link.read_free_at = at;
            if let Some(first) = link.unwritten.pop_front() {
                if matches!(first.0, Up::Message(_)) {
                    said.push(Input::MessageWritten { connection: id });
                }
                link.up.push_back((at, first));
            }
        }
    }

    /// The twin reads what has come.
    fn read(&mut self, now: Duration, id: ConnectionId) {
        while let Some(link) = self.links.get_mut(&id).filter(|link| !link.frozen) {
            if link.up.front().is_none_or(|(at, _)| now < *at) {
                return;
            }
            let number = link.number;
            match link.up.pop_front().map(|(_, up)| up.0) {
                Some(Up::Message(bytes)) => self.twin.handle_message(now, number, &bytes),
                Some(Up::Ping) => self.twin.handle_ping(now, number, Vec::new()),
                Some(Up::Close) => {
                    let bye = Bye {
                        code: 1000,
                        reason: String::new(),
                    };
                    self.twin.handle_close(now, number, bye);
                }
                None => return,
            }
        }
    }

    /// What the twin orders goes on its way.
    fn take_orders(&mut self, now: Duration) {
        while let Some((number, out)) = self.twin.poll_output() {
            match &out {
                Out::Note(note) => self.note(now, number, note),
                Out::Close(bye) => self.note(now, number, &json!({"closed": bye.code, "reason": bye.reason})),
                Out::Reset => self.note(now, number, &json!({"reset": true})),
                Out::Frame { .. } | Out::Pong(_) | Out::Freeze | Out::ReadSlowly(_) => {}
            }
            let way = WAY + self.chance(WAY_JITTER_MS);
            let Some(link) = self.links.values_mut().find(|link| link.number == number) else {
                continue;
            };
            match out {
                Out::Note(_) => {}
                Out::Freeze => link.frozen = true,
                Out::ReadSlowly(pace) => {
                    link.pace = pace;
                    link.read_free_at = link.read_free_at.max(now);
                }
                Out::Frame { .. } | Out::Pong(_) | Out::Close(_) | Out::Reset => {
                    let last = link.down.back().map_or(Duration::ZERO, |(at, _)| *at);
                    let reset = if out == Out::Reset { RESET } else { Duration::ZERO };
                    link.down.push_back((last.max(now + way) + reset, out));
                }
            }
        }
    }

    /// The client reads what has come.
    fn hear(&mut self, now: Duration, id: ConnectionId, said: &mut Vec<Input>) {
        while let Some(link) = self.links.get_mut(&id) {
            if link.frozen || link.down.front().is_none_or(|(at, _)| now < *at) {
                return;
            }
            let (number, closed) = (link.number, link.closed);
            let ending = match link.down.pop_front().map(|(_, out)| out) {
                Some(Out::Frame { text, binary, .. }) => {
                    let frame = if binary {
                        Frame::Binary(Bytes::from(text))
                    } else {
                        Frame::Text(text)
                    };
                    said.push(match link.decoder.decode(&frame) {
                        Ok(decoded) => Input::MessageReceived {
                            connection: id,
                            message: Box::new(decoded.message),
                        },
                        Err(_) => Input::FrameReceived { connection: id },
                    });
                    continue;
                }
                Some(Out::Close(bye)) => Ending::Closed {
                    code: bye.code,
                    reason: bye.reason,
                },
                Some(Out::Reset) => Ending::Dropped,
                _ => {
                    said.push(Input::FrameReceived { connection: id });
                    continue;
                }
            };
            self.twin.handle_gone(now, number);
            self.links.remove(&id);
            if !closed {
                said.push(Input::ConnectionEnded {
                    connection: id,
                    ending,
                });
            }
        }
    }
}

impl Link {
    fn new(number: u64) -> Self {
        Self {
            number,
            decoder: Decoder::default(),
            unwritten: VecDeque::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            read_free_at: Duration::ZERO,
            pace: f64::INFINITY,
            frozen: false,
            closed: false,
        }
    }
}

fn request() -> Request {
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    Request {
        method: "GET".to_owned(),
        target: path.to_owned(),
        headers: vec![("x-goog-api-key".to_owned(), "rehearsal".to_owned())],
    }
}

fn refused(answer: Answer) -> Ending {
    Ending::Refused {
        status: answer.status,
        retry_after: answer
            .retry_after
            .map(|seconds| Duration::from_secs(seconds.into())),
        message: answer.body,
    }
}
