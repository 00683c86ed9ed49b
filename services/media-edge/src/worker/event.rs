//! Everything that can happen to a worker, as one closed set.
use super::air::Deciding;
use crate::link::{
    frames::Frame,
    lines::{Breaker, Order},
};
use bytes::Bytes;
use dub_placement::Speech;
use dub_proto::dub::v1::DubRequest;
use media_types::{ErrorClass, FragmentSeq, MediaTime};
use std::{sync::mpsc, time::Duration};

/// Events that may wait. One second of everything at once is some 300 (video 60, audio 50, encoded 47, speech 50,
/// settlements); four times that rides out a slow moment. A full queue makes ingest wait at its socket, which is where
/// waiting does no harm.
pub const QUEUE: usize = 1200;

/// The end of the queue that sends.
pub type Sender = mpsc::SyncSender<WorkerEvent>;

/// What an event of a dub session is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The connection to the provider was exchanged, or the session ends in an orderly way.
    Turn,
    /// The breaker changed its state.
    Breaker,
    /// Something failed.
    Fault,
    /// What it costs, and what we do not know.
    Other,
}

/// What the dubber said.
#[derive(Debug)]
pub enum DubEvent {
    /// A session is open.
    Connected {
        /// Its id.
        session_id: String,
        /// Name of the provider behind it.
        provider: String,
        /// How it answers.
        deciding: Deciding,
        /// Where its requests go.
        requests: tokio::sync::mpsc::Sender<DubRequest>,
    },
    /// The session is gone.
    Disconnected {
        /// Why.
        message: String,
    },
    /// Dubbed speech.
    Speech(Box<Speech>),
    /// A fragment is settled.
    Settled {
        /// Its number.
        seq: FragmentSeq,
        /// The error, when it failed.
        error: Option<ErrorClass>,
        /// What happened, for a person to read.
        message: String,
        /// Time at the provider, as the dubber measured it.
        provider_round_trip: Option<Duration>,
    },
    /// Source from an instant on is answered anew.
    Superseded {
        /// First connection whose answers count.
        connection: u64,
        /// From where on.
        from: MediaTime,
        /// From where on it is asked anew; what lies before is answered by nobody.
        asked: MediaTime,
    },
    /// Something about the session itself.
    Said {
        /// What it is about.
        topic: Topic,
        /// What happened, for a person to read.
        message: String,
        /// Breaker after it, where that is told.
        breaker: Option<Breaker>,
        /// Kind of the error, where it is one.
        class: Option<ErrorClass>,
    },
    /// The first audio of a fragment has left for the dubber.
    Sent {
        /// Its number.
        seq: FragmentSeq,
    },
}

/// What happened.
#[derive(Debug)]
pub enum WorkerEvent {
    /// A frame from the ingest child of this generation.
    Source {
        /// The how-manieth child.
        generation: u32,
        /// The frame.
        frame: Frame,
    },
    /// An ingest child has ended.
    IngestExited {
        /// The how-manieth child.
        generation: u32,
        /// Its exit code; `None` when a signal ended it.
        code: Option<i32>,
    },
    /// An order from the parent.
    Order(Order),
    /// The parent is gone.
    ParentGone,
    /// The dubber spoke.
    Dub(DubEvent),
    /// Decoder configuration of the encoded audio.
    EncoderConfig(Vec<u8>),
    /// The encoder failed.
    EncoderFailed {
        /// Why.
        message: String,
    },
    /// One encoded frame.
    Encoded(Bytes),
    /// The output connection of this generation failed.
    OutputFailed {
        /// The how-manieth connection.
        generation: u32,
        /// Why.
        message: String,
    },
    /// The last output connection has sent all that it was given.
    OutputFinished,
    /// The output pipeline warned.
    OutputWarned,
    /// An order of the operating system to end.
    Terminate,
}
