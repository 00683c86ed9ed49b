use super::*;

fn at(frames: i64) -> MediaTime {
    MediaTime::from_frames(frames)
}
fn range(start: i64, end: i64) -> MediaRange {
    MediaRange::new(at(start), at(end))
}
const NOW: Tick = Tick::from_nanos(5);

fn one(ledger: &mut Ledger) {
    ledger.open(NOW, FragmentSeq(1), at(0), at(100));
    ledger.close(FragmentSeq(1), range(0, 100));
}

#[test]
fn a_dub_heard_in_full_is_a_success() {
    let mut ledger = Ledger::default();
    one(&mut ledger);
    assert_eq!(
        ledger.begin(at(1), |_| true).first().map(|d| d.fell_back),
        Some(None)
    );
    ledger.aired(range(0, 100), Aired::Dub);
    assert!(ledger.finish(NOW, at(99), Fallback::PassThrough).is_empty());
    let outcomes = ledger.finish(NOW, at(100), Fallback::PassThrough);
    assert_eq!(outcomes.first().map(|outcome| outcome.fate), Some(Fate::Success));
    assert!(ledger.finish(NOW, at(200), Fallback::PassThrough).is_empty());
}

#[test]
fn a_late_dub_is_refused_once_the_original_has_begun() {
    let mut ledger = Ledger::default();
    one(&mut ledger);
    assert!(ledger.may_air(FragmentSeq(1)));
    let begun = ledger.begin(at(1), |_| false);
    let fell_back = Some(Reason::Timeout);
    assert_eq!(
        begun,
        [Decision {
            seq: FragmentSeq(1),
            range: range(0, 100),
            fell_back
        }]
    );
    assert!(!ledger.may_air(FragmentSeq(1)));
    assert!(ledger.begin(at(50), |_| true).is_empty());
    let outcomes = ledger.finish(NOW, at(100), Fallback::PassThrough);
    assert_eq!(
        outcomes.first().map(|o| (o.fate, o.reason)),
        Some((Fate::Fallback, Some(Reason::Timeout)))
    );
}

#[test]
fn the_first_blame_is_the_reason() {
    let mut ledger = Ledger::default();
    one(&mut ledger);
    ledger.blame(FragmentSeq(1), Reason::Overload);
    ledger.blame(FragmentSeq(1), Reason::Error);
    assert_eq!(ledger.in_flight(), (Duration::ZERO, 0));
    assert_eq!(
        ledger.begin(at(1), |_| false).first().and_then(|d| d.fell_back),
        Some(Reason::Overload)
    );
}

#[test]
fn a_dub_cut_by_the_operator_is_partial() {
    let mut ledger = Ledger::default();
    one(&mut ledger);
    ledger.begin(at(1), |_| true);
    ledger.aired(range(0, 40), Aired::Dub);
    ledger.aired(range(40, 100), Aired::Operator);
    let outcomes = ledger.finish(NOW, at(100), Fallback::PassThrough);
    assert_eq!(
        outcomes.first().map(|o| (o.fate, o.reason)),
        Some((Fate::Partial, Some(Reason::Operator)))
    );
}

fn by_phrase(phrases: &[(MediaRange, Option<Reason>)], aired: &[(MediaRange, Aired)]) -> Ledger {
    let mut ledger = Ledger::default();
    one(&mut ledger);
    assert_eq!(ledger.begin_by_phrase(at(1)), [FragmentSeq(1)]);
    assert!(ledger.begin_by_phrase(at(50)).is_empty(), "each is told once");
    for (part, fell_back) in phrases {
        ledger.phrase(*part, *fell_back);
    }
    for (range, what) in aired {
        ledger.aired(*range, *what);
    }
    ledger
}

fn fate(mut ledger: Ledger, fallback: Fallback) -> (Fate, Option<Reason>) {
    let outcomes = ledger.finish(NOW, at(100), fallback);
    outcomes
        .first()
        .map(|outcome| (outcome.fate, outcome.reason))
        .unwrap_or((Fate::Failed, Some(Reason::Outage)))
}

#[test]
fn by_phrase_a_fragment_is_what_its_phrases_are() {
    let dub = (range(0, 50), Aired::Dub);
    let (first, second) = (range(-20, 50), range(60, 130));
    let (late, over) = (Some(Reason::Timeout), Some(Reason::Overload));
    for (phrases, expected) in [
        (vec![], (Fate::Success, None)),
        (vec![(range(100, 200), late)], (Fate::Success, None)),
        (vec![(first, None), (range(99, 99), late)], (Fate::Partial, late)),
        (vec![(first, None), (second, None)], (Fate::Success, None)),
        (vec![(first, None), (second, late)], (Fate::Partial, late)),
        (
            vec![(first, None), (first, over), (second, late)],
            (Fate::Partial, over),
        ),
    ] {
        assert_eq!(
            fate(by_phrase(&phrases, &[dub]), Fallback::PassThrough),
            expected,
            "{phrases:?}"
        );
    }
    let none = vec![(first, over), (second, late)];
    assert_eq!(
        fate(by_phrase(&none, &[]), Fallback::DuckedOriginal),
        (Fate::Fallback, over)
    );
    assert_eq!(
        fate(by_phrase(&none, &[]), Fallback::Silence),
        (Fate::Failed, over)
    );
}

#[test]
fn by_phrase_the_word_of_the_operator_comes_first() {
    let operator = Some(Reason::Operator);
    let half = [(range(0, 50), Aired::Dub), (range(50, 100), Aired::Operator)];
    let whole = [(range(0, 100), Aired::Operator)];
    let dubbed = [(range(0, 100), None)];
    let late = [(range(0, 100), Some(Reason::Timeout))];
    let fate = |phrases, aired| fate(by_phrase(phrases, aired), Fallback::Silence);
    assert_eq!(fate(&dubbed, &half), (Fate::Partial, operator));
    assert_eq!(fate(&dubbed, &whole), (Fate::Fallback, operator));
    assert_eq!(fate(&late, &whole), (Fate::Fallback, operator));
    assert_eq!(fate(&[], &whole), (Fate::Fallback, operator));
}

#[test]
fn by_phrase_a_torn_fragment_is_no_success_though_its_phrase_was_answered() {
    let mut ledger = by_phrase(&[(range(0, 100), None)], &[(range(0, 100), Aired::Dub)]);
    ledger.tear(FragmentSeq(1), Reason::Overload);
    assert_eq!(ledger.blame_in(range(90, 300)), Some(Reason::Overload));
    assert_eq!(ledger.blame_in(range(100, 300)), None);
    assert!(!ledger.may_air(FragmentSeq(1)));
    assert_eq!(
        fate(ledger, Fallback::PassThrough),
        (Fate::Partial, Some(Reason::Overload))
    );
    let mut silent = by_phrase(&[], &[]);
    silent.tear(FragmentSeq(1), Reason::Overload);
    assert_eq!(
        fate(silent, Fallback::PassThrough),
        (Fate::Success, None),
        "nobody spoke in it"
    );
}

#[test]
fn fragments_of_a_range_are_those_it_has_a_part_of() {
    let mut ledger = Ledger::default();
    for seq in 1..=4 {
        let start = (seq as i64 - 1) * 100;
        ledger.open(NOW, FragmentSeq(seq), at(start), at(100));
    }
    let touched: Vec<_> = ledger.fragments_in(range(150, 300)).collect();
    assert_eq!(touched, [FragmentSeq(2), FragmentSeq(3)]);
}
