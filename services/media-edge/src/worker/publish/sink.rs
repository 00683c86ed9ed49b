//! One connection to the output: FLV tags in, RTMP out. It fails on its own and is replaced on its own.
use crate::gst::bus::{BusEvent, watch};
use crate::gst::make;
use crate::worker::event::{Sender, WorkerEvent};
use anyhow::{Result, anyhow};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSrc;

/// Bytes that may wait for the network: some seconds of video. More means that the server takes nothing any more.
const BACKLOG_BYTES_MAX: u64 = 24 << 20;

/// A running connection.
pub struct Sink {
    pipeline: gst::Pipeline,
    input: AppSrc,
    generation: u32,
}

impl Sink {
    /// Starts to connect; what is pushed meanwhile waits.
    pub fn start(url: &str, generation: u32, events: &Sender) -> Result<Self> {
        let pipeline = gst::Pipeline::with_name(&format!("publish-{generation}"));
        let input = AppSrc::builder()
            .name("tags")
            .caps(&gst::Caps::new_empty_simple("video/x-flv"))
            .format(gst::Format::Time)
            .is_live(false)
            .build();
        input.set_max_bytes(0);
        let output = make("rtmp2sink")?;
        output.set_property("name", "rtmp");
        output.set_property("location", url);
        output.set_property("sync", false);
        output.set_property("async", false);
        output.set_property("enable-last-sample", false);
        pipeline.add_many([input.upcast_ref::<gst::Element>(), &output])?;
        input.link(&output)?;
        let events = events.clone();
        watch(&pipeline, "publish", move |event| {
            let event = match event {
                BusEvent::Error { element, message, .. } => WorkerEvent::OutputFailed {
                    generation,
                    message: format!("{element}: {message}"),
                },
                BusEvent::EndOfStream => WorkerEvent::OutputFinished,
                BusEvent::Warning { .. } => WorkerEvent::OutputWarned,
                BusEvent::StateChanged { .. } => return,
            };
            // A loop that has ended needs no news; one that is full learns of a dead output by its backlog.
            events.try_send(event).ok();
        });
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| anyhow!("output does not start: {error}"))?;
        Ok(Self {
            pipeline,
            input,
            generation,
        })
    }

    /// The how-manieth connection this is.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Sends tags in one go.
    pub fn push(&self, tags: Vec<Vec<u8>>) -> Result<()> {
        let mut list = gst::BufferList::new_sized(tags.len());
        if let Some(list) = list.get_mut() {
            for tag in tags {
                list.add(gst::Buffer::from_slice(tag));
            }
        }
        self.input
            .push_buffer_list(list)
            .map(|_| ())
            .map_err(|error| anyhow!("output takes nothing: {error}"))
    }

    /// Whether the server has stopped to take anything.
    pub fn is_stuck(&self) -> bool {
        self.input.current_level_bytes() > BACKLOG_BYTES_MAX
    }

    /// Whether everything pushed so far was taken.
    pub fn is_flowing(&self) -> bool {
        self.input.current_level_bytes() < BACKLOG_BYTES_MAX / 16
    }

    /// No more tags follow.
    pub fn finish(&self) {
        // A connection that is gone has nothing left to send.
        self.input.end_of_stream().ok();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let pipeline = self.pipeline.clone();
        // Closing a stuck RTMP connection can block for its time-out; the air does not wait for it.
        let closer = std::thread::Builder::new()
            .name("close-output".to_owned())
            .spawn(move || {
                pipeline.set_state(gst::State::Null).ok();
            });
        if let Err(error) = closer {
            tracing::warn!(%error, "no thread to close the output");
        }
    }
}
