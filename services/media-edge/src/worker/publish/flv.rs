//! FLV tags, as RTMP carries them (Adobe FLV specification 10.1, annex E). Pure.
//!
//! Own code where flvmux exists, because flvmux waits for every pad: a source whose video stops would stop the sound
//! of the output too, and MediaMTX drops a publisher that is silent for 10 s. It also re-stamps what it thinks is
//! late. Here video and audio are stamped by the run's timeline alone.
use crate::link::frames::VideoConfig;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const SCRIPT: u8 = 18;
const HEADER_BYTES: usize = 11;

fn tag(kind: u8, timestamp_ms: u32, body: &[&[u8]]) -> Vec<u8> {
    let size: usize = body.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(HEADER_BYTES + size + 4);
    out.push(kind);
    out.extend_from_slice(&u24(size as u32));
    out.extend_from_slice(&u24(timestamp_ms & 0x00ff_ffff));
    out.push((timestamp_ms >> 24) as u8);
    out.extend_from_slice(&[0, 0, 0]);
    for part in body {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&((HEADER_BYTES + size) as u32).to_be_bytes());
    out
}

const fn u24(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}

/// Decoder configuration of H.264.
pub fn video_config(timestamp_ms: u32, codec_data: &[u8]) -> Vec<u8> {
    tag(VIDEO, timestamp_ms, &[&[0x17, 0, 0, 0, 0], codec_data])
}

/// One access unit; `composition_ms` is PTS - DTS.
pub fn video(timestamp_ms: u32, composition_ms: i32, key: bool, access_unit: &[u8]) -> Vec<u8> {
    let [a, b, c] = u24(composition_ms as u32 & 0x00ff_ffff);
    tag(
        VIDEO,
        timestamp_ms,
        &[&[if key { 0x17 } else { 0x27 }, 1, a, b, c], access_unit],
    )
}

/// Decoder configuration of AAC (AudioSpecificConfig).
pub fn audio_config(timestamp_ms: u32, codec_data: &[u8]) -> Vec<u8> {
    tag(AUDIO, timestamp_ms, &[&[0xaf, 0], codec_data])
}

/// One raw AAC frame.
pub fn audio(timestamp_ms: u32, frame: &[u8]) -> Vec<u8> {
    tag(AUDIO, timestamp_ms, &[&[0xaf, 1], frame])
}

/// `onMetaData`: tells a server which tracks to expect.
pub fn metadata(video: Option<&VideoConfig>) -> Vec<u8> {
    let mut entries: Vec<(&str, f64)> = vec![("audiocodecid", 10.0), ("audiosamplerate", 48_000.0)];
    if let Some(config) = video {
        entries.push(("videocodecid", 7.0));
        if config.width > 0 && config.height > 0 {
            entries.push(("width", f64::from(config.width)));
            entries.push(("height", f64::from(config.height)));
        }
    }
    // AMF0: string 0x02, ECMA array 0x08, number 0x00, boolean 0x01, end of object 00 00 09.
    let mut body = vec![0x02, 0, 10];
    body.extend_from_slice(b"onMetaData");
    body.push(0x08);
    body.extend_from_slice(&(entries.len() as u32 + 1).to_be_bytes());
    for (name, value) in entries {
        body.extend_from_slice(&(name.len() as u16).to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        body.push(0x00);
        body.extend_from_slice(&value.to_be_bytes());
    }
    body.extend_from_slice(&[0, 6]);
    body.extend_from_slice(b"stereo");
    body.extend_from_slice(&[0x01, 1, 0, 0, 9]);
    tag(SCRIPT, 0, &[&body])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_its_size_before_and_behind() {
        let tag = video(0x0102_0304, -1, true, &[9; 300]);
        assert_eq!(tag[0], VIDEO);
        assert_eq!(tag[1..4], [0, 1, 49]);
        assert_eq!(tag[4..8], [2, 3, 4, 1]);
        assert_eq!(tag[11..16], [0x17, 1, 0xff, 0xff, 0xff]);
        assert_eq!(tag[tag.len() - 4..], 316_u32.to_be_bytes());
        assert_eq!(tag.len(), 320);
    }

    #[test]
    fn metadata_names_the_tracks() {
        let config = VideoConfig {
            codec_data: vec![],
            width: 1280,
            height: 720,
        };
        let text = String::from_utf8_lossy(&metadata(Some(&config))).into_owned();
        assert!(text.contains("onMetaData") && text.contains("videocodecid") && text.contains("height"));
        assert!(!String::from_utf8_lossy(&metadata(None)).contains("videocodecid"));
    }
}
