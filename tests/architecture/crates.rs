//! Who may depend on whom, and what the pure folder keeps out.

use crate::tree::{expect_none, files, root, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// A → B, for several A.
type Arrows = &'static [(&'static str, &'static [&'static str])];

/// A → B: crate A may depend on crate B. What is neither here nor in [`TEST_ARROWS`] is not allowed.
const ARROWS: Arrows = &[
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
            "gemini-live",
            "gemini-session",
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

/// A → B: the tests of crate A may use crate B, and A itself may not.
const TEST_ARROWS: Arrows = &[
    // The service that it calls.
    ("dubber", &["gemini-twin"]),
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

/// Whether a list has this arrow.
fn has(arrows: Arrows, from: &str, to: &str) -> bool {
    arrows
        .iter()
        .any(|(crate_name, allowed)| *crate_name == from && allowed.contains(&to))
}

/// Crates of ours that a crate depends on without an arrow.
fn strays(package: &Value, ours: &BTreeSet<&str>) -> Vec<String> {
    let from = name(package);
    let mut found = Vec::new();
    for dependency in package["dependencies"].as_array().expect("dependencies") {
        let (to, in_tests) = (name(dependency), dependency["kind"] == "dev");
        let is_allowed = has(ARROWS, from, to) || (in_tests && has(TEST_ARROWS, from, to));
        if ours.contains(to) && !is_allowed {
            let place = if in_tests { " in tests" } else { "" };
            found.push(format!("{from} → {to}{place}"));
        }
    }
    found
}

#[test]
fn crates_depend_only_on_the_crates_that_the_arrows_allow() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    let problems: Vec<String> = packages
        .iter()
        .flat_map(|package| strays(package, &ours))
        .collect();
    expect_none(
        &problems,
        "take the dependency out, or, if the arrow is right, add it to ARROWS or TEST_ARROWS in \
         tests/architecture/crates.rs and to the picture in specs/ARCHITECTURE.md",
    );
}

#[test]
fn the_twin_is_for_the_tests_of_the_dubber_alone() {
    let ours = BTreeSet::from(["dubber", "gemini-twin"]);
    let found = |kind: Value| {
        let twin = json!({"name": "gemini-twin", "kind": kind});
        strays(&json!({"name": "dubber", "dependencies": [twin]}), &ours)
    };
    assert_eq!(found(json!("dev")), Vec::<String>::new());
    for kind in [Value::Null, json!("build")] {
        assert_eq!(found(kind), ["dubber → gemini-twin"]);
    }
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
