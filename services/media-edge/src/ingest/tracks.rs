//! From a demuxer's pads to the [`Outlet`]: what to pass on, what to decode, what to let fall.
//!
//! - The first video and the first audio track are taken; every other pad ends in a fakesink, since an unlinked one
//!   stops some demuxers.
//! - No queues: the demuxer's thread carries a buffer to the socket.
use super::Event;
use super::clock_watch::Track;
use super::outlet::Outlet;
use crate::gst::make;
use gstreamer::prelude::*;
use gstreamer::{Caps, CapsRef, Element, FlowError, FlowSuccess, Pad, Pipeline};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Builds the branches of one pipeline as its pads appear.
pub(super) struct Tracks {
    pipeline: gstreamer::glib::WeakRef<Pipeline>,
    outlet: Arc<Outlet>,
    video_taken: AtomicBool,
    audio_taken: AtomicBool,
}

/// What becomes of a pad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    /// Elements between the pad and the video's sink.
    Video(Vec<&'static str>),
    /// Elements between the pad and the conversion of decoded audio.
    Audio(Vec<&'static str>),
    /// Video that cannot be passed on.
    Refused(String),
    /// Nothing of ours.
    Ignored(String),
}

impl Tracks {
    /// For the pads of `pipeline`.
    pub fn new(pipeline: &Pipeline, outlet: Arc<Outlet>) -> Arc<Self> {
        let (video_taken, audio_taken) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self {
            pipeline: pipeline.downgrade(),
            outlet,
            video_taken,
            audio_taken,
        })
    }

    /// Links a pad as `branch` says. A failure is told, and the pad ends in a fakesink.
    pub fn adopt(&self, pad: &Pad, branch: Branch) {
        let Some(pipeline) = self.pipeline.upgrade() else {
            return;
        };
        let built = match &branch {
            Branch::Video(elements) if !self.video_taken.swap(true, Ordering::Relaxed) => self
                .video(&pipeline, pad, elements)
                .map(|()| self.outlet.found(Track::Video)),
            Branch::Audio(elements) if !self.audio_taken.swap(true, Ordering::Relaxed) => self
                .audio(&pipeline, pad, elements)
                .map(|()| self.outlet.found(Track::Audio)),
            Branch::Video(_) | Branch::Audio(_) => {
                tracing::info!(pad = %pad.name(), "one track of a kind is taken, this one is not");
                discard(&pipeline, pad)
            }
            Branch::Refused(problem) => {
                self.outlet.tell(Event::Unsupported(problem.clone()));
                discard(&pipeline, pad)
            }
            Branch::Ignored(caps) => {
                tracing::warn!(pad = %pad.name(), caps, "track is of no use here");
                self.outlet.tell(Event::Ignored(caps.clone()));
                discard(&pipeline, pad)
            }
        };
        if let Err(error) = built {
            self.outlet
                .tell(Event::Broken(format!("cannot link {}: {error:#}", pad.name())));
        }
    }

    fn video(&self, pipeline: &Pipeline, pad: &Pad, elements: &[&str]) -> anyhow::Result<()> {
        let outlet = self.outlet.clone();
        let sink = sink(move |sample| match (sample.caps_owned(), sample.buffer_owned()) {
            (Some(caps), Some(buffer)) => outlet.video(&caps, buffer),
            (_, _) => Ok(()),
        });
        if !elements.is_empty() {
            let avc = Caps::builder("video/x-h264")
                .field("stream-format", "avc")
                .field("alignment", "au")
                .build();
            sink.set_caps(Some(&avc));
        }
        chain(pipeline, pad, elements, sink.upcast())
    }

    fn audio(&self, pipeline: &Pipeline, pad: &Pad, elements: &[&str]) -> anyhow::Result<()> {
        let outlet = self.outlet.clone();
        let sink = sink(move |sample| {
            sample
                .buffer_owned()
                .map_or(Ok(()), |buffer| outlet.audio(buffer))
        });
        let pcm = Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("rate", 48_000)
            .field("channels", 2)
            .field("layout", "interleaved")
            .build();
        sink.set_caps(Some(&pcm));
        let elements = [elements, &["audioconvert", "audioresample"]].concat();
        chain(pipeline, pad, &elements, sink.upcast())
    }
}

/// Decoder of a track that is no RTP.
pub(super) fn branch(caps: &CapsRef) -> Branch {
    let Some(structure) = caps.structure(0) else {
        return Branch::Ignored("nothing".into());
    };
    let name = structure.name().as_str();
    let version = structure.get::<i32>("mpegversion").unwrap_or(0);
    match name {
        "video/x-h264" => Branch::Video(vec!["h264parse"]),
        "audio/mpeg" if version == 1 => Branch::Audio(vec!["mpegaudioparse", "avdec_mp3"]),
        "audio/mpeg" => Branch::Audio(vec!["aacparse", "avdec_aac"]),
        "audio/x-opus" => Branch::Audio(vec!["opusdec"]),
        "audio/x-ac3" | "audio/ac3" => Branch::Audio(vec!["ac3parse", "avdec_ac3"]),
        "audio/x-alaw" => Branch::Audio(vec!["alawdec"]),
        "audio/x-mulaw" => Branch::Audio(vec!["mulawdec"]),
        "audio/x-raw" => Branch::Audio(Vec::new()),
        _ if name.starts_with("video/") => {
            Branch::Refused(format!("video is {name}, only H.264 is passed on"))
        }
        _ => Branch::Ignored(caps.to_string()),
    }
}

fn sink(take: impl Fn(gstreamer::Sample) -> Result<(), FlowError> + Send + 'static) -> AppSink {
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
            take(sample).map(|()| FlowSuccess::Ok)
        })
        .build();
    AppSink::builder()
        .callbacks(callbacks)
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .drop_out_of_segment(false)
        .max_buffers(0)
        .build()
}

fn chain(pipeline: &Pipeline, pad: &Pad, elements: &[&str], sink: Element) -> anyhow::Result<()> {
    let mut made = elements
        .iter()
        .map(|factory| make(factory))
        .collect::<Result<Vec<_>, _>>()?;
    for convert in made.iter().filter(|element| element.has_property("dithering")) {
        // Dither would be noise that the source does not have, and costs a random number per sample.
        convert.set_property_from_str("dithering", "none");
    }
    for depay in made
        .iter()
        .filter(|element| element.has_property("wait-for-keyframe"))
    {
        depay.set_property("wait-for-keyframe", true);
    }
    made.push(sink);
    pipeline.add_many(&made)?;
    Element::link_many(&made)?;
    for element in made.iter().rev() {
        element.sync_state_with_parent()?;
    }
    let first = made.first().and_then(|element| element.static_pad("sink"));
    pad.link(&first.ok_or_else(|| anyhow::anyhow!("no sink pad"))?)?;
    Ok(())
}

fn discard(pipeline: &Pipeline, pad: &Pad) -> anyhow::Result<()> {
    let sink = make("fakesink")?;
    sink.set_property("sync", false);
    sink.set_property("async", false);
    sink.set_property("enable-last-sample", false);
    chain(pipeline, pad, &[], sink)
}
