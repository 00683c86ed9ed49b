//! The cache of real parts, outside the repository: one folder per part and version.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use service_kit::settings::Env;

use super::{Tool, job};

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

impl Cache {
    /// `DUB_CACHE_DIR`, else `$XDG_CACHE_HOME/dub`, else `~/.cache/dub`.
    pub fn of(env: &Env) -> Result<Self> {
        if let Some(dir) = env.get("DUB_CACHE_DIR") {
            let dir = std::path::absolute(dir).with_context(|| format!("DUB_CACHE_DIR={dir}"))?;
            return Ok(Self(dir));
        }
        let base = env
            .get("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env.get("HOME").map(|home| Path::new(home).join(".cache")))
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .context("no cache folder: set DUB_CACHE_DIR")?;
        Ok(Self(base.join("dub")))
    }

    /// Where the binary of a part lies once it is there.
    #[must_use]
    pub fn binary(&self, tool: Tool) -> PathBuf {
        self.tools()
            .join(format!("{}-{}", tool.name(), tool.version()))
            .join(tool.name())
    }

    fn tools(&self) -> PathBuf {
        self.0.join("tools")
    }

    /// Waits for the right to fetch or build a part; the kernel gives it back when the process dies.
    pub fn lock(&self, tool: Tool) -> Result<File> {
        let folder = self.tools();
        std::fs::create_dir_all(&folder).with_context(|| {
            format!(
                "creating {}; set DUB_CACHE_DIR to a folder you may write",
                folder.display()
            )
        })?;
        let path = folder.join(format!(".{}-{}.lock", tool.name(), tool.version()));
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        if file.try_lock().is_err() {
            job::say(&format!("{tool}: another process is preparing it, waiting"));
            file.lock()
                .with_context(|| format!("locking {}", path.display()))?;
        }
        Ok(file)
    }

    /// Deletes scratch folders of attempts that were interrupted. Only the holder of the lock may call this.
    pub fn clear_leftovers(&self, tool: Tool) -> Result<()> {
        let prefix = Self::scratch_prefix(tool);
        for entry in std::fs::read_dir(self.tools()).context("listing the cache")? {
            let entry = entry.context("listing the cache")?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_dir_all(entry.path())
                    .with_context(|| format!("clearing {}", entry.path().display()))?;
            }
        }
        Ok(())
    }

    /// A scratch folder on the same file system, deleted when dropped.
    pub fn scratch(&self, tool: Tool) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(&Self::scratch_prefix(tool))
            .tempdir_in(self.tools())
            .context("creating a scratch folder in the cache")
    }

    fn scratch_prefix(tool: Tool) -> String {
        format!(".scratch-{}-", tool.name())
    }

    /// Moves a finished binary to its place in one step.
    pub fn admit(&self, tool: Tool, finished: &Path) -> Result<()> {
        let place = self.binary(tool);
        let folder = place.parent().context("a binary has a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        make_executable(finished).with_context(|| format!("making {} executable", finished.display()))?;
        std::fs::rename(finished, &place).with_context(|| format!("moving to {}", place.display()))
    }
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
