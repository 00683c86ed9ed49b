//! A set of instants, as sorted ranges that neither touch nor overlap.
use media_types::{MediaRange, MediaTime};
use std::collections::VecDeque;

/// Sorted, disjoint, merged ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: VecDeque<MediaRange>,
}

impl RangeSet {
    /// Adds a range and merges what touches it.
    pub fn insert(&mut self, range: MediaRange) {
        if range.is_empty() {
            return;
        }
        let mut merged = range;
        let mut kept = VecDeque::with_capacity(self.ranges.len() + 1);
        let mut placed = false;
        for old in self.ranges.drain(..) {
            if old.end < merged.start {
                kept.push_back(old);
            } else if merged.end < old.start {
                if !placed {
                    kept.push_back(merged);
                    placed = true;
                }
                kept.push_back(old);
            } else {
                merged = MediaRange::new(merged.start.min(old.start), merged.end.max(old.end));
            }
        }
        if !placed {
            kept.push_back(merged);
        }
        self.ranges = kept;
    }

    /// The merged range that an instant lies in.
    pub fn containing(&self, at: MediaTime) -> Option<MediaRange> {
        self.ranges.iter().copied().find(|range| range.contains(at))
    }

    /// The parts of `range` that are in the set, in order.
    pub fn within(&self, range: MediaRange) -> impl Iterator<Item = MediaRange> + '_ {
        self.ranges.iter().filter_map(move |own| own.intersection(range))
    }

    /// Whether all of `range` is in the set.
    pub fn covers(&self, range: MediaRange) -> bool {
        range.is_empty()
            || self
                .ranges
                .iter()
                .any(|own| own.start <= range.start && range.end <= own.end)
    }

    /// Whether any instant of `range` is in the set.
    pub fn touches(&self, range: MediaRange) -> bool {
        self.within(range).next().is_some()
    }

    /// Forgets whole ranges that end at or before an instant.
    pub fn forget_before(&mut self, at: MediaTime) {
        while self.ranges.front().is_some_and(|range| range.end <= at) {
            self.ranges.pop_front();
        }
    }

    /// Takes everything from an instant on out of the set.
    pub fn truncate(&mut self, at: MediaTime) {
        while let Some(last) = self.ranges.pop_back() {
            if last.start < at {
                self.ranges
                    .push_back(MediaRange::new(last.start, last.end.min(at)));
                return;
            }
        }
    }

    /// First instant behind the last range.
    pub fn end(&self) -> Option<MediaTime> {
        self.ranges.back().map(|range| range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> MediaRange {
        MediaRange::new(MediaTime::from_frames(start), MediaTime::from_frames(end))
    }

    #[test]
    fn abutting_ranges_become_one() {
        let mut set = RangeSet::default();
        for (start, end) in [(20, 30), (0, 10), (10, 20), (40, 50)] {
            set.insert(range(start, end));
        }
        assert!(set.covers(range(0, 30)));
        assert!(!set.covers(range(0, 41)));
        assert_eq!(
            set.within(range(25, 45)).collect::<Vec<_>>(),
            [range(25, 30), range(40, 45)]
        );
    }

    #[test]
    fn a_truncated_set_ends_there() {
        let mut set = RangeSet::default();
        set.insert(range(0, 10));
        set.insert(range(20, 30));
        set.truncate(MediaTime::from_frames(5));
        assert_eq!(set.end(), Some(MediaTime::from_frames(5)));
    }
}
