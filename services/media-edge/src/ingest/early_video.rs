//! Tells flvdemux of a video track before its first picture.
//!
//! A reader of MediaMTX gets sound at once and video with the next key frame. flvdemux (up to 1.28 at least) stops to
//! look for tracks after 6 s of sound and ignores every later one: with x264's own choice of a key frame each 8.3 s a
//! source would stay without picture. Where the server has announced H.264, an empty decoder configuration is put behind
//! the FLV header; the real one replaces it before the first access unit passes.
use gstreamer::{Buffer, Pad, PadProbeData, PadProbeReturn, PadProbeType, prelude::*};

const FLV_HEADER_BYTES: usize = 13;
/// A video tag at time 0: key frame, AVC, sequence header; AVCDecoderConfigurationRecord version 1, Baseline 3.0,
/// four-byte lengths, no parameter sets.
const EMPTY_CONFIG: [u8; 27] = [
    9, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x1e, 0xff, 0xe0, 0, 0, 0, 0, 23,
];

/// Puts the announcement into the byte stream that leaves `pad`.
pub(super) fn announce(pad: &Pad) {
    pad.add_probe(PadProbeType::BUFFER, |_, info| {
        if let Some(PadProbeData::Buffer(buffer)) = &mut info.data
            && let Some(announced) = with_announcement(buffer)
        {
            *buffer = announced;
        }
        // The header is in the first buffer or nowhere.
        PadProbeReturn::Remove
    });
}

fn with_announcement(buffer: &Buffer) -> Option<Buffer> {
    let map = buffer.map_readable().ok()?;
    if !map.starts_with(b"FLV") || map.len() < FLV_HEADER_BYTES {
        return None;
    }
    let (header, rest) = map.split_at(FLV_HEADER_BYTES);
    Some(Buffer::from_slice([header, &EMPTY_CONFIG, rest].concat()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_stands_right_behind_the_header() {
        crate::gst::init().unwrap();
        let stream = [b"FLV\x01\x05\0\0\0\x09\0\0\0\0".as_slice(), b"tags"].concat();
        let announced = with_announcement(&Buffer::from_slice(stream.clone())).unwrap();
        let map = announced.map_readable().unwrap();
        assert_eq!(map[..13], stream[..13]);
        assert_eq!(map[13..40], EMPTY_CONFIG);
        assert_eq!(&map[40..], b"tags");
    }

    #[test]
    fn a_stream_without_a_header_passes_as_it_is() {
        crate::gst::init().unwrap();
        assert!(with_announcement(&Buffer::from_slice(*b"no header at all")).is_none());
    }
}
