//! What of a machine must survive the death of its process, and a machine that begins with it.
use super::{Run, StreamLifecycle};
use crate::publisher::Presence;
use crate::{Memory, Policy, RememberedRun};
use media_types::FragmentSeq;

/// Numbers of fragments are remembered in steps, so that a memory changes once in many numbers; it is never behind.
const FRAGMENT_SEQ_STEP: u64 = 100;

impl StreamLifecycle {
    /// A stream as a machine before this one knew it.
    ///
    /// The run goes on with its next epoch if the same publisher is still there; whoever else is found gets a run of
    /// their own. A worker that still runs is adopted either way. An operator's stop holds as it did.
    pub fn recall(policy: Policy, memory: Memory) -> Self {
        let mut stream = Self::new(policy);
        stream.publisher.remember(&memory.source_id);
        stream.halted = memory.halted;
        if memory.halted {
            stream.detail = "stopped by an operator";
        }
        if let Some(RememberedRun {
            id,
            epoch,
            last_fragment_seq,
        }) = memory.run
        {
            stream.restarts_total = epoch.saturating_sub(1);
            stream.recalled = true;
            stream.run = Some(Run {
                id,
                epoch,
                last_fragment_seq: Some(last_fragment_seq),
            });
        }
        stream
    }

    /// What must survive; nothing where a fresh machine would do as well.
    pub fn memory(&self) -> Option<Memory> {
        // Whoever publishes next lifts the stop, so without a publisher and a run there is nothing that it holds.
        let holds_stop = self.halted && *self.publisher.presence() != Presence::Absent;
        let run = self.run.as_ref().map(|run| RememberedRun {
            id: run.id.clone(),
            epoch: run.epoch,
            last_fragment_seq: in_steps(run.last_fragment_seq.unwrap_or_default()),
        });
        (run.is_some() || holds_stop).then(|| Memory {
            source_id: self.publisher.last_source_id().to_owned(),
            run,
            halted: self.halted,
        })
    }

    /// The publisher of a recalled run is gone, and so is the run unless its worker is found.
    pub(super) fn drop_recalled(&mut self) {
        if std::mem::take(&mut self.recalled) {
            self.run = None;
            self.restarts_total = 0;
        }
    }
}

fn in_steps(seq: FragmentSeq) -> FragmentSeq {
    FragmentSeq(
        seq.0
            .div_ceil(FRAGMENT_SEQ_STEP)
            .saturating_mul(FRAGMENT_SEQ_STEP),
    )
}
