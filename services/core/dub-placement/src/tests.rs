//! Promises of placement.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

mod anew;
mod joints;

fn placement() -> Placement {
    Placement::new(Config {
        reach: MediaTime::from_frames(10_000),
        hold: MediaTime::from_frames(10_000),
        backlog_max: MediaTime::from_frames(10_000),
    })
}

fn speech(start: i64, frames: usize) -> Speech {
    Speech {
        earliest: MediaTime::from_frames(start),
        latest: MediaTime::from_frames(start + i64::try_from(frames).unwrap_or(0)),
        exact: true,
        fragment: None,
        connection: 0,
        at: None,
        turn: None,
        pcm: vec![5; frames * CHANNELS],
    }
}

#[test]
fn exact_speech_is_heard_at_its_range() {
    let mut placement = placement();
    let range = MediaRange::new(MediaTime::from_frames(100), MediaTime::from_frames(150));
    assert_eq!(placement.speech(&speech(100, 50)), Placed::At(range));
    assert!(placement.ranges().covers(range));
}

#[test]
fn speech_whose_place_has_begun_to_air_is_refused_whole() {
    let mut placement = placement();
    placement.commit(MediaTime::from_frames(101));
    assert_eq!(placement.speech(&speech(100, 50)), Placed::Late);
    assert!(
        !placement
            .ranges()
            .touches(MediaRange::new(MediaTime::ZERO, MediaTime::from_frames(1_000)))
    );
}

#[test]
fn an_answer_longer_than_its_range_is_cut_to_it() {
    let mut placement = placement();
    let mut long = speech(0, 80);
    long.latest = MediaTime::from_frames(50);
    assert_eq!(
        placement.speech(&long),
        Placed::At(MediaRange::new(MediaTime::ZERO, MediaTime::from_frames(50)))
    );
}

fn ms(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

fn range(from: i64, until: i64) -> MediaRange {
    MediaRange::new(ms(from), ms(until))
}

const HOLD: i64 = 6_000;

fn aligned() -> Placement {
    Placement::new(Config {
        reach: ms(HOLD + 10_000),
        hold: ms(HOLD),
        backlog_max: ms(4_000),
    })
}

/// Four phrases of two seconds have been answered, up to the twelfth second.
fn answered() -> Placement {
    let mut placement = aligned();
    for phrase in 0..4 {
        let from = 1_000 + 3_000 * phrase;
        placement.phrase_ended(range(from, from + 2_000));
        placement.speech(&piece(1, from + 1_200, from + 3_000));
    }
    placement
}

/// A piece that is all sound, as a provider says it that had heard the source up to its end.
fn piece(connection: u64, from: i64, until: i64) -> Speech {
    let frames = usize::try_from((until - from) * 48).unwrap();
    Speech {
        earliest: MediaTime::ZERO,
        latest: ms(until),
        exact: false,
        fragment: None,
        connection,
        at: Some(ms(from)),
        turn: None,
        pcm: vec![1_000; frames * CHANNELS],
    }
}

/// Airs everything before an instant, and tells what was decided and where dub was heard.
fn air(placement: &mut Placement, from: i64, until: i64) -> (Vec<Decision>, RangeSet) {
    let mut decisions = Vec::new();
    let mut heard = RangeSet::default();
    let mut block = vec![0; 10 * 48 * CHANNELS];
    for start in (from..until).step_by(40) {
        decisions.extend(placement.decide(ms(start + 40)));
        for part in (start..start + 40).step_by(10) {
            placement.read(ms(part), &mut block);
            if block.iter().any(|sample| *sample != 0) {
                heard.insert(range(part, part + 10));
            }
        }
        placement.commit(ms(start + 40));
    }
    (decisions, heard)
}

fn all(heard: &RangeSet) -> Vec<(i64, i64)> {
    let everything = range(0, 1_000_000);
    heard
        .within(everything)
        .map(|part| (part.start.millis(), part.end.millis()))
        .collect()
}

#[test]
fn a_dub_begins_at_the_onset_of_its_phrase_and_the_original_stays_down_to_its_end() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 3_000));
    assert_eq!(placement.speech(&piece(1, 2_200, 3_500)), Placed::Taken);
    placement.decide(ms(1_040));
    assert!(placement.ranges().covers(range(1_000, 3_000)));
    let (_, heard) = air(&mut placement, 1_000, 4_000);
    assert_eq!(all(&heard), [(1_000, 2_300)]);
}

#[test]
fn a_phrase_without_an_answer_falls_back_for_good_and_its_late_answer_is_not_heard() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 3_000));
    let (decisions, _) = air(&mut placement, 0, 1_200);
    assert_eq!(
        decisions,
        [Decision {
            phrase: 0,
            part: range(1_000, 3_000),
            first: true,
            verdict: Verdict::FellBack
        }]
    );
    assert_eq!(placement.speech(&piece(1, 7_300, 9_000)), Placed::Late);
    let (_, heard) = air(&mut placement, 1_200, 12_000);
    assert_eq!(all(&heard), []);
    assert_eq!(placement.figures().speech_late_total, 1);
}

#[test]
fn a_phrase_that_is_still_spoken_is_told_part_by_part() {
    let mut placement = aligned();
    placement.phrase_began(ms(1_000));
    placement.speech(&piece(1, 2_200, 5_000));
    let (decisions, _) = air(&mut placement, 960, 1_080);
    let told: Vec<_> = decisions
        .iter()
        .map(|decision| (decision.phrase, decision.part, decision.first))
        .collect();
    assert_eq!(
        told,
        [(0, range(1_000, 1_040), true), (0, range(1_040, 1_080), false)]
    );
    assert!(placement.ranges().covers(range(1_080, 1_120)));
    placement.phrase_ended(range(1_000, 9_000));
    let (decisions, _) = air(&mut placement, 1_080, 1_120);
    assert_eq!(decisions[0].part, range(1_080, 9_000));
}

#[test]
fn a_dub_that_is_longer_than_its_phrase_pushes_the_next_one_back() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 3_000));
    placement.phrase_ended(range(3_400, 5_000));
    placement.speech(&piece(1, 2_200, 4_900));
    placement.speech(&piece(1, 5_200, 6_900));
    let (decisions, heard) = air(&mut placement, 0, 8_000);
    assert_eq!(all(&heard), [(1_000, 3_700), (3_820, 5_520)]);
    assert!(
        decisions
            .iter()
            .all(|decision| decision.verdict == Verdict::Dubbed)
    );
    assert_eq!(placement.figures().backlog, ms(420));
}

#[test]
fn a_dub_that_would_start_too_far_behind_its_phrase_is_dropped_whole() {
    let mut placement = Placement::new(Config {
        backlog_max: ms(300),
        ..aligned().config
    });
    placement.phrase_ended(range(1_000, 3_000));
    placement.phrase_ended(range(3_400, 5_000));
    placement.speech(&piece(1, 2_200, 4_900));
    placement.speech(&piece(1, 5_200, 6_900));
    let (decisions, heard) = air(&mut placement, 0, 8_000);
    assert_eq!(all(&heard), [(1_000, 3_700)]);
    assert_eq!(decisions[1].verdict, Verdict::Overflowed);
    assert_eq!(placement.figures().phrases_overflowed_total, 1);
}

#[test]
fn an_answer_that_arrives_while_it_airs_is_lengthened_piece_by_piece() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 4_000));
    let mut whole = RangeSet::default();
    for quarter in 0..12 {
        let from = 6_500 + 250 * quarter;
        let mut part = piece(1, from, from + 250);
        part.latest = ms(from + 250);
        placement.speech(&part);
        let start = 960 + 240 * quarter;
        let (_, heard) = air(&mut placement, start, start + 240);
        for part in heard.within(range(0, 100_000)) {
            whole.insert(part);
        }
    }
    let (_, heard) = air(&mut placement, 960 + 240 * 12, 6_000);
    for part in heard.within(range(0, 100_000)) {
        whole.insert(part);
    }
    assert_eq!(all(&whole), [(1_000, 4_000)]);
}

#[test]
fn of_two_answers_the_newer_connections_counts_if_it_has_come() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 3_000));
    placement.phrase_ended(range(4_000, 6_000));
    placement.speech(&piece(1, 2_200, 4_100));
    placement.speech(&piece(1, 5_200, 5_700));
    placement.supersede(2, ms(3_800), ms(3_800));
    let mut again = piece(2, 7_000, 8_900);
    again.earliest = ms(3_800);
    again.pcm.fill(2_000);
    placement.speech(&again);
    let (_, heard) = air(&mut placement, 0, 4_000);
    assert_eq!(all(&heard), [(1_000, 2_900)]);
    placement.decide(ms(4_040));
    let mut block = [0; 2];
    placement.read(ms(4_020), &mut block);
    assert_eq!(block, [2_000, 2_000]);
    let (_, heard) = air(&mut placement, 4_000, 9_000);
    assert_eq!(all(&heard), [(4_000, 5_900)]);
}

#[test]
fn an_answer_that_ends_with_its_phrase_is_not_too_far_behind_however_late_it_begins() {
    for (length, verdict) in [(3_000, Verdict::Dubbed), (5_500, Verdict::Overflowed)] {
        let mut placement = aligned();
        placement.phrase_ended(range(1_000, 7_000));
        placement.speech(&piece(1, 2_200, 12_700));
        placement.phrase_ended(range(7_200, 15_000));
        placement.speech(&piece(1, 14_400, 14_400 + length));
        let (decisions, _) = air(&mut placement, 0, 24_000);
        assert_eq!(decisions[1].verdict, verdict, "{decisions:?}");
    }
}

#[test]
fn a_dub_that_breaks_off_leaves_the_rest_of_its_phrase_to_the_original() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 7_000));
    for quarter in 0..8 {
        placement.speech(&piece(1, 6_500 + 250 * quarter, 6_750 + 250 * quarter));
        air(&mut placement, 960 + 240 * quarter, 1_200 + 240 * quarter);
    }
    let (decisions, heard) = air(&mut placement, 2_880, 3_840);
    assert_eq!((decisions, all(&heard)), (Vec::new(), vec![(2_880, 3_000)]));
    // It has been silent for a second, and has said less than it usually has by then.
    let mut decided = (3_880..5_000)
        .step_by(40)
        .map(|until| (until, placement.decide(ms(until))));
    let (until, decisions) = decided.find(|(_, decisions)| !decisions.is_empty()).unwrap();
    let rest = decisions[0];
    assert_eq!((rest.first, rest.verdict), (false, Verdict::FellBack));
    assert_eq!(rest.part, range(until, 7_000));
    assert!(!placement.ranges().touches(rest.part));
    assert_eq!(placement.figures().dubs_broken_off_total, 1);
    // The original has begun to air: what comes now is heard no more.
    placement.speech(&piece(1, 9_000, 10_000));
    let (_, heard) = air(&mut placement, until, 9_000);
    assert_eq!(all(&heard), []);
}

/// A dub of what is said from the thirteenth second on, which breaks off after 6.4 s and is heard as it comes; then the
/// first decision for the original, and how often a dub was found broken off.
fn broken_off(mut placement: Placement, answer: impl Fn(i64, i64) -> Speech) -> (Decision, u64) {
    let (mut decisions, _) = air(&mut placement, 0, 8_000);
    let mut heard = RangeSet::default();
    for at in (14_000..32_000).step_by(200) {
        if at < 20_400 {
            placement.speech(&answer(at, at + 200));
        }
        let (told, aired) = air(&mut placement, at - HOLD, at - HOLD + 200);
        decisions.extend(told);
        aired
            .within(range(12_500, 32_000))
            .for_each(|part| heard.insert(part));
    }
    assert_eq!(all(&heard), [(13_000, 19_400)], "{decisions:?}");
    let original = decisions.iter().find(|it| it.verdict == Verdict::FellBack);
    (*original.unwrap(), placement.figures().dubs_broken_off_total)
}

#[test]
fn a_dub_that_ends_in_the_second_of_two_phrases_leaves_the_rest_to_the_original_at_once() {
    let mut placement = answered();
    // A detector's cut: one answer is said to both.
    placement.phrase_ended(range(13_000, 14_000));
    placement.phrase_ended(range(14_000, 25_000));
    let (original, broken_off) = broken_off(placement, |from, until| piece(1, from, until));
    assert_eq!((original.first, original.part), (true, range(19_400, 25_000)));
    assert_eq!(broken_off, 0);
}

#[test]
fn a_line_that_died_before_a_phrase_has_said_nothing_of_it() {
    let mut placement = answered();
    // A detector's cut: one answer is said to both. The next line begins in the second one.
    placement.phrase_ended(range(13_000, 19_000));
    placement.phrase_ended(range(19_000, 22_300));
    placement.speech(&piece(1, 14_200, 20_200));
    placement.supersede(2, ms(21_200), ms(21_200));
    let mut again = piece(2, 23_000, 24_000);
    again.earliest = ms(21_200);
    placement.speech(&again);
    let (decisions, heard) = air(&mut placement, 0, 30_000);
    let original = decisions.iter().filter(|it| it.verdict == Verdict::FellBack);
    let parts: Vec<_> = original.map(|it| it.part).collect();
    assert_eq!(parts, [range(19_000, 21_200)], "{decisions:?}");
    assert_eq!(all(&heard)[4..], [(13_000, 19_000), (21_200, 22_200)]);
}

#[test]
fn a_dub_that_went_on_far_into_the_next_phrase_is_not_parted_at_its_next_pause() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 14_800));
    placement.phrase_ended(range(15_200, 22_400));
    // Where the first phrase ends it does not pause.
    placement.speech(&piece(1, 14_200, 20_700));
    placement.speech(&piece(1, 20_810, 23_900));
    let (decisions, heard) = air(&mut placement, 0, 30_000);
    assert!(
        decisions.iter().all(|it| it.verdict == Verdict::Dubbed),
        "{decisions:?}"
    );
    assert_eq!(all(&heard)[4..], [(13_000, 19_500), (19_610, 22_700)]);
}

#[test]
fn a_turn_that_breaks_off_leaves_the_rest_of_its_phrase_to_the_original() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 25_000));
    let turn = |from, until| Speech {
        earliest: ms(12_500),
        latest: ms(until),
        turn: Some(3),
        ..piece(1, from, until)
    };
    let (original, broken_off) = broken_off(placement, turn);
    // It is known by the length that the answer usually has by then.
    let from = original.part.start;
    assert!(ms(21_800) <= from && from <= ms(22_500), "{original:?}");
    assert_eq!((original.first, original.part.end), (false, ms(25_000)));
    assert_eq!(broken_off, 1);
}

#[test]
fn the_original_stays_down_behind_a_short_answer_and_where_hardly_any_of_it_is_left() {
    for (end, answer_ms) in [(21_000, 5_600), (15_700, 1_200)] {
        let mut placement = answered();
        placement.phrase_ended(range(13_000, end));
        placement.speech(&piece(1, 14_200, 14_200 + answer_ms));
        let (decisions, _) = air(&mut placement, 0, 24_000);
        assert_eq!(placement.figures().dubs_broken_off_total, 0);
        assert!(
            decisions.iter().all(|it| it.verdict == Verdict::Dubbed),
            "{decisions:?}"
        );
    }
}

#[test]
fn who_goes_on_with_the_next_answer_has_not_broken_off() {
    let mut placement = aligned();
    placement.phrase_ended(range(1_000, 7_000));
    for quarter in 0..8 {
        placement.speech(&piece(1, 6_500 + 250 * quarter, 6_750 + 250 * quarter));
        air(&mut placement, 960 + 240 * quarter, 1_200 + 240 * quarter);
    }
    placement.phrase_ended(range(7_400, 9_000));
    placement.speech(&piece(1, 9_200, 10_800));
    let (decisions, heard) = air(&mut placement, 2_880, 12_000);
    let verdicts: Vec<_> = decisions.iter().map(|it| (it.first, it.verdict)).collect();
    assert_eq!(verdicts, [(true, Verdict::Dubbed)]);
    assert_eq!(all(&heard), [(2_880, 3_000), (7_400, 9_000)]);
}

#[test]
fn a_speaker_who_speaks_on_is_heard_where_his_dub_has_broken_off() {
    let mut placement = aligned();
    placement.phrase_began(ms(1_000));
    for quarter in 0..8 {
        placement.speech(&piece(1, 6_500 + 250 * quarter, 6_750 + 250 * quarter));
        air(&mut placement, 960 + 240 * quarter, 1_200 + 240 * quarter);
    }
    let (mut decisions, _) = air(&mut placement, 2_880, 6_000);
    placement.phrase_ended(range(1_000, 9_000));
    decisions.extend(air(&mut placement, 6_000, 9_040).0);
    let broke_off = decisions.iter().position(|it| it.verdict == Verdict::FellBack);
    let (dubbed, rest) = decisions.split_at(broke_off.unwrap());
    assert!(
        dubbed.iter().all(|it| it.verdict == Verdict::Dubbed),
        "{decisions:?}"
    );
    // The rest is told as it is spoken, to its end.
    let mut told = rest[0].part.start;
    assert!(ms(3_880) <= told && told <= ms(4_200), "{rest:?}");
    for part in rest {
        assert_eq!(
            (part.first, part.verdict, part.part.start),
            (false, Verdict::FellBack, told)
        );
        told = part.part.end;
    }
    assert_eq!(told, ms(9_000));
    assert_eq!(placement.figures().dubs_broken_off_total, 1);
}
