//! Everything that can happen to a worker, as one closed set.
use crate::link::{frames::Frame, lines::Order};
use bytes::Bytes;
use dub_placement::Speech;
use dub_proto::dub::v1::DubRequest;
use media_types::{ErrorClass, FragmentSeq};
use std::{sync::mpsc, time::Duration};

/// Events that may wait. One second of everything at once is some 300 (video 60, audio 50, encoded 47, speech 50,
/// settlements); four times that rides out a slow moment. A full queue makes ingest wait at its socket, which is where
/// waiting does no harm.
pub const QUEUE: usize = 1200;

/// The end of the queue that sends.
pub type Sender = mpsc::SyncSender<WorkerEvent>;

/// What the dubber said.
#[derive(Debug)]
pub enum DubEvent {
    /// A session is open.
    Connected {
        /// Its id.
        session_id: String,
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
