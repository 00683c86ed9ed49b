//! The bench: what our worker costs beside ffmpeg and gst-launch, on one MediaMTX, in one run.
//!
//! * Every variant does the same job: pull a stream by RTMP, leave H.264 as it is, decode AAC, encode AAC, publish by
//!   RTMP. Publishers send pre-encoded material, so that nothing but the job costs anything.
//! * The variants of one number of streams follow each other, so that a busy machine is busy for all of them.
//! * Cost is read from the kernel's accounts of exactly the processes that do the job; latency from the arrival of
//!   the same access unit at a reader of the input and at a reader of the output.
//! * A figure past its bar is a word in the table, never a failed run.

mod cell;
mod config;
mod procfs;
mod table;
mod variant;

pub use config::{Config, PROGRAM, SETTINGS};

use crate::{Live, scratch};
use anyhow::{Context as _, Result};
use media_judge::source::{self, AudioSpec, ProgrammeSpec};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use variant::Variant;

/// From the first publisher to the last figure, besides hold and measured time: a slow machine with many streams.
const CLIP_MARGIN: Duration = Duration::from_secs(40);

/// Runs everything and prints the table on standard output.
pub fn run(config: &Config) -> Result<()> {
    // Two threads: a reader that is waited for must not hold up the calls to the services.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime")?;
    let rows = runtime.block_on(measure(config))?;
    let text = table::render(config, &rows);
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("writing the table")
}

async fn measure(config: &Config) -> Result<Vec<cell::Row>> {
    say("making the clip: speech over music, 720p30 at 2.5 Mbit/s, AAC at 128 kbit/s");
    let clip = clip(config)?;
    let hold = config.hold_text();
    let fragment = format!("{}ms", config.fragment().as_millis());
    let settings = [
        ("WORKER_STS_MODE", "passthrough"),
        ("WORKER_BUFFER_TARGET", hold.as_str()),
        ("WORKER_FRAGMENT_TARGET_DUR", fragment.as_str()),
        ("WORKER_STS_PROVIDER", "mock"),
        ("DUBBER_MOCK_MODE", "tone"),
        ("DUBBER_MOCK_DELAY", "100ms"),
        ("ORCH_GRACE_PERIOD", "0s"),
        ("LOG_LEVEL", "info"),
    ];
    let live = Live::start("bench", &settings).await?;
    let mut rows = Vec::new();
    let begun = Instant::now();
    for streams in &config.streams {
        for variant in Variant::ALL {
            say(&format!(
                "{:>4} s  {streams} x {variant}",
                begun.elapsed().as_secs()
            ));
            let bench = cell::Cell {
                live: &live,
                clip: &clip,
                config,
                variant,
                streams: *streams,
            };
            let measured = bench
                .run()
                .await
                .with_context(|| format!("{streams} x {variant}"))?;
            rows.extend(measured);
        }
    }
    live.stack.stop().await;
    Ok(rows)
}

/// Speech over music, as a codec meets it: a nearly silent clip would make encoders look cheap.
fn clip(config: &Config) -> Result<PathBuf> {
    let seconds = config.measured + config.hold + CLIP_MARGIN;
    let spec = ProgrammeSpec {
        seconds: u32::try_from(seconds.as_secs()).unwrap_or(u32::MAX),
        audio: AudioSpec {
            bitrate: "128k".into(),
            ..AudioSpec::default()
        },
        title: "bench".into(),
        ..ProgrammeSpec::default()
    };
    let name = format!("bench-programme-{}s.flv", spec.seconds);
    source::cached(&scratch().join("clips"), &name, |out| {
        source::programme(out, &spec)
    })
    .context("making the clip; `make prepare` installs the speech and the music that it needs")
}

/// A line for the person who waits. A closed terminal is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
