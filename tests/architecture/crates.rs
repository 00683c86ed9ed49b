//! Who may depend on whom, and what the pure folder keeps out.

use crate::tree::{expect_none, files, root, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// A → B: crate A may depend on crate B. What is not here is not allowed.
const ARROWS: &[(&str, &[&str])] = &[
    ("media-types", &[]),
    ("audio-dsp", &["media-types"]),
    ("audio-timeline", &["media-types"]),
    ("stream-lifecycle", &["media-types"]),
    ("gemini-live", &[]),
    ("gemini-session", &["media-types", "gemini-live"]),
    ("dub-placement", &["media-types", "audio-timeline", "audio-dsp"]),
    ("speech-activity", &["media-types"]),
    ("dub-proto", &["media-types"]),
    ("service-kit", &[]),
    ("mtx-hook", &[]),
    (
        "media-edge",
        &[
            "media-types",
            "audio-timeline",
            "audio-dsp",
            "dub-placement",
            "speech-activity",
            "dub-proto",
            "service-kit",
        ],
    ),
    (
        "dubber",
        &[
            "media-types",
            "gemini-live",
            "gemini-session",
            "dub-proto",
            "service-kit",
            // In tests: the service that it calls.
            "gemini-twin",
        ],
    ),
    (
        "orchestrator",
        &["media-types", "stream-lifecycle", "dub-proto", "service-kit"],
    ),
    ("media-judge", &[]),
    ("gemini-twin", &[]),
    ("local-stack", &["service-kit", "dub-proto", "media-judge"]),
    (
        "dub-tests",
        &[
            "media-types",
            "audio-dsp",
            "audio-timeline",
            "stream-lifecycle",
            "dub-placement",
            "speech-activity",
            "dub-proto",
            "service-kit",
            "media-edge",
            "dubber",
            "orchestrator",
            "media-judge",
            "gemini-twin",
            "local-stack",
        ],
    ),
];

/// What a crate of `services/core` may use of others. None of these waits, opens a socket, reads a file, asks the time
/// or rolls dice.
const PURE_THIRD_PARTY: &[&str] = &[
    "base64",
    "bytes",
    "realfft",
    "rubato",
    "serde",
    "serde_json",
    "thiserror",
];

/// What `services/core/clippy.toml` has to ban, one of each kind.
const PURE_BANS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::env::var",
    "std::fs::read_to_string",
    "std::fs::write",
    "std::fs::File",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::process::Command",
    "std::sync::Mutex",
];

fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
            "--manifest-path",
        ])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata answers JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a name")
}

/// Every crate that a crate names in its manifest, whatever for.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    package["dependencies"]
        .as_array()
        .expect("dependencies")
        .iter()
        .map(name)
        .collect()
}

#[test]
fn crates_depend_only_on_the_crates_that_the_arrows_allow() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    let mut problems = Vec::new();
    for package in &packages {
        let allowed = ARROWS
            .iter()
            .find(|(from, _)| *from == name(package))
            .map_or(&[][..], |(_, to)| to);
        for used in dependencies(package)
            .intersection(&ours)
            .filter(|used| !allowed.contains(used))
        {
            problems.push(format!("{} → {used}", name(package)));
        }
    }
    expect_none(
        &problems,
        "take the dependency out, or, if the arrow is right, add it to ARROWS in tests/architecture/crates.rs and to \
         the picture in specs/ARCHITECTURE.md",
    );
}

#[test]
fn every_crate_has_its_row_of_arrows_and_every_row_its_crate() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    let rows: BTreeSet<&str> = ARROWS.iter().map(|(from, _)| *from).collect();
    let mut problems: Vec<String> = ours
        .difference(&rows)
        .map(|crate_name| format!("{crate_name} has no row"))
        .collect();
    problems.extend(
        rows.difference(&ours)
            .map(|row| format!("there is no crate {row}")),
    );
    expect_none(
        &problems,
        "bring ARROWS in tests/architecture/crates.rs in line with the workspace",
    );
}

#[test]
fn pure_crates_use_only_third_parties_of_the_list() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    let mut problems = Vec::new();
    let mut seen = 0;
    for package in &packages {
        let manifest = package["manifest_path"].as_str().expect("a path");
        if !manifest.contains("/services/core/") {
            continue;
        }
        seen += 1;
        for used in dependencies(package)
            .difference(&ours)
            .filter(|used| !PURE_THIRD_PARTY.contains(used))
        {
            problems.push(format!("{} uses {used}", name(package)));
        }
    }
    assert!(seen > 0, "no crate found below services/core");
    expect_none(
        &problems,
        "move what needs it out of services/core; a crate that does no input or output, asks no clock and starts no \
         thread may be added to PURE_THIRD_PARTY in tests/architecture/crates.rs",
    );
}

#[test]
fn the_pure_folder_bans_clock_files_sockets_threads_and_locks() {
    let bans = text("services/core/clippy.toml");
    let mut problems: Vec<String> = PURE_BANS
        .iter()
        .filter(|path| !bans.contains(&format!("\"{path}\"")))
        .map(|path| format!("services/core/clippy.toml does not ban {path}"))
        .collect();
    // The nearest file replaces the root's, so its bans on the standard library have to stand there again.
    for line in text("clippy.toml").lines() {
        let Some((_, rest)) = line.split_once("path = \"std::") else {
            continue;
        };
        let path = format!("std::{}", rest.split('"').next().unwrap_or_default());
        if !bans.contains(&format!("\"{path}\"")) {
            problems.push(format!(
                "services/core/clippy.toml does not repeat the root's ban on {path}"
            ));
        }
    }
    expect_none(
        &problems,
        "add the ban, with its reason, to services/core/clippy.toml",
    );
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut problems: Vec<String> = files(&["clippy.toml"])
        .into_iter()
        .filter(|path| path != "clippy.toml" && path != "services/core/clippy.toml")
        .map(|path| format!("{path} replaces the bans of the root"))
        .collect();
    for manifest in files(&["Cargo.toml"]) {
        let content = text(&manifest);
        // The code of `proto` is generated and small; its own part is linted with the defaults.
        if content.contains("[package]")
            && manifest != "proto/Cargo.toml"
            && !content.contains("[lints]\nworkspace = true")
        {
            problems.push(format!("{manifest} does not take the lints"));
        }
    }
    expect_none(
        &problems,
        "write `[lints]` and `workspace = true` into the manifest, and take other clippy.toml files away",
    );
}
