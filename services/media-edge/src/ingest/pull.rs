//! The pipeline up to the demuxer's pads, by protocol.
use super::early_video;
use super::outlet::Outlet;
use super::rtp::{RtpClock, aac_frames, split};
use super::tracks::{Branch, Tracks, branch};
use super::{Event, IngestOrder, Protocol};
use crate::gst::make;
use gstreamer::prelude::*;
use gstreamer::{Caps, CapsRef, Element, Pad, PadProbeReturn, PadProbeType, Pipeline};
use std::sync::{Arc, Mutex, PoisonError};

/// Not starting with "GStreamer": MediaMTX makes those wait a second for each track.
const USER_AGENT: &str = concat!("dub-worker/", env!("CARGO_PKG_VERSION"));
/// Wait for a packet that is out of order; packets in order are never held.
const REORDER_WAIT_MS: u32 = 100;
const CONNECT_TIMEOUT_S: u32 = 5;
/// A block leaves when it is full: silence and a still picture must not wait for each other's bytes.
const RTMP_BLOCK_BYTES: u32 = 128;
/// Name of the element that holds the connection.
pub(super) const SOURCE: &str = "source";

/// Builds the pipeline of an order; its pads are adopted as they appear.
pub(super) fn build(order: &IngestOrder, outlet: &Arc<Outlet>) -> anyhow::Result<Pipeline> {
    let pipeline = Pipeline::new();
    let tracks = Tracks::new(&pipeline, outlet.clone());
    match order.protocol {
        Protocol::Rtmp => rtmp(&pipeline, order, &tracks, outlet)?,
        Protocol::Rtsp => rtsp(&pipeline, order, &tracks, outlet)?,
        Protocol::Srt => srt(&pipeline, order, &tracks, outlet)?,
    }
    Ok(pipeline)
}

fn make_source(factory: &str) -> anyhow::Result<Element> {
    let source = make(factory)?;
    source.set_property("name", SOURCE);
    Ok(source)
}

fn tell_when_known(demux: &Element, outlet: &Arc<Outlet>) {
    let outlet = outlet.clone();
    demux.connect_no_more_pads(move |_| outlet.tell(Event::TracksKnown));
}

fn caps_of(pad: &Pad) -> Caps {
    pad.current_caps().unwrap_or_else(|| pad.query_caps(None))
}

/// librtmp reads in the demuxer's own thread; rtmp2src hands every packet over from another one and costs 1.7 times the
/// CPU in all, so it only stands in where librtmp's plugin is missing.
fn rtmp_source(order: &IngestOrder) -> anyhow::Result<Element> {
    let idle_s = order.no_data_timeout().as_secs();
    let Ok(source) = make_source("rtmpsrc") else {
        let source = make_source("rtmp2src")?;
        source.set_property("timeout", CONNECT_TIMEOUT_S);
        source.set_property("idle-timeout", u32::try_from(idle_s)?);
        source.set_property("location", &order.url);
        return Ok(source);
    };
    source.set_property("location", &order.url);
    source.set_property("blocksize", RTMP_BLOCK_BYTES);
    // Only a second line behind our own watchdog.
    source.set_property("timeout", i32::try_from(idle_s)? + 5);
    Ok(source)
}

fn rtmp(
    pipeline: &Pipeline,
    order: &IngestOrder,
    tracks: &Arc<Tracks>,
    outlet: &Arc<Outlet>,
) -> anyhow::Result<()> {
    let (source, demux) = (rtmp_source(order)?, make("flvdemux")?);
    pipeline.add_many([&source, &demux])?;
    source.link(&demux)?;
    if order.expects_video
        && let Some(pad) = source.static_pad("src")
    {
        early_video::announce(&pad);
    }
    tell_when_known(&demux, outlet);
    let (tracks, outlet) = (tracks.clone(), outlet.clone());
    let expects_video = order.expects_video;
    demux.connect_pad_added(move |_, pad| {
        if expects_video && pad.name() == "video" {
            let outlet = outlet.clone();
            early_video::swallow(pad, move |caps| outlet.video_caps(caps));
        }
        watch_segments(pad, &outlet);
        // The video's caps come later, with its parameters; the outlet looks at them. Units pass as they are.
        let branch = if pad.name() == "video" {
            Branch::Video(Vec::new())
        } else {
            branch(&caps_of(pad))
        };
        tracks.adopt(pad, branch);
    });
    Ok(())
}

/// When time stamps step back, flvdemux hides it: it adds an offset to one track and announces a new segment.
fn watch_segments(pad: &Pad, outlet: &Arc<Outlet>) {
    let (outlet, data_seen) = (outlet.clone(), Mutex::new(false));
    let kinds = PadProbeType::BUFFER | PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let mut data_seen = data_seen.lock().unwrap_or_else(PoisonError::into_inner);
        match info.event().map(|event| event.type_()) {
            None => *data_seen = true,
            Some(gstreamer::EventType::Segment) if *data_seen => {
                outlet.tell(Event::ClockJumped(format!("{} begins a new segment", pad.name())));
            }
            Some(_) => {}
        }
        PadProbeReturn::Ok
    });
}

fn srt(
    pipeline: &Pipeline,
    order: &IngestOrder,
    tracks: &Arc<Tracks>,
    outlet: &Arc<Outlet>,
) -> anyhow::Result<()> {
    let (source, demux) = (make_source("srtsrc")?, make("tsdemux")?);
    source.set_property("uri", &order.url);
    if source.has_property("auto-reconnect") {
        source.set_property("auto-reconnect", false);
    }
    // Time stamps as they are: following the PCR's arrival would move them.
    demux.set_property("ignore-pcr", true);
    pipeline.add_many([&source, &demux])?;
    source.link(&demux)?;
    tell_when_known(&demux, outlet);
    let tracks = tracks.clone();
    demux.connect_pad_added(move |_, pad| tracks.adopt(pad, branch(&caps_of(pad))));
    Ok(())
}

fn rtsp(
    pipeline: &Pipeline,
    order: &IngestOrder,
    tracks: &Arc<Tracks>,
    outlet: &Arc<Outlet>,
) -> anyhow::Result<()> {
    let source = make_source("rtspsrc")?;
    source.set_property("location", &order.url);
    source.set_property_from_str("protocols", "tcp");
    source.set_property("latency", REORDER_WAIT_MS);
    source.set_property_from_str("buffer-mode", "none");
    source.set_property("user-agent", USER_AGENT);
    source.set_property("drop-on-latency", false);
    // Receiver reports are the only sign of life that an interleaved connection gives.
    source.set_property("do-rtcp", true);
    source.set_property("tcp-timeout", u64::from(CONNECT_TIMEOUT_S) * 1_000_000);
    source.set_property("teardown-timeout", 0_u64);
    pipeline.add(&source)?;
    tell_when_known(&source, outlet);
    let (tracks, outlet) = (tracks.clone(), outlet.clone());
    source.connect_pad_added(move |_, pad| {
        let caps = caps_of(pad);
        retime(pad, &caps, &outlet);
        tracks.adopt(pad, rtp_branch(&caps));
    });
    Ok(())
}

fn rtp_branch(caps: &CapsRef) -> Branch {
    let field = |name: &str| {
        caps.structure(0)
            .and_then(|structure| structure.get::<String>(name).ok())
    };
    let (media, encoding) = (
        field("media").unwrap_or_default(),
        field("encoding-name").unwrap_or_default(),
    );
    match (media.as_str(), encoding.to_uppercase().as_str()) {
        ("video", "H264") => Branch::Video(vec!["rtph264depay"]),
        ("video", other) => Branch::Refused(format!("video is {other}, only H.264 is passed on")),
        ("audio", "OPUS") => Branch::Audio(vec!["rtpopusdepay", "opusdec"]),
        ("audio", "MPEG4-GENERIC") => Branch::Audio(vec!["rtpmp4gdepay", "aacparse", "avdec_aac"]),
        ("audio", "MP4A-LATM") => Branch::Audio(vec!["rtpmp4adepay", "aacparse", "avdec_aac"]),
        ("audio", "MPA") => Branch::Audio(vec!["rtpmpadepay", "mpegaudioparse", "avdec_mp3"]),
        ("audio", "AC3") => Branch::Audio(vec!["rtpac3depay", "ac3parse", "avdec_ac3"]),
        ("audio", "PCMA") => Branch::Audio(vec!["rtppcmadepay", "alawdec"]),
        ("audio", "PCMU") => Branch::Audio(vec!["rtppcmudepay", "mulawdec"]),
        ("audio", "G722") => Branch::Audio(vec!["rtpg722depay", "avdec_g722"]),
        ("audio", "L16") => Branch::Audio(vec!["rtpL16depay"]),
        (_, _) => Branch::Ignored(caps.to_string()),
    }
}

/// Stamps packets with the track's own clock and tells the outlet when they arrive.
///
/// The source's time stamps follow the server's announcements, which step; these do not (see `align`).
fn retime(pad: &Pad, caps: &CapsRef, outlet: &Arc<Outlet>) {
    let Some(structure) = caps.structure(0) else {
        return;
    };
    let is_video = structure.get::<&str>("media") == Ok("video");
    let is_generic = structure
        .get::<&str>("encoding-name")
        .is_ok_and(|name| name.eq_ignore_ascii_case("MPEG4-GENERIC"));
    let clock = Mutex::new(RtpClock::new(structure.get("clock-rate").unwrap_or(90_000)));
    let outlet = outlet.clone();
    let kinds = PadProbeType::BUFFER | PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        if let Some(event) = info.event() {
            let is_loss = event
                .structure()
                .is_some_and(|structure| structure.name() == "GstRTPPacketLost");
            // It carries the source's time, not the track's, and the gap shows in the time stamps.
            return if is_loss && !is_video {
                PadProbeReturn::Drop
            } else {
                PadProbeReturn::Ok
            };
        }
        let Some(buffer) = info.buffer_mut() else {
            return PadProbeReturn::Ok;
        };
        let Some((timestamp, frames)) = buffer.map_readable().ok().and_then(|packet| {
            split(&packet)
                .map(|(timestamp, payload)| (timestamp, if is_generic { aac_frames(payload) } else { 1 }))
        }) else {
            return PadProbeReturn::Drop;
        };
        let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
        let (time_ns, is_new) = clock.time_ns(timestamp);
        match (is_video, is_new) {
            (true, true) => outlet.video_arrived(time_ns),
            (true, false) => {}
            (false, _) => outlet.audio_arrived(time_ns + clock.due_after_ns(frames)),
        }
        let time = gstreamer::ClockTime::from_nseconds(time_ns.unsigned_abs());
        let buffer = buffer.make_mut();
        buffer.set_pts(time);
        buffer.set_dts(None);
        PadProbeReturn::Ok
    });
}
