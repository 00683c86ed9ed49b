//! Reading a live stream: the recorder, and when each packet arrived.
//!
//! Over RTMP ffmpeg's `data` demuxer hands on the FLV that its RTMP client builds, byte for byte: time stamps are those
//! of the wire (milliseconds of the publisher's clock as the server sends them), and no muxer repairs them. Over
//! other protocols ffmpeg remuxes to FLV with `-copyts`: H.264 and AAC only.

use crate::arrivals::{self, Arrival, Kind};
use crate::ffmpeg;
use crate::flv::{self, Avc, Parser, TagKind};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A finished recording.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The FLV file, when one was asked for.
    pub path: Option<PathBuf>,
    /// Every packet in order of arrival.
    pub arrivals: Vec<Arrival>,
    /// Whether the stream ended before it was stopped: the server dropped the reader, or the path went away.
    pub dropped: bool,
    /// What ffmpeg said last.
    pub message: String,
}

/// How a stream is read.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordOptions {
    /// For this long a refused or empty stream is asked for again (the path may not be ready yet).
    pub retry_for: Duration,
    /// Ends by itself after this long.
    pub stop_after: Option<Duration>,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            retry_for: Duration::from_secs(20),
            stop_after: None,
        }
    }
}

#[derive(Default)]
struct State {
    arrivals: Vec<Arrival>,
    child: Option<Child>,
    stopping: bool,
    ended: bool,
    message: String,
    failure: Option<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running reader; ended when dropped.
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    path: Option<PathBuf>,
}

impl Recorder {
    /// Starts reading `url`; the packets also go to the FLV file `out` if one is given.
    pub fn start(url: &str, out: Option<&Path>, options: RecordOptions) -> Result<Self> {
        let file = match out {
            Some(path) => Some(create(path).with_context(|| format!("cannot write {}", path.display()))?),
            None => None,
        };
        let shared = Arc::new(Shared::default());
        let mut reader = Reader {
            shared: shared.clone(),
            url: url.to_owned(),
            options,
            file,
        };
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || reader.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
            path: out.map(Path::to_path_buf),
        })
    }

    /// Packets that have arrived since the `from`th.
    pub fn arrivals_from(&self, from: usize) -> Vec<Arrival> {
        self.shared
            .lock()
            .arrivals
            .get(from..)
            .unwrap_or_default()
            .to_vec()
    }

    /// Wall clock of the first packet.
    pub fn first_arrival(&self) -> Option<SystemTime> {
        let at_ms = self.shared.lock().arrivals.first()?.at_ms;
        Some(UNIX_EPOCH + Duration::from_secs_f64(at_ms / 1000.0))
    }

    /// The newest packet.
    pub fn last_arrival(&self) -> Option<Arrival> {
        self.shared.lock().arrivals.last().copied()
    }

    /// Whether the reader is still connected or trying to be.
    pub fn is_running(&self) -> bool {
        !self.shared.lock().ended
    }

    /// Waits until a packet satisfies `wanted`; those that arrived before count too.
    pub fn wait_for(&self, at_most: Duration, mut wanted: impl FnMut(&Arrival) -> bool) -> Result<Arrival> {
        let until = Instant::now() + at_most;
        let mut seen = 0;
        let mut state = self.shared.lock();
        loop {
            while let Some(arrival) = state.arrivals.get(seen).copied() {
                seen += 1;
                if wanted(&arrival) {
                    return Ok(arrival);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                bail!(
                    "not seen within {at_most:?} among {seen} packets; reader said: {}",
                    state.message
                );
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the first packet of picture.
    pub fn wait_for_picture(&self, at_most: Duration) -> Result<Arrival> {
        self.wait_for(at_most, |arrival| arrival.kind == Kind::Video)
    }

    /// Waits until the stream ends by itself (or `stop_after` has passed).
    pub fn wait_for_end(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut state = self.shared.lock();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Stops and gives what was recorded. A file of arrivals is written beside the recording.
    pub fn stop(mut self) -> Result<Recording> {
        let dropped = self.end();
        let state = self.shared.lock();
        if let Some(failure) = &state.failure {
            bail!("the recording failed: {failure}");
        }
        if let Some(path) = &self.path {
            arrivals::write(&arrivals::sidecar(path), &state.arrivals)?;
        }
        Ok(Recording {
            path: self.path.clone(),
            arrivals: state.arrivals.clone(),
            dropped,
            message: state.message.clone(),
        })
    }

    fn end(&mut self) -> bool {
        let dropped = {
            let mut state = self.shared.lock();
            let dropped = state.ended && !state.stopping;
            state.stopping = true;
            kill(&mut state);
            dropped
        };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        dropped
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Records `url` for `seconds` after its first packet.
pub fn record(url: &str, out: &Path, seconds: f64, options: RecordOptions) -> Result<Recording> {
    let retry_for = options.retry_for;
    let recorder = Recorder::start(url, Some(out), options)?;
    recorder.wait_for(retry_for + Duration::from_secs(5), |_| true)?;
    recorder.wait_for_end(Duration::from_secs_f64(seconds));
    recorder.stop()
}

fn create(path: &Path) -> Result<File> {
    let mut file = File::create(path)?;
    file.write_all(&flv::HEADER)?;
    Ok(file)
}

fn kill(state: &mut State) {
    if let Some(child) = state.child.as_mut() {
        let _ = child.kill();
    }
}

struct Reader {
    shared: Arc<Shared>,
    url: String,
    options: RecordOptions,
    file: Option<File>,
}

impl Reader {
    fn run(&mut self) {
        let started = Instant::now();
        loop {
            let outcome = self.connect_once();
            let mut state = self.shared.lock();
            if let Err(error) = outcome {
                state.message = format!("{error:#}");
                if !state.arrivals.is_empty() {
                    state.failure = Some(state.message.clone());
                }
            }
            let again =
                state.arrivals.is_empty() && !state.stopping && started.elapsed() < self.options.retry_for;
            if !again {
                state.ended = true;
                self.shared.changed.notify_all();
                return;
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// One connection, from its start to its end.
    fn connect_once(&mut self) -> Result<()> {
        let rtmp = self.url.starts_with("rtmp");
        let mut command = ffmpeg::command("warning");
        if rtmp {
            command.args([
                "-f", "data", "-i", &self.url, "-map", "0", "-c", "copy", "-f", "data",
            ]);
        } else {
            if self.url.starts_with("rtsp") {
                command.args(["-rtsp_transport", "tcp"]);
            }
            command.args([
                "-copyts", "-i", &self.url, "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy",
            ]);
            command.args([
                "-avoid_negative_ts",
                "disabled",
                "-flvflags",
                "no_duration_filesize",
                "-f",
                "flv",
            ]);
        }
        command.args(["-flush_packets", "1", "pipe:1"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .context("ffmpeg cannot be started: is it installed?")?;
        let stdout = child.stdout.take().context("no pipe from ffmpeg")?;
        let mut stderr = child.stderr.take().context("no pipe from ffmpeg")?;
        let said = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            ffmpeg::last_lines(&bytes, 4)
        });
        {
            let mut state = self.shared.lock();
            state.child = Some(child);
            if state.stopping {
                kill(&mut state);
            }
        }
        let outcome = self.read(stdout);
        let mut state = self.shared.lock();
        kill(&mut state);
        if let Some(mut child) = state.child.take() {
            let _ = child.wait();
        }
        drop(state);
        self.shared.lock().message = said.join().unwrap_or_default();
        outcome
    }

    fn read(&mut self, mut stdout: ChildStdout) -> Result<()> {
        let mut parser = Parser::default();
        let mut length_size = 4;
        let mut buffer = vec![0u8; 64 * 1024];
        let mut first: Option<Instant> = None;
        loop {
            let count = stdout.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let at_ms = unix_ms();
            let mut arrivals = Vec::new();
            for tag in parser.push(&buffer[..count])? {
                self.keep(&tag)?;
                arrivals.extend(arrival(&tag, at_ms, &mut length_size)?);
            }
            if !arrivals.is_empty() {
                first.get_or_insert_with(Instant::now);
                self.shared.lock().arrivals.extend(arrivals);
                self.shared.changed.notify_all();
            }
            if let (Some(first), Some(limit)) = (first, self.options.stop_after)
                && first.elapsed() >= limit
            {
                self.shared.lock().stopping = true;
                return Ok(());
            }
        }
    }

    fn keep(&mut self, tag: &flv::Tag) -> Result<()> {
        if let Some(file) = self.file.as_mut() {
            file.write_all(&tag.to_bytes())?;
        }
        Ok(())
    }
}

fn arrival(tag: &flv::Tag, at_ms: f64, length_size: &mut usize) -> Result<Option<Arrival>> {
    if let Some(Avc::Config(config)) = tag.avc() {
        *length_size = flv::length_size(config);
    }
    if tag.is_config() {
        return Ok(None);
    }
    let dts_ms = i64::from(tag.dts_ms);
    let mut arrival = Arrival {
        kind: Kind::Audio,
        at_ms,
        dts_ms,
        pts_ms: dts_ms,
        key: false,
        bytes: tag.body.len(),
        hash: 0,
    };
    match tag.kind {
        TagKind::Script => return Ok(None),
        TagKind::Audio => {}
        TagKind::Video => {
            arrival.kind = Kind::Video;
            match tag.avc() {
                Some(Avc::Unit { cts_ms, key, payload }) => {
                    arrival.pts_ms = dts_ms + i64::from(cts_ms);
                    arrival.key = key;
                    arrival.hash = flv::fingerprint(payload, *length_size)?;
                }
                Some(Avc::Config(_) | Avc::End) => return Ok(None),
                None => {}
            }
        }
    }
    Ok(Some(arrival))
}

fn unix_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}
