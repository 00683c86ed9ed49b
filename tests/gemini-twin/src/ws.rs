//! WebSocket frames, by hand: a library answers pings at once and writes whole frames, and the twin must not.

use crate::wire::Bye;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The longest message that is taken.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Frames of a fragmented message.
const PIECES: usize = 5;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message, text or binary.
    Message(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// A close; 1005 if it named no code.
    Close(Bye),
}

/// Reads frames from bytes as they come.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    message: Vec<u8>,
}

/// One frame as it lay in the bytes.
struct Raw {
    last: bool,
    opcode: u8,
    payload: Vec<u8>,
    length: usize,
}

impl Reader {
    /// More bytes came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next thing that is complete.
    ///
    /// # Errors
    /// The close for a client that breaks the protocol.
    pub fn next(&mut self) -> Result<Option<Incoming>, Bye> {
        while let Some(raw) = self.raw()? {
            self.bytes.drain(..raw.length);
            match raw.opcode {
                CONTINUATION | TEXT | BINARY => {
                    self.message.extend(raw.payload);
                    if self.message.len() > MESSAGE_BYTES_MAX {
                        return Err(Bye::new(1009, "message too big"));
                    }
                    if raw.last {
                        return Ok(Some(Incoming::Message(std::mem::take(&mut self.message))));
                    }
                }
                CLOSE => return Ok(Some(Incoming::Close(bye(&raw.payload)))),
                PING => return Ok(Some(Incoming::Ping(raw.payload))),
                PONG => return Ok(Some(Incoming::Pong)),
                _ => return Err(Bye::new(1002, "unknown opcode")),
            }
        }
        Ok(None)
    }

    fn raw(&self) -> Result<Option<Raw>, Bye> {
        let [first, second, rest @ ..] = self.bytes.as_slice() else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(Bye::new(1002, "a client must mask its frames"));
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < extended + 4 {
            return Ok(None);
        }
        let (length, rest) = rest.split_at(extended);
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
        };
        if length > MESSAGE_BYTES_MAX as u64 {
            return Err(Bye::new(1009, "message too big"));
        }
        let length = length as usize;
        let (mask, rest) = rest.split_at(4);
        if rest.len() < length {
            return Ok(None);
        }
        let payload = rest[..length]
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        Ok(Some(Raw {
            last: first & 0x80 != 0,
            opcode: first & 15,
            payload,
            length: 2 + extended + 4 + length,
        }))
    }
}

fn bye(payload: &[u8]) -> Bye {
    match payload {
        [high, low, reason @ ..] => Bye::new(
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(reason).into_owned(),
        ),
        _ => Bye::new(1005, ""),
    }
}

fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if last { 0x80 | opcode } else { opcode }];
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A message, in one frame or in five with a ping between.
pub fn message(text: &str, binary: bool, fragmented: bool) -> Vec<u8> {
    let opcode = if binary { BINARY } else { TEXT };
    if !fragmented {
        return frame(true, opcode, text.as_bytes());
    }
    let size = text.len().div_ceil(PIECES).max(1);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
    let mut bytes = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        bytes.extend(frame(index + 1 == pieces.len(), opcode, piece));
        if index == 1 {
            bytes.extend(frame(true, PING, b"between"));
        }
    }
    bytes
}

/// The beginning of a message that never ends.
pub fn broken_message() -> Vec<u8> {
    let mut bytes = frame(true, BINARY, &[b' '; 12_000]);
    bytes.truncate(3_000);
    bytes
}

/// A pong.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(true, PONG, payload)
}

/// A close; 1005 and 1006 never stand on a wire, so they go without a code.
pub fn close(bye: &Bye) -> Vec<u8> {
    if matches!(bye.code, 1005 | 1006) {
        return frame(true, CLOSE, &[]);
    }
    let mut payload = bye.code.to_be_bytes().to_vec();
    payload.extend_from_slice(bye.reason.as_bytes());
    frame(true, CLOSE, &payload)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn masked(mut bytes: Vec<u8>, header: usize) -> Vec<u8> {
        bytes[1] |= 0x80;
        bytes.splice(header..header, [0; 4]);
        bytes
    }

    #[test]
    fn messages_are_read_whatever_the_pieces_they_come_in() {
        let mut wire = masked(frame(false, TEXT, b"hel"), 2);
        wire.extend(masked(frame(true, PING, b"p"), 2));
        wire.extend(masked(frame(true, CONTINUATION, &[b'o'; 300]), 4));
        let mut reader = Reader::default();
        let mut read = Vec::new();
        for byte in wire {
            reader.push(&[byte]);
            read.extend(reader.next().unwrap());
        }
        let mut whole = b"hel".to_vec();
        whole.extend([b'o'; 300]);
        assert_eq!(read, [Incoming::Ping(b"p".to_vec()), Incoming::Message(whole)]);
    }

    #[test]
    fn a_client_that_does_not_mask_is_told_so() {
        let mut reader = Reader::default();
        reader.push(&frame(true, TEXT, b"hello"));
        assert_eq!(reader.next().unwrap_err().code, 1002);
    }
}
