//! What a source is made of decides how it is pulled, and whether it can be passed on at all.

pub use crate::ingest::Protocol;
use crate::link::lines::Source;
use media_types::UnknownWord;
use std::str::FromStr;

impl Protocol {
    /// URL schemes of all protocols.
    pub const SCHEMES: &'static [&'static str] = &["rtmp", "rtsp", "srt"];

    /// The protocol that a URL's scheme names.
    pub fn of_url(url: &str) -> Option<Self> {
        url.split_once("://").and_then(|(scheme, _)| scheme.parse().ok())
    }

    /// The protocol that serves a source best. RTMP readers of MediaMTX see H.264 with AAC or MP3 and nothing else. Of a
    /// publisher over RTSP or WHIP MediaMTX itself does not know how the tracks belong together and hands RTMP readers
    /// sound that is hundreds of milliseconds off, while RTSP readers can align the tracks by their arrival. Unknown
    /// tracks are most likely a broadcaster's RTMP.
    pub fn for_source(source: &Source) -> Self {
        let tracks = &source.tracks;
        let unrelated = matches!(
            source.source_type.as_str(),
            "rtspSession" | "rtspsSession" | "webRTCSession" | "rtspSource" | "webRTCSource"
        );
        let legacy_audio = |codec: &str| matches!(codec, "MPEG-4 Audio" | "MPEG-1/2 Audio" | "MP3");
        let has_h264 = tracks.iter().any(|codec| codec == "H264");
        let all_visible = tracks.iter().all(|codec| codec == "H264" || legacy_audio(codec));
        if !unrelated && (tracks.is_empty() || (has_h264 && all_visible)) {
            Self::Rtmp
        } else {
            Self::Rtsp
        }
    }
}

impl FromStr for Protocol {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "rtmp" => Ok(Self::Rtmp),
            "rtsp" => Ok(Self::Rtsp),
            "srt" => Ok(Self::Srt),
            _ => Err(UnknownWord {
                text: text.to_owned(),
                allowed: Self::SCHEMES.join(", "),
                instead: "",
            }),
        }
    }
}

/// `WORKER_INPUT_PROTOCOL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputProtocol {
    /// The tracks decide.
    Auto,
    /// This one, whatever the tracks are.
    Explicit(Protocol),
}

impl FromStr for InputProtocol {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse()
            .map(Self::Explicit)
            .map_err(|error: UnknownWord| UnknownWord {
                allowed: format!("auto, {}", error.allowed),
                ..error
            })
    }
}

/// Video codecs of MediaMTX's Control API that cannot be passed on untouched.
const VIDEO_NOT_PASSED_ON: &[&str] = &[
    "AV1",
    "VP9",
    "VP8",
    "H265",
    "MPEG-4 Video",
    "MPEG-1/2 Video",
    "M-JPEG",
    "JPEG XS",
];

/// Why the video of these tracks cannot be passed on; nothing when it can, or when there is none.
pub fn unsupported_video(tracks: &[String]) -> Option<String> {
    if tracks.iter().any(|codec| codec == "H264") {
        return None;
    }
    let codec = tracks
        .iter()
        .find(|codec| VIDEO_NOT_PASSED_ON.contains(&codec.as_str()))?;
    Some(format!(
        "video is {codec}; only H264 can be passed on untouched, so publish H264"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracks(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn source(source_type: &str, codecs: &[&str]) -> Source {
        Source {
            source_type: source_type.to_owned(),
            tracks: tracks(codecs),
            ..Source::default()
        }
    }

    #[test]
    fn a_publisher_whose_tracks_mediamtx_cannot_relate_is_pulled_over_rtsp() {
        for source_type in ["rtspSession", "webRTCSession"] {
            let source = source(source_type, &["H264", "MPEG-4 Audio"]);
            assert_eq!(Protocol::for_source(&source), Protocol::Rtsp);
        }
    }

    #[test]
    fn the_tracks_choose_the_protocol() {
        for rtmp in [
            &[][..],
            &["H264"],
            &["H264", "MPEG-4 Audio"],
            &["MPEG-4 Audio", "H264"],
            &["H264", "MPEG-1/2 Audio"],
        ] {
            assert_eq!(
                Protocol::for_source(&source("rtmpConn", rtmp)),
                Protocol::Rtmp,
                "{rtmp:?}"
            );
        }
        for rtsp in [
            &["H264", "Opus"][..],
            &["H265", "MPEG-4 Audio"],
            &["Opus"],
            &["H264", "MPEG-4 Audio", "KLV"],
        ] {
            assert_eq!(
                Protocol::for_source(&source("srtConn", rtsp)),
                Protocol::Rtsp,
                "{rtsp:?}"
            );
        }
    }

    #[test]
    fn only_video_other_than_h264_is_refused() {
        for fine in [
            &[][..],
            &["Opus"],
            &["H264", "Opus"],
            &["H264", "H265"],
            &["Generic"],
        ] {
            assert_eq!(unsupported_video(&tracks(fine)), None, "{fine:?}");
        }
        for codec in [
            "H265",
            "AV1",
            "VP8",
            "VP9",
            "M-JPEG",
            "MPEG-4 Video",
            "MPEG-1/2 Video",
        ] {
            let reason = unsupported_video(&tracks(&["MPEG-4 Audio", codec]));
            assert!(reason.is_some_and(|reason| reason.contains(codec)), "{codec}");
        }
    }

    #[test]
    fn the_protocol_setting_knows_its_words() {
        assert_eq!("auto".parse(), Ok(InputProtocol::Auto));
        assert_eq!("srt".parse(), Ok(InputProtocol::Explicit(Protocol::Srt)));
        let error = "webrtc".parse::<InputProtocol>();
        assert_eq!(
            error.map_err(|error| error.allowed),
            Err("auto, rtmp, rtsp, srt".to_owned())
        );
    }
}
