//! A fragment's trace, as Jaeger answers it.

use super::Bench;
use super::air::{OnAir, SECOND};
use super::project::Setup;
use crate::http_get;
use anyhow::{Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Spans of a fragment by service.
const STAGES: [(&str, &[&str]); 2] = [
    (
        "media-edge",
        &["fragment", "queue", "hop", "placement", "hold", "mix", "publish"],
    ),
    ("dubber", &["process dub.fragment", "generate_content mock"]),
];
/// Spans of the start of a stream by service.
const START_STAGES: [(&str, &[&str]); 2] = [
    ("orchestrator", &["stream start"]),
    ("media-edge", &["start worker"]),
];
/// From a fragment's air to its readable trace.
const READABLE: Duration = Duration::from_secs(30);

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    bench.up(&Setup::coded())?;
    bench.verdicts.step("publishing, and asking Jaeger for fragments");
    let on_air = OnAir::start(bench, "traced", 60).await?;
    let looked = Instant::now();
    let trace = whole_trace(bench.services.ports().jaeger);
    let readable = looked.elapsed();
    on_air.end(bench).await?;
    let trace = trace?;
    let found: BTreeMap<String, BTreeSet<String>> = names(&trace);
    bench.verdicts.bar(
        "spans of a fragment",
        format!(
            "{found:?}, readable {:.1} s after it was heard",
            readable.as_secs_f64()
        ),
        "every stage of media-edge and dubber",
        has_all(&found, &STAGES),
    );
    let start = link(&trace);
    let started = start
        .as_ref()
        .map(|id| one_trace(bench.services.ports().jaeger, id));
    let spans = started
        .transpose()?
        .map(|trace| names(&trace))
        .unwrap_or_default();
    bench.verdicts.bar(
        "link of the fragment",
        format!("{} with {spans:?}", start.as_deref().unwrap_or("none")),
        "the start of the stream",
        has_all(&spans, &START_STAGES),
    );
    Ok(())
}

fn whole_trace(port: u16) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let path = "/api/traces?service=media-edge&operation=fragment&limit=50&lookback=1h";
        let answer = http_get(port, path).unwrap_or_default();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let traces = answer["data"].as_array().cloned().unwrap_or_default();
        if let Some(trace) = traces.iter().find(|trace| has_all(&names(trace), &STAGES)) {
            return Ok(trace.clone());
        }
        if begun.elapsed() > READABLE {
            let seen: Vec<_> = traces.iter().take(3).map(names).collect();
            bail!(
                "no whole trace of a fragment after {READABLE:?}; {} seen: {seen:?}",
                traces.len()
            );
        }
        std::thread::sleep(SECOND / 2);
    }
}

fn one_trace(port: u16, id: &str) -> Result<Value> {
    let answer: Value = serde_json::from_str(&http_get(port, &format!("/api/traces/{id}"))?)?;
    Ok(answer["data"][0].clone())
}

/// Names of the spans of a trace by service.
fn names(trace: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for span in trace["spans"].as_array().into_iter().flatten() {
        let process = span["processID"].as_str().unwrap_or_default();
        let service = trace["processes"][process]["serviceName"]
            .as_str()
            .unwrap_or_default();
        let name = span["operationName"].as_str().unwrap_or_default();
        names
            .entry(service.to_owned())
            .or_default()
            .insert(name.to_owned());
    }
    names
}

fn has_all(found: &BTreeMap<String, BTreeSet<String>>, wanted: &[(&str, &[&str])]) -> bool {
    wanted.iter().all(|(service, stages)| {
        let own = found.get(*service);
        own.is_some_and(|own| stages.iter().all(|stage| own.contains(*stage)))
    })
}

/// The trace that a fragment's root span is linked to.
fn link(trace: &Value) -> Option<String> {
    let spans = trace["spans"].as_array()?;
    let root = spans.iter().find(|span| span["operationName"] == "fragment")?;
    let references = root["references"].as_array()?;
    let link = references
        .iter()
        .find(|reference| reference["refType"] != "CHILD_OF")?;
    link["traceID"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trace() -> Value {
        let span = |process: &str, name: &str| json!({"processID": process, "operationName": name, "references": []});
        let mut spans: Vec<Value> = STAGES[0].1.iter().map(|name| span("p1", name)).collect();
        spans.extend(STAGES[1].1.iter().map(|name| span("p2", name)));
        spans[0]["references"] = json!([{"refType": "CHILD_OF", "traceID": "own"}, {"refType": "FOLLOWS_FROM", "traceID": "start"}]);
        json!({"spans": spans, "processes": {"p1": {"serviceName": "media-edge"}, "p2": {"serviceName": "dubber"}}})
    }

    #[test]
    fn a_trace_is_whole_with_every_stage_and_its_link_is_not_its_parent() {
        let mut trace = trace();
        assert!(has_all(&names(&trace), &STAGES));
        assert_eq!(link(&trace).as_deref(), Some("start"));
        trace["processes"]["p2"]["serviceName"] = json!("other");
        assert!(!has_all(&names(&trace), &STAGES));
        trace["spans"][0]["references"] = json!([]);
        assert_eq!(link(&trace), None);
    }
}
