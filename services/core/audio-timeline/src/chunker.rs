//! Cuts a run's audio into fragments that abut exactly. A hole in the audio closes a fragment early.
use media_types::{FragmentSeq, MediaRange, MediaTime};

/// What to do with a stretch of audio, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A fragment begins.
    Open {
        /// Its number.
        seq: FragmentSeq,
        /// Its first instant.
        start: MediaTime,
    },
    /// Audio of the open fragment.
    Audio {
        /// Where it lies.
        range: MediaRange,
    },
    /// The open fragment is complete.
    Close {
        /// Its number.
        seq: FragmentSeq,
        /// All of it.
        range: MediaRange,
    },
}

/// PCM ranges in, steps out.
#[derive(Debug)]
pub struct Chunker {
    next: FragmentSeq,
    length: MediaTime,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    seq: FragmentSeq,
    start: MediaTime,
    end: MediaTime,
}

impl Chunker {
    /// `first` is the number of the first fragment, `length` the nominal length.
    pub fn new(first: FragmentSeq, length: MediaTime) -> Self {
        Self {
            next: first,
            length: length.max(MediaTime::from_frames(1)),
            open: None,
        }
    }

    /// Takes the next range of audio. It begins where the last one ended, or behind a hole.
    pub fn push(&mut self, range: MediaRange) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.open.is_some_and(|open| open.end != range.start) {
            steps.extend(self.close());
        }
        let mut at = range.start;
        while at < range.end {
            let open = match self.open {
                Some(open) => open,
                None => {
                    let open = Open {
                        seq: self.next,
                        start: at,
                        end: at,
                    };
                    self.next = self.next.next();
                    steps.push(Step::Open {
                        seq: open.seq,
                        start: at,
                    });
                    open
                }
            };
            let until = range.end.min(open.start + self.length);
            steps.push(Step::Audio {
                range: MediaRange::new(at, until),
            });
            self.open = Some(Open { end: until, ..open });
            if until == open.start + self.length {
                steps.extend(self.close());
            }
            at = until;
        }
        steps
    }

    /// Closes the open fragment where it stands.
    pub fn close(&mut self) -> Option<Step> {
        self.open.take().map(|open| Step::Close {
            seq: open.seq,
            range: MediaRange::new(open.start, open.end),
        })
    }

    /// Number of the newest fragment, if there is one.
    pub fn last(&self) -> Option<FragmentSeq> {
        self.open.map(|open| open.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> MediaRange {
        MediaRange::new(MediaTime::from_frames(start), MediaTime::from_frames(end))
    }

    #[test]
    fn fragments_abut_whatever_the_buffers_are() {
        for step in [1, 7, 100, 333, 1024] {
            let mut chunker = Chunker::new(FragmentSeq(1), MediaTime::from_frames(1000));
            let mut closed = Vec::new();
            let mut at = 50;
            while at < 10_050 {
                let end = (at + step).min(10_050);
                for step in chunker.push(range(at, end)) {
                    if let Step::Close { seq, range } = step {
                        closed.push((seq, range));
                    }
                }
                at = end;
            }
            assert_eq!(closed.len(), 10);
            for (index, (seq, own)) in closed.iter().enumerate() {
                let start = 50 + 1000 * i64::try_from(index).unwrap_or(0);
                assert_eq!((seq.0, *own), (index as u64 + 1, range(start, start + 1000)));
            }
        }
    }

    #[test]
    fn a_hole_closes_a_fragment_early() {
        let mut chunker = Chunker::new(FragmentSeq(7), MediaTime::from_frames(1000));
        chunker.push(range(0, 400));
        let steps = chunker.push(range(900, 1000));
        assert_eq!(
            steps.first(),
            Some(&Step::Close {
                seq: FragmentSeq(7),
                range: range(0, 400)
            })
        );
        assert_eq!(
            steps.get(1),
            Some(&Step::Open {
                seq: FragmentSeq(8),
                start: MediaTime::from_frames(900)
            })
        );
    }
}
