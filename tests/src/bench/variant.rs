//! Who does the job: ffmpeg, gst-launch, our worker in two modes.

use anyhow::{Context as _, Result};
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// One way to do the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// One ffmpeg a stream: the yardstick.
    Ffmpeg,
    /// One gst-launch a stream.
    GstLaunch,
    /// Our worker and its ingest, with nothing to dub.
    Bypass,
    /// Our worker and its ingest, with the mock dubbing every fragment.
    MockDub,
}

impl Variant {
    /// All, in the order of measuring.
    pub const ALL: [Self; 4] = [Self::Ffmpeg, Self::Bypass, Self::GstLaunch, Self::MockDub];

    /// Whether it is ours.
    pub const fn is_ours(self) -> bool {
        match self {
            Self::Bypass | Self::MockDub => true,
            Self::Ffmpeg | Self::GstLaunch => false,
        }
    }

    /// Word in the ids of its streams.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::GstLaunch => "gst",
            Self::Bypass => "bypass",
            Self::MockDub => "dub",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ffmpeg => "ffmpeg -c:v copy -c:a aac",
            Self::GstLaunch => "gst-launch remux",
            Self::Bypass => "our worker, bypass",
            Self::MockDub => "our worker, mock dub",
        })
    }
}

/// A foreign program at work; killed when dropped.
#[derive(Debug)]
pub struct Peer(Child);

impl Peer {
    /// Has ffmpeg or gst-launch carry `input` to `output`.
    pub fn start(variant: Variant, input: &str, output: &str, log: &Path) -> Result<Self> {
        let mut command = match variant {
            Variant::GstLaunch => gst_launch(input, output),
            Variant::Ffmpeg | Variant::Bypass | Variant::MockDub => ffmpeg(input, output),
        };
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        local_stack::process::die_with_parent(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        Ok(Self(command.spawn().with_context(|| {
            format!("{program} cannot be started: is it installed?")
        })?))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ffmpeg(input: &str, output: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-loglevel",
        "warning",
        "-i",
        input,
    ]);
    command.args(["-c:v", "copy", "-c:a", "aac", "-b:a", "128k", "-f", "flv", output]);
    command
}

fn gst_launch(input: &str, output: &str) -> Command {
    let (source, sink) = (format!("location={input}"), format!("location={output}"));
    let line = [
        "flvmux name=mux streamable=true ! rtmp2sink sync=false SINK",
        "rtmp2src SOURCE ! flvdemux name=demux",
        "demux.video ! QUEUE ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! mux.video",
        "demux.audio ! QUEUE ! aacparse ! avdec_aac ! audioconvert ! audioresample",
        "! audio/x-raw,rate=48000,channels=2 ! voaacenc bitrate=128000 ! aacparse ! mux.audio",
    ]
    .join(" ")
    // A reader gets sound at once and video with the next key frame; a queue of the usual second would stop the demuxer
    // before that.
    .replace("QUEUE", "queue max-size-time=0 max-size-buffers=0");
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(line.split(' ').map(|word| match word {
        "SOURCE" => source.as_str(),
        "SINK" => sink.as_str(),
        word => word,
    }));
    command
}
