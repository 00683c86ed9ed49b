//! What each range of the run airs, and at whose word. Placement, fallbacks and the operator write to it; only the
//! mixer reads it.
use crate::RangeSet;
use media_types::{AirState, Fallback, MediaRange, MediaTime, Reason};
use std::collections::VecDeque;

/// At whose word a range airs what it airs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A dub is due.
    Dub,
    /// No dub is due in time.
    Fallback,
    /// The operator's switch.
    Operator,
    /// Nothing asks for a dub here.
    Rule,
}

/// A stretch that airs one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AirSpan {
    /// Where.
    pub range: MediaRange,
    /// What.
    pub state: AirState,
    /// At whose word.
    pub author: Author,
    /// Why, where it is a fallback.
    pub reason: Option<Reason>,
    /// A dub lies here, and no fallback took its place.
    pub dub: bool,
}

/// Operator's switch, dubs and fallbacks on one timeline.
#[derive(Debug)]
pub struct AirPlan {
    /// Changes of the switch, oldest first; the first one holds since ever.
    switch: VecDeque<(MediaTime, AirState)>,
    by_operator: bool,
    fallbacks: VecDeque<(MediaRange, Fallback, Reason)>,
}

impl AirPlan {
    /// A plan whose switch stands at `initial`.
    pub fn new(initial: AirState) -> Self {
        Self {
            switch: VecDeque::from([(MediaTime::from_frames(i64::MIN), initial)]),
            by_operator: !matches!(initial, AirState::Dub | AirState::VoiceOver),
            fallbacks: VecDeque::new(),
        }
    }

    /// The switch is thrown: from `at` on, latched.
    pub fn switch(&mut self, at: MediaTime, state: AirState) {
        while self.switch.len() > 1 && self.switch.back().is_some_and(|(from, _)| at <= *from) {
            self.switch.pop_back();
        }
        self.switch.push_back((at, state));
        self.by_operator = true;
    }

    /// Where the switch stands.
    pub fn switched_to(&self) -> AirState {
        self.switch.back().map_or(AirState::Original, |(_, state)| *state)
    }

    /// No dub will be heard in `range`; what airs instead, and why.
    pub fn fall_back(&mut self, range: MediaRange, fallback: Fallback, reason: Reason) {
        self.fallbacks.push_back((range, fallback, reason));
    }

    /// Forgets what lies before an instant.
    pub fn forget_before(&mut self, at: MediaTime) {
        self.fallbacks.retain(|(range, _, _)| range.end > at);
        while self.switch.get(1).is_some_and(|(from, _)| *from <= at) {
            self.switch.pop_front();
        }
    }

    fn switch_at(&self, at: MediaTime) -> AirState {
        self.switch
            .iter()
            .rev()
            .find(|(from, _)| *from <= at)
            .map_or(AirState::Original, |(_, state)| *state)
    }

    /// `range` cut into stretches that air one thing each. `dubs` is where placed speech lies.
    pub fn spans(&self, range: MediaRange, dubs: &RangeSet) -> Vec<AirSpan> {
        let mut cuts = vec![range.start, range.end];
        let inside = |at: &MediaTime| range.start < *at && *at < range.end;
        cuts.extend(self.switch.iter().map(|(from, _)| *from).filter(inside));
        for own in dubs.within(range).chain(
            self.fallbacks
                .iter()
                .filter_map(|(own, _, _)| own.intersection(range)),
        ) {
            cuts.extend([own.start, own.end].into_iter().filter(inside));
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts.iter()
            .zip(cuts.iter().skip(1))
            .map(|(start, end)| self.span(MediaRange::new(*start, *end), dubs))
            .collect()
    }

    fn span(&self, range: MediaRange, dubs: &RangeSet) -> AirSpan {
        let switched = self.switch_at(range.start);
        let dub = dubs.containing(range.start).is_some();
        let span = |state, author, reason| AirSpan {
            range,
            state,
            author,
            reason,
            dub,
        };
        match switched {
            AirState::Original | AirState::Bed | AirState::Mute | AirState::Outage => {
                let author = if self.by_operator {
                    Author::Operator
                } else {
                    Author::Rule
                };
                span(switched, author, None)
            }
            AirState::Dub | AirState::VoiceOver => {
                let fallback = self
                    .fallbacks
                    .iter()
                    .find(|(own, _, _)| own.contains(range.start));
                match (dub, fallback) {
                    (true, None) => span(switched, Author::Dub, None),
                    (_, Some((_, fallback, reason))) => {
                        let state = match fallback {
                            Fallback::PassThrough => AirState::Original,
                            Fallback::DuckedOriginal => AirState::VoiceOver,
                            Fallback::Silence => AirState::Mute,
                        };
                        AirSpan {
                            dub: false,
                            ..span(state, Author::Fallback, Some(*reason))
                        }
                    }
                    (false, None) => span(AirState::Original, Author::Rule, None),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> MediaRange {
        MediaRange::new(MediaTime::from_frames(start), MediaTime::from_frames(end))
    }

    fn states(plan: &AirPlan, dubs: &RangeSet, whole: MediaRange) -> Vec<(MediaRange, AirState, Author)> {
        plan.spans(whole, dubs)
            .into_iter()
            .map(|span| (span.range, span.state, span.author))
            .collect()
    }

    #[test]
    fn the_original_is_replaced_only_where_a_dub_airs() {
        let plan = AirPlan::new(AirState::Dub);
        let mut dubs = RangeSet::default();
        dubs.insert(range(10, 20));
        assert_eq!(
            states(&plan, &dubs, range(0, 30)),
            [
                (range(0, 10), AirState::Original, Author::Rule),
                (range(10, 20), AirState::Dub, Author::Dub),
                (range(20, 30), AirState::Original, Author::Rule),
            ]
        );
    }

    #[test]
    fn the_switch_wins_over_dub_and_fallback_and_is_latched() {
        let mut plan = AirPlan::new(AirState::Dub);
        let mut dubs = RangeSet::default();
        dubs.insert(range(0, 100));
        plan.fall_back(range(100, 200), Fallback::Silence, Reason::Timeout);
        plan.switch(MediaTime::from_frames(50), AirState::Original);
        assert_eq!(
            states(&plan, &dubs, range(40, 160)),
            [
                (range(40, 50), AirState::Dub, Author::Dub),
                (range(50, 100), AirState::Original, Author::Operator),
                (range(100, 160), AirState::Original, Author::Operator),
            ]
        );
        plan.forget_before(MediaTime::from_frames(10_000));
        assert_eq!(plan.switched_to(), AirState::Original);
        assert_eq!(
            states(&plan, &dubs, range(20_000, 20_001))
                .first()
                .map(|span| span.1),
            Some(AirState::Original)
        );
    }

    #[test]
    fn a_range_that_fell_back_is_never_dubbed_later() {
        let mut plan = AirPlan::new(AirState::Dub);
        plan.fall_back(range(0, 100), Fallback::PassThrough, Reason::Timeout);
        let mut dubs = RangeSet::default();
        dubs.insert(range(50, 100));
        assert!(
            plan.spans(range(0, 100), &dubs)
                .iter()
                .all(|span| span.author == Author::Fallback && !span.dub)
        );
    }
}
