//! What `serve` knows of one worker: what it was told at its start, and everything the worker has reported since.

use crate::link::lines::{FragmentReport, Source, Start, State, View};
use media_types::{AirState, Fate, FragmentSeq, Reason};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// Fragments that are shown: two minutes of the default length, and an answer of a few kilobytes.
pub const RECENT_FRAGMENTS_MAX: usize = 64;

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// Why, for a person to read.
    pub detail: String,
}

/// One worker as it is now.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it was told.
    pub start: Arc<Start>,
    /// The source as last told.
    pub source: Source,
    /// Process id.
    pub pid: u32,
    /// Wall-clock time of the start.
    pub started_at: SystemTime,
    /// Its own word about itself.
    pub view: View,
    /// It was told to stop.
    pub stopping: bool,
    /// Newest fragments, the oldest first.
    pub fragments: VecDeque<FragmentReport>,
    /// Number of the newest fragment.
    pub last_fragment_seq: FragmentSeq,
    /// Fragments by fate.
    pub fragments_total: BTreeMap<Fate, u64>,
    /// Fragments without their whole dub, by reason.
    pub fallbacks_total: BTreeMap<Reason, u64>,
    /// Its end.
    pub exit: Option<Exit>,
}

impl Snapshot {
    /// A worker that was just started.
    pub fn new(start: Arc<Start>, pid: u32, started_at: SystemTime) -> Self {
        Self {
            source: start.source.clone(),
            last_fragment_seq: FragmentSeq(start.first_fragment_seq.0.saturating_sub(1)),
            start,
            pid,
            started_at,
            view: View::default(),
            stopping: false,
            fragments: VecDeque::with_capacity(RECENT_FRAGMENTS_MAX),
            fragments_total: BTreeMap::new(),
            fallbacks_total: BTreeMap::new(),
            exit: None,
        }
    }

    /// Whether its process runs.
    pub fn is_live(&self) -> bool {
        self.exit.is_none()
    }

    /// Whether the source was ever connected.
    pub fn is_ready(&self) -> bool {
        self.view.state != State::Starting
    }

    /// Takes the worker's word; the view before it comes back.
    pub fn apply_view(&mut self, view: View) -> View {
        self.last_fragment_seq = self.last_fragment_seq.max(view.last_fragment_seq);
        std::mem::replace(&mut self.view, view)
    }

    /// Takes the switch as thrown, ahead of the worker's next view.
    pub fn apply_air(&mut self, state: AirState) {
        self.view.air_state = Some(state);
    }

    /// Takes a fragment that was cut, or the outcome of one that has aired.
    pub fn apply_fragment(&mut self, report: FragmentReport) {
        self.last_fragment_seq = self.last_fragment_seq.max(report.seq);
        if let Some(fate) = report.fate {
            *self.fragments_total.entry(fate).or_default() += 1;
            if let Some(reason) = report.reason.filter(|_| fate != Fate::Success) {
                *self.fallbacks_total.entry(reason).or_default() += 1;
            }
        }
        match self
            .fragments
            .iter_mut()
            .rev()
            .find(|known| known.seq == report.seq)
        {
            Some(known) => *known = report,
            None => {
                if self.fragments.len() == RECENT_FRAGMENTS_MAX {
                    self.fragments.pop_front();
                }
                self.fragments.push_back(report);
            }
        }
    }

    /// The process is gone: what was true only of a living one is taken back, what was counted stays.
    pub fn apply_exit(&mut self, exit: Exit) {
        self.pid = 0;
        self.view.ingest_pid = 0;
        self.view.publishing = false;
        self.view.publish_origin = None;
        self.view.source_origin = None;
        self.view.dub_connected = false;
        self.view.video_queue_ms = 0;
        self.view.audio_queue_ms = 0;
        self.view.in_flight_ms = 0;
        self.view.in_flight_fragments = 0;
        self.exit = Some(exit);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use media_types::{MediaRange, MediaTime, RunId, StreamId, StreamSettings};

    pub fn start(stream_id: &str, run_id: &str, epoch: u32) -> Start {
        Start {
            stream_id: StreamId::new(stream_id).unwrap(),
            run_id: RunId::new(run_id).unwrap(),
            epoch,
            instance_id: "instance".to_owned(),
            first_fragment_seq: FragmentSeq(1),
            settings: StreamSettings::default(),
            source: Source::default(),
            traceparent: String::new(),
            tracestate: String::new(),
        }
    }

    pub fn fragment(seq: u64, fate: Option<Fate>, reason: Option<Reason>) -> FragmentReport {
        let start = MediaTime::from_millis(i64::try_from(seq).unwrap() * 2_000);
        let range = MediaRange::new(start, start + MediaTime::from_millis(2_000));
        FragmentReport {
            seq: FragmentSeq(seq),
            range,
            fate,
            reason,
            end_to_end_ms: None,
            round_trip_ms: Some(200.5),
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot::new(Arc::new(start("derby", "run", 1)), 7, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_fragment_is_shown_once_and_its_outcome_counted_once() {
        let mut snapshot = snapshot();
        snapshot.apply_fragment(fragment(1, None, None));
        snapshot.apply_fragment(fragment(2, None, None));
        snapshot.apply_fragment(fragment(1, Some(Fate::Fallback), Some(Reason::Timeout)));
        assert_eq!(
            snapshot.fragments.iter().map(|f| f.seq.0).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(snapshot.fragments[0].fate, Some(Fate::Fallback));
        assert_eq!(snapshot.fragments_total, [(Fate::Fallback, 1)].into());
        assert_eq!(snapshot.fallbacks_total, [(Reason::Timeout, 1)].into());
    }

    #[test]
    fn only_the_newest_fragments_are_kept_and_all_are_counted() {
        let mut snapshot = snapshot();
        for seq in 1..=100 {
            snapshot.apply_fragment(fragment(seq, Some(Fate::Success), None));
        }
        assert_eq!(snapshot.fragments.len(), RECENT_FRAGMENTS_MAX);
        assert_eq!(snapshot.fragments[0].seq, FragmentSeq(37));
        assert_eq!(
            (
                snapshot.fragments_total[&Fate::Success],
                snapshot.last_fragment_seq
            ),
            (100, FragmentSeq(100))
        );
    }

    #[test]
    fn the_newest_number_never_goes_back() {
        let mut snapshot = snapshot();
        snapshot.apply_fragment(fragment(9, None, None));
        snapshot.apply_view(View {
            last_fragment_seq: FragmentSeq(8),
            ..View::default()
        });
        assert_eq!(snapshot.last_fragment_seq, FragmentSeq(9));
    }
}
