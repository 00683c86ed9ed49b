#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)]
use super::*;
use audio_timeline::Outcome;
use media_types::{CHANNELS, Fate, StreamSettings, Tick};
use std::time::Duration;

/// What a provider says, in every sample.
const DUB: i16 = -9_000;
/// The programme, in every sample.
const ORIGINAL: i16 = 8_000;
/// From the onset of a phrase to the onset of its answer.
const LAG_MS: u64 = 1_000;
const HOLD_MS: u64 = 6_000;

fn ms(millis: u64) -> MediaTime {
    MediaTime::from_millis(i64::try_from(millis).unwrap())
}

fn tick(millis: u64) -> Tick {
    Tick::from_nanos(millis * 1_000_000)
}

/// A programme in which somebody speaks, and what becomes of it.
struct Programme {
    air: Air,
    phrases: Vec<(u64, u64)>,
    /// Phrases that the provider answers.
    answered: Vec<usize>,
    sound: Vec<i16>,
    outcomes: Vec<Outcome>,
    decided: Vec<PhraseDecided>,
}

impl Programme {
    fn new(fallback: Fallback) -> Self {
        let settings = StreamSettings {
            hold: Duration::from_millis(HOLD_MS),
            fallback,
            bed_mode: media_types::BedMode::None,
            fragment_duration: Duration::from_secs(1),
            ..StreamSettings::default()
        };
        let mut air = Air::new(settings, FragmentSeq(1), Duration::from_secs(4));
        air.source_connected(tick(0));
        air.expect_audio(true);
        Self {
            air,
            phrases: vec![(2_200, 3_800), (6_200, 7_800), (10_200, 11_800), (14_200, 15_800)],
            answered: vec![0, 1, 2, 3],
            sound: Vec::new(),
            outcomes: Vec::new(),
            decided: Vec::new(),
        }
    }

    fn speech(&mut self, at: u64) {
        for (index, (onset, end)) in self.phrases.clone().into_iter().enumerate() {
            if at == onset + 200 {
                self.air.phrase(PhraseEvent::Began(ms(onset)));
            } else if at == end + 300 {
                self.air
                    .phrase(PhraseEvent::Ended(MediaRange::new(ms(onset), ms(end))));
            }
            let says = onset + LAG_MS <= at && at < end + LAG_MS && at.is_multiple_of(100);
            if says && self.answered.contains(&index) {
                self.air.speech(Speech {
                    earliest: ms(onset),
                    latest: ms(at),
                    exact: false,
                    fragment: None,
                    connection: 1,
                    at: Some(ms(at)),
                    turn: None,
                    pcm: vec![DUB; 4_800 * CHANNELS],
                });
            }
        }
    }

    /// Runs on for a while, in buffers of 20 ms.
    fn run(&mut self, from_ms: u64, until_ms: u64) {
        let pcm: Vec<u8> = [ORIGINAL; 960 * CHANNELS]
            .into_iter()
            .flat_map(i16::to_le_bytes)
            .collect();
        for at in (from_ms..until_ms).step_by(20) {
            self.air
                .audio(tick(at), i64::try_from(at).unwrap() * 1_000_000, &pcm);
            self.speech(at);
            let due = self.air.release(tick(at));
            self.sound
                .extend(due.sound.map(|(_, samples)| samples).unwrap_or_default());
            self.outcomes.extend(due.outcomes);
            self.decided.extend(due.phrases);
        }
    }

    /// What is heard of the source between two instants of it, the same all the way.
    fn heard(&self, from_ms: u64, until_ms: u64) -> Option<i16> {
        let at = |millis: u64| usize::try_from(millis).unwrap() * 48 * CHANNELS;
        let part = &self.sound[at(from_ms)..at(until_ms)];
        part.iter().all(|sample| sample == &part[0]).then_some(part[0])
    }

    fn fate(&self, second: u64) -> (Fate, Option<Reason>) {
        let outcome = self
            .outcomes
            .iter()
            .find(|outcome| outcome.range.start == ms(1_000 * second))
            .unwrap();
        (outcome.fate, outcome.reason)
    }
}

const SUCCESS: (Fate, Option<Reason>) = (Fate::Success, None);

#[test]
fn a_phrase_is_dubbed_and_what_nobody_says_stays_untouched() {
    let mut programme = Programme::new(Fallback::PassThrough);
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(0, 22_000);
    for (onset, end) in programme.phrases[..3].iter().copied() {
        assert_eq!(programme.heard(onset + 10, end - 50), Some(DUB), "{onset}");
        assert_eq!(
            programme.heard(end + 200, onset + 4_000),
            Some(ORIGINAL),
            "{onset}"
        );
    }
    assert!((0..15).all(|second| programme.fate(second) == SUCCESS));
    assert_eq!(programme.air.figures().phrases_dubbed_total, 4);
}

#[test]
fn a_phrase_without_an_answer_falls_back_alone_and_its_fragments_say_why() {
    let mut programme = Programme::new(Fallback::Silence);
    programme.answered = vec![0, 2, 3];
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(0, 22_000);
    assert_eq!(programme.heard(2_210, 3_750), Some(DUB));
    assert_eq!(programme.heard(5_000, 6_190), Some(ORIGINAL));
    assert_eq!(programme.heard(6_210, 7_800), Some(0));
    assert_eq!(programme.heard(7_810, 10_190), Some(ORIGINAL));
    assert_eq!(programme.heard(10_210, 11_750), Some(DUB));
    let late = (Fate::Failed, Some(Reason::Timeout));
    let fates: Vec<_> = (5..9).map(|second| programme.fate(second)).collect();
    assert_eq!(fates, [SUCCESS, late, late, SUCCESS]);
    let figures = programme.air.figures();
    assert_eq!(
        (figures.phrases_dubbed_total, figures.phrases_fell_back_total),
        (3, 1)
    );
}

#[test]
fn the_reason_is_the_fragment_s_before_the_breaker_s_before_none() {
    let mut programme = Programme::new(Fallback::PassThrough);
    programme.answered = Vec::new();
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(0, 9_000);
    programme.air.unanswered(Some(Reason::BreakerOpen));
    programme.run(9_000, 12_500);
    programme.air.tear(FragmentSeq(11), Reason::Overload);
    programme.run(12_500, 22_000);
    let reasons: Vec<_> = programme
        .decided
        .iter()
        .filter(|decided| decided.first)
        .map(|decided| decided.fell_back)
        .collect();
    assert_eq!(
        reasons,
        [
            Reason::Timeout,
            Reason::BreakerOpen,
            Reason::Overload,
            Reason::BreakerOpen
        ]
        .map(Some)
    );
    assert_eq!(programme.decided[2].fragments, [FragmentSeq(11), FragmentSeq(12)]);
    assert_eq!(programme.fate(10), (Fate::Fallback, Some(Reason::Overload)));
}

#[test]
fn a_fragment_that_was_not_sent_whole_is_no_success_though_its_phrase_is_dubbed() {
    let mut programme = Programme::new(Fallback::PassThrough);
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(0, 9_000);
    programme.air.tear(FragmentSeq(7), Reason::Overload);
    programme.air.tear(FragmentSeq(6), Reason::Overload);
    programme.run(9_000, 22_000);
    assert_eq!(programme.heard(6_210, 7_750), Some(DUB));
    assert_eq!(programme.fate(6), (Fate::Partial, Some(Reason::Overload)));
    assert_eq!(programme.fate(5), SUCCESS, "nobody spoke in it");
}

#[test]
fn until_a_session_is_open_fragments_fall_back_whole_and_phrases_of_the_hold_are_known_when_it_is() {
    let mut programme = Programme::new(Fallback::Silence);
    programme.air.unanswered(Some(Reason::BreakerOpen));
    programme.run(0, 9_000);
    assert_eq!(programme.fate(0), (Fate::Failed, Some(Reason::Timeout)));
    assert_eq!(programme.heard(20, 2_900), Some(0));
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(9_000, 22_000);
    assert_eq!(programme.fate(4), SUCCESS, "nobody spoke in it");
    assert_eq!(programme.heard(4_020, 6_190), Some(ORIGINAL));
    assert_eq!(
        programme.fate(6),
        (Fate::Failed, Some(Reason::BreakerOpen)),
        "its phrase had been heard before anybody could answer"
    );
    assert_eq!(programme.heard(10_210, 11_750), Some(DUB));
}

#[test]
fn speech_in_the_way_of_the_other_provider_or_about_the_future_is_refused() {
    let mut programme = Programme::new(Fallback::PassThrough);
    programme.air.session_opened(Deciding::ByFragment);
    programme.run(0, 4_000);
    assert!(programme.air.counts.refused_speech > 0);
    let before = programme.air.counts.refused_speech;
    programme.air.session_opened(Deciding::ByPhrase);
    let future = Speech {
        earliest: ms(5_000),
        latest: ms(6_000),
        exact: false,
        fragment: None,
        connection: 1,
        at: Some(ms(0)),
        turn: None,
        pcm: vec![DUB; 4_800 * CHANNELS],
    };
    assert_eq!(programme.air.speech(future), Placed::Unplaceable);
    assert_eq!(programme.air.counts.refused_speech, before + 1);
}

#[test]
fn a_new_session_counts_its_connections_anew_and_is_understood() {
    let mut programme = Programme::new(Fallback::PassThrough);
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(0, 5_000);
    programme.air.supersede(3, ms(4_500), ms(4_500));
    programme.air.session_opened(Deciding::ByPhrase);
    programme.run(5_000, 22_000);
    for (onset, end) in [(2_200, 3_800), (6_200, 7_800), (10_200, 11_800)] {
        assert_eq!(programme.heard(onset + 10, end - 50), Some(DUB), "{onset}");
    }
}

#[test]
fn no_transition_of_a_phrase_has_an_edge() {
    for fallback in [Fallback::PassThrough, Fallback::DuckedOriginal, Fallback::Silence] {
        let mut programme = Programme::new(fallback);
        programme.answered = vec![0, 3];
        programme.phrases[1] = (3_900, 7_800);
        programme.air.session_opened(Deciding::ByPhrase);
        programme.run(0, 22_000);
        let edge = programme
            .sound
            .chunks_exact(CHANNELS)
            .zip(programme.sound[CHANNELS..].chunks_exact(CHANNELS))
            .map(|(one, next)| (i32::from(one[0]) - i32::from(next[0])).abs())
            .max();
        // From the one to the other within 10 ms, twice as fast at one end as on average.
        let allowed = (i32::from(ORIGINAL) - i32::from(DUB)) * 2 / 480 + 2;
        assert!(edge <= Some(allowed), "{fallback}: {edge:?} of {allowed}");
    }
}
