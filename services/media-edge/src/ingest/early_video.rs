//! Tells flvdemux of a video track before its first picture.
//!
//! A reader of MediaMTX gets sound and the decoder configuration at once, and pictures with the next key frame. flvdemux
//! makes a pad for the first picture only, and stops to look for tracks after 6 s of sound: with x264's own choice of a
//! key frame each 8.3 s a source would stay without picture for ever. Where the server has announced H.264, an empty
//! configuration and an empty access unit are put behind the FLV header; the unit is dropped at the pad that it makes,
//! and the real configuration replaces the empty one before the first real unit passes.
use gstreamer::{
    Buffer, Caps, CapsRef, EventView, Pad, PadProbeData, PadProbeReturn, PadProbeType, prelude::*,
};
use std::sync::atomic::{AtomicBool, Ordering};

const FLV_HEADER_BYTES: usize = 13;
/// Two video tags at time 0. A key frame, AVC, sequence header: AVCDecoderConfigurationRecord version 1, Baseline 3.0,
/// four-byte lengths, no parameter sets. An inter frame, AVC, NAL units: one filler unit of one byte.
const ANNOUNCEMENT: [u8; 52] = [
    9, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x1e, 0xff, 0xe0, 0, 0, 0, 0, 23, //
    9, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x0c, 0, 0, 0, 21,
];
/// Length of the empty configuration.
const EMPTY_CONFIG_BYTES: usize = 7;

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

/// Drops the announcement's access unit at the demuxer's video `pad`, and hands on every real configuration as it
/// comes, which is well before its first picture.
pub(super) fn swallow(pad: &Pad, on_config: impl Fn(&Caps) + Send + Sync + 'static) {
    let swallowed = AtomicBool::new(false);
    pad.add_probe(PadProbeType::BUFFER, move |_, _| {
        if swallowed.swap(true, Ordering::Relaxed) {
            PadProbeReturn::Remove
        } else {
            PadProbeReturn::Drop
        }
    });
    pad.add_probe(PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(EventView::Caps(event)) = info.event().map(|event| event.view())
            && has_config(event.caps())
        {
            on_config(&event.caps().to_owned());
        }
        PadProbeReturn::Ok
    });
}

fn has_config(caps: &CapsRef) -> bool {
    let config = caps
        .structure(0)
        .and_then(|structure| structure.get::<Buffer>("codec_data").ok());
    config.is_some_and(|config| config.size() > EMPTY_CONFIG_BYTES)
}

fn with_announcement(buffer: &Buffer) -> Option<Buffer> {
    let map = buffer.map_readable().ok()?;
    if !map.starts_with(b"FLV") || map.len() < FLV_HEADER_BYTES {
        return None;
    }
    let (header, rest) = map.split_at(FLV_HEADER_BYTES);
    Some(Buffer::from_slice([header, &ANNOUNCEMENT, rest].concat()))
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
        assert_eq!(map[13..65], ANNOUNCEMENT);
        assert_eq!(&map[65..], b"tags");
    }

    #[test]
    fn a_stream_without_a_header_passes_as_it_is() {
        crate::gst::init().unwrap();
        assert!(with_announcement(&Buffer::from_slice(*b"no header at all")).is_none());
    }
}
