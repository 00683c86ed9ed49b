//! The kernel's accounts of processes: CPU time, resident and proportional memory.

use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks of CPU time in a second. The kernel tells times to programs in this unit whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// What some processes have used up to now, and hold now.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    cpu_s: BTreeMap<u32, f64>,
    /// Resident memory, shared pages counted in each process.
    pub rss_mib: f64,
    /// Resident memory, each shared page divided among those that share it.
    pub pss_mib: f64,
}

impl Usage {
    /// The accounts of `pids` as they stand.
    pub fn of(pids: &BTreeSet<u32>) -> Result<Self> {
        let mut usage = Self::default();
        for pid in pids {
            let fields = stat(*pid)?;
            let ticks = |index: usize| {
                fields
                    .get(index)
                    .and_then(|text| text.parse::<f64>().ok())
                    .unwrap_or(0.0)
            };
            // User and system time: fields 14 and 15 of stat(5), counted from behind the name.
            usage
                .cpu_s
                .insert(*pid, (ticks(11) + ticks(12)) / TICKS_PER_SECOND);
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("memory of process {pid}"))?;
            usage.rss_mib += kib(&rollup, "Rss:") / 1024.0;
            usage.pss_mib += kib(&rollup, "Pss:") / 1024.0;
        }
        Ok(usage)
    }

    /// CPU time since `before`; `None` when the processes are not the same any more.
    pub fn cpu_since(&self, before: &Self) -> Option<f64> {
        let same = self.cpu_s.keys().eq(before.cpu_s.keys());
        same.then(|| self.cpu_s.values().sum::<f64>() - before.cpu_s.values().sum::<f64>())
    }
}

/// Fields of `/proc/<pid>/stat` behind the name of the program, which may hold spaces.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    let (_, rest) = text
        .rsplit_once(')')
        .with_context(|| format!("stat of process {pid}"))?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn kib(rollup: &str, key: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// A process and all that it has started.
pub fn family(pid: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|child: u32| Some((child, stat(child).ok()?.get(1)?.parse().ok()?)))
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let known = family.len();
        family.extend(
            parents
                .iter()
                .filter(|(_, parent)| family.contains(parent))
                .map(|(child, _)| *child)
                .collect::<Vec<_>>(),
        );
        if family.len() == known {
            return family;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn work_is_seen_in_the_accounts() {
        let me = BTreeSet::from([std::process::id()]);
        let before = Usage::of(&me).unwrap();
        // A busy machine gives little time in a second: the accounts decide when it is enough.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut after = before.clone();
        while after.cpu_since(&before).unwrap() < 0.05 {
            assert!(std::time::Instant::now() < until, "{before:?} {after:?}");
            std::hint::black_box((0..1_000_000_u64).sum::<u64>());
            after = Usage::of(&me).unwrap();
        }
        assert!(after.rss_mib > 1.0 && after.pss_mib > 0.5, "{after:?}");
    }

    #[test]
    fn a_family_is_the_process_and_its_children() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        let family = family(std::process::id());
        assert!(family.contains(&child.id()) && family.contains(&std::process::id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn other_processes_are_no_measurement() {
        let (one, none) = (
            Usage::of(&BTreeSet::from([std::process::id()])).unwrap(),
            Usage::default(),
        );
        assert_eq!(one.cpu_since(&none), None);
    }
}
