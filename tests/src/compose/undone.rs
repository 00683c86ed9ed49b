//! Every container is looked over; then each protection is taken from one container in turn, and the look has to
//! notice that and nothing else.

use super::Bench;
use super::container::Container;
use super::hardening::{Evidence, Finding, Property, findings, properties};
use super::procfs::{members, text};
use super::project::Setup;
use anyhow::Result;
use std::collections::BTreeSet;
use std::time::Duration;

/// The service that is cheap to start again, and that nothing waits for.
const CHEAP: &str = "jaeger";
/// Until its process is there.
const RUNNING: Duration = Duration::from_secs(30);

/// A protection that is taken away: how compose is told, and what has to be noticed.
struct Undone {
    what: &'static str,
    lines: String,
    noticed: &'static [Property],
}

/// The drill.
pub fn run(bench: &mut Bench) -> Result<()> {
    let setup = Setup::coded();
    bench.up(&setup.clone().profile("demo"))?;
    for container in bench.project.containers()? {
        judge(bench, &container)?;
    }
    bench.project.remove(&["publisher"])?;
    for undone in all_undone(bench)? {
        bench
            .verdicts
            .step(&format!("{CHEAP} once more, {}", undone.what));
        match noticed(bench, &setup, &undone) {
            Ok(found) => {
                let wanted: BTreeSet<Property> = undone.noticed.iter().copied().collect();
                let bar = format!("exactly {wanted:?}");
                let holds = properties(&found) == wanted;
                bench.verdicts.bar(undone.what, told(&found), &bar, holds);
            }
            Err(error) => bench
                .verdicts
                .bar(undone.what, format!("{error:#}"), "is tried", false),
        }
    }
    bench.up(&setup)?;
    let restored = look(&bench.project.container(CHEAP)?)?;
    bench
        .verdicts
        .bar("restored", told(&restored), "no finding", restored.is_empty());
    Ok(())
}

/// Looks a container over and judges it.
pub fn judge(bench: &mut Bench, container: &Container) -> Result<()> {
    let found = look(container)?;
    let what = format!("{} is hardened", container.service());
    bench
        .verdicts
        .bar(&what, told(&found), "no finding", found.is_empty());
    Ok(())
}

fn told(found: &[Finding]) -> String {
    if found.is_empty() {
        return "nothing".to_owned();
    }
    found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Looks a container over.
fn look(container: &Container) -> Result<Vec<Finding>> {
    let init = container.pid();
    let statuses: Vec<String> = members(init)?
        .into_iter()
        // One that ended meanwhile can do nothing any more.
        .filter_map(|pid| text(pid, "status").ok())
        .collect();
    Ok(findings(&Evidence {
        inspected: &container.inspected,
        statuses: &statuses,
        mounts: &text(init, "mountinfo")?,
    }))
}

fn noticed(bench: &mut Bench, setup: &Setup, undone: &Undone) -> Result<Vec<Finding>> {
    let setup = setup.clone().undoing(CHEAP, undone.lines.as_str());
    bench.project.recreate(&setup, CHEAP)?;
    let is_running = |one: &Container| one.status() == "running" && one.pid() != 0;
    let (container, _) = bench.project.container_when(CHEAP, RUNNING, is_running)?;
    look(&container)
}

fn all_undone(bench: &Bench) -> Result<Vec<Undone>> {
    let not_a_socket = bench.project.dir.join("docker.sock");
    std::fs::write(&not_a_socket, "")?;
    let socket = std::path::absolute(not_a_socket)?;
    let one = |what, lines: &str, noticed| Undone {
        what,
        lines: lines.to_owned(),
        noticed,
    };
    Ok(vec![
        one("as root", "user: \"0\"", &[Property::NonRoot]),
        one(
            "with a writable root",
            "read_only: false",
            &[Property::ReadOnlyRoot],
        ),
        one(
            "with a capability",
            "cap_add:\n  - NET_RAW",
            &[Property::NoCapabilities],
        ),
        one(
            "with the usual capabilities",
            "cap_drop: !reset []",
            &[Property::NoCapabilities],
        ),
        one(
            "with new privileges allowed",
            "security_opt: !reset []",
            &[Property::NoNewPrivileges],
        ),
        one(
            "privileged",
            "privileged: true",
            &[Property::NoCapabilities, Property::NotPrivileged],
        ),
        one("in the machine's IPC", "ipc: host", &[Property::OwnNamespaces]),
        Undone {
            what: "with the engine's socket",
            lines: format!("volumes:\n  - {}:/run/docker.sock:ro", socket.display()),
            noticed: &[Property::NoEngineSocket],
        },
        one(
            "with a key in its environment",
            "environment:\n  SOME_API_KEY: not-a-key",
            &[Property::NoSecretInEnvironment],
        ),
        one(
            "with a port for everybody",
            "ports: !override\n  - \"16686:16686\"",
            &[Property::LoopbackPorts],
        ),
        one(
            "without limits",
            "mem_limit: !reset null\ncpus: !reset null\npids_limit: !reset null\ndeploy: !reset null",
            &[Property::MemoryLimit, Property::CpuLimit, Property::PidsLimit],
        ),
    ])
}
