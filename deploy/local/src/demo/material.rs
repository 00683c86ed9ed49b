//! What the demo shows: the programme and the Spanish recordings, made on the spot from the speech and music of the
//! Debian packages, and kept for the next demo of the same length.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use media_judge::source::{FixtureSpec, ProgrammeSpec, fixtures, programme};
use tokio::time::{Instant, interval};

use super::finished;
use super::live::Length;
use crate::binaries;
use crate::settings::StackSettings;
use crate::up::say;

/// Between two signs of life.
const SIGN_EVERY: Duration = Duration::from_secs(5);

/// The material of a demo.
#[derive(Debug, Clone)]
pub struct Material {
    /// The programme, H.264 and AAC in FLV.
    pub programme: PathBuf,
    /// Folder of Spanish recordings.
    pub fixtures: PathBuf,
    /// Folder of what this demo writes.
    pub dir: PathBuf,
}

/// Makes what is not there yet.
pub async fn make(settings: &StackSettings, length: Length) -> Result<Material> {
    let dir = match &settings.dir {
        Some(dir) => dir.join("demo"),
        None => binaries::root()?.join(format!(".run/stack-{}/demo", settings.offset)),
    };
    let dir = std::path::absolute(&dir).with_context(|| format!("resolving {}", dir.display()))?;
    std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let seconds = length.programme_seconds();
    let material = Material {
        programme: dir.join(format!("programme-{seconds}.flv")),
        fixtures: dir.join("fixtures"),
        dir,
    };
    let wanted = material.clone();
    let mut making = tokio::task::spawn_blocking(move || make_all(&wanted, seconds));
    let begun = Instant::now();
    let mut sign = interval(SIGN_EVERY);
    sign.tick().await;
    loop {
        tokio::select! {
            made = &mut making => {
                made.context("making the programme")??;
                return Ok(material);
            }
            _ = sign.tick() => say(&format!("  … {} s", begun.elapsed().as_secs())),
        }
    }
}

fn make_all(material: &Material, seconds: u32) -> Result<()> {
    if !material.programme.exists() {
        say(&format!(
            "making a programme of {seconds} s: test card with its clock, English speech, music"
        ));
    }
    finished(&material.programme, |path| {
        let title = "live dubbing demo".to_owned();
        programme(
            path,
            &ProgrammeSpec {
                seconds,
                title,
                ..ProgrammeSpec::default()
            },
        )
    })?;
    finished(&material.fixtures, |path| {
        say("making the Spanish recordings that the mock answers with");
        if path.exists() {
            std::fs::remove_dir_all(path).with_context(|| format!("clearing {}", path.display()))?;
        }
        fixtures(path, &FixtureSpec::default()).map(drop)
    })
}
