//! Where things lie: the root of the repository, our binaries, the configuration of the real parts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Our binaries that a stack starts or hands to a part.
pub const OURS: [&str; 4] = ["orchestrator", "media-edge", "dubber", "mtx-hook"];

/// Folder that holds `deploy/mediamtx/mediamtx.yml`, looked for upwards from the current folder, then from this
/// executable.
pub fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("reading the current folder")?;
    let program = std::env::current_exe().unwrap_or_default();
    here.ancestors()
        .chain(program.ancestors())
        .find(|folder| folder.join("deploy/mediamtx/mediamtx.yml").is_file())
        .map(Path::to_path_buf)
        .with_context(|| {
            format!(
                "no deploy/mediamtx/mediamtx.yml above {}; run this inside the clone",
                here.display()
            )
        })
}

/// Finds all of [`OURS`] in one folder, or says how to build them.
pub fn folder(said: Option<&Path>) -> Result<PathBuf> {
    let candidates = match said {
        Some(folder) => vec![folder.to_path_buf()],
        None => candidates(),
    };
    let missing_in = |folder: &Path| -> Vec<&str> {
        OURS.iter()
            .copied()
            .filter(|name| !folder.join(name).is_file())
            .collect()
    };
    if let Some(found) = candidates.iter().find(|folder| missing_in(folder).is_empty()) {
        // A part is started from wherever the supervisor stands: a relative program path would depend on that.
        return std::path::absolute(found).with_context(|| format!("resolving {}", found.display()));
    }
    let first = candidates.first().cloned().unwrap_or_default();
    let release = if first.ends_with("release") {
        " --release"
    } else {
        ""
    };
    bail!(
        "missing binaries: {} (looked in {}); build them with `cargo build{release} -p orchestrator -p media-edge -p dubber -p mtx-hook` \
         or name their folder in STACK_BIN_DIR",
        missing_in(&first).join(", "),
        candidates
            .iter()
            .map(|folder| folder.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    );
}

/// The folder of this executable, or its parent for a test (`target/debug/deps/…`), then the usual build folders.
fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        if folder.ends_with("deps") || folder.ends_with("examples") {
            found.extend(folder.parent().map(Path::to_path_buf));
        }
        found.push(folder.to_path_buf());
    }
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        found.push(PathBuf::from(target).join(profile));
    }
    if let Ok(root) = root() {
        found.push(root.join("target").join(profile));
    }
    found.dedup();
    found
}

/// Another binary of ours beside those of `folder`, such as `media-judge`.
pub fn beside(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{} is missing; build it with `cargo build -p {name}`",
            path.display()
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_without_our_binaries_is_refused_with_the_build_command() {
        let empty = tempfile::tempdir().unwrap();
        let said = folder(Some(empty.path())).unwrap_err().to_string();
        assert!(
            said.contains("cargo build -p orchestrator") && said.contains("STACK_BIN_DIR"),
            "{said}"
        );
    }

    #[test]
    fn a_folder_with_all_of_them_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in OURS {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(folder(Some(dir.path())).unwrap(), dir.path());
    }

    #[test]
    fn the_root_is_found_from_inside_the_repository() {
        assert!(root().unwrap().join("deploy/mediamtx/mediamtx.yml").is_file());
    }
}
