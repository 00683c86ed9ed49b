//! Media frames from `ingest` to `worker`, over the socket that is the child's standard output.
//!
//! A frame is a fixed header of 24 bytes, little endian, and a payload:
//! kind `u8`, flags `u8`, two zero bytes, payload length `u32`, PTS `i64` ns, DTS `i64` ns. The socket's buffer is
//! the only queue: a full one blocks `ingest`, never `worker`.
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Longest payload: a generous bound for one access unit; more is a broken stream.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
const HEADER_BYTES: usize = 24;
const FLAG_KEY: u8 = 1;
const FLAG_DISCONTINUITY: u8 = 2;

/// One H.264 access unit as length-prefixed NAL units (`stream-format=avc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Presentation time on the source's clock, ns.
    pub pts_ns: i64,
    /// Decoding time on the source's clock, ns.
    pub dts_ns: i64,
    /// Decoding can start here.
    pub key: bool,
    /// Something is missing in front of it, or the clock jumped.
    pub discontinuity: bool,
    /// The length-prefixed NAL units.
    pub data: Bytes,
}

/// Decoder configuration of the video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoConfig {
    /// AVCDecoderConfigurationRecord.
    pub codec_data: Vec<u8>,
    /// Width in pixels; 0 when unknown.
    pub width: u32,
    /// Height in pixels; 0 when unknown.
    pub height: u32,
}

/// The source is connected; what it carries, as far as the demuxer tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// `rtmp`, `rtsp` or `srt`.
    pub protocol: String,
    /// A video track was found that is passed on.
    pub has_video: bool,
    /// An audio track was found that is decoded.
    pub has_audio: bool,
}

/// Something the bus said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusNotice {
    /// True for an error, false for a warning.
    pub error: bool,
    /// Name of the element.
    pub element: String,
    /// What it said.
    pub message: String,
}

/// Why `ingest` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The server closed the stream, or there is none on the path.
    SourceGone,
    /// Nothing arrived for too long.
    NoData,
    /// The source's clock jumped so that both tracks must be anchored anew.
    ClockJump,
    /// The pipeline failed.
    PipelineError,
    /// The source is nothing that can be passed on.
    Unsupported,
}

/// Last word of `ingest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// For a person to read.
    pub message: String,
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The source is connected, or its tracks are known better now.
    Connected(Connected),
    /// Decoder configuration of the video that follows.
    VideoConfig(VideoConfig),
    /// One access unit.
    Video(AccessUnit),
    /// Interleaved S16LE, 48 kHz, stereo.
    Audio {
        /// Presentation time of the first frame on the source's clock, ns.
        pts_ns: i64,
        /// Something is missing in front of it.
        discontinuity: bool,
        /// The samples.
        pcm: Bytes,
    },
    /// A warning or an error of the pipeline.
    Notice(BusNotice),
    /// The end.
    Ended(Ended),
}

const KIND_CONNECTED: u8 = 1;
const KIND_VIDEO_CONFIG: u8 = 2;
const KIND_VIDEO: u8 = 3;
const KIND_AUDIO: u8 = 4;
const KIND_NOTICE: u8 = 5;
const KIND_ENDED: u8 = 6;

fn json<T: Serialize>(value: &T) -> io::Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(io::Error::other)
}

fn parse<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> io::Result<T> {
    serde_json::from_slice(payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes one frame.
pub fn write_frame(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let (kind, flags, pts, dts, payload) = match frame {
        Frame::Connected(value) => (KIND_CONNECTED, 0, 0, 0, json(value)?),
        Frame::VideoConfig(value) => (KIND_VIDEO_CONFIG, 0, 0, 0, json(value)?),
        Frame::Video(unit) => {
            let flags =
                if unit.key { FLAG_KEY } else { 0 } | if unit.discontinuity { FLAG_DISCONTINUITY } else { 0 };
            (KIND_VIDEO, flags, unit.pts_ns, unit.dts_ns, unit.data.clone())
        }
        Frame::Audio {
            pts_ns,
            discontinuity,
            pcm,
        } => (
            KIND_AUDIO,
            if *discontinuity { FLAG_DISCONTINUITY } else { 0 },
            *pts_ns,
            *pts_ns,
            pcm.clone(),
        ),
        Frame::Notice(value) => (KIND_NOTICE, 0, 0, 0, json(value)?),
        Frame::Ended(value) => (KIND_ENDED, 0, 0, 0, json(value)?),
    };
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "payload is longer than 16 MiB",
        ));
    }
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut header = [0_u8; HEADER_BYTES];
    header[0] = kind;
    header[1] = flags;
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&pts.to_le_bytes());
    header[16..24].copy_from_slice(&dts.to_le_bytes());
    to.write_all(&header)?;
    to.write_all(&payload)
}

/// Reads one frame; `None` at a clean end of the stream.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = [0_u8; HEADER_BYTES];
    match from.read_exact(&mut header[..1]) {
        Ok(()) => from.read_exact(&mut header[1..])?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let number = |at: usize| {
        let mut bytes = [0_u8; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        i64::from_le_bytes(bytes)
    };
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("payload of {length} bytes"),
        ));
    }
    let mut payload = vec![0_u8; length];
    from.read_exact(&mut payload)?;
    let (pts_ns, dts_ns) = (number(8), number(16));
    let discontinuity = header[1] & FLAG_DISCONTINUITY != 0;
    let frame = match header[0] {
        KIND_CONNECTED => Frame::Connected(parse(&payload)?),
        KIND_VIDEO_CONFIG => Frame::VideoConfig(parse(&payload)?),
        KIND_VIDEO => Frame::Video(AccessUnit {
            pts_ns,
            dts_ns,
            key: header[1] & FLAG_KEY != 0,
            discontinuity,
            data: payload.into(),
        }),
        KIND_AUDIO => Frame::Audio {
            pts_ns,
            discontinuity,
            pcm: payload.into(),
        },
        KIND_NOTICE => Frame::Notice(parse(&payload)?),
        KIND_ENDED => Frame::Ended(parse(&payload)?),
        kind => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("frame of unknown kind {kind}"),
            ));
        }
    };
    Ok(Some(frame))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_frame_survives_the_socket() {
        let frames = [
            Frame::Connected(Connected {
                protocol: "rtmp".into(),
                has_video: true,
                has_audio: false,
            }),
            Frame::VideoConfig(VideoConfig {
                codec_data: vec![1, 2, 3],
                width: 16,
                height: 9,
            }),
            Frame::Video(AccessUnit {
                pts_ns: -5,
                dts_ns: -9,
                key: true,
                discontinuity: true,
                data: Bytes::from_static(b"nal"),
            }),
            Frame::Audio {
                pts_ns: 7,
                discontinuity: false,
                pcm: Bytes::from_static(&[0; 8]),
            },
            Frame::Notice(BusNotice {
                error: false,
                element: "src".into(),
                message: "m".into(),
            }),
            Frame::Ended(Ended {
                reason: EndReason::SourceGone,
                message: "closed".into(),
            }),
        ];
        let mut wire = Vec::new();
        for frame in &frames {
            write_frame(&mut wire, frame).unwrap();
        }
        let mut reader = wire.as_slice();
        for frame in frames {
            assert_eq!(read_frame(&mut reader).unwrap(), Some(frame));
        }
        assert_eq!(read_frame(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_torn_frame_is_an_error_and_not_an_end() {
        let mut wire = Vec::new();
        write_frame(
            &mut wire,
            &Frame::Audio {
                pts_ns: 0,
                discontinuity: false,
                pcm: Bytes::from_static(&[1; 64]),
            },
        )
        .unwrap();
        wire.truncate(40);
        assert!(read_frame(&mut wire.as_slice()).is_err());
    }
}
