//! A stream on air in the stack: a publisher on this machine, a reader on this machine, and what the services tell.

use super::Bench;
use crate::felt::Pictures;
use crate::republisher::Republisher;
use anyhow::{Context as _, Result};
use dub_proto::edge::v1::{Fate, Worker};
use media_judge::Recorder;
use media_judge::live::RecordOptions;
use media_judge::source::ClipSpec;
use std::path::PathBuf;
use std::time::Duration;

/// A second.
pub const SECOND: Duration = Duration::from_secs(1);
/// What the worker holds back, as [`super::project::Setup::coded`] says.
pub const HOLD: Duration = Duration::from_secs(6);
/// From a publisher's start to the first picture of `/out`, besides the hold.
pub const START: Duration = Duration::from_secs(15);

/// A clip of flashes and beeps; each variant differs from the others in every picture.
pub fn clip(seconds: u32, variant: u32) -> Result<PathBuf> {
    let mut spec = ClipSpec::small(seconds);
    if let Some(video) = spec.video.as_mut() {
        video.variant = variant;
    }
    crate::flash_beep(&spec, "flv")
}

/// Whether the dub of a fragment behind `seq` was heard in full.
pub fn dubbed_after(worker: &Worker, seq: u64) -> bool {
    worker
        .recent_fragments
        .iter()
        .any(|fragment| fragment.fragment_seq > seq && fragment.fate() == Fate::Success)
}

/// A stream on air.
pub struct OnAir {
    /// Its id.
    pub id: String,
    /// Its publisher, which connects again when it is thrown out.
    pub publisher: Republisher,
    /// A reader of `/out`.
    pub reader: Recorder,
    /// Pictures of the clip that is published first.
    pub first: Pictures,
    /// Pictures of the clip that is published after every lost connection.
    pub then: Pictures,
}

impl OnAir {
    /// Publishes to a stream and waits for its output, and for the first fragment whose dub was heard.
    pub async fn start(bench: &Bench, id: &str, seconds: u32) -> Result<Self> {
        let (first, then) = (clip(seconds, 0)?, clip(seconds, 1)?);
        let pictures = (Pictures::of(&first)?, Pictures::of(&then)?);
        let publisher = Republisher::start(first, then, bench.services.input(id))?;
        let reader = read(bench, id, id, HOLD + START)?;
        reader
            .wait_for_picture(HOLD + START)
            .with_context(|| format!("{id}: no picture at /out"))?;
        let dubbed = |worker: &Worker| dubbed_after(worker, 0);
        bench.services.worker_when(id, HOLD + START, dubbed).await?;
        Ok(Self {
            id: id.to_owned(),
            publisher,
            reader,
            first: pictures.0,
            then: pictures.1,
        })
    }

    /// Ends the publisher and the worker.
    pub async fn end(self, bench: &Bench) -> Result<()> {
        drop(self.publisher);
        drop(self.reader);
        leave(bench, &self.id).await
    }
}

/// Reads `/out` of a stream into a file; waits up to `patience` for the stream to appear.
pub fn read(bench: &Bench, id: &str, file: &str, patience: Duration) -> Result<Recorder> {
    let options = RecordOptions {
        retry_for: patience,
        ..RecordOptions::default()
    };
    let out = bench.project.dir.join(format!("{file}.flv"));
    Recorder::start(&bench.services.output(id), Some(&out), options)
}

/// Ends the worker of a stream whose publisher has gone, so that the next drill meets a quiet stack.
pub async fn leave(bench: &Bench, id: &str) -> Result<()> {
    bench.services.stop_stream(id).await?;
    bench.services.worker_gone(id, HOLD + START).await.map(|_| ())
}
