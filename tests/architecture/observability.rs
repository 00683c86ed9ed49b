//! Alerts and dashboard speak of series that there are: names, labels and words come from the registries of the
//! services, as `/metrics` prints them after each service has counted everything once.

use crate::tree::{expect_none, files, text};
use dubber::metrics::{Direction, FragmentStatus, Queue};
use media_edge::link::lines::{Phrases, View};
use media_types::{ErrorClass, MediaTime, StreamId, StsMode};
use orchestrator::metrics::HookLabels;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::time::Duration;

const DASHBOARD: &str = "deploy/grafana/dashboards/live-dub.json";
const CONFIG: &str = "deploy/prometheus/prometheus.yml";

/// What MediaMTX 1.20.1 tells of each path, with the labels that the scrape adds.
const MEDIAMTX: &[(&str, &[&str])] = &[
    ("paths", &["name", "state", "stream_id", "side"]),
    (
        "paths_readers",
        &["name", "state", "stream_id", "side", "readerType"],
    ),
    ("paths_inbound_bytes", &["name", "state", "stream_id", "side"]),
    ("paths_outbound_bytes", &["name", "state", "stream_id", "side"]),
    (
        "paths_inbound_frames_in_error",
        &["name", "state", "stream_id", "side"],
    ),
];
/// What Prometheus itself writes.
const PROMETHEUS: &[(&str, &[&str])] = &[
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity", "stream_id"]),
];
/// Labels of every series that was scraped.
const SCRAPED: &[&str] = &["job", "instance"];
/// Labels whose every word a service shows from its start, so that another word is a misspelt one.
const CLOSED: &[&str] = &["status", "reason", "error_class", "event"];
const SEVERITIES: &[&str] = &["critical", "warning", "info"];

/// Name of a series → its labels → the words seen of each.
type Series = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn registries() -> Vec<service_kit::Metrics> {
    let stream = StreamId::new("derby").unwrap();
    let mut edge = service_kit::Metrics::default();
    let metrics = media_edge::metrics::Metrics::register(&mut edge);
    let source = text("services/media-edge/src/worker/run/view.rs");
    // `("late_speech", counts.late_speech),`
    let counters = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split_once('"'));
    let counters: Vec<String> = counters.map(|(name, _)| name.to_owned()).collect();
    assert!(
        counters.len() >= 5,
        "the counters of the worker's view: {counters:?}"
    );
    let now = View {
        counters: counters.into_iter().map(|name| (name, 1)).collect(),
        phrases: Phrases {
            provider_lag_ms: Some(1_000),
            ..Phrases::default()
        },
        ..View::default()
    };
    metrics.worker_started();
    metrics.worker_exited(&stream, 0);
    metrics.worker_viewed(&stream, StsMode::Enabled, &View::default(), &now);

    let mut dub = service_kit::Metrics::default();
    let metrics = dubber::metrics::Metrics::register(&mut dub);
    metrics.session_opened();
    metrics.session_ended("done");
    metrics.fragment(FragmentStatus::Delivered);
    metrics.error(ErrorClass::Timeout);
    metrics.audio(Direction::In, MediaTime::ZERO);
    metrics.pushed(Queue::Mailbox);
    metrics.popped(Queue::Mailbox);

    let mut orch = service_kit::Metrics::default();
    let metrics = orchestrator::metrics::Metrics::register(&mut orch);
    let (event, outcome) = ("ready".to_owned(), "accepted".to_owned());
    metrics
        .hook_events
        .get_or_create(&HookLabels { event, outcome })
        .inc();
    vec![edge, dub, orch]
}

/// What a service with this registry answers on `/metrics`.
fn exposition(registry: service_kit::Metrics) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let admin = service_kit::Admin::bind(local, registry, service_kit::Readiness::new());
    let admin = runtime.block_on(admin).unwrap();
    let address = admin.local_addr().unwrap();
    let tasks = service_kit::Tasks::new();
    runtime.spawn(admin.serve(tasks.token()));
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn declared() -> Series {
    let mut series = Series::new();
    for (name, labels) in MEDIAMTX.iter().chain(PROMETHEUS) {
        let labels = labels.iter().map(|label| ((*label).to_owned(), BTreeSet::new()));
        series.insert((*name).to_owned(), labels.collect());
    }
    for registry in registries() {
        for line in exposition(registry).lines().filter(|line| !line.starts_with('#')) {
            let Some((id, _)) = line.rsplit_once(' ') else {
                continue;
            };
            let (name, labels) = id.split_once('{').unwrap_or((id, "}"));
            let seen = series.entry(name.to_owned()).or_default();
            for (label, word) in matchers(labels.trim_end_matches('}'))
                .into_iter()
                .map(|it| (it.0, it.1))
            {
                seen.entry(label).or_default().insert(word);
            }
        }
    }
    series
}

/// `a="b",c=~"d"` as pairs.
fn matchers(inside: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = inside;
    while let Some((label, after)) = rest.split_once('"') {
        let Some((word, behind)) = after.split_once('"') else {
            break;
        };
        let label = label.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        found.push((label.to_owned(), word.to_owned()));
        rest = behind;
    }
    found
}

/// A series of an expression with its matchers.
type Selector = (String, Vec<(String, String)>);

/// The series of an expression, and the labels that it groups or matches by.
fn parts(expression: &str) -> (Vec<Selector>, BTreeSet<String>) {
    const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan"];
    const GROUPINGS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
    let (mut selectors, mut labels): (Vec<Selector>, BTreeSet<String>) = Default::default();
    // What stands before `by (…)` is a function.
    let aggregates = |rest: &str| ["by", "without"].iter().any(|word| rest.starts_with(word));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let name: &str = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        if name.is_empty() {
            let inside = |close: char| rest.find(close).map_or(rest.len(), |at| at + 1);
            let length = match c {
                '[' => inside(']'),
                '{' => {
                    // No word of ours holds a brace.
                    let end = inside('}');
                    if let Some((_, own)) = selectors.last_mut() {
                        own.extend(matchers(&rest[1..end - 1]));
                    }
                    end
                }
                _ => c.len_utf8(),
            };
            rest = &rest[length..];
            continue;
        }
        rest = rest[name.len()..].trim_start();
        if GROUPINGS.contains(&name) && rest.starts_with('(') {
            let end = rest.find(')').map_or(rest.len(), |at| at + 1);
            labels.extend(rest[1..end - 1].split(',').map(|label| label.trim().to_owned()));
            rest = &rest[end..];
        } else if !rest.starts_with('(') && !aggregates(rest) && !WORDS.contains(&name) && !c.is_ascii_digit()
        {
            selectors.push((name.to_owned(), Vec::new()));
        }
    }
    labels.remove("");
    (selectors, labels)
}

/// What is wrong with an expression.
fn wrong(place: &str, expression: &str, series: &Series) -> Vec<String> {
    let (selectors, groupings) = parts(expression);
    let mut problems = Vec::new();
    if selectors.is_empty() {
        problems.push(format!("{place}: no series in {expression}"));
    }
    let mut known: BTreeSet<&str> = SCRAPED.iter().copied().chain(["le"]).collect();
    for (name, matchers) in &selectors {
        let Some(labels) = series.get(name) else {
            problems.push(format!("{place}: nobody exposes {name}"));
            continue;
        };
        known.extend(labels.keys().map(String::as_str));
        for (label, words) in matchers
            .iter()
            .filter(|(label, _)| !SCRAPED.contains(&label.as_str()))
        {
            match labels.get(label) {
                None => problems.push(format!("{place}: {name} has no label {label}")),
                Some(seen) if CLOSED.contains(&label.as_str()) => {
                    let other = words.split('|').filter(|word| !seen.contains(*word));
                    problems.extend(other.map(|word| format!("{place}: {name} never has {label}={word:?}")));
                }
                Some(_) => {}
            }
        }
    }
    let strange = groupings.iter().filter(|label| !known.contains(label.as_str()));
    problems.extend(strange.map(|label| format!("{place}: no series of it has the label {label}")));
    problems
}

/// One alert: the keys of its rule, its labels and its annotations, and the comment behind `for`.
type Alert = BTreeMap<String, String>;

/// The alerts of a file, read line by line: `promtool check rules` sees to it that they are YAML.
fn alerts(path: &str) -> Vec<Alert> {
    let mut found: Vec<Alert> = Vec::new();
    let mut folded: Option<(String, usize)> = None;
    for line in text(path).lines() {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim().trim_start_matches("- ");
        if let (Some((key, outer)), Some(alert)) = (&folded, found.last_mut()) {
            if indent > *outer {
                let value = alert.entry(key.clone()).or_default();
                *value = format!("{value} {content}").trim().to_owned();
                continue;
            }
            folded = None;
        }
        let Some((key, value)) = content.split_once(": ").filter(|(key, _)| !key.starts_with('#')) else {
            continue;
        };
        if key == "alert" {
            found.push(Alert::new());
        }
        let Some(alert) = found.last_mut() else { continue };
        if value.trim() == ">-" {
            folded = Some((key.to_owned(), indent));
            continue;
        }
        alert.insert(key.to_owned(), value.trim_matches('"').to_owned());
    }
    found
}

fn rules() -> Vec<(String, Alert)> {
    let below = |path: &String| path.starts_with("deploy/prometheus/rules/");
    let paths: Vec<String> = files(&[".yml"]).into_iter().filter(below).collect();
    let of = |path: &String| {
        alerts(path)
            .into_iter()
            .map(|alert| (path.clone(), alert))
            .collect::<Vec<_>>()
    };
    let found: Vec<_> = paths.iter().flat_map(of).collect();
    assert!(found.len() >= 20, "{} alerts found in {paths:?}", found.len());
    found
}

fn key<'a>(alert: &'a Alert, key: &str) -> &'a str {
    alert.get(key).map_or("", String::as_str)
}

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD}: {error}"))
}

/// Panels that show something: rows aside.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().expect("panels");
    let found: Vec<&Value> = all.iter().filter(|panel| panel["type"] != "row").collect();
    assert!(found.len() >= 20, "{} panels in {DASHBOARD}", found.len());
    found
}

fn string<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn alerts_and_panels_speak_of_series_labels_and_words_that_there_are() {
    let series = declared();
    let mut problems = Vec::new();
    for (path, alert) in rules() {
        let place = format!("{path}, {}", key(&alert, "alert"));
        problems.extend(wrong(&place, key(&alert, "expr"), &series));
    }
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        let place = format!("{DASHBOARD}, {}", string(panel, "/title"));
        for target in panel["targets"].as_array().expect("targets") {
            problems.extend(wrong(&place, string(target, "/expr"), &series));
        }
    }
    expect_none(
        &problems,
        "correct the name, or declare the series in the metrics.rs of its service; what MediaMTX exposes stands in \
         MEDIAMTX of tests/architecture/observability.rs",
    );
}

#[test]
fn every_alert_says_what_it_is_how_bad_what_to_do_and_why_it_waits() {
    let mut problems = Vec::new();
    let spec = text("specs/006-observability/spec.md");
    for (path, alert) in rules() {
        let mut lacks = |what: &str| problems.push(format!("{path}, {}: {what}", key(&alert, "alert")));
        if !SEVERITIES.contains(&key(&alert, "severity")) {
            lacks("severity is not one of critical, warning, info");
        }
        let row = format!("| `{}` |", key(&alert, "severity"));
        let row = spec.lines().find(|line| line.starts_with(&row));
        if !row.is_some_and(|row| row.contains(&format!("`{}`", key(&alert, "alert")))) {
            lacks("not in the row of its severity in specs/006-observability/spec.md");
        }
        if key(&alert, "summary").len() < 10 {
            lacks("no summary");
        }
        let (means, remedy) = key(&alert, "description")
            .split_once("Remedy: ")
            .unwrap_or_default();
        if means.len() < 30 || remedy.len() < 30 {
            lacks("no description with what it means, then `Remedy: ` and what to do");
        }
        if key(&alert, "for")
            .split_once(" # ")
            .is_none_or(|(_, why)| why.len() < 15)
        {
            lacks("`for` without its reason as a comment behind it");
        }
    }
    expect_none(&problems, "write it down: somebody reads this alert at night");
}

#[test]
fn remedies_name_panels_that_the_dashboard_has() {
    let dashboard = dashboard();
    let titles: Vec<&str> = panels(&dashboard)
        .iter()
        .map(|panel| string(panel, "/title"))
        .collect();
    let mut problems = Vec::new();
    let mut named = 0;
    for (path, alert) in rules() {
        let description = key(&alert, "description");
        if !description.contains("panel") {
            continue;
        }
        for title in description.split('"').skip(1).step_by(2) {
            named += 1;
            if !titles.contains(&title) {
                problems.push(format!(
                    "{path}, {}: there is no panel {title:?}",
                    key(&alert, "alert")
                ));
            }
        }
    }
    assert!(named > 0, "no remedy names a panel");
    expect_none(&problems, "name a panel by its title in the dashboard");
}

#[test]
fn every_alert_is_shown_to_fire_and_not_to_fire() {
    let mut problems = Vec::new();
    for (path, alert) in rules() {
        let name = key(&alert, "alert");
        let tests = text(&path.replace("/rules/", "/tests/").replace(".yml", ".test.yml"));
        let fires = format!(
            "alertname=\"{name}\", alertstate=\"firing\", severity=\"{}\"",
            key(&alert, "severity")
        );
        // A test asks for all alerts of the file at once, so the one that names it also says when it is silent.
        let own = tests.split("\n  - name: ").find(|test| test.contains(&fires));
        if !own.is_some_and(|test| test.contains("exp_samples: []")) {
            problems.push(format!("{path}, {name}"));
        }
    }
    expect_none(
        &problems,
        "write a test beside the others of deploy/prometheus/tests, with a time at which it fires, named with its \
         severity, and one at which nothing does",
    );
}

#[test]
fn every_panel_has_a_title_words_a_unit_and_its_data_source() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let is_variable = |name: &str| variables.iter().any(|variable| variable["name"] == name);
    assert!(
        is_variable("datasource") && is_variable("stream"),
        "the variables of {DASHBOARD}"
    );
    let mut problems = Vec::new();
    let mut titles = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = string(panel, "/title");
        let mut lacks = |what: &str| problems.push(format!("panel {title:?}: {what}"));
        if title.is_empty() || !titles.insert(title) {
            lacks("no title of its own");
        }
        if string(panel, "/description").len() < 10 {
            lacks("no description");
        }
        if string(panel, "/fieldConfig/defaults/unit").is_empty() {
            lacks("no unit");
        }
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        let sources = targets
            .iter()
            .chain([panel])
            .map(|it| string(it, "/datasource/uid"));
        if targets.is_empty() || sources.into_iter().any(|uid| uid != "${datasource}") {
            lacks("no query, or not of the data source that is chosen above");
        }
        let filters = targets
            .iter()
            .any(|it| string(it, "/expr").contains("stream_id=~\"$stream\""));
        let by_stream = targets
            .iter()
            .any(|it| string(it, "/legendFormat").contains("{{stream_id}}"));
        if filters != by_stream {
            lacks("streams are told apart and not chosen, or chosen and not told apart");
        }
    }
    expect_none(
        &problems,
        "complete the panel in deploy/grafana/dashboards/live-dub.json",
    );
}

#[test]
fn limits_and_targets_are_those_of_the_settings() {
    let setting = |key: &str, table: &[service_kit::Setting]| {
        let found = table.iter().find(|setting| setting.key == key);
        found
            .unwrap_or_else(|| panic!("no setting {key}"))
            .default
            .to_owned()
    };
    let port = |default: &str| default.rsplit(':').next().unwrap_or_default().to_owned();
    let mediamtx = text("deploy/mediamtx/mediamtx.yml");
    let metrics = mediamtx
        .lines()
        .find_map(|line| line.strip_prefix("metricsAddress: "));
    let config = text(CONFIG);
    let mut problems = Vec::new();
    for (service, address) in [
        (
            "orchestrator",
            setting("ORCH_ADMIN_ADDR", orchestrator::config::SETTINGS),
        ),
        (
            "media-edge",
            setting("MEDIA_EDGE_ADMIN_ADDR", media_edge::config::SETTINGS),
        ),
        ("dubber", setting("DUBBER_ADMIN_ADDR", dubber::config::SETTINGS)),
        ("mediamtx", metrics.expect("an address of metrics").to_owned()),
    ] {
        let target = format!("targets: [\"{service}:{}\"]", port(&address));
        if !config.contains(&format!("job_name: {service}\n")) || !config.contains(&target) {
            problems.push(format!("{CONFIG}: no job {service} with {target}"));
        }
    }
    let cap = setting("WORKER_MAX_INFLIGHT", media_edge::config::SETTINGS);
    let at_cap = format!("worker_inflight_fragments >= {cap}");
    if !rules().iter().any(|(_, alert)| key(alert, "expr") == at_cap) {
        problems.push(format!("deploy/prometheus/rules: no alert on {at_cap}"));
    }
    expect_none(
        &problems,
        "bring deploy/prometheus in line with the defaults of the settings",
    );
}
