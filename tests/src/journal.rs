//! What media-edge told about a stream while it ran, and where a moment of its timeline is heard in a recording.

use crate::Services;
use anyhow::{Result, ensure};
use dub_proto::{
    edge::v1::{Fate, Fragment, GetWorkerRequest, Worker},
    media::v1::MediaTime,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;

/// Far below the length of any fragment: none is missed.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// A moment of the run's timeline in milliseconds.
pub fn millis(time: &MediaTime) -> f64 {
    time.ticks as f64 * 1000.0 / f64::from(time.rate.max(1))
}

/// What was told so far.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Fragments by number, each as told last.
    pub fragments: BTreeMap<u64, Fragment>,
    /// The worker as told last.
    pub worker: Option<Worker>,
    /// Instances of the worker, in order.
    pub instances: Vec<String>,
    /// Every `publish_origin`, in milliseconds and in order.
    pub publish_origins_ms: Vec<f64>,
    /// Every `source_origin`, in milliseconds and in order.
    pub source_origins_ms: Vec<f64>,
}

impl Told {
    fn take(&mut self, worker: Worker) {
        for fragment in &worker.recent_fragments {
            self.fragments.insert(fragment.fragment_seq, fragment.clone());
        }
        if self.instances.last() != Some(&worker.instance_id) {
            self.instances.push(worker.instance_id.clone());
        }
        for (origins, told) in [
            (&mut self.publish_origins_ms, &worker.publish_origin),
            (&mut self.source_origins_ms, &worker.source_origin),
        ] {
            if let Some(told) = told
                .as_ref()
                .map(millis)
                .filter(|told| origins.last() != Some(told))
            {
                origins.push(told);
            }
        }
        self.worker = Some(worker);
    }

    /// Where a moment of the run is heard: its presentation time on the one connection to `/out`.
    pub fn heard_at_ms(&self, run: &MediaTime) -> Result<f64> {
        ensure!(
            self.publish_origins_ms.len() == 1 && self.instances.len() == 1,
            "more than one connection: origins {:?}, workers {:?}",
            self.publish_origins_ms,
            self.instances
        );
        Ok(millis(run) - self.publish_origins_ms[0])
    }

    /// Where a fragment is heard, from and to.
    pub fn heard_range_ms(&self, fragment: &Fragment) -> Result<(f64, f64)> {
        let range = fragment.range.unwrap_or_default();
        let (start, end) = (range.start.unwrap_or_default(), range.end.unwrap_or_default());
        Ok((self.heard_at_ms(&start)?, self.heard_at_ms(&end)?))
    }

    /// Fragments whose outcome is final, with the range in which each is heard, as far as it lies in `within_ms`.
    pub fn aired(&self, within_ms: (f64, f64)) -> Result<Vec<(Fragment, (f64, f64))>> {
        let mut aired = Vec::new();
        for fragment in self
            .fragments
            .values()
            .filter(|fragment| fragment.fate() != Fate::Unspecified)
        {
            let range = self.heard_range_ms(fragment)?;
            if within_ms.0 <= range.0 && range.1 <= within_ms.1 {
                aired.push((fragment.clone(), range));
            }
        }
        Ok(aired)
    }

    /// Numbers of the fragments that are told twice over: never any.
    pub fn overlapping(&self) -> Vec<u64> {
        let ranges: Vec<(u64, f64, f64)> = self
            .fragments
            .values()
            .filter_map(|fragment| {
                let range = fragment.range?;
                Some((fragment.fragment_seq, millis(&range.start?), millis(&range.end?)))
            })
            .collect();
        ranges
            .windows(2)
            .filter(|two| two[1].1 < two[0].2)
            .map(|two| two[1].0)
            .collect()
    }
}

/// Asks for a worker again and again.
pub struct Journal {
    told: Arc<Mutex<Told>>,
    /// Ends when dropped.
    _asking: JoinSet<()>,
}

impl Journal {
    /// Begins to ask; a stream without a worker is asked for again.
    pub fn start(services: &Services, id: &str) -> Result<Self> {
        let told = Arc::new(Mutex::new(Told::default()));
        let mut edge = services.edge()?;
        let id = id.to_owned();
        let kept = Arc::clone(&told);
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            loop {
                let request = GetWorkerRequest {
                    stream_id: id.clone(),
                };
                if let Ok(answer) = edge.get_worker(request).await
                    && let Some(worker) = answer.into_inner().worker
                {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).take(worker);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        Ok(Self {
            told,
            _asking: asking,
        })
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
