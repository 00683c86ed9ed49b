//! A part built from its Go module: `deploy/tools/<name>` holds a module that pins it and, by its `go.sum`, every
//! source file that goes into it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cache::Cache;
use super::{Tool, hls_js, job};
use crate::binaries;

/// How a part is built.
struct Recipe {
    package: &'static str,
    /// Build tags; empty for none.
    tags: &'static str,
    ldflags: &'static str,
    expected: &'static str,
    /// The module archive lacks generated files, so it is built from a vendor folder into which they are put.
    vendored: bool,
}

const fn recipe(tool: Tool) -> Recipe {
    match tool {
        Tool::MediaMtx => Recipe {
            package: "github.com/bluenviron/mediamtx",
            tags: "",
            ldflags: "-s -w",
            expected: " (about 90 s on 2 cores)",
            vendored: true,
        },
        Tool::Grpcurl => Recipe {
            package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
            tags: "",
            ldflags: "-s -w -X main.version=v1.9.4",
            expected: " (about 60 s on 2 cores)",
            vendored: false,
        },
        Tool::Jaeger => Recipe {
            package: "github.com/jaegertracing/jaeger/cmd/jaeger",
            tags: "",
            ldflags: "-s -w",
            expected: " (about 5 min on 2 cores)",
            vendored: false,
        },
        Tool::Compose => Recipe {
            package: "github.com/docker/compose/v5/cmd",
            tags: "",
            ldflags: "-s -w -X github.com/docker/compose/v5/internal.Version=v5.1.2",
            expected: " (about 45 s on 2 cores)",
            vendored: false,
        },
        Tool::Buildx => Recipe {
            package: "github.com/docker/buildx/cmd/buildx",
            tags: "",
            ldflags: "-s -w -X github.com/docker/buildx/version.Version=v0.33.0",
            expected: " (about 95 s on 2 cores)",
            vendored: false,
        },
        Tool::Prometheus => prometheus("github.com/prometheus/prometheus/cmd/prometheus"),
        Tool::Promtool => prometheus("github.com/prometheus/prometheus/cmd/promtool"),
    }
}

const fn prometheus(package: &'static str) -> Recipe {
    Recipe {
        package,
        // Targets stand in its config: the clients of all clouds that could name some are left out.
        tags: "remove_all_sd",
        ldflags: "-s -w -X github.com/prometheus/common/version.Version=3.13.5",
        expected: " (about 2 min on 2 cores)",
        vendored: false,
    }
}

/// Folder of the module that pins a tool; a project's programs share one.
const fn folder(tool: Tool) -> &'static str {
    match tool {
        Tool::Promtool => Tool::Prometheus.name(),
        Tool::MediaMtx | Tool::Grpcurl | Tool::Jaeger | Tool::Compose | Tool::Buildx | Tool::Prometheus => {
            tool.name()
        }
    }
}

/// Builds and admits the binary; returns the way in words.
pub fn build(tool: Tool, cache: &Cache) -> Result<String> {
    let module = binaries::root()?.join("deploy/tools").join(folder(tool));
    let scratch = cache.scratch(tool)?;
    let folder = scratch.path();
    for file in ["go.mod", "go.sum"] {
        std::fs::copy(module.join(file), folder.join(file))
            .with_context(|| format!("copying {}", module.join(file).display()))?;
    }
    let go = go_version(folder)?;
    let recipe = recipe(tool);
    let log = folder.join("log");
    let mut note = String::new();
    if recipe.vendored {
        note = vendor(folder, &log)?;
    }
    let mut command = go_command(folder);
    command.args([
        "build",
        if recipe.vendored {
            "-mod=vendor"
        } else {
            "-mod=readonly"
        },
    ]);
    command.args([
        "-trimpath",
        "-buildvcs=false",
        "-tags",
        recipe.tags,
        "-ldflags",
        recipe.ldflags,
        "-o",
        "finished",
        recipe.package,
    ]);
    job::run(&mut command, &format!("{tool}: go build"), recipe.expected, &log)?;
    cache.admit(tool, &folder.join("finished"))?;
    Ok(format!("built from its Go module with {go}{note}"))
}

fn go_command(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    command
}

/// The toolchain that Go chooses for this module, or why it has none.
fn go_version(folder: &Path) -> Result<String> {
    let wanted = std::fs::read_to_string(folder.join("go.mod"))
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("go ").map(str::to_owned))
        })
        .unwrap_or_default();
    let output = match go_command(folder).arg("version").output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("go is not installed; Go {wanted} or newer is needed (https://go.dev/dl)")
        }
        Err(error) => return Err(error).context("running go version"),
    };
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // A toolchain before 1.21 does not know that it is too old.
    let usable = output.status.success() && at_least(&said, &wanted);
    if !usable {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let have = if said.is_empty() { why } else { said };
        bail!("Go {wanted} or newer is needed (https://go.dev/dl), here is only: {have}");
    }
    Ok(said.trim_start_matches("go version ").to_owned())
}

/// Whether `go version go1.26.8 linux/amd64` is at least `1.26.0`.
fn at_least(said: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    let have = said
        .split_whitespace()
        .nth(2)
        .unwrap_or_default()
        .trim_start_matches("go");
    numbers(have) >= numbers(wanted)
}

/// Makes the vendor folder and puts the two generated files of MediaMTX into it; returns a remark on them.
fn vendor(folder: &Path, log: &Path) -> Result<String> {
    let mut command = go_command(folder);
    // `-e`: the very files that are missing, and those of another processor, make it complain.
    command.args(["mod", "vendor", "-e"]);
    job::run(&mut command, "mediamtx: fetching modules", "", log)?;
    let mediamtx = folder.join("vendor/github.com/bluenviron/mediamtx/internal");
    std::fs::write(mediamtx.join("core/VERSION"), Tool::MediaMtx.version()).context("writing VERSION")?;
    if cfg!(all(target_os = "linux", target_arch = "aarch64")) {
        camera_placeholder(&mediamtx)?;
    }
    let script = hls_js::fetch(folder, log)?;
    let (bytes, note) = match script {
        Ok(bytes) => (bytes, String::new()),
        Err(why) => {
            let note = format!("without hls.js, so that only the web page of HLS stays empty ({why})");
            job::say(&format!("mediamtx: {note}"));
            (Vec::new(), format!(", {note}"))
        }
    };
    std::fs::write(mediamtx.join("servers/hls/hls.min.js"), bytes).context("writing hls.min.js")?;
    Ok(note)
}

/// On linux/arm64 the camera helper of the Raspberry Pi is embedded; the module archive lacks it and no stack uses it.
fn camera_placeholder(mediamtx: &Path) -> Result<()> {
    let folder = mediamtx.join("staticsources/rpicamera/mtxrpicam_64");
    std::fs::create_dir_all(&folder).context("creating the camera helper's folder")?;
    std::fs::write(folder.join("placeholder"), "").context("writing the camera helper's placeholder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchains_are_compared_by_number() {
        assert!(at_least("go version go1.26.8 linux/amd64", "1.26.0"));
        assert!(at_least("go version go1.27 darwin/arm64", "1.26.0"));
        assert!(!at_least("go version go1.9.1 linux/amd64", "1.26.0"));
        assert!(!at_least("", "1.26.0"));
    }
}
