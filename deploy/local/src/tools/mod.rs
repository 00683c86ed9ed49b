//! Real parts of a pinned version: MediaMTX, which every stack needs, grpcurl and Jaeger, which tests and demo use, and
//! what the test of the containers asks for: plugins of a Docker engine, Prometheus and its rule checker.
//!
//! Each is looked for in the same order: its setting (`MEDIAMTX_BIN`, …), PATH if the version there is the pinned one,
//! the cache, its release archive, its Go module. What is fetched or built lands in the cache, keyed by version, by
//! an atomic rename and under a lock, so that two processes may ask at the same time.

mod cache;
mod go_module;
mod hls_js;
mod job;
mod release;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use service_kit::settings::Env;

pub use cache::Cache;

/// Prometheus' tag as a Go module, and the version that it stands for.
const PROMETHEUS: &str = "v0.313.5";
const PROMETHEUS_SAYS: &str = "3.13.5";

/// A real part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The media server.
    MediaMtx,
    /// The gRPC command line client.
    Grpcurl,
    /// The trace store.
    Jaeger,
    /// Docker's plugin `compose`.
    Compose,
    /// Docker's plugin `buildx`.
    Buildx,
    /// The metrics store.
    Prometheus,
    /// The checker of its rules.
    Promtool,
}

/// A part that is at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its binary.
    pub path: PathBuf,
    /// Where it came from, for a person to read.
    pub way: String,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MediaMtx,
        Self::Grpcurl,
        Self::Jaeger,
        Self::Compose,
        Self::Buildx,
        Self::Prometheus,
        Self::Promtool,
    ];
    /// What stack, demo and tests on this machine use.
    pub const LOCAL: [Self; 3] = [Self::MediaMtx, Self::Grpcurl, Self::Jaeger];

    /// Name of its binary in the cache.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MediaMtx => "mediamtx",
            Self::Grpcurl => "grpcurl",
            Self::Jaeger => "jaeger",
            Self::Compose => "compose",
            Self::Buildx => "buildx",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
        }
    }

    /// Pinned version of its Go module. Jaeger's 2.13.0 and Prometheus' 3.x are tagged under other numbers there.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::MediaMtx => "v1.20.1",
            Self::Grpcurl => "v1.9.4",
            Self::Jaeger => "v1.76.0",
            Self::Compose => "v5.1.2",
            Self::Buildx => "v0.33.0",
            Self::Prometheus | Self::Promtool => PROMETHEUS,
        }
    }

    /// Setting that names a binary to use as it is; what only the test of the containers uses has none.
    #[must_use]
    pub const fn setting(self) -> Option<&'static str> {
        match self {
            Self::MediaMtx => Some("MEDIAMTX_BIN"),
            Self::Grpcurl => Some("GRPCURL_BIN"),
            Self::Jaeger => Some("JAEGER_BIN"),
            Self::Compose | Self::Buildx | Self::Prometheus | Self::Promtool => None,
        }
    }

    /// How it is asked for its version, and what the answer of the pinned one contains; nothing for plugins, which do
    /// not lie on PATH.
    const fn version_answer(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::MediaMtx => Some(("--version", "v1.20.1")),
            Self::Grpcurl => Some(("-version", "v1.9.4")),
            Self::Jaeger => Some(("version", "2.13.0")),
            Self::Prometheus | Self::Promtool => Some(("--version", PROMETHEUS_SAYS)),
            Self::Compose | Self::Buildx => None,
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.version())
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tool| tool.name() == text)
            .ok_or_else(|| {
                format!(
                    "no tool {text:?}; tools are {}",
                    Self::ALL.map(Self::name).join(", ")
                )
            })
    }
}

/// The setting that names a binary, and what it says.
fn named(tool: Tool, env: &Env) -> Option<(&'static str, &str)> {
    let setting = tool.setting()?;
    Some((setting, env.get(setting)?))
}

/// Looks for a part without fetching or building anything.
#[must_use]
pub fn find(tool: Tool, env: &Env) -> Option<Found> {
    if let Some((setting, said)) = named(tool, env) {
        let path = PathBuf::from(said);
        return path.is_file().then(|| Found {
            path,
            way: format!("named by {setting}"),
        });
    }
    if let Some(path) = on_path(tool, env) {
        return Some(Found {
            path,
            way: "found on PATH in the pinned version".to_owned(),
        });
    }
    let path = Cache::of(env).ok()?.binary(tool);
    path.is_file().then(|| Found {
        path,
        way: "taken from the cache".to_owned(),
    })
}

/// Finds a part, or fetches or builds it, and says on stderr which way it took.
///
/// # Errors
/// When no way leads to it, with every way that was tried and the remedy.
pub fn ensure(tool: Tool, env: &Env) -> Result<Found> {
    if let Some((setting, said)) = named(tool, env).filter(|(_, said)| !Path::new(said).is_file()) {
        bail!("{setting}={said}: no such file; unset it, or name the binary of {tool}");
    }
    if let Some(found) = find(tool, env) {
        warn_of_other_version(tool, &found);
        return Ok(found);
    }
    let cache = Cache::of(env)?;
    let _lock = cache.lock(tool)?;
    // Another process may have finished it while this one waited for the lock.
    let path = cache.binary(tool);
    if path.is_file() {
        return Ok(Found {
            path,
            way: "taken from the cache".to_owned(),
        });
    }
    cache.clear_leftovers(tool)?;
    job::say(&format!("{tool}: not at hand, trying its release archive"));
    let not_released = match release::fetch(tool, &cache) {
        Ok(way) => return Ok(Found { path, way }),
        Err(error) => format!("{error:#}"),
    };
    job::say(&format!("{tool}: {not_released}; building its Go module instead"));
    match go_module::build(tool, &cache) {
        Ok(way) => Ok(Found { path, way }),
        Err(error) => bail!(
            "{tool} cannot be had.\n  release archive: {not_released}\n  Go module: {error:#}\n  remedy: put a {tool} binary \
             {}, or repair one of the two ways",
            tool.setting().map_or_else(
                || format!("at {}", path.display()),
                |setting| format!("anywhere and name it in {setting}")
            )
        ),
    }
}

/// The first binary of that name on PATH, if it is of the pinned version.
fn on_path(tool: Tool, env: &Env) -> Option<PathBuf> {
    let path = env
        .get("PATH")
        .map(str::to_owned)
        .or_else(|| std::env::var("PATH").ok())?;
    let found = std::env::split_paths(OsStr::new(&path))
        .map(|folder| folder.join(tool.name()))
        .find(|file| file.is_file())?;
    let (_, wanted) = tool.version_answer()?;
    version_of(tool, &found)
        .is_some_and(|answer| answer.contains(wanted))
        .then_some(found)
}

fn version_of(tool: Tool, path: &Path) -> Option<String> {
    let (flag, _) = tool.version_answer()?;
    let output = Command::new(path).arg(flag).output().ok()?;
    let both = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&both).trim().to_owned())
}

/// A binary that someone named is used whatever it is, but not silently.
fn warn_of_other_version(tool: Tool, found: &Found) {
    if tool != Tool::MediaMtx || !found.way.starts_with("named by") {
        return;
    }
    let answer = version_of(tool, &found.path).unwrap_or_else(|| "no version".to_owned());
    if !answer.contains(tool.version()) {
        job::say(&format!(
            "warning: {tool} is {}, which answers {answer}; this stack is made for {}",
            found.way,
            tool.version()
        ));
    }
}

/// Puts the named parts into the cache, or those of a local stack, and says which way each took.
pub fn prepare(tools: &[Tool], env: &Env) -> Result<()> {
    let tools = if tools.is_empty() { &Tool::LOCAL[..] } else { tools };
    for tool in tools {
        let found = ensure(*tool, env).with_context(|| format!("preparing {tool}"))?;
        job::say(&format!("{tool}: {} ({})", found.way, found.path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn script(folder: &Path, name: &str, says: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho {says}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn env(path: &Path, cache: &Path) -> Env {
        Env::from_pairs([
            ("PATH", path.to_str().unwrap()),
            ("DUB_CACHE_DIR", cache.to_str().unwrap()),
        ])
    }

    #[test]
    fn a_binary_on_path_is_taken_only_in_the_pinned_version() {
        let (bin, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = script(bin.path(), "mediamtx", "v1.19.0");
        assert_eq!(find(Tool::MediaMtx, &env(bin.path(), cache.path())), None);
        script(bin.path(), "mediamtx", "v1.20.1");
        assert_eq!(
            find(Tool::MediaMtx, &env(bin.path(), cache.path())).unwrap().path,
            path
        );
    }

    #[test]
    fn a_cached_binary_is_keyed_by_its_version() {
        let (bin, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let env = env(bin.path(), dir.path());
        let path = Cache::of(&env).unwrap().binary(Tool::Grpcurl);
        assert!(path.to_str().unwrap().contains("v1.9.4"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(find(Tool::Grpcurl, &env).unwrap().path, path);
    }

    #[test]
    fn a_named_binary_that_does_not_exist_is_refused_with_its_setting() {
        let said = ensure(
            Tool::MediaMtx,
            &Env::from_pairs([("MEDIAMTX_BIN", "/nowhere/mediamtx")]),
        )
        .unwrap_err();
        assert!(
            said.to_string().contains("MEDIAMTX_BIN=/nowhere/mediamtx"),
            "{said}"
        );
    }
}
