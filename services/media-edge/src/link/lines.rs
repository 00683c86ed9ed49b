//! JSON lines between `serve` (parent) and `worker` (child): orders down the child's standard input, reports up its
//! standard output. Logs go to standard error.
use media_types::{
    AirState, Fate, FragmentSeq, MediaRange, MediaTime, Reason, RunId, StreamId, StreamSettings,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the source is made of, as the orchestrator learnt it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Id that MediaMTX gave the publisher; empty when unknown.
    pub source_id: String,
    /// Kind of the publisher's connection as MediaMTX names it (`rtmpConn`, `rtspSession`); empty when unknown.
    #[serde(default)]
    pub source_type: String,
    /// Codec names of MediaMTX's Control API; empty when unknown.
    pub tracks: Vec<String>,
}

/// All that a worker is told at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The programme.
    pub stream_id: StreamId,
    /// This live session of it.
    pub run_id: RunId,
    /// The how-manieth worker of the run, from 1.
    pub epoch: u32,
    /// Id of this process.
    pub instance_id: String,
    /// Number of the first fragment.
    pub first_fragment_seq: FragmentSeq,
    /// Settings of the stream.
    pub settings: StreamSettings,
    /// The source as it is now.
    pub source: Source,
    /// W3C `traceparent` of the start; empty when nobody traces.
    pub traceparent: String,
    /// W3C `tracestate` of the start.
    pub tracestate: String,
}

/// How a worker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopMode {
    /// What is held plays out, then the output ends.
    Drain,
    /// What is held is discarded.
    Now,
}

/// Down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// First line, once.
    Start(Box<Start>),
    /// The source changed.
    UpdateSource(Source),
    /// The operator's switch.
    SetAir {
        /// Comes back in [`Report::AirSet`].
        id: u64,
        /// State to air.
        state: AirState,
        /// Who asks.
        author: String,
    },
    /// Stop.
    Stop {
        /// How.
        mode: StopMode,
    },
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The source is not connected yet.
    #[default]
    Starting,
    /// The source is connected.
    Running,
    /// The source is gone; what is held plays on.
    SourceLost,
    /// What is held plays out.
    Draining,
}

/// State of the breaker towards the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// Speech passes.
    #[default]
    Closed,
    /// One try is let through.
    HalfOpen,
    /// Nothing passes.
    Open,
}

/// What became of phrases, where the air is decided by phrase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phrases {
    /// Began to air with their dub.
    pub dubbed_total: u64,
    /// Began to air without an answer.
    pub fell_back_total: u64,
    /// Dropped whole, because their dub would have begun too far behind them.
    pub overflowed_total: u64,
    /// From the start of a phrase to the start of its answer at the provider, median of late.
    pub provider_lag_ms: Option<u32>,
    /// How far the newest dub starts behind its own phrase.
    pub backlog_ms: u32,
}

impl Phrases {
    /// What became of them, counted.
    pub const fn by_result(&self) -> [(&'static str, u64); 3] {
        [
            ("dubbed", self.dubbed_total),
            ("fallback", self.fell_back_total),
            ("overflow", self.overflowed_total),
        ]
    }
}

/// The worker as it is now, told every 250 ms and at each change of state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Where it stands.
    pub state: State,
    /// Process id of the ingest child; 0 when there is none.
    pub ingest_pid: u32,
    /// `rtmp`, `rtsp`, `srt`; empty before the first connection.
    pub input_protocol: String,
    /// Operator's air state in force.
    pub air_state: Option<AirState>,
    /// What leaves the hold now.
    pub playhead: Option<MediaTime>,
    /// Run time that carries PTS 0 on the present output connection.
    pub publish_origin: Option<MediaTime>,
    /// Source time stamp that maps to instant 0 of the run.
    pub source_origin: Option<MediaTime>,
    /// The output is connected.
    pub publishing: bool,
    /// The dubber answers.
    pub dub_connected: bool,
    /// Breaker of the dubber towards its provider, as last told.
    pub breaker: Breaker,
    /// Phrases.
    pub phrases: Phrases,
    /// Dubs that came when their original had begun to air.
    pub speech_late_total: u64,
    /// Newest fragment.
    pub last_fragment_seq: FragmentSeq,
    /// Starts of ingest.
    pub ingest_starts_total: u32,
    /// Connections to the output.
    pub publish_starts_total: u32,
    /// Errors on the buses of both pipelines.
    pub bus_errors_total: u64,
    /// Warnings on the buses of both pipelines.
    pub bus_warnings_total: u64,
    /// Video held.
    pub video_queue_ms: u32,
    /// Audio held.
    pub audio_queue_ms: u32,
    /// Audio minus video at the output against the source's own relation.
    pub av_sync_delta_ms: f64,
    /// Source speech sent and not answered.
    pub in_flight_ms: u32,
    /// Fragments not yet settled.
    pub in_flight_fragments: u32,
    /// Source sound in which somebody spoke.
    pub speech_ms_total: u64,
    /// Other counters of the worker, by metric name without prefix and suffix (`frames_dropped`, `late_speech`, …).
    pub counters: BTreeMap<String, u64>,
    /// Why it stands where it stands.
    pub detail: String,
}

/// A fragment, told when it is cut (no fate) and once more when it has aired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FragmentReport {
    /// Its number.
    pub seq: FragmentSeq,
    /// Its range on the run's timeline.
    pub range: MediaRange,
    /// Final outcome.
    pub fate: Option<Fate>,
    /// Why it is not a success.
    pub reason: Option<Reason>,
    /// From the arrival of its first sample to the last of it on air, ms.
    pub end_to_end_ms: Option<f64>,
    /// From its first audio offered to the dubber to its settlement, ms.
    pub round_trip_ms: Option<f64>,
}

/// Up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// The worker as it is now.
    View(Box<View>),
    /// The switch is thrown.
    AirSet {
        /// Of the order.
        id: u64,
        /// Run time from which the state is in force.
        in_force_from: MediaTime,
    },
    /// The switch was refused.
    AirRefused {
        /// Of the order.
        id: u64,
        /// Why.
        message: String,
    },
    /// A fragment was cut, or has aired.
    Fragment(FragmentReport),
    /// Last word before the process ends.
    Exiting {
        /// Exit code that follows.
        code: i32,
        /// Why.
        detail: String,
    },
}
