//! Processes of containers as this machine's kernel shows them.

use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

/// One line of `/proc/PID/stat`, as far as it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its parent.
    pub parent: u32,
    /// When it was started, in ticks since the start of the machine.
    pub started: u64,
}

/// Reads a line of `/proc/PID/stat`. The name stands in parentheses and may hold any character.
pub fn parse_stat(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Every process of this machine.
fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The program that a container's init process runs: its oldest child.
pub fn main_process(init: u32) -> Result<u32> {
    let children = all().into_iter().filter_map(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let stat = parse_stat(&line)?;
        (stat.parent == init).then_some((stat.started, pid))
    });
    match children.min() {
        Some((_, pid)) => Ok(pid),
        None => bail!("process {init} has no child: does the service lack `init: true`?"),
    }
}

/// Every process in the container of `init`: those that share its namespace of processes.
pub fn members(init: u32) -> Result<Vec<u32>> {
    let own = namespace(init).with_context(|| {
        format!("process {init} is not visible here: does the engine run on this machine, and are we root?")
    })?;
    Ok(all()
        .into_iter()
        .filter(|pid| namespace(*pid).is_ok_and(|other| other == own))
        .collect())
}

fn namespace(pid: u32) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid"))
}

/// A path inside the container of a process, as this machine reaches it.
pub fn inside(pid: u32, path: &str) -> PathBuf {
    let root = PathBuf::from("/proc").join(pid.to_string()).join("root");
    root.join(path.trim_start_matches('/'))
}

/// A file of a process's folder, as text.
pub fn text(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    let bytes = std::fs::read(&path).with_context(|| format!("reading {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether this process may do what root may.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    effective == Some("0")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::processes::kill_hard;
    use std::io::BufRead as _;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let line = "7 (a) b) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(
            parse_stat(line),
            Some(Stat {
                parent: 3,
                started: 4711
            })
        );
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn the_oldest_child_is_the_program() {
        let script = "sleep 60 & echo $!; sleep 0.05; sleep 60 & echo $!; wait";
        let mut parent = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let said = std::io::BufReader::new(parent.stdout.take().unwrap());
        let children: Vec<u32> = said
            .lines()
            .take(2)
            .map(|line| line.unwrap().parse().unwrap())
            .collect();
        let (found, members) = (main_process(parent.id()), members(parent.id()));
        for pid in children.iter().copied() {
            kill_hard(pid).unwrap();
        }
        parent.wait().unwrap();
        assert_eq!(found.unwrap(), children[0]);
        assert!(members.unwrap().contains(&children[1]));
    }
}
