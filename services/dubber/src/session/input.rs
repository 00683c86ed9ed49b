//! A peer's messages, checked: behind this file no field is missing, no time is out of reach, no byte is odd.
use crate::pcm;
use bytes::Bytes;
use dub_proto::convert::{ConvertError, settings_from_wire, time_from_wire};
use dub_proto::dub::v1 as wire;
use dub_proto::dub::v1::dub_request::Payload;
use dub_proto::status::ErrorCode;
use media_types::{FragmentSeq, MediaTime, RunId, SAMPLE_RATE_HZ, StreamId, StreamSettings};
use service_kit::trace::TraceContext;
use tonic::Status;

/// The first message of a stream.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The programme.
    pub stream_id: StreamId,
    /// Live session of the programme.
    pub run_id: RunId,
    /// The how-manieth worker of the run.
    pub epoch: u32,
    /// Settings of the stream.
    pub settings: StreamSettings,
    /// Trace of the start of the run.
    pub trace: TraceContext,
}

/// Source audio of the open fragment.
#[derive(Clone, Debug)]
pub struct Audio {
    /// First instant.
    pub start: MediaTime,
    /// Whole frames in the contract's form.
    pub pcm: Bytes,
    /// Probability of speech, 0 to 1.
    pub speech_probability: Option<f32>,
}

/// Something that a session hears of.
#[derive(Debug)]
pub enum Input {
    /// A fragment began.
    FragmentStarted {
        /// Its number.
        seq: FragmentSeq,
        /// Its first instant.
        start: MediaTime,
        /// Trace that it is worked on under.
        trace: TraceContext,
    },
    /// Audio of the open fragment came.
    AudioReceived(Audio),
    /// The open fragment is complete.
    FragmentEnded {
        /// Its number.
        seq: FragmentSeq,
        /// First instant behind it.
        end: MediaTime,
    },
    /// The air moved on.
    PlayheadMoved(MediaTime),
    /// No answer is needed up to this number.
    Abandoned(FragmentSeq),
    /// No more audio follows.
    CloseAsked {
        /// Why, in one word.
        reason: String,
    },
    /// The peer ended its half of the stream.
    HalfClosed,
    /// The peer is gone.
    PeerLost,
    /// The peer said what may not be said.
    Violated(Status),
}

/// Longest reason that is kept: it is one word, and it goes into the log.
const REASON_CHARS_MAX: usize = 64;

/// Checks the first message.
pub fn parse_opening(message: wire::DubRequest) -> Result<Opening, Status> {
    let Some(Payload::Open(open)) = message.payload else {
        return Err(ErrorCode::Protocol.status("the first message must be Open", Some("open")));
    };
    let id = |field: &'static str, error: media_types::InvalidId| {
        ErrorCode::InvalidField.status(format!("{field}: {error}"), Some(field))
    };
    let pcm = open
        .pcm
        .ok_or(ConvertError::Missing("open.pcm"))
        .map_err(|error| error.status())?;
    if pcm.sample_rate_hz != SAMPLE_RATE_HZ || pcm.channels != u32::from(pcm::CHANNELS) {
        let said = format!(
            "open.pcm is {} Hz, {} channels; allowed is 48000 Hz, 2 channels",
            pcm.sample_rate_hz, pcm.channels
        );
        return Err(ErrorCode::InvalidField.status(said, Some("open.pcm")));
    }
    Ok(Opening {
        stream_id: StreamId::new(open.stream_id).map_err(|error| id("open.stream_id", error))?,
        run_id: RunId::new(open.run_id).map_err(|error| id("open.run_id", error))?,
        epoch: open.epoch,
        settings: settings_from_wire(open.settings.as_ref(), &StreamSettings::default())
            .map_err(|error| error.status())?,
        trace: trace_from_wire(open.trace),
    })
}

/// Checks any later message.
pub fn parse(message: wire::DubRequest) -> Result<Input, Status> {
    let Some(payload) = message.payload else {
        return Err(ErrorCode::Protocol.status("a message without payload", Some("payload")));
    };
    let time = |time: &Option<_>, field| time_from_wire(time.as_ref(), field).map_err(|error| error.status());
    Ok(match payload {
        Payload::Open(_) => {
            return Err(ErrorCode::Protocol.status("the session is open already", Some("open")));
        }
        Payload::FragmentStart(start) => Input::FragmentStarted {
            seq: FragmentSeq(start.fragment_seq),
            start: time(&start.start, "fragment_start.start")?,
            trace: trace_from_wire(start.trace),
        },
        Payload::Audio(audio) => {
            let start = time(&audio.start, "audio.start")?;
            Input::AudioReceived(parse_audio(start, audio.pcm, audio.speech_probability)?)
        }
        Payload::FragmentEnd(end) => Input::FragmentEnded {
            seq: FragmentSeq(end.fragment_seq),
            end: time(&end.end, "fragment_end.end")?,
        },
        Payload::Playhead(playhead) => Input::PlayheadMoved(time(&playhead.position, "playhead.position")?),
        Payload::Control(control) => match control.order {
            Some(wire::control::Order::AbandonUpToFragmentSeq(seq)) => Input::Abandoned(FragmentSeq(seq)),
            None => return Err(ErrorCode::Protocol.status("a control without order", Some("control.order"))),
        },
        Payload::Close(close) => Input::CloseAsked {
            reason: close.reason.chars().take(REASON_CHARS_MAX).collect(),
        },
    })
}

fn parse_audio(start: MediaTime, pcm: Bytes, speech_probability: Option<f32>) -> Result<Audio, Status> {
    if !pcm.len().is_multiple_of(pcm::FRAME_BYTES) {
        let said = format!(
            "audio.pcm has {} bytes, which is no whole number of frames of 4 bytes",
            pcm.len()
        );
        return Err(ErrorCode::InvalidField.status(said, Some("audio.pcm")));
    }
    if let Some(probability) = speech_probability
        && !(0.0..=1.0).contains(&probability)
    {
        let said = format!("audio.speech_probability is {probability}, allowed is 0 to 1");
        return Err(ErrorCode::InvalidField.status(said, Some("audio.speech_probability")));
    }
    Ok(Audio {
        start,
        pcm,
        speech_probability,
    })
}

fn trace_from_wire(trace: Option<dub_proto::media::v1::TraceContext>) -> TraceContext {
    let trace = trace.unwrap_or_default();
    TraceContext {
        traceparent: trace.traceparent,
        tracestate: trace.tracestate,
    }
}
