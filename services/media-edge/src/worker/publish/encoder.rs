//! AAC: mixed sound in, raw frames out, each stamped by counting samples. GStreamer's encoders tell nobody their
//! delay, so it is taken off here.
use crate::gst::bus::{BusEvent, watch};
use crate::gst::make;
use crate::worker::event::{Sender, WorkerEvent};
use anyhow::{Result, anyhow};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use media_types::MediaTime;

/// Frames that voaacenc's output lags behind its input: measured by correlation, 1024 of priming and its look-ahead.
const DELAY: MediaTime = MediaTime::from_frames(1600);
/// Samples per channel in one AAC-LC frame.
const FRAME: i64 = 1024;

/// One encoder run. A hole in its input cannot be told to it: the sound handed in must abut.
pub struct Encoder {
    pipeline: gst::Pipeline,
    input: AppSrc,
    /// Instant of the first sample handed in.
    base: Option<MediaTime>,
    frames: i64,
}

impl Encoder {
    /// Starts the encoder; encoded frames and its configuration come as events.
    pub fn start(bitrate: u32, events: &Sender) -> Result<Self> {
        let pipeline = gst::Pipeline::with_name("encode");
        let input = pcm_input();
        let (encoder, parser) = (make("voaacenc")?, make("aacparse")?);
        encoder.set_property("bitrate", i32::try_from(bitrate).unwrap_or(128_000));
        let output = frames_output(events.clone());
        let elements = [
            input.upcast_ref::<gst::Element>(),
            &encoder,
            &parser,
            output.upcast_ref(),
        ];
        pipeline.add_many(elements)?;
        gst::Element::link_many(elements)?;
        let failures = events.clone();
        watch(&pipeline, "encode", move |event| {
            if let BusEvent::Error { element, message, .. } = event {
                // A loop that has ended needs no news.
                failures
                    .try_send(WorkerEvent::EncoderFailed {
                        message: format!("{element}: {message}"),
                    })
                    .ok();
            }
        });
        pipeline.set_state(gst::State::Playing)?;
        Ok(Self {
            pipeline,
            input,
            base: None,
            frames: 0,
        })
    }

    /// Hands in sound that abuts what was handed in before.
    pub fn push(&mut self, start: MediaTime, samples: &[i16]) -> Result<()> {
        let base = *self.base.get_or_insert(start);
        let mut buffer = gst::Buffer::from_slice(
            samples
                .iter()
                .flat_map(|sample| sample.to_le_bytes())
                .collect::<Vec<u8>>(),
        );
        if let Some(buffer) = buffer.get_mut() {
            let pts = u64::try_from((start - base).nanos()).unwrap_or(0);
            buffer.set_pts(gst::ClockTime::from_nseconds(pts));
        }
        self.input
            .push_buffer(buffer)
            .map(|_| ())
            .map_err(|error| anyhow!("encoder takes no sound: {error}"))
    }

    /// Range of the next frame that comes out: counted, not read from a time stamp.
    pub fn next_frame(&mut self) -> Option<(MediaTime, MediaTime)> {
        let start = self.base? + MediaTime::from_frames(self.frames.saturating_mul(FRAME)) - DELAY;
        self.frames += 1;
        Some((start, start + MediaTime::from_frames(FRAME)))
    }

    /// No more sound follows; what is inside still comes out.
    pub fn finish(&self) {
        // An encoder that is gone has nothing left to say.
        self.input.end_of_stream().ok();
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // No network is involved: this returns at once.
        self.pipeline.set_state(gst::State::Null).ok();
    }
}

fn pcm_input() -> AppSrc {
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", 48_000)
        .field("channels", 2)
        // Front left and front right: voaacenc takes stereo with its places named only.
        .field("channel-mask", gst::Bitmask::new(3))
        .build();
    let input = AppSrc::builder()
        .name("pcm")
        .caps(&caps)
        .format(gst::Format::Time)
        .is_live(false)
        .build();
    input.set_max_bytes(0);
    input
}

fn frames_output(events: Sender) -> AppSink {
    let raw = gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("stream-format", "raw")
        .build();
    let output = AppSink::builder()
        .name("aac")
        .caps(&raw)
        .sync(false)
        .enable_last_sample(false)
        .build();
    output.set_property("async", false);
    let mut told = false;
    let new_sample = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if !told && let Some(config) = codec_data(&sample) {
            told = true;
            events
                .send(WorkerEvent::EncoderConfig(config))
                .map_err(|_| gst::FlowError::Eos)?;
        }
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        events
            .send(WorkerEvent::Encoded(map.to_vec().into()))
            .map_err(|_| gst::FlowError::Eos)?;
        Ok(gst::FlowSuccess::Ok)
    };
    output.set_callbacks(AppSinkCallbacks::builder().new_sample(new_sample).build());
    output
}

fn codec_data(sample: &gst::Sample) -> Option<Vec<u8>> {
    let buffer = sample
        .caps()?
        .structure(0)?
        .get::<gst::Buffer>("codec_data")
        .ok()?;
    Some(buffer.map_readable().ok()?.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]
mod tests {
    use super::*;
    use std::{sync::mpsc::sync_channel, time::Duration};

    #[test]
    fn a_second_of_sound_comes_back_as_counted_frames_with_their_configuration() {
        crate::gst::init().unwrap();
        let (events, queue) = sync_channel(1000);
        let mut encoder = Encoder::start(128_000, &events).unwrap();
        for block in 0..25 {
            encoder
                .push(MediaTime::from_millis(5_000 + block * 40), &[100; 1920 * 2])
                .unwrap();
        }
        encoder.finish();
        let (mut configs, mut frames) = (0, 0);
        while let Ok(event) = queue.recv_timeout(Duration::from_secs(2)) {
            match event {
                WorkerEvent::EncoderConfig(config) => {
                    // AAC-LC, 48 kHz, stereo.
                    assert_eq!(config.get(..2), Some(&[0x11, 0x90][..]));
                    configs += 1;
                }
                WorkerEvent::Encoded(_) => frames += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(configs == 1 && (46..=50).contains(&frames), "{configs} {frames}");
        let (start, end) = encoder.next_frame().unwrap();
        assert_eq!((start - MediaTime::from_millis(5_000)).frames(), -1600);
        assert_eq!((end - start).frames(), 1024);
    }
}
