//! What is believed of the provider, from what it did lately: fixed beliefs fail when it is slower than expected.
use media_types::MediaTime;
use std::collections::VecDeque;

/// Matches that count.
const KEPT: usize = 40;
/// Matches that still count after another connection took over.
const KEPT_OVER: usize = 12;
/// Matches before which nothing is believed of the provider but what most do.
const ENOUGH: usize = 5;
/// Share of answers that are taken to follow the one before without a pause, until it is known; weighs as much as 20.
const GLUED_BEFORE: f64 = 0.1;
/// What a group costs besides being rare.
const GLUE_PRICE: f64 = 0.0;
/// Spread of a normal distribution over its median absolute deviation.
const SPREAD: f64 = 1.4826;

/// An answer and the one phrase that it answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Match {
    /// From onset to onset, in seconds; absent where the provider is not paced.
    pub(crate) lag: Option<f64>,
    /// From the speaker's last word to the answer's last, in seconds.
    pub(crate) tail: Option<f64>,
    /// Logarithm of the answer's length over the phrase's.
    pub(crate) ratio: f64,
}

/// Running figures, all in seconds but the ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Beliefs {
    pub(crate) lag: f64,
    pub(crate) lag_spread: f64,
    pub(crate) tail: f64,
    pub(crate) tail_spread: f64,
    pub(crate) ratio: f64,
    pub(crate) ratio_spread: f64,
    /// What it costs that one run answers one phrase more.
    pub(crate) extra_phrase: f64,
}

impl Beliefs {
    /// How long the answer to so much speech usually is, in seconds.
    pub(crate) fn usual(&self, spoken: f64) -> f64 {
        spoken * self.ratio.exp()
    }
}

/// What most providers do: the answer begins within some seconds and is about as long.
const PRIOR: Beliefs = Beliefs {
    lag: 1.2,
    lag_spread: 1.5,
    tail: 1.2,
    tail_spread: 1.0,
    ratio: 0.0,
    ratio_spread: 0.35,
    extra_phrase: 2.2,
};

/// The last matches.
#[derive(Debug)]
pub(crate) struct Estimates {
    matches: VecDeque<Match>,
    /// Logarithms of answers' lengths over their phrases': a matter of language, and no connection's.
    ratios: VecDeque<f64>,
    /// Which of the last answers followed the one before without a pause.
    glued: VecDeque<bool>,
    beliefs: Beliefs,
}

impl Default for Estimates {
    fn default() -> Self {
        Self {
            matches: VecDeque::new(),
            ratios: VecDeque::new(),
            glued: VecDeque::new(),
            beliefs: PRIOR,
        }
    }
}

impl Estimates {
    pub(crate) fn beliefs(&self) -> &Beliefs {
        &self.beliefs
    }

    /// An answer follows the one before it without a pause, or with one: groups are as dear as they are rare.
    pub(crate) fn note_glue(&mut self, glued: bool) {
        if KEPT <= self.glued.len() {
            self.glued.pop_front();
        }
        self.glued.push_back(glued);
        self.renew();
    }

    pub(crate) fn note(&mut self, found: Match) {
        if KEPT <= self.ratios.len() {
            self.ratios.pop_front();
        }
        self.ratios.push_back(found.ratio);
        // What was late because of what came before it tells nothing of how late the provider is.
        if found.lag.is_some() {
            if KEPT <= self.matches.len() {
                self.matches.pop_front();
            }
            self.matches.push_back(found);
        }
        self.renew();
    }

    /// Another connection took over: what the last one did counts for less.
    pub(crate) fn rotate(&mut self) {
        while KEPT_OVER < self.matches.len() {
            self.matches.pop_front();
        }
        self.renew();
    }

    /// Median of the start lags.
    pub(crate) fn lag_median(&self) -> Option<MediaTime> {
        let lags = self.sorted(|found| found.lag);
        let at = quantile(&lags, 0.5)?;
        Some(crate::lane::time(at))
    }

    fn sorted(&self, figure: impl Fn(&Match) -> Option<f64>) -> Vec<f64> {
        sorted(self.matches.iter().filter_map(figure))
    }

    fn renew(&mut self) {
        let mut beliefs = PRIOR;
        let glued = self.glued.iter().filter(|glued| **glued).count() as f64 + GLUED_BEFORE * 20.0;
        let share = glued / (self.glued.len() as f64 + 20.0);
        beliefs.extra_phrase = (GLUE_PRICE - share.ln()).clamp(1.0, 3.5);
        let lags = self.sorted(|found| found.lag);
        if let (Some(low), Some((_, spread))) = (quantile(&lags, 0.35), middle(&lags)) {
            (beliefs.lag, beliefs.lag_spread) = (low, spread.clamp(0.5, 2.0));
        }
        if let Some((tail, spread)) = middle(&self.sorted(|found| found.tail)) {
            (beliefs.tail, beliefs.tail_spread) = (tail, spread.clamp(0.4, 1.5));
        }
        if let Some((ratio, spread)) = middle(&sorted(self.ratios.iter().copied())) {
            (beliefs.ratio, beliefs.ratio_spread) = (ratio, spread.clamp(0.2, 0.5));
        }
        self.beliefs = beliefs;
    }
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = figures.collect();
    all.sort_unstable_by(f64::total_cmp);
    all
}

/// Median and spread, where there are enough.
fn middle(sorted: &[f64]) -> Option<(f64, f64)> {
    let median = quantile(sorted, 0.5).filter(|_| ENOUGH <= sorted.len())?;
    let mut off: Vec<f64> = sorted.iter().map(|value| (value - median).abs()).collect();
    off.sort_unstable_by(f64::total_cmp);
    Some((median, SPREAD * quantile(&off, 0.5)?))
}

fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(seconds: f64) -> Match {
        Match {
            lag: Some(seconds),
            tail: Some(seconds),
            ratio: 0.0,
        }
    }

    #[test]
    fn a_few_matches_change_no_belief_and_many_do() {
        let mut estimates = Estimates::default();
        for _ in 0..4 {
            estimates.note(lag(4.0));
        }
        assert_eq!(estimates.beliefs().lag, PRIOR.lag);
        assert_eq!(estimates.beliefs().lag_spread, PRIOR.lag_spread);
        estimates.note(lag(4.0));
        assert_eq!(estimates.beliefs().lag, 4.0);
        assert_eq!(estimates.beliefs().lag_spread, 0.5);
    }

    #[test]
    fn another_connection_is_believed_soon() {
        let mut estimates = Estimates::default();
        for _ in 0..100 {
            estimates.note(lag(1.0));
        }
        estimates.rotate();
        for _ in 0..25 {
            estimates.note(lag(3.0));
        }
        assert_eq!(estimates.beliefs().lag, 3.0);
        assert_eq!(estimates.lag_median(), Some(MediaTime::from_millis(3_000)));
    }
}
