//! Decoding times for pictures that come in decoding order with presentation times alone. Pure.

/// The deepest reordering that H.264 allows.
const DEPTH_MAX: usize = 16;

/// Gives each picture the decoding time that its encoder had: with a reorder depth of `d` the n-th picture is decoded
/// when the (n - d)-th is shown, and the first `d` in steps of one picture before that.
#[derive(Debug)]
pub(super) struct Reorder {
    depth: usize,
    /// Shown later than everything that was a decoding time already; ascending.
    waiting: Vec<i64>,
    lead_in: usize,
    picture_ns: i64,
    last_ns: Option<i64>,
}

/// Greatest number of pictures sent ahead of one that is shown before them.
pub(super) fn depth(pts_ns: &[i64]) -> usize {
    let ahead = |(at, pts): (usize, &i64)| pts_ns[..at].iter().filter(|earlier| *earlier > pts).count();
    pts_ns.iter().enumerate().map(ahead).max().unwrap_or(0)
}

impl Reorder {
    /// From the first pictures; `told` is what the stream says of its own depth.
    pub fn new(first_pts_ns: &[i64], told: Option<usize>) -> Self {
        let depth = depth(first_pts_ns).max(told.unwrap_or(0)).min(DEPTH_MAX);
        let mut shown = first_pts_ns.to_vec();
        shown.sort_unstable();
        let mut steps: Vec<i64> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_unstable();
        let picture_ns = steps.get(steps.len() / 2).copied().unwrap_or(0);
        Self {
            depth,
            waiting: Vec::with_capacity(depth + 1),
            lead_in: depth,
            picture_ns,
            last_ns: None,
        }
    }

    /// Decoding time of the next picture: rising, and never after its presentation.
    pub fn dts_ns(&mut self, pts_ns: i64) -> i64 {
        let at = self.waiting.partition_point(|waiting| *waiting < pts_ns);
        self.waiting.insert(at, pts_ns);
        let due = if self.waiting.len() > self.depth {
            self.waiting.remove(0)
        } else {
            let ahead = i64::try_from(self.lead_in).unwrap_or(0);
            self.lead_in = self.lead_in.saturating_sub(1);
            self.waiting
                .first()
                .map_or(pts_ns, |first| first - ahead * self.picture_ns)
        };
        let rising = self.last_ns.map_or(due, |last| due.max(last + 1));
        self.last_ns = Some(rising);
        rising.min(pts_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264 with three B-frames and a pyramid, in decoding order.
    const PYRAMID: [i64; 10] = [0, 40, 20, 10, 30, 80, 60, 50, 70, 120];

    #[test]
    fn decoding_times_are_those_of_the_encoder() {
        assert_eq!(depth(&PYRAMID[..9]), 2);
        let mut reorder = Reorder::new(&PYRAMID[..9], None);
        let dts: Vec<i64> = PYRAMID.iter().map(|pts| reorder.dts_ns(*pts)).collect();
        assert_eq!(dts, [-20, -10, 0, 10, 20, 30, 40, 50, 60, 70]);
    }

    #[test]
    fn a_depth_that_is_told_counts_where_none_is_seen_yet() {
        let mut reorder = Reorder::new(&[0, 10, 20], Some(2));
        assert_eq!([0, 10, 20].map(|pts| reorder.dts_ns(pts)), [-20, -10, 0]);
    }

    #[test]
    fn without_reordering_both_times_are_one() {
        let mut reorder = Reorder::new(&[0, 10, 20], None);
        assert_eq!([0, 10, 20, 30].map(|pts| reorder.dts_ns(pts)), [0, 10, 20, 30]);
    }

    #[test]
    fn decoding_never_follows_presentation_when_the_depth_was_underrated() {
        let mut reorder = Reorder::new(&[0, 10, 20], None);
        for pts in [0, 10, 50, 30, 20, 40, 60] {
            assert!(reorder.dts_ns(pts) <= pts);
        }
    }
}
