//! The output: encoder, order of sending, and the connection to the server. The connection alone is rebuilt when the
//! server fails; encoder and timeline go on.
mod encoder;
mod flv;
mod interleave;
mod sink;

use super::{air::Unit, event::Sender};
use crate::link::frames::VideoConfig;
use anyhow::Result;
use bytes::Bytes;
use encoder::Encoder;
use interleave::{Interleaver, Item};
use media_types::{MediaTime, Tick};
use sink::Sink;
use std::{collections::VecDeque, time::Duration};

/// First wait before a failed output is tried again; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest wait before a failed output is tried again.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A connection that lived this long was a good one: the next wait is short again.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// How long a first connection waits for the configuration of video that the source announced: it comes with the
/// source's first key frame, and x264's own choice is one in 8.3 s at 30 fps.
const VIDEO_WAIT: MediaTime = MediaTime::from_millis(12_000);
/// Group of pictures kept for a rebuilt connection at most.
const GOP_BYTES_MAX: usize = 32 << 20;

/// Publishes one run.
pub struct Publisher {
    url: String,
    events: Sender,
    encoder: Encoder,
    audio_config: Option<Vec<u8>>,
    interleaver: Interleaver,
    video_config: Option<VideoConfig>,
    expects_video: bool,
    /// Since the last key frame, that one included.
    gop: VecDeque<Unit>,
    gop_bytes: usize,
    sink: Option<Sink>,
    sink_since: Tick,
    wants_key: bool,
    origin: Option<MediaTime>,
    generation: u32,
    retry: Duration,
    retry_at: Option<Tick>,
    first_item: Option<MediaTime>,
    ready: Vec<Item>,
    /// Last order was to finish.
    finishing: bool,
}

impl Publisher {
    /// Starts the encoder; the connection is made when there is something to send.
    pub fn new(url: String, aac_bitrate: u32, expects_video: bool, events: &Sender) -> Result<Self> {
        Ok(Self {
            url,
            encoder: Encoder::start(aac_bitrate, events)?,
            events: events.clone(),
            audio_config: None,
            interleaver: Interleaver::default(),
            video_config: None,
            expects_video,
            gop: VecDeque::new(),
            gop_bytes: 0,
            sink: None,
            sink_since: Tick::default(),
            wants_key: true,
            origin: None,
            generation: 0,
            retry: RETRY_FIRST,
            retry_at: None,
            first_item: None,
            ready: Vec::new(),
            finishing: false,
        })
    }

    /// Whether video is to be waited for at the start.
    pub fn expect_video(&mut self, expected: bool) {
        self.expects_video = expected;
    }

    /// Video will come, in this configuration: the output can begin before the first key frame is due.
    pub fn announce_video(&mut self, config: &VideoConfig) {
        if self.sink.is_none() && self.video_config.is_none() {
            self.video_config = Some(config.clone());
        }
    }

    /// Sound that abuts the last.
    pub fn sound(&mut self, start: MediaTime, samples: &[i16]) -> Result<()> {
        self.encoder.push(start, samples)
    }

    /// An access unit is due.
    pub fn video(&mut self, unit: Unit) {
        self.interleaver.video(unit, &mut self.ready);
    }

    /// Decoder configuration of the encoder's output.
    pub fn encoder_config(&mut self, config: Vec<u8>) {
        self.audio_config = Some(config);
    }

    /// An encoded frame.
    pub fn encoded(&mut self, frame: Bytes) {
        if let Some((start, end)) = self.encoder.next_frame() {
            self.interleaver.audio(start, end, frame, &mut self.ready);
        }
    }

    /// Sends what is ready, and connects where there is no connection.
    pub fn flush(&mut self, now: Tick) {
        if self.ready.is_empty() && !self.finishing {
            return;
        }
        let items = std::mem::take(&mut self.ready);
        let mut tags = Vec::with_capacity(items.len() + 4);
        for item in items {
            self.first_item.get_or_insert(item.dts());
            if let Item::Video(Unit {
                config: Some(config), ..
            }) = &item
            {
                if self.video_config.is_none() && self.sink.is_some() {
                    tracing::info!("a picture joins the sound: the output is connected anew");
                    self.close();
                }
                self.video_config = Some(config.clone());
            }
            if self.sink.is_none() {
                self.open(now, item.dts(), &mut tags);
            }
            self.remember(&item);
            if self.sink.is_some() {
                self.tag(&item, &mut tags);
            }
        }
        self.send(now, tags);
    }

    fn remember(&mut self, item: &Item) {
        let Item::Video(unit) = item else { return };
        if unit.key {
            self.gop.clear();
            self.gop_bytes = 0;
        }
        if unit.key || !self.gop.is_empty() {
            self.gop_bytes += unit.data.len();
            self.gop.push_back(unit.clone());
        }
        if self.gop_bytes > GOP_BYTES_MAX {
            self.gop.clear();
            self.gop_bytes = 0;
        }
    }

    /// Starts a connection whose next item lies at `at`. The last group of pictures goes first, so that a rebuilt
    /// output shows a picture at once; without one, pictures wait for a key frame. A server fixes its tracks at the
    /// start of a connection, so the first one waits a little for a picture that the source announced.
    fn open(&mut self, now: Tick, at: MediaTime, tags: &mut Vec<Vec<u8>>) {
        let Some(audio_config) = self.audio_config.clone() else {
            return;
        };
        let waited = at - self.first_item.unwrap_or(at);
        let wait_for_video = self.expects_video && self.video_config.is_none() && waited < VIDEO_WAIT;
        if wait_for_video || self.finishing || self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return;
        }
        self.generation += 1;
        match Sink::start(&self.url, self.generation, &self.events) {
            Ok(sink) => self.sink = Some(sink),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "output does not start");
                self.back_off(now);
                return;
            }
        }
        let origin = self.gop.front().map_or(at, |unit| unit.dts.min(at));
        let video = self.video_config.is_some();
        tracing::info!(
            connection = self.generation,
            origin_ms = origin.millis(),
            video,
            "publishing"
        );
        self.origin = Some(origin);
        self.sink_since = now;
        self.wants_key = self.gop.is_empty();
        tags.clear();
        tags.push(flv::metadata(self.video_config.as_ref()));
        if let Some(config) = &self.video_config {
            tags.push(flv::video_config(0, &config.codec_data));
        }
        tags.push(flv::audio_config(0, &audio_config));
        for unit in std::mem::take(&mut self.gop) {
            self.tag(
                &Item::Video(Unit {
                    config: None,
                    ..unit.clone()
                }),
                tags,
            );
            self.gop.push_back(unit);
        }
    }

    fn tag(&mut self, item: &Item, tags: &mut Vec<Vec<u8>>) {
        let Some(origin) = self.origin else { return };
        let Ok(timestamp) = u32::try_from((item.dts() - origin).millis()) else {
            // In front of the first picture of this connection: it has no time stamp there.
            return;
        };
        match item {
            Item::Audio(_, frame) => tags.push(flv::audio(timestamp, frame)),
            Item::Video(unit) => {
                if self.wants_key && !unit.key {
                    return;
                }
                self.wants_key = false;
                if let Some(config) = &unit.config {
                    tags.push(flv::video_config(timestamp, &config.codec_data));
                }
                let composition = (unit.pts - origin).millis() - (unit.dts - origin).millis();
                tags.push(flv::video(
                    timestamp,
                    i32::try_from(composition).unwrap_or(0),
                    unit.key,
                    &unit.data,
                ));
            }
        }
    }

    fn send(&mut self, now: Tick, tags: Vec<Vec<u8>>) {
        let Some(sink) = &self.sink else { return };
        if tags.is_empty() {
            return;
        }
        if sink.is_stuck() {
            self.failed(now, sink.generation(), "the server takes nothing any more");
        } else if let Err(error) = sink.push(tags) {
            self.failed(now, sink.generation(), &format!("{error:#}"));
        }
    }

    fn back_off(&mut self, now: Tick) {
        self.retry_at = Some(now.after(self.retry));
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// A connection failed. News of an older one is no news.
    pub fn failed(&mut self, now: Tick, generation: u32, message: &str) -> bool {
        if self
            .sink
            .as_ref()
            .is_none_or(|sink| sink.generation() != generation)
        {
            return false;
        }
        tracing::warn!(connection = generation, reason = message, "output lost");
        if now.since(self.sink_since) >= GOOD_AFTER {
            self.retry = RETRY_FIRST;
        }
        self.close();
        self.back_off(now);
        true
    }

    fn close(&mut self) {
        self.sink = None;
        self.origin = None;
    }

    /// No more sound and no more video follow.
    pub fn finish_sound(&mut self) {
        self.encoder.finish();
    }

    /// Sends what is left and ends the connection in an orderly way; true when there is one to wait for.
    pub fn finish(&mut self, now: Tick) -> bool {
        self.interleaver.finish(&mut self.ready);
        self.flush(now);
        self.finishing = true;
        match &self.sink {
            Some(sink) => {
                sink.finish();
                true
            }
            None => false,
        }
    }

    /// Whether the output is connected and takes what it is given.
    pub fn is_publishing(&self, now: Tick) -> bool {
        self.sink.as_ref().is_some_and(Sink::is_flowing)
            && now.since(self.sink_since) > Duration::from_millis(500)
    }

    /// Run time that carries PTS 0 on this connection.
    pub fn origin(&self) -> Option<MediaTime> {
        self.origin
    }

    /// Connections so far.
    pub fn starts(&self) -> u32 {
        self.generation
    }
}
