//! Makers of test programmes: clips with marks that the judges know, and speech for demos.

pub mod clip;
pub mod programme;
pub mod speech;

pub use clip::{AudioCodec, AudioSpec, Channels, ClipSpec, VideoSpec, coded_noise, flash_beep};
pub use programme::{ProgrammeSpec, programme};
pub use speech::{FixtureSpec, fixtures};

use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Makes `dir/name` once and gives it to everyone who asks, also to processes that ask at the same time. A name must
/// say everything that the content depends on.
pub fn cached(dir: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(name);
    let lock = File::create(dir.join(format!(".{name}.lock")))?;
    lock.lock()?;
    if !path.exists() {
        // The extension stays: ffmpeg chooses the container by it.
        let unfinished = dir.join(format!(".making-{name}"));
        make(&unfinished)?;
        std::fs::rename(&unfinished, &path)?;
    }
    lock.unlock()?;
    Ok(path)
}
