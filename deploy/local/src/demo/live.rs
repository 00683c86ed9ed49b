//! The programme on air: published, counted down, recorded, until its end or Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use dub_proto::edge::v1::{Fragment, Worker};
use media_judge::live::RecordOptions;
use media_judge::publish::PublishOptions;
use media_judge::{Publisher, Recorder};
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::material::Material;
use super::watch::{self, Watcher};
use super::{STREAM, guide, table};
use crate::Stack;
use crate::up::{Interrupts, say};

/// How long a worker may take from the publisher's start until it runs.
const WORKER_WITHIN: Duration = Duration::from_secs(30);
/// How long `/out` may take beyond the hold: MediaMTX looks at two seconds of media on either side.
const OUT_WITHIN: Duration = Duration::from_secs(30);
/// How long the first packet of `/out` may take once MediaMTX says that it is there.
const FIRST_WITHIN: Duration = Duration::from_secs(15);
/// What is recorded at most; a longer demo goes on unrecorded.
const RECORDED_MAX: Duration = Duration::from_secs(120);
/// What the programme is longer than the demo: start of the worker, the longest usual hold, the judge's margins.
const PROGRAMME_MARGIN: Duration = Duration::from_secs(45);
/// Between two lines of state.
const STATE_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at the worker, which shows its newest 64 fragments: none of 250 ms is missed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long the demo is.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// On air for this long; `None` means until Ctrl-C.
    pub on_air: Option<Duration>,
    /// Recorded for this long.
    pub recorded: Duration,
}

impl Length {
    /// Of what the settings say.
    #[must_use]
    pub fn of(on_air: Option<Duration>) -> Self {
        Self {
            on_air,
            recorded: on_air.unwrap_or(RECORDED_MAX).min(RECORDED_MAX),
        }
    }

    /// How long the programme must be, in seconds. Without an end it is repeated, with a seam behind the recording.
    #[must_use]
    pub fn programme_seconds(self) -> u32 {
        let wanted = self.on_air.unwrap_or(self.recorded) + PROGRAMME_MARGIN;
        u32::try_from(wanted.as_secs()).unwrap_or(u32::MAX)
    }
}

/// A programme that is on air.
pub struct Live {
    publisher: Publisher,
    recorder: Option<Recorder>,
    watcher: Watcher,
    recording: PathBuf,
    since: Instant,
    length: Length,
}

/// What there was to see.
pub struct Shown {
    /// The recording of `/out`.
    pub recording: PathBuf,
    /// The worker as it was at the end.
    pub worker: Worker,
    /// Every fragment that was seen, the oldest first.
    pub fragments: Vec<Fragment>,
    /// How long it was on air.
    pub on_air: Duration,
}

impl Live {
    /// Publishes the programme and returns when it is on air at `/out`.
    pub async fn begin(stack: &Stack, material: &Material, length: Length) -> Result<Self> {
        let ports = stack.ports();
        let (input, output) = (format!("live/{STREAM}/in"), format!("live/{STREAM}/out"));
        say(&format!("publishing the programme to {}", ports.rtmp_url(&input)));
        let options = PublishOptions {
            repeat: if length.on_air.is_none() { -1 } else { 0 },
            log: Some(stack.log_path("publisher")),
            ..PublishOptions::default()
        };
        let publisher = Publisher::start(&material.programme, &ports.rtmp_url(&input), &options)?;
        let mut watcher = Watcher::connect(ports, STREAM).await?;
        let worker = watcher.running_worker(WORKER_WITHIN).await?;
        let hold = watch::hold(&worker);
        say(&format!(
            "a worker runs (run {}); picture and sound are held for {} s so that the dub lands on the lips",
            worker.run_id,
            hold.as_secs_f64()
        ));
        count_down(hold).await;
        watch::path_ready(ports, &output, OUT_WITHIN).await?;
        let recording = material.dir.join("dubbed.flv");
        let options = RecordOptions {
            retry_for: FIRST_WITHIN,
            stop_after: None,
        };
        let recorder = Recorder::start(&ports.rtmp_url(&output), Some(&recording), options)?;
        first_packet(&recorder).await?;
        say(&guide::text(stack, length));
        Ok(Self {
            publisher,
            recorder: Some(recorder),
            watcher,
            recording,
            since: Instant::now(),
            length,
        })
    }

    /// Stays on air until the demo's end or a signal.
    pub async fn until_end(mut self, interrupts: &mut Interrupts) -> Result<Shown> {
        let end = self.length.on_air.map(|length| self.since + length);
        let recorded = self.since + self.length.recorded;
        let mut looks = interval(LOOK_EVERY);
        let mut last_state = Instant::now();
        let mut worker = None;
        loop {
            let at_end = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = interrupts.next() => break,
                () = at_end => break,
                () = sleep_until(recorded), if self.recorder.is_some() && end.is_none_or(|end| recorded < end) => {
                    self.close_recording()?;
                    say("the recording is complete; the programme goes on until Ctrl-C");
                }
                _ = looks.tick() => {
                    worker = self.watcher.look().await?.or(worker);
                    if last_state.elapsed() >= STATE_EVERY && let Some(worker) = &worker {
                        last_state = Instant::now();
                        say(&table::state_line(self.since.elapsed(), worker));
                    }
                    if let Some(status) = self.publisher.ended()? {
                        say(&format!("the publisher ended ({status}): the programme is over"));
                        break;
                    }
                }
            }
        }
        let on_air = self.since.elapsed();
        worker = self.watcher.look().await.unwrap_or_default().or(worker);
        self.close_recording()?;
        self.publisher.stop()?;
        let worker = worker.context("media-edge showed no worker")?;
        Ok(Shown {
            recording: self.recording,
            worker,
            fragments: self.watcher.into_fragments(),
            on_air,
        })
    }

    fn close_recording(&mut self) -> Result<()> {
        match self.recorder.take() {
            Some(recorder) => recorder.stop().map(drop),
            None => Ok(()),
        }
    }
}

/// One line per second near the end, fewer before.
async fn count_down(hold: Duration) {
    let begun = Instant::now();
    for left in (1..=hold.as_secs()).rev() {
        if left <= 5 || left % 5 == 0 {
            say(&format!("  on air in {left} s"));
        }
        sleep_until(begun + hold - Duration::from_secs(left - 1)).await;
    }
}

async fn first_packet(recorder: &Recorder) -> Result<()> {
    let deadline = Instant::now() + FIRST_WITHIN;
    while recorder.last_arrival().is_none() {
        if deadline <= Instant::now() || !recorder.is_running() {
            bail!("/out is published but gives nothing within {FIRST_WITHIN:?}");
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
