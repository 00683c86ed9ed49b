//! Frames to messages and back.
use crate::client::ClientMessage;
use crate::fields::{Fields, Notes};
use crate::server::ServerMessage;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Longest frame that is read. The longest seen, 250 ms of sound, has 17 kB.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Paths that a decoder remembers. A server that invents a new key every time is told of only so often.
const REPORTED_MAX: usize = 256;

/// A WebSocket message. The service sends JSON in binary frames, and it might send it in text frames.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opcode 1.
    Text(String),
    /// Opcode 2.
    Binary(Bytes),
}

impl Frame {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
        };
        write!(f, "[{kind} frame of {} bytes]", self.bytes().len())
    }
}

/// A message could not be written.
#[derive(Debug, thiserror::Error)]
#[error("client message cannot be written as JSON: {0}")]
pub struct EncodeError(#[from] serde_json::Error);

/// Writes a message.
pub fn encode(message: &ClientMessage) -> Result<Frame, EncodeError> {
    Ok(Frame::Text(serde_json::to_string(message)?))
}

/// A frame is no message. None of these needs to end the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("frame has {0} bytes, at most {FRAME_BYTES_MAX} are read")]
    TooLong(usize),
    /// No JSON. The position says where; the text is left out, it may hold words.
    #[error("frame is no JSON from line {line}, column {column} on")]
    NoJson {
        /// Line of the first mistake, from 1.
        line: usize,
        /// Column of the first mistake.
        column: usize,
    },
    /// JSON, but no object.
    #[error("frame is JSON, but no object")]
    NoObject,
}

/// A message with what was new in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The message.
    pub message: ServerMessage,
    /// Paths in it that this decoder did not understand and never named before: to be logged.
    pub unknown: Vec<String>,
}

/// Reads the messages of a server, and remembers what it has named.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    reported: BTreeSet<String>,
}

impl Decoder {
    /// Reads a frame.
    pub fn decode(&mut self, frame: &Frame) -> Result<Decoded, DecodeError> {
        let bytes = frame.bytes();
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| DecodeError::NoJson {
            line: error.line(),
            column: error.column(),
        })?;
        let Value::Object(map) = value else {
            return Err(DecodeError::NoObject);
        };
        let mut notes = Notes::default();
        let message = ServerMessage::read(Fields::new("", map, &mut notes));
        let mut unknown = Vec::new();
        for path in notes.into_paths() {
            if self.reported.len() < REPORTED_MAX && self.reported.insert(path.clone()) {
                unknown.push(path);
            }
        }
        Ok(Decoded { message, unknown })
    }
}
