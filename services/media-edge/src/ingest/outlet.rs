//! Where the streaming threads of a pipeline end: buffers become frames and go to the wire.
//!
//! - One lock holds everything of it, so frames of both tracks leave in the order of arrival.
//! - A write may block as long as the worker does not read; the watchdog is told ([`Outlet::idle_for`]).
//! - Video starts at a key frame; its configuration goes in front of it.
use super::align::Aligner;
use super::clock_watch::{ClockWatch, Track};
use super::sps;
use super::wire::Wire;
use super::{Event, Protocol};
use crate::link::frames::{AccessUnit, Connected, Ended, Frame, VideoConfig};
use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer::{BufferFlags, CapsRef, ClockTime, FlowError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// PCM of less than this waits for the next buffer: frames of 2.5 ms would cost a system call each.
const AUDIO_BYTES_MIN: usize = 960 * BYTES_PER_FRAME;
const BYTES_PER_FRAME: usize = 4;
/// Time stamps that stray further from the samples before them leave a gap or overlap.
const AUDIO_STRAY_NS_MAX: i64 = 20_000_000;
const RATE_HZ: i64 = 48_000;
const SECOND_NS: i64 = 1_000_000_000;

struct Inner {
    wire: Wire,
    clock: ClockWatch,
    aligner: Option<Aligner>,
    connected: Connected,
    told: Option<Connected>,
    video_caps: Option<gstreamer::Caps>,
    video_started: bool,
    audio_end_ns: Option<i64>,
    audio_pending: Option<(i64, bool, Vec<u8>)>,
}

/// The end of both tracks.
pub(super) struct Outlet {
    inner: Mutex<Inner>,
    events: SyncSender<Event>,
    born: Instant,
    last_data_ms: AtomicU64,
    has_data: AtomicBool,
    writing: AtomicBool,
}

fn length_ns(bytes: usize) -> i64 {
    i64::try_from(bytes / BYTES_PER_FRAME).unwrap_or(0) * SECOND_NS / RATE_HZ
}

fn ns(time: Option<ClockTime>) -> Option<i64> {
    time.and_then(|time| i64::try_from(time.nseconds()).ok())
}

impl Outlet {
    /// With `aligned` both tracks are put on one clock by their arrivals ([`Aligner`]).
    pub fn new(wire: Wire, protocol: Protocol, aligned: bool, events: SyncSender<Event>) -> Self {
        let inner = Inner {
            wire,
            clock: ClockWatch::default(),
            aligner: aligned.then(Aligner::default),
            connected: Connected {
                protocol: protocol.to_string(),
                has_video: false,
                has_audio: false,
            },
            told: None,
            video_caps: None,
            video_started: false,
            audio_end_ns: None,
            audio_pending: None,
        };
        Self {
            inner: Mutex::new(inner),
            events,
            born: Instant::now(),
            last_data_ms: AtomicU64::new(0),
            has_data: AtomicBool::new(false),
            writing: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our clock: ns since boot.
    pub fn now_ns() -> i64 {
        ns(Some(gstreamer::SystemClock::obtain().time())).unwrap_or(0)
    }

    /// How long nothing has come from the source; zero while the worker makes us wait.
    pub fn idle_for(&self) -> Duration {
        if self.writing.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.born
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last_data_ms.load(Ordering::Relaxed)))
    }

    /// Tells the loop something. A full queue means that it has more than enough to say already.
    pub fn tell(&self, event: Event) {
        drop(self.events.try_send(event));
    }

    fn mark_data(&self) {
        let since_birth = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_data_ms.store(since_birth, Ordering::Relaxed);
    }

    fn send(&self, inner: &mut Inner, frame: &Frame) -> Result<(), FlowError> {
        self.writing.store(true, Ordering::Relaxed);
        let sent = inner.wire.send(frame);
        self.mark_data();
        self.writing.store(false, Ordering::Relaxed);
        sent.map_err(|error| {
            inner.wire.close();
            self.tell(Event::WorkerGone(error.to_string()));
            FlowError::Eos
        })
    }

    fn leave(&self, inner: &mut Inner, frame: Frame) -> Result<(), FlowError> {
        let Some(mut aligner) = inner.aligner.take() else {
            return self.send(inner, &frame);
        };
        let was_settled = aligner.lines_ns().is_some();
        let mut sent = Ok(());
        aligner.push(frame, Self::now_ns(), |frame| {
            if sent.is_ok() {
                sent = self.send(inner, &frame);
            }
        });
        if let (false, Some((video, audio))) = (was_settled, aligner.lines_ns()) {
            tracing::info!(
                video_line_ns = video,
                audio_line_ns = audio,
                "both tracks are on one clock"
            );
        }
        inner.aligner = Some(aligner);
        sent
    }

    fn check_clock(&self, inner: &mut Inner, track: Track, time_ns: i64) -> Result<(), FlowError> {
        if inner.clock.jumped(track, time_ns, Self::now_ns()) {
            self.tell(Event::ClockJumped(format!(
                "{track:?} went to {} ms",
                time_ns / 1_000_000
            )));
            return Err(FlowError::Eos);
        }
        Ok(())
    }

    /// A track was found. The worker is told at once, and once more by [`Outlet::tell_tracks`] when all are known.
    pub fn found(&self, track: Track) {
        let mut inner = self.lock();
        match track {
            Track::Video => inner.connected.has_video = true,
            Track::Audio => inner.connected.has_audio = true,
        }
        drop(inner);
        self.tell_tracks();
    }

    /// Tells the worker which tracks there are, unless it knows.
    pub fn tell_tracks(&self) {
        let mut inner = self.lock();
        if inner.told.as_ref() != Some(&inner.connected) {
            let connected = inner.connected.clone();
            inner.told = Some(connected.clone());
            let _ = self.send(&mut inner, &Frame::Connected(connected));
        }
    }

    /// Whether any track was found.
    pub fn has_tracks(&self) -> bool {
        let inner = self.lock();
        inner.connected.has_video || inner.connected.has_audio
    }

    /// Whether any media came.
    pub fn has_data(&self) -> bool {
        self.has_data.load(Ordering::Relaxed)
    }

    /// A packet of audio arrived that was due at `time_ns`.
    pub fn audio_arrived(&self, time_ns: i64) {
        if let Some(aligner) = &mut self.lock().aligner {
            aligner.audio_arrived(time_ns, Self::now_ns());
        }
    }

    /// The first packet of a picture arrived.
    pub fn video_arrived(&self, pts_ns: i64) {
        if let Some(aligner) = &mut self.lock().aligner {
            aligner.video_arrived(pts_ns, Self::now_ns());
        }
    }

    /// The configuration of a video whose first access unit is still to come.
    pub fn video_caps(&self, caps: &gstreamer::Caps) {
        // What is wrong with it is told, and the next access unit ends the flow.
        let _ = self.configure(&mut self.lock(), caps);
    }

    fn configure(&self, inner: &mut Inner, caps: &gstreamer::Caps) -> Result<(), FlowError> {
        if inner.video_caps.as_ref() == Some(caps) {
            return Ok(());
        }
        let config = video_config(caps).map_err(|problem| {
            self.tell(Event::Unsupported(problem));
            FlowError::NotSupported
        })?;
        inner.video_caps = Some(caps.clone());
        self.leave(inner, Frame::VideoConfig(config))
    }

    /// One access unit.
    pub fn video(&self, caps: &gstreamer::Caps, buffer: gstreamer::Buffer) -> Result<(), FlowError> {
        let mut inner = self.lock();
        let Some(pts_ns) = ns(buffer.pts()).or(ns(buffer.dts())) else {
            return Ok(());
        };
        // Rounding to milliseconds puts some a millisecond behind their PTS.
        let dts_ns = ns(buffer.dts()).unwrap_or(pts_ns).min(pts_ns);
        self.has_data.store(true, Ordering::Relaxed);
        self.mark_data();
        self.check_clock(&mut inner, Track::Video, dts_ns)?;
        let key = !buffer.flags().contains(BufferFlags::DELTA_UNIT);
        self.configure(&mut inner, caps)?;
        if !inner.video_started && !key {
            return Ok(());
        }
        let discontinuity = !inner.video_started || buffer.flags().contains(BufferFlags::DISCONT);
        inner.video_started = true;
        let data = Bytes::from_owner(
            buffer
                .into_mapped_buffer_readable()
                .map_err(|_| FlowError::Error)?,
        );
        self.leave(
            &mut inner,
            Frame::Video(AccessUnit {
                pts_ns,
                dts_ns,
                key,
                discontinuity,
                data,
            }),
        )
    }

    /// Decoded audio in the worker's format.
    pub fn audio(&self, buffer: gstreamer::Buffer) -> Result<(), FlowError> {
        let mut inner = self.lock();
        let Some(pts_ns) = ns(buffer.pts()) else {
            return Ok(());
        };
        self.has_data.store(true, Ordering::Relaxed);
        self.mark_data();
        self.check_clock(&mut inner, Track::Audio, pts_ns)?;
        let strays = inner
            .audio_end_ns
            .is_none_or(|end| (pts_ns - end).abs() > AUDIO_STRAY_NS_MAX);
        inner.audio_end_ns = Some(pts_ns + length_ns(buffer.size()));
        if strays {
            self.send_pending_audio(&mut inner)?;
        }
        if inner.audio_pending.is_none() && buffer.size() >= AUDIO_BYTES_MIN {
            let pcm = Bytes::from_owner(
                buffer
                    .into_mapped_buffer_readable()
                    .map_err(|_| FlowError::Error)?,
            );
            return self.leave(
                &mut inner,
                Frame::Audio {
                    pts_ns,
                    discontinuity: strays,
                    pcm,
                },
            );
        }
        let map = buffer.map_readable().map_err(|_| FlowError::Error)?;
        let (_, _, pcm) = inner
            .audio_pending
            .get_or_insert_with(|| (pts_ns, strays, Vec::new()));
        pcm.extend_from_slice(&map);
        if pcm.len() >= AUDIO_BYTES_MIN {
            self.send_pending_audio(&mut inner)?;
        }
        Ok(())
    }

    fn send_pending_audio(&self, inner: &mut Inner) -> Result<(), FlowError> {
        let Some((pts_ns, discontinuity, pcm)) = inner.audio_pending.take() else {
            return Ok(());
        };
        self.leave(
            inner,
            Frame::Audio {
                pts_ns,
                discontinuity,
                pcm: pcm.into(),
            },
        )
    }

    /// Passes on what the bus said.
    pub fn notice(&self, notice: crate::link::frames::BusNotice) {
        let _ = self.send(&mut self.lock(), &Frame::Notice(notice));
    }

    /// The last word; everything after it is dropped.
    pub fn end(&self, ended: Ended) {
        let mut inner = self.lock();
        let _ = self.send_pending_audio(&mut inner);
        let _ = self.send(&mut inner, &Frame::Ended(ended));
        inner.wire.close();
    }
}

fn video_config(caps: &CapsRef) -> Result<VideoConfig, String> {
    let structure = caps.structure(0).ok_or("video of unknown kind")?;
    if structure.name() != "video/x-h264" {
        return Err(format!("video is {}, only H.264 is passed on", structure.name()));
    }
    let codec_data = structure
        .get::<gstreamer::Buffer>("codec_data")
        .map_err(|_| "H.264 without its parameters")?;
    let codec_data = codec_data
        .map_readable()
        .map_err(|_| "H.264 parameters cannot be read")?
        .to_vec();
    let (width, height) = sps::from_codec_data(&codec_data).map_or((0, 0), |sps| (sps.width, sps.height));
    Ok(VideoConfig {
        codec_data,
        width,
        height,
    })
}
