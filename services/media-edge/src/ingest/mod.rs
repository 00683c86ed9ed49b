//! The disposable child: pulls one source, demuxes, decodes its audio and hands frames to its worker.
//!
//! What it promises and demands:
//! - One line of JSON on standard input is its order ([`IngestOrder`]); the end of standard input is the end of its
//!   worker, and it exits.
//! - Standard output is a socket that carries frames ([`crate::link::frames`]) and nothing else. A full socket blocks
//!   the source; a closed one ends the process.
//! - Time stamps are the source's own, both tracks on one clock. A clock that jumps ends the process, so that both
//!   tracks are anchored anew by a fresh pipeline.
//! - The last frame is `Ended`, unless nobody reads any more. It never restarts anything by itself.
//! - Threads: GStreamer's own, each of which ends in [`outlet::Outlet`]; the caller's, which watches bus and data
//!   ([`run`]); one that reads standard input.
mod align;
mod clock_watch;
mod early_video;
mod outlet;
mod pull;
mod reorder;
mod rtp;
mod run;
mod sps;
mod tracks;
mod wire;

pub use run::{run, run_from_stdin};

use crate::gst::bus::BusEvent;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::BufRead;
use std::time::Duration;

/// How the source is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// RTMP: H.264 and AAC or MP3, both tracks on one clock.
    Rtmp,
    /// RTSP over TCP: any audio that can be decoded; tracks are aligned by arrival.
    Rtsp,
    /// MPEG-TS over SRT.
    Srt,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::Rtsp => "rtsp",
            Self::Srt => "srt",
        })
    }
}

fn default_no_data_timeout_ms() -> u64 {
    10_000
}

/// What to pull, one line of JSON: `{"protocol":"rtmp","url":"rtmp://…","no_data_timeout_ms":10000}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestOrder {
    /// How.
    pub protocol: Protocol,
    /// Where; its scheme is the protocol's.
    pub url: String,
    /// Silence of the source that ends the process, ms.
    #[serde(default = "default_no_data_timeout_ms")]
    pub no_data_timeout_ms: u64,
    /// The server has announced H.264, so its track is waited for, however far the next key frame is.
    #[serde(default)]
    pub expects_video: bool,
}

/// An order that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Standard input cannot be read, or ended before the order.
    #[error("no order on standard input")]
    Missing,
    /// Not an order.
    #[error("order is no valid JSON: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The address is of another protocol.
    #[error("address of an order for {0} begins with another scheme")]
    Scheme(Protocol),
    /// Some elements read options behind a blank.
    #[error("address holds a blank or a control character")]
    Blank,
    /// Out of range.
    #[error("no_data_timeout_ms is {0}, allowed is 1000..600000")]
    Timeout(u64),
}

impl IngestOrder {
    /// With the default limits.
    pub fn new(protocol: Protocol, url: impl Into<String>) -> Self {
        Self {
            protocol,
            url: url.into(),
            no_data_timeout_ms: default_no_data_timeout_ms(),
            expects_video: false,
        }
    }

    /// Reads one line.
    pub fn read(from: &mut impl BufRead) -> Result<Self, OrderError> {
        let mut line = String::new();
        match from.read_line(&mut line) {
            Ok(length) if length > 0 => serde_json::from_str::<Self>(&line)?.checked(),
            Ok(_) | Err(_) => Err(OrderError::Missing),
        }
    }

    fn checked(self) -> Result<Self, OrderError> {
        if !self
            .url
            .strip_prefix(&self.protocol.to_string())
            .is_some_and(|rest| rest.starts_with("://"))
        {
            return Err(OrderError::Scheme(self.protocol));
        }
        if self.url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(OrderError::Blank);
        }
        if !(1_000..=600_000).contains(&self.no_data_timeout_ms) {
            return Err(OrderError::Timeout(self.no_data_timeout_ms));
        }
        Ok(self)
    }

    fn no_data_timeout(&self) -> Duration {
        Duration::from_millis(self.no_data_timeout_ms)
    }
}

/// What the pipeline's threads tell the loop.
#[derive(Debug)]
enum Event {
    Bus(BusEvent),
    TracksKnown,
    Ignored(String),
    Unsupported(String),
    Broken(String),
    ClockJumped(String),
    WorkerGone(String),
    WorkerDied,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_line_with_a_default_limit() {
        let line = "{\"protocol\":\"srt\",\"url\":\"srt://mediamtx:8890?streamid=read:live/a/in\"}\nrest";
        let order = IngestOrder::read(&mut line.as_bytes()).unwrap();
        assert_eq!(
            order,
            IngestOrder::new(Protocol::Srt, "srt://mediamtx:8890?streamid=read:live/a/in")
        );
        assert_eq!(order.no_data_timeout(), Duration::from_secs(10));
    }

    #[test]
    fn a_wrong_order_is_refused_with_its_reason() {
        let problem = |line: &str| IngestOrder::read(&mut line.as_bytes()).unwrap_err().to_string();
        assert!(problem("").contains("no order"));
        assert!(problem("{\"protocol\":\"rtmp\"}\n").contains("url"));
        assert!(problem("{\"protocol\":\"rtmp\",\"url\":\"rtmp://a/b pubUser=x\"}\n").contains("blank"));
        assert!(problem("{\"protocol\":\"rtmp\",\"url\":\"rtsp://a/b\"}\n").contains("rtmp"));
        assert!(
            problem("{\"protocol\":\"rtmp\",\"url\":\"rtmp://a/b\",\"no_data_timeout_ms\":5}\n")
                .contains("1000")
        );
    }
}
