//! Gemini Live as its clients see it from the wire, and all of its known misbehaviour, by name.
//!
//! [`twin::Twin`] is the whole service without clock and socket; [`listen`] is the ear that reads the twin's voice back
//! from a recording; [`mark`] puts the code on source speech.

pub mod chance;
pub mod code;
pub mod connection;
pub mod ear;
pub mod faults;
pub mod journal;
pub mod listen;
pub mod mark;
pub mod phrases;
pub mod replay;
pub mod scenario;
pub mod serve;
mod socket;
pub mod tls;
pub mod tones;
pub mod twin;
pub mod voice;
pub mod wire;
mod ws;
