//! Publishers: ffmpeg sends a clip in real time, packets untouched.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a clip is published.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PublishOptions {
    /// Times that the clip is repeated (-1: for ever). Each repetition is a seam in the time stamps of a stream with
    /// B-frames; a clip that is long enough is better.
    pub repeat: i32,
    /// Starts this far into the clip, at the key frame before.
    pub start_s: f64,
    /// Ends after this long.
    pub seconds: Option<f64>,
    /// Where ffmpeg's messages go; nowhere when unset.
    pub log: Option<PathBuf>,
}

/// The arguments of the ffmpeg that publishes `clip` to an `rtmp://`, `rtsp://` or `srt://` address.
pub fn arguments(clip: &Path, url: &str, options: &PublishOptions) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = [
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-loglevel",
        "warning",
        "-re",
    ]
    .map(OsString::from)
    .to_vec();
    let mut push = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    if options.repeat != 0 {
        push(&["-stream_loop", &options.repeat.to_string()]);
    }
    if options.start_s > 0.0 {
        push(&["-ss", &options.start_s.to_string()]);
    }
    if let Some(seconds) = options.seconds {
        push(&["-t", &seconds.to_string()]);
    }
    arguments.push("-i".into());
    arguments.push(clip.into());
    let scheme = url.split("://").next().unwrap_or_default();
    let format: &[&str] = match scheme {
        "rtmp" | "rtmps" => &["-f", "flv", "-flvflags", "no_duration_filesize"],
        "rtsp" | "rtsps" => &["-f", "rtsp", "-rtsp_transport", "tcp"],
        "srt" => &["-f", "mpegts"],
        other => bail!("no publisher for {other}://, known are rtmp, rtsp and srt"),
    };
    arguments.extend(["-map", "0", "-c", "copy"].map(OsString::from));
    arguments.extend(format.iter().map(OsString::from));
    arguments.push(url.into());
    Ok(arguments)
}

/// The address at which MediaMTX takes a stream over SRT.
pub fn srt_publish_url(host: &str, port: u16, path: &str) -> String {
    format!("srt://{host}:{port}?streamid=publish:{path}&pkt_size=1316")
}

/// A running publisher; killed when dropped.
#[derive(Debug)]
pub struct Publisher {
    child: Child,
}

impl Publisher {
    /// Starts publishing.
    pub fn start(clip: &Path, url: &str, options: &PublishOptions) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command
            .args(arguments(clip, url, options)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        match &options.log {
            Some(path) => command.stderr(File::create(path)?),
            None => command.stderr(Stdio::null()),
        };
        Ok(Self {
            child: command
                .spawn()
                .context("ffmpeg cannot be started: is it installed?")?,
        })
    }

    /// The process, for tests that stop or freeze it themselves.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit, once it has ended (end of the clip, or dropped by the server).
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end of the clip.
    pub fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("the publisher is still running after {at_most:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in order (the server sees the stream unpublished), by force after two seconds.
    pub fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        // An error here means that it has ended already.
        let _ = kill(pid, Signal::SIGINT);
        let _ = self.wait(Duration::from_secs(2));
        Ok(())
    }

    /// Kills it at once, as a lost machine would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
