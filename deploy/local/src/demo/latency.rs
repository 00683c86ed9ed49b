//! Latency by stage, from the spans that Jaeger has of the fragments.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{Stack, http};

/// Services whose spans make up a fragment.
const SERVICES: [&str; 2] = ["media-edge", "dubber"];
/// Traces that are looked at; the newest.
const TRACES: u32 = 60;
/// Jaeger answers from memory, but a page of traces is large.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Durations of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Name of the span, with its service.
    pub name: String,
    /// In milliseconds, sorted.
    pub durations_ms: Vec<f64>,
}

impl Stage {
    /// The duration below which this share of them lies, 0 to 1.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        quantile(&self.durations_ms, share)
    }
}

/// Value below which a share of sorted values lies; 0 for none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    // An index of a list of a few hundred: exact in f64.
    let index = (last as f64 * share).round() as usize;
    sorted.get(index.min(last)).copied().unwrap_or(0.0)
}

/// The stages, or none where there is no Jaeger or it does not answer.
pub async fn stages(stack: &Stack) -> Vec<Stage> {
    if !stack.is_traced() {
        return Vec::new();
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, stack.ports().jaeger));
    let mut spans = BTreeMap::new();
    for service in SERVICES {
        // A table without this part is better than none.
        if let Ok(answer) = ask(address, service).await {
            collect(&answer, &mut spans);
        }
    }
    by_name(spans)
}

async fn ask(address: SocketAddr, service: &str) -> Result<Value> {
    let path = format!("/api/traces?service={service}&limit={TRACES}&lookback=1h");
    let answer = http::get(address, &path, ANSWER_WITHIN).await?;
    Ok(serde_json::from_str(&answer.body)?)
}

/// Spans by id, so that one that both answers hold counts once.
fn collect(answer: &Value, spans: &mut BTreeMap<String, (String, f64)>) {
    let traces = answer.get("data").and_then(Value::as_array).into_iter().flatten();
    for trace in traces {
        let processes = trace.get("processes");
        for span in trace.get("spans").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| span.get(key).and_then(Value::as_str);
            let service = text("processID")
                .and_then(|process| processes?.get(process)?.get("serviceName")?.as_str())
                .unwrap_or("?");
            let micros = span.get("duration").and_then(Value::as_f64);
            if let (Some(id), Some(name), Some(micros)) = (text("spanID"), text("operationName"), micros) {
                spans.insert(id.to_owned(), (format!("{service}: {name}"), micros / 1000.0));
            }
        }
    }
}

fn by_name(spans: BTreeMap<String, (String, f64)>) -> Vec<Stage> {
    let mut stages: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, ms) in spans.into_values() {
        stages.entry(name).or_default().push(ms);
    }
    stages
        .into_iter()
        .map(|(name, mut durations_ms)| {
            durations_ms.sort_by(f64::total_cmp);
            Stage { name, durations_ms }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spans_are_grouped_by_service_and_name_and_count_once() {
        let span = |id: &str, micros: u32| {
            format!(r#"{{"spanID":"{id}","operationName":"hold","duration":{micros},"processID":"p1"}}"#)
        };
        let text = format!(
            r#"{{"data":[{{"processes":{{"p1":{{"serviceName":"media-edge"}}}},"spans":[{},{}]}}]}}"#,
            span("a", 2000),
            span("b", 4000)
        );
        let answer: Value = serde_json::from_str(&text).unwrap();
        let mut spans = BTreeMap::new();
        collect(&answer, &mut spans);
        collect(&answer, &mut spans);
        let stages = by_name(spans);
        assert_eq!(
            stages,
            vec![Stage {
                name: "media-edge: hold".to_owned(),
                durations_ms: vec![2.0, 4.0]
            }]
        );
    }

    #[test]
    fn a_quantile_of_nothing_is_nothing() {
        assert_eq!(quantile(&[], 0.5).to_bits(), 0.0_f64.to_bits());
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.5).to_bits(), 2.0_f64.to_bits());
    }
}
