//! A key that could be anybody's is given to the dubber, and looked for wherever a key must not be.

use super::Bench;
use super::container::Container;
use super::needle::Needle;
use super::procfs::{inside, members};
use super::project::Setup;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Variable of the compose file that names the key's file on this machine.
const VARIABLE: &str = "WORKER_GEMINI_API_KEY_FILE";
/// Where the dubber finds it.
const INSIDE: &str = "run/secrets/gemini_api_key";
/// The one container that may read it.
const READER: &str = "dubber";
/// What gets the key into its environment, to see that the search finds it.
const SPOILED: &str = "jaeger";
/// An image with the key in a layer, to see the same.
const SPOILED_IMAGE: &str = "dub-test/spoiled:latest";

/// The drill.
pub fn run(bench: &mut Bench) -> Result<()> {
    let canary = canary();
    let file = std::path::absolute(bench.project.dir.join("canary.key"))?;
    std::fs::write(&file, &canary)?;
    let outcome = searched(bench, &canary, &file);
    std::fs::remove_file(&file)?;
    outcome
}

fn searched(bench: &mut Bench, canary: &str, file: &Path) -> Result<()> {
    let setup = Setup::default()
        .variable(VARIABLE, &file.display().to_string())
        .profile("demo");
    bench.up(&setup)?;
    dubber_reads_it(bench, canary)?;
    let needle = Needle::new(canary.as_bytes());

    bench
        .verdicts
        .step("looking for the key in containers, processes and logs");
    let places = in_containers(bench, &needle)?;
    bench.verdicts.bar(
        "key in inspect, environ, logs",
        told(&places),
        "nowhere",
        places.is_empty(),
    );
    bench
        .verdicts
        .step("looking for the key in every layer of every image");
    for image in images(bench)? {
        let (found, seen) = in_image(bench, &needle, &image)?;
        let megabytes = seen / 1_000_000;
        bench.verdicts.bar(
            &format!("key in the layers of {image}"),
            format!("{found} times in {megabytes} MB"),
            "0",
            found == 0 && seen > 0,
        );
    }
    spoiled_image(bench, &needle, file)?;
    spoiled_container(bench, &setup, &needle, canary)?;
    bench.project.remove(&["publisher"])?;
    bench.up(&Setup::default()).map(|_| ())
}

/// Every image of ours that is on this machine, and those of containers that run.
fn images(bench: &Bench) -> Result<BTreeSet<String>> {
    let format = "{{.Repository}}:{{.Tag}}";
    let words = ["image", "ls", "--filter", "reference=dub/*", "--format", format];
    let ours = bench.project.docker.ask(&words)?;
    let named = ours.lines().map(str::to_owned);
    let running = bench.project.containers()?;
    let running = running.iter().map(|container| container.image().to_owned());
    Ok(named.chain(running).collect())
}

/// No word that anything else would hold.
fn canary() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("canary-{:x}-{:x}", since.as_nanos(), std::process::id())
}

/// The dubber has the key, says that there is one, and nobody else has it.
fn dubber_reads_it(bench: &mut Bench, canary: &str) -> Result<()> {
    for container in bench.project.containers()? {
        let service = container.service().to_owned();
        let path = inside(container.pid(), INSIDE);
        let has = std::fs::read_to_string(&path).is_ok_and(|text| text == canary);
        let may = service == READER;
        let word = |is: bool| if is { "there" } else { "not there" };
        bench.verdicts.bar(
            &format!("key file in {service}"),
            word(has),
            word(may),
            has == may,
        );
    }
    // At its start the dubber tells what it makes of a key, and of none.
    let log = bench.project.log(&bench.project.container(READER)?)?;
    let line = log
        .lines()
        .find(|line| line.contains("WORKER_GEMINI_API_KEY is set") || line.contains("gemini-live"));
    bench.verdicts.bar(
        "the dubber has read it",
        line.unwrap_or("it says nothing of a key"),
        "it says that a key is set",
        line.is_some(),
    );
    Ok(())
}

/// Places besides images in which the key is found.
fn in_containers(bench: &Bench, needle: &Needle) -> Result<Vec<String>> {
    let mut places = Vec::new();
    for container in bench.project.containers()? {
        let service = container.service();
        if needle.is_in(container.inspected.to_string().as_bytes()) {
            places.push(format!("docker inspect of {service}"));
        }
        let image = bench
            .project
            .docker
            .ask(&["image", "inspect", container.image()])?;
        if needle.is_in(image.as_bytes()) {
            places.push(format!("docker inspect of {}", container.image()));
        }
        if needle.is_in(bench.project.log(&container)?.as_bytes()) {
            places.push(format!("log of {service}"));
        }
        places.extend(in_processes(&container, needle)?);
    }
    for file in log_files(bench)? {
        if needle.is_in(&std::fs::read(&file)?) {
            places.push(format!("log file {}", file.display()));
        }
    }
    Ok(places)
}

fn in_processes(container: &Container, needle: &Needle) -> Result<Vec<String>> {
    let mut places = Vec::new();
    let mut looked = 0;
    for pid in members(container.pid())? {
        // A process of the health check may end under our eyes.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
            continue;
        };
        looked += 1;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if needle.is_in(&environment) {
            places.push(format!("environment of {} ({pid})", container.service()));
        }
        if needle.is_in(&command) {
            places.push(format!("command line of {} ({pid})", container.service()));
        }
    }
    ensure!(
        looked > 0,
        "no environment of {} could be read",
        container.service()
    );
    Ok(places)
}

/// Files of the volume with logs.
fn log_files(bench: &Bench) -> Result<Vec<PathBuf>> {
    let folder = bench
        .project
        .folder_of(&format!("{}_logs", super::project::NAME))?;
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    ensure!(!files.is_empty(), "no log file in {}", folder.display());
    Ok(files)
}

fn in_image(bench: &Bench, needle: &Needle, image: &str) -> Result<(u64, u64)> {
    let mut needle = needle.clone();
    bench
        .project
        .docker
        .stream(&["save", image], |piece| needle.take(piece))?;
    Ok((needle.found(), needle.seen()))
}

/// An image with the key in a layer has to be found out: an engine that packs layers would hide it.
fn spoiled_image(bench: &mut Bench, needle: &Needle, file: &Path) -> Result<()> {
    let folder = file.parent().context("a file without a folder")?;
    let name = file.file_name().context("a file without a name")?;
    let archive = folder.join("spoiled.tar");
    let status = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(&archive)
        .arg(name)
        .status()?;
    ensure!(status.success(), "tar ended with {status}");
    let imported = bench.project.docker.text(
        &["import", &archive.display().to_string(), SPOILED_IMAGE],
        Duration::from_secs(60),
    );
    std::fs::remove_file(&archive)?;
    imported?;
    let searched = in_image(bench, needle, SPOILED_IMAGE);
    bench
        .project
        .docker
        .ask(&["image", "rm", "--force", SPOILED_IMAGE])?;
    let (found, _) = searched?;
    bench.verdicts.bar(
        "key put into a layer",
        format!("found {found} times"),
        "is found",
        found > 0,
    );
    Ok(())
}

/// A container with the key in its environment has to be found out, and it alone.
fn spoiled_container(bench: &mut Bench, setup: &Setup, needle: &Needle, canary: &str) -> Result<()> {
    bench
        .verdicts
        .step(&format!("{SPOILED} once more, with the key in its environment"));
    let setup = setup
        .clone()
        .undoing(SPOILED, format!("environment:\n  SOME_KEY: {canary}"));
    bench.project.recreate(&setup, SPOILED)?;
    let is_running = |one: &Container| one.pid() != 0;
    bench
        .project
        .container_when(SPOILED, Duration::from_secs(30), is_running)?;
    let places = in_containers(bench, needle)?;
    let wanted = |kind: &str| {
        places
            .iter()
            .any(|place| place.starts_with(&format!("{kind} of {SPOILED}")))
    };
    let holds = wanted("docker inspect")
        && wanted("environment")
        && places.iter().all(|place| place.contains(SPOILED));
    let bar = format!("in inspect and environment of {SPOILED} alone");
    bench
        .verdicts
        .bar("key put into an environment", told(&places), &bar, holds);
    Ok(())
}

fn told(places: &[String]) -> String {
    if places.is_empty() {
        "nowhere".to_owned()
    } else {
        places.join(", ")
    }
}
