//! Prometheus of the profile `observability`: it reaches its targets and has loaded its rules.

use super::Bench;
use super::air::SECOND;
use super::project::Setup;
use super::undone;
use crate::http_get;
use anyhow::Result;
use serde_json::Value;
use std::time::Duration;

/// Where Prometheus answers on this machine.
const PORT: u16 = 9090;
/// Until a container is healthy.
const STARTED: Duration = Duration::from_secs(60);
/// Until every target was asked once.
const SCRAPED: Duration = Duration::from_secs(60);

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    let setup = Setup::coded().profile("observability");
    let config = bench.project.config_of(&setup)?;
    let mut there = Vec::new();
    for service in ["prometheus", "grafana"] {
        let image = config["services"][service]["image"].as_str().unwrap_or_default();
        if is_here(bench, image) {
            there.push(service);
        } else {
            bench.verdicts.tell(
                service,
                format!("skipped: its image {image:?} is not on this machine"),
            );
        }
    }
    if !there.contains(&"prometheus") {
        return Ok(());
    }
    bench.up(&Setup::coded())?;
    for service in &there {
        bench.project.recreate(&setup, service)?;
        let (container, took) = bench
            .project
            .container_when(service, STARTED, |one| one.is_healthy())?;
        let found = format!("{} after {:.1} s", container.health(), took.as_secs_f64());
        bench.verdicts.bar(service, found, "healthy", true);
        undone::judge(bench, &container)?;
    }
    let targets = targets_when_asked();
    let down: Vec<&(String, String)> = targets.iter().filter(|(_, health)| health != "up").collect();
    bench.verdicts.bar(
        "targets of Prometheus",
        format!("{} up, others {down:?}", targets.len() - down.len()),
        "all up",
        targets.len() >= 4 && down.is_empty(),
    );
    let answer: Value = serde_json::from_str(&http_get(PORT, "/api/v1/rules")?).unwrap_or_default();
    let (rules, sick) = rules(&answer);
    bench.verdicts.bar(
        "rules of Prometheus",
        format!("{rules} loaded, sick {sick:?}"),
        "all healthy",
        rules > 0 && sick.is_empty(),
    );
    bench.project.remove(&["prometheus", "grafana"])
}

fn is_here(bench: &Bench, image: &str) -> bool {
    let words = ["image", "inspect", "--format", "{{.Id}}", image];
    !image.is_empty() && bench.project.docker.ask(&words).is_ok()
}

/// Every target with its health, once none is unknown or the time is over.
fn targets_when_asked() -> Vec<(String, String)> {
    let mut targets = Vec::new();
    for _ in 0..SCRAPED.as_secs() {
        let answer = http_get(PORT, "/api/v1/targets").unwrap_or_default();
        targets = targets_of(&serde_json::from_str(&answer).unwrap_or_default());
        if !targets.is_empty() && targets.iter().all(|(_, health)| health == "up") {
            break;
        }
        std::thread::sleep(SECOND);
    }
    targets
}

fn targets_of(answer: &Value) -> Vec<(String, String)> {
    let word = |target: &Value, key: &str| target[key].as_str().unwrap_or_default().to_owned();
    let active = answer["data"]["activeTargets"].as_array();
    active
        .into_iter()
        .flatten()
        .map(|target| (word(target, "scrapeUrl"), word(target, "health")))
        .collect()
}

/// How many rules there are, and those that cannot be evaluated.
fn rules(answer: &Value) -> (usize, Vec<String>) {
    let groups = answer["data"]["groups"].as_array();
    let all: Vec<&Value> = groups
        .into_iter()
        .flatten()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .collect();
    let sick = all
        .iter()
        .filter(|rule| rule["health"] == "err")
        .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
        .collect();
    (all.len(), sick)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_that_cannot_be_evaluated_is_named() {
        let answer = json!({"data": {"groups": [
            {"rules": [{"name": "A", "health": "ok"}, {"name": "B", "health": "err", "lastError": "parse"}]},
            {"rules": [{"name": "C", "health": "unknown"}]}]}});
        assert_eq!(rules(&answer), (3, vec!["\"B\": \"parse\"".to_owned()]));
        assert_eq!(rules(&json!(null)), (0, Vec::new()));
    }

    #[test]
    fn targets_are_read_with_their_health() {
        let answer = json!({"data": {"activeTargets": [{"scrapeUrl": "http://dubber:9103/metrics", "health": "down"}]}});
        let found = targets_of(&answer);
        assert_eq!(
            found,
            [("http://dubber:9103/metrics".to_owned(), "down".to_owned())]
        );
    }
}
