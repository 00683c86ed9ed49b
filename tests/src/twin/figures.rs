//! Figures over time: memory of processes, gauges of the services, and the line through them.

use crate::Live;
use crate::http::http_get;
use std::collections::BTreeMap;

/// Values with their times, bounded: when it is full every second one goes, and from then on half as many are taken.
#[derive(Clone, Debug)]
pub struct Series {
    values: Vec<(f64, f64)>,
    every: usize,
    offered: usize,
}

/// An hour at one a second fits as it is.
const VALUES_MAX: usize = 8_192;

impl Default for Series {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            every: 1,
            offered: 0,
        }
    }
}

impl Series {
    /// Takes a value of a time in seconds.
    pub fn push(&mut self, at_s: f64, value: f64) {
        if self.offered.is_multiple_of(self.every) {
            self.values.push((at_s, value));
        }
        self.offered += 1;
        if self.values.len() >= VALUES_MAX {
            let mut index = 0;
            self.values.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// What it holds.
    pub fn values(&self) -> &[(f64, f64)] {
        &self.values
    }

    /// The newest value.
    pub fn last(&self) -> Option<f64> {
        Some(self.values.last()?.1)
    }

    /// The largest value.
    pub fn max(&self) -> Option<f64> {
        self.values.iter().map(|(_, value)| *value).max_by(f64::total_cmp)
    }

    /// Median between two times.
    pub fn median_between(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let inside: Vec<f64> = self
            .values
            .iter()
            .filter(|(at_s, _)| (from_s..=to_s).contains(at_s))
            .map(|(_, value)| *value)
            .collect();
        (!inside.is_empty()).then(|| media_judge::dsp::median(&inside))
    }

    /// Slope of the line of least squares from a time on, for a second; none for less than two values.
    pub fn slope_from(&self, from_s: f64) -> Option<f64> {
        let later: Vec<(f64, f64)> = self
            .values
            .iter()
            .copied()
            .filter(|(at_s, _)| *at_s >= from_s)
            .collect();
        let count = later.len() as f64;
        let mean_at = later.iter().map(|(at_s, _)| at_s).sum::<f64>() / count;
        let mean = later.iter().map(|(_, value)| value).sum::<f64>() / count;
        let (mut above, mut below) = (0.0, 0.0);
        for (at_s, value) in &later {
            above += (at_s - mean_at) * (value - mean);
            below += (at_s - mean_at).powi(2);
        }
        (below > 0.0).then_some(above / below)
    }
}

/// Resident memory of a process in MB; none when it is gone.
pub fn rss_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// Every series of the pages of media-edge and dubber whose name begins with one of these, summed over its labels, and
/// once more for each result or event that it tells apart, as `name/result`.
pub fn gauges(live: &Live, names: &[&str]) -> BTreeMap<String, f64> {
    let ports = live.stack.ports();
    let mut found = BTreeMap::new();
    for port in [ports.media_edge_admin, ports.dubber_admin] {
        let page = http_get(port, "/metrics").unwrap_or_default();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = series.split('{').next().unwrap_or_default();
            let wanted = names.iter().any(|wanted| name.starts_with(wanted));
            let is_count = name.ends_with("_bucket") || name.ends_with("_sum") || name.ends_with("_created");
            if let (true, false, Ok(value)) = (wanted, is_count, value.parse::<f64>()) {
                *found.entry(name.to_owned()).or_insert(0.0) += value;
                let label = |label: &str| series.split_once(label)?.1.split_once('"');
                if let Some((which, _)) = label("result=\"").or_else(|| label("event=\"")) {
                    *found.entry(format!("{name}/{which}")).or_insert(0.0) += value;
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_line_through_the_later_values_is_found() {
        let mut series = Series::default();
        for second in 0..3600 {
            let at_s = f64::from(second);
            let warm_up = if second < 600 { 0.1 * at_s } else { 60.0 };
            series.push(at_s, warm_up + 0.002 * at_s);
        }
        assert!((series.slope_from(600.0).unwrap() - 0.002).abs() < 1e-9);
        assert!(Series::default().slope_from(0.0).is_none());
    }

    #[test]
    fn a_long_series_keeps_its_shape_in_bounded_memory() {
        let mut series = Series::default();
        for second in 0..100_000 {
            series.push(f64::from(second), 3.0 * f64::from(second));
        }
        assert!(series.values().len() < VALUES_MAX);
        assert!((series.slope_from(0.0).unwrap() - 3.0).abs() < 1e-9);
        assert!(series.values().last().unwrap().0 > 99_000.0);
    }
}
