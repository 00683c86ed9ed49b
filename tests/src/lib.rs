//! What every end-to-end test needs: a stack of real processes on ports of its own, clips, publishers, readers and
//! the services' own gRPC. Nothing is judged here.

pub mod coded;
pub mod felt;
pub mod heard;
pub mod http;
pub mod journal;
pub mod processes;
pub mod republisher;
pub mod services;
pub mod talk;

pub mod bench;
pub mod compose;
pub mod rehearsal;
pub mod twin;

pub use http::{http_get, http_post};
pub use services::Services;

use anyhow::Result;
use local_stack::{Builder, Stack};
use media_judge::{
    Publisher, Recorder,
    live::RecordOptions,
    publish::PublishOptions,
    source::{self, ClipSpec},
};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

/// Seed of all coded noise in tests.
pub const NOISE_SEED: u64 = 7;

/// Folder of clips and recordings, kept between tests.
pub fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/e2e")
}

/// A clip with a flash and a beep each second, made once.
pub fn flash_beep(spec: &ClipSpec, extension: &str) -> Result<PathBuf> {
    source::cached(
        &scratch().join("clips"),
        &spec.name("flash-beep", extension),
        |out| source::flash_beep(out, spec),
    )
}

/// A clip with flashes and coded noise, made once.
pub fn coded_noise(spec: &ClipSpec, extension: &str) -> Result<PathBuf> {
    source::cached(
        &scratch().join("clips"),
        &spec.name("coded-noise", extension),
        |out| source::coded_noise(out, spec, NOISE_SEED),
    )
}

/// A stack under test.
pub struct Live {
    /// The processes.
    pub stack: Stack,
    /// Folder of this test's recordings.
    pub dir: PathBuf,
    services: Services,
}

/// The services of the stack are asked as those of any other.
impl Deref for Live {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Live {
    /// Starts a stack with these settings; `name` names its folder.
    pub async fn start(name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(name, settings, false).await
    }

    /// The same, with Jaeger where that is asked for.
    pub async fn start_with(name: &str, settings: &[(&str, &str)], jaeger: bool) -> Result<Self> {
        let mut builder = Stack::builder().jaeger(jaeger);
        for (key, value) in settings {
            builder = builder.env(*key, *value);
        }
        Self::start_in(Self::folder(name)?, builder).await
    }

    /// The empty folder of a test.
    pub fn folder(name: &str) -> Result<PathBuf> {
        let dir = scratch().join(name);
        // What an earlier run left there says nothing about this one.
        std::fs::remove_dir_all(&dir).ok();
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Starts a stack of any build in a test's folder.
    pub async fn start_in(dir: PathBuf, builder: Builder) -> Result<Self> {
        let stack = builder.dir(dir.join("stack")).start().await?;
        Ok(Self {
            services: Services::at(stack.ports()),
            stack,
            dir,
        })
    }

    /// Publishes a clip.
    pub fn publish(&self, clip: &Path, url: &str) -> Result<Publisher> {
        let log = self
            .dir
            .join(format!("publisher-{}.log", self.next_number("publisher")));
        Publisher::start(
            clip,
            url,
            &PublishOptions {
                log: Some(log),
                ..PublishOptions::default()
            },
        )
    }

    fn next_number(&self, stem: &str) -> usize {
        std::fs::read_dir(&self.dir).map_or(0, |entries| {
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(stem))
                .count()
        })
    }

    /// Reads a stream into `<name>.flv` of this test's folder; waits up to `patience` for the stream to appear.
    pub fn record(&self, url: &str, name: &str, patience: Duration) -> Result<Recorder> {
        let out = self.dir.join(format!("{name}.flv"));
        Recorder::start(
            url,
            Some(&out),
            RecordOptions {
                retry_for: patience,
                ..RecordOptions::default()
            },
        )
    }

    /// Lines of a part's log that say ERROR: a human must look, so a test that meets one has failed.
    pub fn error_lines(&self, part: &str) -> Vec<String> {
        let is_error = |line: &&str| line.contains("\"level\":\"error\"");
        self.stack
            .log_text(part)
            .lines()
            .filter(is_error)
            .map(str::to_owned)
            .collect()
    }

    /// The same of all our services.
    pub fn errors_of_services(&self) -> Vec<String> {
        ["orchestrator", "media-edge", "dubber"]
            .into_iter()
            .flat_map(|part| self.error_lines(part))
            .collect()
    }
}
