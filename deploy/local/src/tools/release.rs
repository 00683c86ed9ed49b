//! A part from its project's own release page: a binary in an archive, or the binary itself.
//!
//! No digest is pinned here: the archive is checked against the checksum file that the project publishes beside it.
//! That finds a damaged or truncated download, not a release page that someone else controls. Whoever needs that
//! builds the Go module, whose every source file is pinned by the committed `go.sum`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::{PROMETHEUS_SAYS, Tool, job};

/// What to download.
#[derive(Debug, PartialEq, Eq)]
struct Release {
    /// Folder of the release.
    base: String,
    /// What is downloaded.
    archive: String,
    /// The file of checksums beside it.
    checksums: String,
    /// Where in the archive, a gzipped tar, the binary lies; nothing when the download is the binary.
    member: Option<String>,
}

/// Names as the projects' own release scripts make them.
fn release(tool: Tool, os: &str, arch: &str) -> Result<Release> {
    let arch = match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no release archive is known for {other}"),
    };
    let os = match os {
        "linux" => "linux",
        "macos" => "darwin",
        other => bail!("no release archive is known for {other}"),
    };
    Ok(match tool {
        Tool::MediaMtx => Release {
            base: "https://github.com/bluenviron/mediamtx/releases/download/v1.20.1".to_owned(),
            archive: format!("mediamtx_v1.20.1_{os}_{arch}.tar.gz"),
            checksums: "checksums.sha256".to_owned(),
            member: Some("mediamtx".to_owned()),
        },
        Tool::Grpcurl => {
            let os = if os == "darwin" { "osx" } else { os };
            let arch = if arch == "amd64" { "x86_64" } else { arch };
            Release {
                base: "https://github.com/fullstorydev/grpcurl/releases/download/v1.9.4".to_owned(),
                archive: format!("grpcurl_1.9.4_{os}_{arch}.tar.gz"),
                checksums: "grpcurl_1.9.4_checksums.txt".to_owned(),
                member: Some("grpcurl".to_owned()),
            }
        }
        Tool::Jaeger => Release {
            base: "https://github.com/jaegertracing/jaeger/releases/download/v2.13.0".to_owned(),
            archive: format!("jaeger-2.13.0-{os}-{arch}.tar.gz"),
            checksums: "jaeger-2.13.0.sha256sum.txt".to_owned(),
            member: Some(format!("jaeger-2.13.0-{os}-{arch}/jaeger")),
        },
        Tool::Compose => {
            let arch = if arch == "amd64" { "x86_64" } else { "aarch64" };
            Release {
                base: "https://github.com/docker/compose/releases/download/v5.1.2".to_owned(),
                archive: format!("docker-compose-{os}-{arch}"),
                checksums: "checksums.txt".to_owned(),
                member: None,
            }
        }
        Tool::Buildx => Release {
            base: "https://github.com/docker/buildx/releases/download/v0.33.0".to_owned(),
            archive: format!("buildx-v0.33.0.{os}-{arch}"),
            checksums: "checksums.txt".to_owned(),
            member: None,
        },
        Tool::Prometheus | Tool::Promtool => {
            let version = PROMETHEUS_SAYS;
            let folder = format!("prometheus-{version}.{os}-{arch}");
            Release {
                base: format!("https://github.com/prometheus/prometheus/releases/download/v{version}"),
                archive: format!("{folder}.tar.gz"),
                checksums: "sha256sums.txt".to_owned(),
                member: Some(format!("{folder}/{}", tool.name())),
            }
        }
    })
}

/// Downloads, checks, unpacks and admits the binary; returns the way in words.
pub fn fetch(tool: Tool, cache: &Cache) -> Result<String> {
    let Release {
        base,
        archive,
        checksums,
        member,
    } = release(tool, std::env::consts::OS, std::env::consts::ARCH)?;
    let scratch = cache.scratch(tool)?;
    let log = scratch.path().join("log");
    download(&format!("{base}/{checksums}"), scratch.path(), &log)?;
    download(&format!("{base}/{archive}"), scratch.path(), &log)?;
    let listed = std::fs::read_to_string(scratch.path().join(&checksums)).context("reading the checksums")?;
    let wanted =
        digest_of(&listed, &archive).with_context(|| format!("{checksums} does not list {archive}"))?;
    let bytes = std::fs::read(scratch.path().join(&archive)).context("reading the archive")?;
    let found = hex(&Sha256::digest(&bytes));
    if wanted != found {
        bail!("{archive}: sha256 is {found}, {checksums} says {wanted}");
    }
    if let Some(member) = &member {
        let mut tar = Command::new("tar");
        tar.arg("-xzf")
            .arg(&archive)
            .arg(member)
            .current_dir(scratch.path());
        job::run(&mut tar, "unpacking", "", &log)?;
    }
    cache.admit(tool, &scratch.path().join(member.as_ref().unwrap_or(&archive)))?;
    Ok(format!(
        "release {archive}, sha256 {found} as its {checksums} says"
    ))
}

fn download(url: &str, folder: &Path, log: &Path) -> Result<()> {
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--location",
        "--silent",
        "--show-error",
        "--connect-timeout",
        "10",
        "--remote-name",
    ])
    .args([
        "--speed-limit",
        "1024",
        "--speed-time",
        "30",
        "--proto",
        "=https",
        url,
    ])
    .current_dir(folder);
    let name = url.rsplit('/').next().unwrap_or(url);
    job::run(&mut curl, &format!("downloading {name}"), "", log)
}

/// The digest of `file` in lines of `digest  name` or `digest *name`.
fn digest_of(listed: &str, file: &str) -> Option<String> {
    listed.lines().find_map(|line| {
        let (digest, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim().trim_start_matches('*').trim_start_matches("./");
        (name == file).then(|| digest.to_ascii_lowercase())
    })
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_supported_machine_has_an_archive_of_every_part() {
        for tool in Tool::ALL {
            for os in ["linux", "macos"] {
                for arch in ["x86_64", "aarch64"] {
                    let release = release(tool, os, arch).unwrap();
                    assert_eq!(release.member.is_some(), release.archive.ends_with(".tar.gz"));
                }
            }
        }
        assert!(release(Tool::MediaMtx, "linux", "riscv64").is_err());
    }

    #[test]
    fn a_digest_is_found_in_both_ways_of_writing_it() {
        let listed = "AB12  a.tar.gz\ncd34 *b.tar.gz\n";
        assert_eq!(digest_of(listed, "a.tar.gz").as_deref(), Some("ab12"));
        assert_eq!(digest_of(listed, "b.tar.gz").as_deref(), Some("cd34"));
        assert_eq!(digest_of(listed, "c.tar.gz"), None);
    }
}
