//! Publishing, recording and probing of live streams.

use super::Out;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use media_judge::arrivals::{self, Arrival};
use media_judge::live::{self, RecordOptions, Recorder};
use media_judge::publish::{self, PublishOptions, Publisher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Subcommand)]
pub enum Live {
    /// Publishes a clip in real time, packets untouched, until it ends.
    Publish {
        /// Clip to publish.
        clip: PathBuf,
        /// rtmp://, rtsp:// or srt:// address.
        url: String,
        /// Repeats the clip this many times (-1: for ever).
        #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
        repeat: i32,
        /// Ends after this many seconds.
        #[arg(long)]
        seconds: Option<f64>,
        /// Prints ffmpeg's arguments and does nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Records a stream to FLV, time stamps as on the wire, arrivals beside it.
    Record {
        #[command(flatten)]
        reading: Reading,
        /// FLV file to write.
        out: PathBuf,
    },
    /// Prints each packet of a stream with the wall clock of its arrival, then the longest silence.
    Arrivals {
        #[command(flatten)]
        reading: Reading,
    },
    /// Latency from one recording to another, unit by unit, by their arrivals.
    Latency {
        /// Recording of the input.
        input: PathBuf,
        /// Recording of the output.
        output: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Reading {
    /// Address to read.
    url: String,
    /// Seconds from the first packet on.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Seconds for which a stream that is not there yet is asked for again.
    #[arg(long, default_value_t = 20.0)]
    retry: f64,
}

impl Reading {
    fn options(&self) -> RecordOptions {
        RecordOptions {
            retry_for: Duration::from_secs_f64(self.retry),
            stop_after: Some(Duration::from_secs_f64(self.seconds)),
        }
    }
}

pub fn run(command: Live, out: &Out) -> Result<bool> {
    match command {
        Live::Publish {
            clip,
            url,
            repeat,
            seconds,
            dry_run,
        } => {
            let options = PublishOptions {
                repeat,
                seconds,
                ..PublishOptions::default()
            };
            if dry_run {
                let words = publish::arguments(&clip, &url, &options)?;
                let words: Vec<String> = words
                    .iter()
                    .map(|word| word.to_string_lossy().into_owned())
                    .collect();
                out.result(&words, |words| format!("ffmpeg {}", words.join(" ")))?;
                return Ok(true);
            }
            let mut publisher = Publisher::start(&clip, &url, &options)?;
            let status = publisher.wait(Duration::from_secs(u64::from(u32::MAX)))?;
            Ok(status.success())
        }
        Live::Record { reading, out: path } => {
            let recording = live::record(&reading.url, &path, reading.seconds, reading.options())?;
            summary(out, &recording.arrivals, recording.dropped)?;
            Ok(true)
        }
        Live::Arrivals { reading } => probe(&reading, out),
        Live::Latency { input, output } => {
            let latency = arrivals::latency(&arrivals::read(&input)?, &arrivals::read(&output)?);
            out.result(&latency, |l| {
                format!(
                    "{} units, p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, worst {:.0} ms",
                    l.units, l.p50_ms, l.p95_ms, l.p99_ms, l.worst_ms
                )
            })?;
            Ok(latency.units > 0)
        }
    }
}

fn probe(reading: &Reading, out: &Out) -> Result<bool> {
    let recorder = Recorder::start(&reading.url, None, reading.options())?;
    let until = Instant::now() + Duration::from_secs_f64(reading.retry + reading.seconds + 5.0);
    let mut seen = 0;
    loop {
        let running = recorder.is_running();
        for arrival in recorder.arrivals_from(seen) {
            seen += 1;
            out.line(&line(&arrival, out.json())?)?;
        }
        if !running || Instant::now() > until {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let recording = recorder.stop()?;
    if recording.arrivals.is_empty() {
        bail!("nothing arrived from {}: {}", reading.url, recording.message);
    }
    summary(out, &recording.arrivals, recording.dropped)?;
    Ok(true)
}

fn line(arrival: &Arrival, json: bool) -> Result<String> {
    if json {
        return serde_json::to_string(arrival).context("an arrival is no JSON");
    }
    let Arrival {
        kind,
        at_ms,
        pts_ms,
        dts_ms,
        key,
        bytes,
        ..
    } = arrival;
    let key = if *key { "key" } else { "" };
    Ok(
        format!("{at_ms:.1} {kind:?} pts {pts_ms} dts {dts_ms} {bytes} bytes {key}")
            .trim_end()
            .to_lowercase(),
    )
}

#[derive(serde::Serialize)]
struct Summary {
    packets: usize,
    dropped: bool,
    longest_silence: arrivals::Silence,
}

fn summary(out: &Out, all: &[Arrival], dropped: bool) -> Result<()> {
    let summary = Summary {
        packets: all.len(),
        dropped,
        longest_silence: arrivals::longest_silence(all, None),
    };
    out.result(&summary, |s| {
        let end = if s.dropped { ", ended by the server" } else { "" };
        format!(
            "{} packets{end}, longest silence {:.0} ms",
            s.packets, s.longest_silence.ms
        )
    })
}
