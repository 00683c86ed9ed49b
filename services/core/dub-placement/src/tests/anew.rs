//! Lines of answers: what a newer one says of the source that an older one was asked.
use super::*;

/// Source from an instant on is answered anew, by sound between these.
fn answer_anew(placement: &mut Placement, from: i64, sounds: &[(i64, i64)]) {
    placement.supersede(2, ms(from), ms(from));
    for (start, end) in sounds {
        let mut again = piece(2, *start, *end);
        again.earliest = ms(from);
        placement.speech(&again);
    }
}

#[test]
fn the_first_answer_airs_if_the_newer_one_comes_too_late_and_none_where_nobody_was_asked_anew() {
    for (asked, airs) in [(900, vec![(1_000, 2_900)]), (3_100, vec![])] {
        let mut placement = aligned();
        placement.phrase_ended(range(1_000, 3_000));
        placement.speech(&piece(1, 2_200, 4_100));
        placement.supersede(2, ms(900), ms(asked));
        let (_, mut heard) = air(&mut placement, 0, 1_200);
        let mut again = piece(2, 7_300, 9_200);
        again.earliest = ms(asked);
        placement.speech(&again);
        for part in air(&mut placement, 1_200, 4_000).1.within(range(0, 4_000)) {
            heard.insert(part);
        }
        assert_eq!(all(&heard), airs);
        let replaced = placement.figures().speech_replaced_total;
        assert_eq!(replaced, u64::from(airs.is_empty()));
    }
}

#[test]
fn what_one_answer_said_of_two_phrases_is_not_said_again_by_a_newer_line() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 14_300));
    placement.phrase_ended(range(14_700, 17_500));
    // Both in one breath.
    placement.speech(&piece(1, 14_200, 17_900));
    placement.supersede(2, ms(14_600), ms(14_600));
    let mut again = piece(2, 20_000, 22_500);
    again.earliest = ms(14_650);
    placement.speech(&again);
    let (_, heard) = air(&mut placement, 0, 30_000);
    let last = all(&heard).last().copied();
    assert_eq!(last, Some((13_000, 16_700)), "{:?}", all(&heard));
}

#[test]
fn a_phrase_that_was_answered_whole_is_not_answered_again_from_its_middle() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 17_500));
    placement.speech(&piece(1, 14_200, 18_250));
    placement.supersede(2, ms(13_950), ms(13_950));
    let mut again = piece(2, 20_000, 23_000);
    again.earliest = ms(14_200);
    placement.speech(&again);
    let (_, heard) = air(&mut placement, 0, 30_000);
    let last = all(&heard).last().copied();
    assert_eq!(last, Some((13_000, 17_050)), "{:?}", all(&heard));
    assert_eq!(placement.figures().speech_replaced_total, 1);
}

#[test]
fn a_line_that_died_in_a_phrase_is_joined_by_the_next_one_where_it_ended() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 17_500));
    // It said more of the phrase than it is known to have answered.
    placement.speech(&piece(1, 14_200, 17_000));
    answer_anew(&mut placement, 14_000, &[(20_000, 21_700), (21_900, 23_300)]);
    let (_, heard) = air(&mut placement, 0, 30_000);
    let heard = all(&heard);
    assert_eq!(heard[4..], [(13_000, 15_800), (15_880, 17_280)], "{heard:?}");
}

#[test]
fn where_no_word_ends_the_next_line_is_joined_a_little_early() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 17_500));
    placement.speech(&piece(1, 14_200, 17_000));
    answer_anew(&mut placement, 14_000, &[(20_000, 23_300)]);
    let (_, heard) = air(&mut placement, 0, 30_000);
    let heard = all(&heard);
    // 1.8 s of it were heard; half a second of them is heard again.
    assert_eq!(heard[4..], [(13_000, 15_800), (15_880, 17_890)], "{heard:?}");
}

/// What is said between two instants of a speech whose sound tells what was said before; the second connection was asked
/// from the fourteenth second on.
pub(super) fn voice(connection: u64, at: i64, from: i64, until: i64) -> Speech {
    let mut pcm = borders::tests::spoken(until as f64 / 1_000.0, 1.0);
    pcm.drain(..usize::try_from(from * 48).unwrap() * CHANNELS);
    let earliest = if connection == 2 {
        ms(14_000)
    } else {
        MediaTime::ZERO
    };
    Speech {
        earliest,
        pcm,
        ..piece(connection, at, at + until - from)
    }
}

#[test]
fn a_newer_line_is_joined_where_it_has_said_again_what_was_heard() {
    for (pause, rest) in [(0, (15_880, 17_680)), (150, (15_850, 17_750))] {
        let mut placement = answered();
        placement.phrase_ended(range(13_000, 17_500));
        placement.speech(&voice(1, 14_200, 0, 2_700));
        placement.speech(&voice(1, 16_900 + pause, 2_700, 2_800));
        placement.supersede(2, ms(14_000), ms(14_000));
        // By their lengths more of this was heard; by its sound it is 1.5 s.
        placement.speech(&voice(2, 20_000, 1_300, 2_700));
        placement.speech(&voice(2, 21_400 + pause, 2_700, 4_600));
        let (_, heard) = air(&mut placement, 0, 30_000);
        let heard = all(&heard);
        assert_eq!(heard.last(), Some(&rest), "{heard:?}");
    }
}

#[test]
fn what_was_heard_is_not_said_again_where_usual_lengths_tell_nothing_of_it() {
    // So much of it was heard by usual lengths: 0.1 s, and 0.1 s less than none.
    for said in [1_000, 800] {
        let mut placement = answered();
        placement.phrase_ended(range(13_000, 17_500));
        placement.speech(&voice(1, 14_200, 0, said));
        placement.supersede(2, ms(14_000), ms(14_000));
        placement.speech(&voice(2, 20_000, said - 400, 4_600));
        let (_, heard) = air(&mut placement, 0, 30_000);
        let heard = all(&heard);
        assert_eq!(heard[4..], [(13_000, 17_600)], "{heard:?}");
    }
}

#[test]
fn nothing_is_left_out_for_a_guess_where_hardly_any_of_it_was_heard() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 17_500));
    // 0.2 s more than usual.
    placement.speech(&piece(1, 14_200, 15_300));
    answer_anew(&mut placement, 14_000, &[(20_000, 20_120), (20_360, 23_500)]);
    let (_, heard) = air(&mut placement, 0, 30_000);
    assert_eq!(
        all(&heard)[4..],
        [(13_000, 14_100), (14_180, 14_300), (14_540, 17_680)]
    );
}

#[test]
fn what_a_dead_line_had_begun_behind_a_pause_is_left_to_the_next_one() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 18_700));
    placement.speech(&piece(1, 14_200, 17_100));
    placement.speech(&piece(1, 18_050, 19_250));
    answer_anew(&mut placement, 13_600, &[(20_000, 21_700), (22_600, 25_100)]);
    let (_, heard) = air(&mut placement, 0, 34_000);
    let heard = all(&heard);
    assert_eq!(heard[4..], [(13_000, 15_900), (15_980, 18_480)], "{heard:?}");
}

#[test]
fn what_a_dead_line_said_last_is_heard_if_nobody_says_its_beginning_anew() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 22_000));
    placement.speech(&piece(1, 14_200, 15_700));
    placement.speech(&piece(1, 16_050, 21_000));
    // The source of the second sound begins before this.
    answer_anew(&mut placement, 17_000, &[(22_000, 26_500)]);
    let (_, heard) = air(&mut placement, 0, 34_000);
    let heard = all(&heard);
    assert_eq!(heard[4..6], [(13_000, 14_500), (14_850, 19_800)], "{heard:?}");
}

#[test]
fn a_turn_that_died_is_heard_from_its_beginning_though_only_the_rest_is_asked_anew() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 21_000));
    let turn = |connection: u64, number: u64, heard: i64, from: i64, until: i64| Speech {
        earliest: ms(heard),
        latest: ms(21_000),
        turn: Some(number),
        ..piece(connection, from, until)
    };
    placement.speech(&turn(1, 7, 12_500, 18_000, 19_400));
    placement.speech(&turn(1, 7, 12_500, 19_580, 21_300));
    placement.supersede(2, ms(13_600), ms(13_600));
    placement.speech(&turn(2, 1, 13_600, 22_000, 24_760));
    placement.speech(&turn(2, 1, 13_600, 25_000, 28_000));
    let (decisions, heard) = air(&mut placement, 0, 34_000);
    let heard = all(&heard);
    assert!(
        decisions.iter().all(|it| it.verdict == Verdict::Dubbed),
        "{decisions:?}"
    );
    assert_eq!(
        heard[4..],
        [(13_000, 14_400), (14_580, 16_300), (16_380, 19_380)],
        "{heard:?}"
    );
}

#[test]
fn a_connection_behind_a_hole_answers_the_part_of_a_phrase_that_it_heard() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 20_000));
    for (from, until) in [(18_300, 19_500), (19_500, 21_600)] {
        placement.speech(&Speech {
            earliest: ms(17_000),
            ..piece(2, from, until)
        });
    }
    let (decisions, heard) = air(&mut placement, 0, 30_000);
    let fates: Vec<_> = decisions.iter().filter(|it| it.first).skip(4).collect();
    assert_eq!(
        fates
            .iter()
            .map(|it| (it.part.start, it.verdict))
            .collect::<Vec<_>>(),
        [(ms(13_000), Verdict::FellBack), (ms(17_000), Verdict::Dubbed)],
        "{fates:?}"
    );
    assert_eq!(all(&heard)[4..], [(17_000, 20_300)]);
}

#[test]
fn what_is_owed_and_asked_of_nobody_falls_back_and_what_follows_is_dubbed_by_the_newer_line() {
    let mut placement = answered();
    for (from, until) in [(13_000, 14_000), (14_300, 15_000), (15_400, 17_400)] {
        placement.phrase_ended(range(from, until));
    }
    // Said last, and late: it may be of anything.
    placement.speech(&piece(1, 15_200, 16_000));
    placement.supersede(2, ms(12_900), ms(15_300));
    placement.speech(&Speech {
        earliest: ms(15_300),
        ..piece(2, 16_600, 18_400)
    });
    let (decisions, heard) = air(&mut placement, 0, 24_000);
    let verdicts: Vec<_> = decisions.iter().skip(4).map(|it| it.verdict).collect();
    assert_eq!(verdicts, [Verdict::FellBack, Verdict::FellBack, Verdict::Dubbed]);
    assert_eq!(all(&heard)[4..], [(15_400, 17_200)]);
    assert_eq!(placement.figures().speech_replaced_total, 1);
}

#[test]
fn a_provider_that_was_sent_much_while_it_thought_is_behind_and_leaves_no_phrase_out() {
    let mut placement = Placement::new(Config {
        reach: ms(25_000),
        hold: ms(15_000),
        backlog_max: ms(4_000),
    });
    for phrase in 0..6 {
        let from = 1_000 + 3_000 * phrase;
        placement.phrase_ended(range(from, from + 2_000));
        placement.speech(&piece(1, from + 1_200, from + 3_000));
    }
    for (from, until) in [(19_000, 21_000), (21_400, 23_400), (23_800, 27_800)] {
        placement.phrase_ended(range(from, until));
    }
    placement.supersede(2, ms(18_900), ms(18_900));
    // It answers 3 s after it is sent something, which is at twice the pace of speech; answers are 0.9 as long.
    let sent_by = |passed: i64| ms(18_900 + 2 * passed);
    for (from, until) in [(3_000, 4_800), (4_920, 6_720), (6_840, 10_440)] {
        for at in (from..until).step_by(120) {
            placement.speech(&Speech {
                earliest: ms(18_900),
                latest: sent_by(at),
                ..piece(2, at, at + 120)
            });
        }
    }
    let (decisions, heard) = air(&mut placement, 0, 45_000);
    let verdicts = decisions.iter().filter(|it| it.verdict != Verdict::Dubbed);
    assert_eq!(verdicts.count(), 0, "{decisions:?}");
    assert_eq!(
        all(&heard)[6..],
        [(19_000, 20_800), (21_400, 23_200), (23_800, 27_400)]
    );
}

#[test]
fn a_dub_that_broke_off_goes_on_with_what_a_newer_line_says_of_its_phrase_while_it_airs() {
    for (comes, airs) in [
        // While the first part airs, in time for the rest.
        (15_500, vec![(14_520, 18_520)]),
        // Too late.
        (19_100, vec![(14_520, 16_520)]),
    ] {
        let mut placement = answered();
        placement.phrase_ended(range(13_000, 17_500));
        placement.speech(&voice(1, 14_200, 0, 2_000));
        placement.supersede(2, ms(12_900), ms(12_900));
        let (_, mut heard) = air(&mut placement, 0, comes);
        placement.speech(&Speech {
            earliest: ms(12_900),
            ..voice(2, 20_000, 0, 4_000)
        });
        let (decisions, later) = air(&mut placement, comes, 30_000);
        for part in later.within(range(0, 30_000)) {
            heard.insert(part);
        }
        assert_eq!(all(&heard)[4..], airs, "{decisions:?}");
    }
}

#[test]
fn a_dub_that_broke_off_waits_for_the_rest_that_a_newer_line_is_about_to_say() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 20_000));
    placement.speech(&voice(1, 14_200, 0, 2_000));
    placement.supersede(2, ms(12_900), ms(12_900));
    let (mut aired, mut heard) = (0, Vec::new());
    // It says again what was heard, and comes to the rest a second behind its end.
    for (comes, from, until) in [(15_500, 0, 800), (16_500, 800, 1_500), (17_550, 1_500, 5_000)] {
        heard.extend(all(&air(&mut placement, aired, comes).1));
        placement.speech(&Speech {
            earliest: ms(12_900),
            ..voice(2, 20_000 + from, from, until)
        });
        aired = comes;
    }
    heard.extend(all(&air(&mut placement, aired, 30_000).1));
    assert_eq!(heard.last(), Some(&(17_580, 20_580)), "{heard:?}");
}
