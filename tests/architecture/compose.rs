//! What `docker-compose.yml` takes from `.env` is declared, and every service in it has the rights and limits of all.

use crate::settings::setting;
use crate::tree::{expect_none, text};
use service_kit::Setting;
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = "docker-compose.yml";
/// What is laid over it to dub at the Gemini twin.
const TWIN_FILE: &str = "deploy/docker-compose.twin.yml";
/// Settings that name a file of the host: the example names none, and compose mounts an empty one.
const FILES: [&str; 4] = [
    "WORKER_GEMINI_API_KEY_FILE",
    "WORKER_GEMINI_VERTEX_CREDENTIALS_FILE",
    "CA_BUNDLE_FILE",
    "TWIN_SCENARIO",
];

/// Settings of the containers: compose puts them in, the scripts of `deploy/tools` take them from the environment.
pub const COMPOSE: &[Setting] = &[
    setting(
        "MEDIA_EDGE_VARIANT",
        "",
        "-slim or empty",
        "Which image of media-edge; -slim has only the plugins in use",
    ),
    setting(
        "MEDIA_EDGE_CPUS",
        "2",
        "cores, at most those of the machine",
        "Cores of media-edge's container",
    ),
    setting(
        "MEDIA_EDGE_MEMORY",
        "4g",
        "bytes with unit",
        "Memory of media-edge's container",
    ),
    setting(
        "CA_BUNDLE_FILE",
        "",
        "a path",
        "Certificates of a proxy that re-signs TLS, for the build of the images and for what the dubber calls",
    ),
    setting(
        "BINARIES",
        "build",
        "build|prebuilt",
        "Whether images compile our programs or take them from deploy/docker/bin",
    ),
    setting(
        "RUST_IMAGE",
        "rust:1.95.0-trixie",
        "an image",
        "What our programs are compiled in",
    ),
    setting(
        "BASE_IMAGE",
        "debian:trixie-slim",
        "an image",
        "Debian image that ours are made from",
    ),
    setting(
        "MEDIAMTX_IMAGE",
        "bluenviron/mediamtx:1.20.1",
        "an image",
        "Image that MediaMTX's binary is taken from",
    ),
    setting(
        "JAEGER_IMAGE",
        "jaegertracing/jaeger:2.21.0",
        "an image",
        "Image that Jaeger's binary is taken from",
    ),
    setting(
        "PROMETHEUS_IMAGE",
        "prom/prometheus:v3.13.5",
        "an image",
        "Image that Prometheus' binary is taken from",
    ),
    setting(
        "COMPOSE_TEST_IMAGES",
        "offline",
        "offline|registry",
        "Whether `make compose-test` makes its base images or pulls them",
    ),
    setting(
        "COMPOSE_TEST_DRILLS",
        "",
        "names, see compose-drills --list",
        "What `make compose-test` runs; empty for all",
    ),
    setting(
        "COMPOSE_TEST_KEEP",
        "0",
        "0|1",
        "1 leaves engine, images and containers of `make compose-test` for its next run",
    ),
    setting(
        "DUB_ENGINE_DIR",
        "/var/lib/dub-engine",
        "a path",
        "Data of the Docker engine that `make compose-test` starts where none answers",
    ),
];

/// Key and default of each `${KEY:-default}` in the compose files.
fn interpolated() -> BTreeMap<String, String> {
    [FILE, TWIN_FILE]
        .map(text)
        .concat()
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .filter_map(|(inside, _)| inside.split_once(":-"))
        .map(|(key, default)| (key.to_owned(), default.to_owned()))
        .collect()
}

/// The blocks of the services of a compose file: name and lines.
fn services(file: &str) -> BTreeMap<String, String> {
    let content = text(file);
    let (_, rest) = content.split_once("\nservices:\n").expect("no services");
    let inside = rest.split("\nvolumes:\n").next().expect("no services");
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in inside.lines() {
        let is_name = line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
        if is_name {
            name = line.trim().trim_end_matches(':').to_owned();
        } else {
            let block = found.entry(name.clone()).or_default();
            block.push_str(line);
            block.push('\n');
        }
    }
    found.remove("");
    found
}

#[test]
fn what_compose_takes_from_the_environment_is_in_the_example_with_the_same_default() {
    let listed: BTreeMap<String, String> = text(".env.example")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut problems: Vec<String> = Vec::new();
    for (key, default) in interpolated() {
        match listed.get(&key) {
            None => problems.push(format!("{key} is not in .env.example")),
            Some(value) if FILES.contains(&key.as_str()) && value.is_empty() => {}
            Some(value) if *value != default => {
                problems.push(format!("{key}: {FILE} has {default:?}, .env.example {value:?}"));
            }
            Some(_) => {}
        }
    }
    let used: BTreeSet<String> = interpolated().into_keys().collect();
    let scripts = [
        "Makefile",
        "deploy/tools/compose-test.sh",
        "deploy/tools/engine.sh",
    ]
    .map(text);
    problems.extend(
        COMPOSE
            .iter()
            .filter(|setting| {
                !used.contains(setting.key) && !scripts.iter().any(|script| script.contains(setting.key))
            })
            .map(|setting| format!("nobody reads {}", setting.key)),
    );
    expect_none(
        &problems,
        "bring docker-compose.yml, .env.example and COMPOSE in line",
    );
}

/// Services that the file of the twin adds; the others in it only say something more of those of the whole.
fn added_by_the_twin() -> BTreeMap<String, String> {
    let known = services(FILE);
    let mut added = services(TWIN_FILE);
    added.retain(|name, _| !known.contains_key(name));
    assert_eq!(added.keys().collect::<Vec<_>>(), ["gemini-twin"]);
    added
}

/// Lines of the block that begins with this line, to the next line that is not indented.
fn anchored(file: &str, first: &str) -> Vec<String> {
    text(file)
        .lines()
        .skip_while(|line| *line != first)
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .map(|line| line.replace("&logging", "").trim_end().to_owned())
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect()
}

#[test]
fn the_file_of_the_twin_hardens_as_the_whole_does() {
    let first = "x-hardened: &hardened";
    let whole = anchored(FILE, first);
    assert!(whole.len() > 6, "{whole:?}");
    // Anchors end with their file, so the block stands in both.
    assert_eq!(anchored(TWIN_FILE, first), whole);
}

#[test]
fn the_file_of_the_twin_keeps_every_real_key_away_from_it() {
    let dubber = &services(TWIN_FILE)["dubber"];
    for line in [
        "WORKER_STS_PROVIDER: gemini-live",
        "WORKER_GEMINI_BASE_URL: http://gemini-twin:50060",
        "WORKER_GEMINI_API_KEY: the-twin-takes-any-key",
        "WORKER_GEMINI_API_KEY_FILE: \"\"",
        "WORKER_GEMINI_VERTEX_PROJECT: \"\"",
        "WORKER_GEMINI_VERTEX_CREDENTIALS_FILE: \"\"",
    ] {
        assert!(dubber.contains(line), "{line} is not in\n{dubber}");
    }
}

#[test]
fn credentials_are_mounted_into_the_dubber_alone() {
    for (name, block) in services(FILE) {
        for secret in ["gemini_api_key", "vertex_credentials"] {
            assert_eq!(block.contains(secret), name == "dubber", "{secret} in {name}");
        }
    }
    // Where a setting names a file of the host, no container looks for that path in itself.
    let all = anchored(FILE, "x-environment: &environment").join("\n");
    for key in [
        "WORKER_GEMINI_API_KEY_FILE",
        "WORKER_GEMINI_VERTEX_CREDENTIALS_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        assert!(all.contains(&format!("{key}: \"\"")), "{key} is not in\n{all}");
    }
}

#[test]
fn every_service_of_compose_has_the_rights_and_limits_of_all() {
    let mut services = services(FILE);
    assert!(services.len() >= 6, "{services:?}");
    services.extend(added_by_the_twin());
    let mut problems = Vec::new();
    for (name, block) in &services {
        if !block.contains("<<: *hardened") && !block.contains("<<: *service") {
            problems.push(format!("{name} is not hardened"));
        }
        if !["limits:", "cpus:", "memory:", "pids:"]
            .iter()
            .all(|word| block.contains(word))
        {
            problems.push(format!("{name} has no limits of CPU, memory and processes"));
        }
        for word in [
            "privileged",
            "cap_add",
            "network_mode",
            "docker.sock",
            "read_only: false",
            "user: root",
            "user: \"0",
        ] {
            if block.contains(word) {
                problems.push(format!("{name}: {word}"));
            }
        }
        let is_media = name == "mediamtx";
        let ports = block.lines().filter_map(|line| line.trim().strip_prefix("- \""));
        for port in
            ports.filter(|line| line.contains(':') && line.starts_with(|first: char| first.is_ascii_digit()))
        {
            if !port.starts_with("127.0.0.1:") && !is_media {
                problems.push(format!("{name}: {port} is open to the network"));
            }
        }
    }
    expect_none(&problems, "see specs/010-containers, section 2");
}
