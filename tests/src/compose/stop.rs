//! `docker compose stop` with a stream on air, and the next start.

use super::Bench;
use super::air::{OnAir, SECOND};
use super::container::Container;
use super::procfs::inside;
use super::project::Setup;
use super::verdicts::Table;
use super::volumes::{Volume, of_config};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest time of a stop: every grace, one after the other.
const STOP: Duration = Duration::from_secs(180);
/// A file that only this drill makes, in each volume.
const PROOF: &str = ".proof-of-the-drill";
/// Services that drain, and what they log when they begin to.
const DRAINS: [(&str, &str); 3] = [
    ("orchestrator", "\"message\":\"draining\""),
    ("media-edge", "\"message\":\"draining\""),
    ("dubber", "\"message\":\"draining\""),
];
/// Volumes that hold something once a stream was on air.
const WRITTEN: [&str; 2] = ["logs", "state"];

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    let setup = Setup::coded();
    bench
        .verdicts
        .step("docker compose down --volumes: the volumes of this drill are new");
    bench.project.down()?;
    bench.up(&setup)?;
    let on_air = OnAir::start(bench, "last", 90).await?;
    let volumes: Vec<Volume> = of_config(&bench.project.config()?);
    let before = mark(bench, &volumes)?;
    bench.verdicts.step("docker compose stop, with a stream on air");
    let begun = SystemTime::now();
    bench.project.compose(&["stop"], STOP)?;
    let took = begun.elapsed().unwrap_or_default();
    drop(on_air);
    judge_stop(bench, begun, took)?;
    bench.verdicts.step("docker compose down, without --volumes");
    bench.project.compose(&["down", "--timeout", "30"], STOP)?;
    let mut kept = BTreeMap::new();
    for volume in &volumes {
        kept.insert(
            volume.name.clone(),
            names_in(&bench.project.folder_of(&volume.full_name)?)?,
        );
    }
    bench.up(&setup)?;
    judge_volumes(bench, &volumes, &before, &kept)
}

type Names = BTreeMap<String, BTreeSet<String>>;

/// Writes the proof into every volume; what lies in it by then.
fn mark(bench: &Bench, volumes: &[Volume]) -> Result<Names> {
    let mut before = BTreeMap::new();
    for volume in volumes {
        let folder = bench.project.folder_of(&volume.full_name)?;
        std::fs::write(folder.join(PROOF), &volume.full_name)
            .with_context(|| format!("writing into {}", folder.display()))?;
        before.insert(volume.name.clone(), names_in(&folder)?);
    }
    Ok(before)
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

fn judge_stop(bench: &mut Bench, begun: SystemTime, took: Duration) -> Result<()> {
    let containers = bench.project.containers()?;
    let events = events(bench, begun)?;
    let mut table = Table::new(
        "STOP",
        &[
            "container",
            "exit code",
            "from SIGTERM to its end",
            "grace",
            "drain logged",
        ],
    );
    for container in &containers {
        let told = ended(&events, container.id());
        let grace = container.stop_grace();
        let within = told.took.is_some_and(|took| took < grace) && !told.is_killed;
        let drained = drained(bench, container)?;
        let took = told.took.map_or("unknown".to_owned(), |took| {
            format!("{:.1} s", took.as_secs_f64())
        });
        let found = format!(
            "exit code {}, {took} of {} s{}{}",
            container.exit_code(),
            grace.as_secs(),
            if told.is_killed { ", SIGKILL" } else { "" },
            match drained {
                Some(false) => ", no drain in its log",
                Some(true) => ", drained",
                None => "",
            }
        );
        let holds =
            container.status() == "exited" && container.exit_code() == 0 && within && drained.unwrap_or(true);
        bench
            .verdicts
            .bar(container.service(), found, "exit code 0 within its grace", holds);
        table.rows.push(vec![
            container.service().to_owned(),
            container.exit_code().to_string(),
            took,
            format!("{} s", grace.as_secs()),
            drained.map_or("-", |is| if is { "yes" } else { "no" }).to_owned(),
        ]);
    }
    bench
        .verdicts
        .tell("all of them", format!("{:.1} s", took.as_secs_f64()));
    bench.verdicts.table(table);
    Ok(())
}

/// Whether a service that drains says so in its log; nothing for the others.
fn drained(bench: &Bench, container: &Container) -> Result<Option<bool>> {
    let Some((_, words)) = DRAINS.iter().find(|(service, _)| *service == container.service()) else {
        return Ok(None);
    };
    Ok(Some(bench.project.log(container)?.contains(words)))
}

/// What the engine noted since a moment: signals and ends.
fn events(bench: &Bench, since: SystemTime) -> Result<Vec<Value>> {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
    };
    let (since, until) = (seconds(since), seconds(SystemTime::now() + SECOND));
    let words = [
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        "type=container",
        "--filter",
        "event=kill",
        "--filter",
        "event=die",
        "--format",
        "{{json .}}",
    ];
    let text = bench.project.docker.ask(&words)?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("an event is no JSON"))
        .collect()
}

/// How a container ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct End {
    took: Option<Duration>,
    is_killed: bool,
}

fn ended(events: &[Value], id: &str) -> End {
    let own = |event: &&Value| event["Actor"]["ID"] == id || event["id"] == id;
    let at = |event: &Value| event["timeNano"].as_u64();
    let (mut asked, mut died, mut is_killed) = (None, None, false);
    for event in events.iter().filter(own) {
        let action = event["Action"]
            .as_str()
            .or(event["status"].as_str())
            .unwrap_or_default();
        match action {
            "kill" if event["Actor"]["Attributes"]["signal"] == "9" => is_killed = true,
            "kill" => asked = asked.or(at(event)),
            "die" => died = at(event),
            _other => {}
        }
    }
    End {
        took: asked
            .zip(died)
            .map(|(from, to)| Duration::from_nanos(to.saturating_sub(from))),
        is_killed,
    }
}

/// What a volume held while the stream was on air it holds after the end, and the next start sees it.
fn judge_volumes(bench: &mut Bench, volumes: &[Volume], before: &Names, kept: &Names) -> Result<()> {
    for volume in volumes {
        let had = before.get(&volume.name).cloned().unwrap_or_default();
        let has = kept.get(&volume.name).cloned().unwrap_or_default();
        let lost: Vec<&String> = had.difference(&has).collect();
        let seen = seen_inside(bench, volume);
        let found = format!(
            "{} files besides the proof, lost {lost:?}; in the container the proof is {}",
            had.len() - 1,
            match &seen {
                Ok(()) => "read".to_owned(),
                Err(error) => format!("not read: {error:#}"),
            }
        );
        let is_written = !WRITTEN.contains(&volume.name.as_str()) || had.len() > 1;
        let bar = if WRITTEN.contains(&volume.name.as_str()) {
            "holds something, loses nothing"
        } else {
            "loses nothing"
        };
        let holds = lost.is_empty() && seen.is_ok() && is_written;
        bench
            .verdicts
            .bar(&format!("volume {}", volume.name), found, bar, holds);
        std::fs::remove_file(bench.project.folder_of(&volume.full_name)?.join(PROOF))?;
    }
    Ok(())
}

/// The proof as a container of the second start has it.
fn seen_inside(bench: &Bench, volume: &Volume) -> Result<()> {
    let service = volume.services.first().context("no service mounts it")?;
    let container = bench.project.container(service)?;
    let folder = container
        .mount_of(&volume.full_name)
        .context("it is not mounted")?;
    let path = inside(container.pid(), folder).join(PROOF);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    anyhow::ensure!(text == volume.full_name, "it says {text:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str, action: &str, signal: &str, at: u64) -> Value {
        json!({"Actor": {"ID": id, "Attributes": {"signal": signal}}, "Action": action, "timeNano": at})
    }

    #[test]
    fn a_container_s_end_is_timed_from_its_own_signal() {
        let events = [
            event("a", "kill", "15", 1_000_000_000),
            event("b", "kill", "15", 2_000_000_000),
            event("a", "die", "", 4_000_000_000),
            event("b", "kill", "9", 12_000_000_000),
            event("b", "die", "", 12_500_000_000),
        ];
        let a = ended(&events, "a");
        assert_eq!((a.took, a.is_killed), (Some(Duration::from_secs(3)), false));
        let b = ended(&events, "b");
        assert_eq!((b.took, b.is_killed), (Some(Duration::from_millis(10_500)), true));
        assert_eq!(ended(&events, "c"), End::default());
    }
}
