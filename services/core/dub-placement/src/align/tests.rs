//! Promises of the alignment.
use super::*;
use crate::estimates::Estimates;

mod anew;

const NEVER: f64 = -1e9;

fn sound(start: f64, end: f64, gap: f64) -> Sound {
    Sound {
        start,
        length: end - start,
        gap,
        earliest: (NEVER, NEVER),
        latest: (start, end),
        turn: None,
        first: false,
        heard_at: 0.0,
        leapt: 0.0,
    }
}

fn spoken(start: f64, end: f64) -> Spoken {
    Spoken {
        start,
        end,
        open: false,
        settled: None,
        fell_back: false,
    }
}

fn align(sounds: &[Sound], phrases: &[Spoken], arriving: bool) -> Vec<(usize, usize, usize, usize)> {
    let estimates = Estimates::default();
    let scene = Scene {
        sounds,
        phrases,
        head: None,
        beliefs: estimates.beliefs(),
        arriving,
        anew: false,
        begun: None,
        until: None,
        from: None,
        age_max: 9.5,
        now: sounds.last().map_or(0.0, |sound| sound.end()),
    };
    runs_of(&scene)
}

fn runs_of(scene: &Scene) -> Vec<(usize, usize, usize, usize)> {
    let runs = scene.align();
    runs.iter()
        .map(|run| (run.atom, run.atoms, run.phrase, run.phrases))
        .collect()
}

#[test]
fn each_answer_finds_its_phrase() {
    let phrases = [spoken(0.0, 2.0), spoken(2.5, 4.0), spoken(5.0, 8.0)];
    let sounds = [sound(1.2, 3.1, 9.0), sound(3.7, 5.1, 0.6), sound(6.2, 9.1, 1.1)];
    assert_eq!(
        align(&sounds, &phrases, false),
        [(0, 1, 0, 1), (1, 1, 1, 1), (2, 1, 2, 1)]
    );
}

#[test]
fn a_phrase_that_was_left_out_shifts_nothing() {
    let phrases = [spoken(0.0, 2.0), spoken(2.5, 4.0), spoken(5.0, 8.0)];
    let sounds = [sound(1.2, 3.1, 9.0), sound(6.2, 9.1, 3.1)];
    assert_eq!(align(&sounds, &phrases, false), [(0, 1, 0, 1), (1, 1, 2, 1)]);
}

#[test]
fn an_answer_that_was_split_is_one_answer() {
    let phrases = [spoken(0.0, 3.0), spoken(3.5, 5.0)];
    let sounds = [sound(1.2, 2.6, 9.0), sound(3.0, 4.6, 0.4), sound(4.9, 6.3, 0.3)];
    assert_eq!(align(&sounds, &phrases, false), [(0, 2, 0, 1), (2, 1, 1, 1)]);
}

#[test]
fn two_answers_without_a_pause_are_a_group() {
    let phrases = [spoken(0.0, 2.0), spoken(2.4, 4.4)];
    let sounds = [sound(1.2, 5.6, 9.0)];
    assert_eq!(align(&sounds, &phrases, false), [(0, 1, 0, 2)]);
}

#[test]
fn an_answer_that_still_arrives_is_judged_by_its_start() {
    let phrases = [spoken(0.0, 4.0), spoken(4.5, 5.0)];
    let sounds = [sound(1.2, 1.6, 9.0)];
    assert_eq!(align(&sounds, &phrases, true), [(0, 1, 0, 1)]);
}

#[test]
fn evidence_is_stronger_than_any_belief() {
    let phrases = [spoken(0.0, 2.0), spoken(2.5, 4.5)];
    let mut answer = sound(2.9, 4.8, 9.0);
    answer.latest = (2.2, 4.8);
    assert_eq!(align(&[answer], &phrases, false), [(0, 1, 0, 1)]);
    let mut answer = sound(2.9, 4.8, 9.0);
    answer.earliest = (2.5, 2.5);
    assert_eq!(align(&[answer], &phrases, false), [(0, 1, 1, 1)]);
}

#[test]
fn what_was_there_when_a_phrase_fell_back_is_not_its_answer() {
    let mut phrases = [spoken(0.0, 2.0), spoken(2.5, 4.5)];
    phrases[0].settled = Some(1.0);
    let sounds = [sound(3.0, 4.9, 9.0)];
    assert_eq!(align(&sounds, &phrases, false), [(0, 1, 1, 1)]);
}

#[test]
fn answers_of_a_provider_that_fell_behind_are_in_order_though_its_clock_leapt() {
    let phrases = [spoken(0.0, 2.0), spoken(2.5, 4.5), spoken(5.0, 6.5)];
    let late = |start: f64, end: f64| Sound {
        leapt: 4.5,
        ..sound(start, end, 0.11)
    };
    let sounds = [sound(1.2, 3.1, 9.0), late(7.9, 9.8), late(10.0, 11.4)];
    assert_eq!(
        align(&sounds, &phrases, false),
        [(0, 1, 0, 1), (1, 1, 1, 1), (2, 1, 2, 1)]
    );
}

#[test]
fn what_a_detector_parted_without_a_pause_is_answered_by_one_run() {
    let phrases = [spoken(0.0, 5.0), spoken(5.0, 6.2), spoken(6.7, 8.8)];
    let sounds = [sound(1.2, 7.1, 9.0), sound(7.4, 9.4, 0.3)];
    assert_eq!(align(&sounds, &phrases, false), [(0, 1, 0, 2), (1, 1, 2, 1)]);
}

#[test]
fn a_turn_answers_all_phrases_of_its_window_and_none_that_ended_as_it_began() {
    let mut phrases = [
        spoken(0.0, 2.78),
        spoken(2.95, 5.22),
        spoken(5.68, 8.78),
        spoken(9.3, 12.9),
    ];
    phrases[3].open = true;
    let turn = |number: u64, window: (f64, f64), from: f64, until: f64| Sound {
        earliest: (window.0, window.0),
        latest: (window.1, window.1),
        turn: Some(number),
        ..sound(from, until, 0.3)
    };
    // By its length the first answer may be that of the first phrase alone, and each of the others that of the one before.
    let sounds = [
        turn(1, (0.0, 5.4), 6.0, 10.21),
        turn(2, (5.4, 9.0), 10.5, 13.16),
        turn(3, (9.0, 13.0), 13.5, 17.2),
    ];
    assert_eq!(
        align(&sounds, &phrases, false),
        [(0, 1, 0, 2), (1, 1, 2, 1), (2, 1, 3, 1)]
    );
}

#[test]
fn a_turn_begins_with_the_part_of_its_phrase_that_no_other_line_answers() {
    let mut beliefs = *Estimates::default().beliefs();
    // The provider has never glued.
    beliefs.extra_phrase = 3.4;
    let turn = |from: f64, until: f64, gap: f64| Sound {
        earliest: (9.0, 9.0),
        latest: (17.0, 17.0),
        turn: Some(7),
        ..sound(from, until, gap)
    };
    let sounds = [turn(15.0, 16.47, 0.3), turn(16.65, 18.32, 0.18)];
    // Parted where the other line takes over.
    let phrases = [spoken(9.1, 9.78), spoken(9.78, 18.3)];
    let scene = Scene {
        sounds: &sounds,
        phrases: &phrases,
        head: None,
        beliefs: &beliefs,
        arriving: true,
        anew: false,
        begun: None,
        until: Some(9.78),
        from: None,
        age_max: 9.5,
        now: 18.3,
    };
    assert_eq!(runs_of(&scene), [(0, 2, 0, 2)]);
}

/// A line that began to answer at one instant of the source, and that another one takes over from at a later one.
fn line<'a>(sounds: &'a [Sound], phrases: &'a [Spoken], estimates: &'a Estimates) -> Scene<'a> {
    Scene {
        sounds,
        phrases,
        head: None,
        beliefs: estimates.beliefs(),
        arriving: true,
        anew: false,
        begun: None,
        until: Some(11.9),
        from: Some(5.0),
        age_max: 9.5,
        now: 15.1,
    }
}

#[test]
fn a_line_that_died_may_have_begun_with_the_next_phrase_but_not_stopped_in_the_middle_of_one() {
    let estimates = Estimates::default();
    let sounds = [sound(11.5, 13.2, 9.0), sound(13.4, 15.1, 0.11)];
    let parted = [spoken(9.6, 11.4), spoken(12.1, 13.9)];
    let cut = [spoken(9.6, 12.1), spoken(12.1, 13.9)];
    assert!(0.0 < line(&sounds, &parted, &estimates).overdue(1, None));
    assert_eq!(line(&sounds, &cut, &estimates).overdue(1, None), 0.0);
    // It had no time for it.
    assert_eq!(line(&sounds[..1], &parted, &estimates).overdue(1, None), 0.0);
}

#[test]
fn a_line_is_not_asked_for_a_phrase_of_which_it_heard_the_end_alone() {
    let estimates = Estimates::default();
    let line = line(&[], &[], &estimates);
    assert!(line.is_unasked(&spoken(1.0, 5.2)) && line.is_unasked(&spoken(1.0, 5.35)));
    assert!(!line.is_unasked(&spoken(1.0, 5.5)) && !line.is_unasked(&spoken(4.8, 5.35)));
}

#[test]
fn an_answer_that_is_said_slowly_ends_when_its_last_sound_came() {
    let answered = Spoken {
        settled: Some(0.0),
        ..spoken(0.0, 1.7)
    };
    let phrases = [answered, spoken(2.1, 5.7), spoken(6.3, 8.7)];
    // Of the answers, half came while their phrases were spoken.
    let slow = |from: f64, until: f64, came: f64| Sound {
        latest: (from + 0.7, came),
        ..sound(from, until, 0.11)
    };
    let sounds = [slow(2.5, 5.8, 7.6), slow(6.8, 9.1, 10.4)];
    let ended = |sounds: &[Sound]| align(sounds, &phrases, false);
    assert_eq!(ended(&sounds), [(0, 1, 1, 1), (1, 1, 2, 1)]);
}

#[test]
fn who_was_told_it_faster_than_he_speaks_ends_when_his_last_sound_came() {
    let estimates = Estimates::default();
    let told = |start: f64, end: f64, came: f64, leapt: f64| Sound {
        latest: (start + 0.15, came),
        leapt,
        ..sound(start, end, 0.11)
    };
    // Two answers in one breath, and the first one to what is said at length behind them: its sound leapt on as it came.
    let sounds = [
        told(2.6, 7.3, 9.6, 0.7),
        told(9.4, 10.7, 10.8, 2.7),
        told(10.9, 11.3, 11.3, 2.7),
    ];
    let open = Spoken {
        open: true,
        ..spoken(8.1, 13.0)
    };
    let phrases = [spoken(1.0, 3.3), spoken(4.7, 7.6), open];
    let scene = Scene {
        anew: true,
        until: None,
        from: Some(0.6),
        ..line(&sounds, &phrases, &estimates)
    };
    assert_eq!(runs_of(&scene), [(0, 1, 0, 2), (1, 2, 2, 1)]);
}

/// What is believed of a provider that answers each phrase in three quarters of a second.
const PROMPT: Beliefs = Beliefs {
    lag: 0.72,
    lag_spread: 0.5,
    tail: 0.5,
    tail_spread: 0.4,
    ratio: -0.09,
    ratio_spread: 0.2,
    extra_phrase: 3.0,
};

/// An answer that airs: its phrase is the first one.
const AIRS: Head = Head {
    phrase: Some(0),
    start: 0.0,
    end: 0.0,
    length: 0.0,
    from: NEVER,
    earliest: NEVER,
    latest: 0.0,
    turn: None,
    phrases: 1,
    behind_max: 0.0,
    leapt: 0.0,
    done: false,
    mid: true,
};

#[test]
fn who_began_late_may_end_in_time() {
    // The detector parted the first phrase; its answer began two seconds late and ends in time.
    let phrases = [spoken(0.6, 8.0), spoken(8.0, 10.3), spoken(10.9, 12.6)];
    let sounds = [
        sound(9.3, 11.8, 0.0),
        Sound {
            leapt: 2.3,
            ..sound(12.0, 14.2, 0.11)
        },
    ];
    let head = Head {
        start: 3.6,
        end: 9.3,
        length: 5.7,
        latest: 12.1,
        behind_max: 2.3,
        ..AIRS
    };
    let estimates = Estimates::default();
    let scene = Scene {
        head: Some(head),
        beliefs: &PROMPT,
        until: None,
        arriving: false,
        ..line(&sounds, &phrases, &estimates)
    };
    assert_eq!(runs_of(&scene), [(0, 1, 0, 2), (1, 1, 2, 1)]);
}

#[test]
fn an_answer_ends_later_by_what_its_provider_fell_behind_in_its_course() {
    // The source was sent faster than it is spoken while its answer was said: the end is late, its words are not another's.
    let phrases = [
        spoken(0.6, 5.7),
        spoken(5.7, 10.9),
        spoken(10.9, 17.2),
        spoken(17.7, 19.2),
        spoken(19.5, 21.0),
    ];
    let late = |start: f64, end: f64| Sound {
        leapt: 4.0,
        ..sound(start, end, 0.11)
    };
    let sounds = [late(18.9, 21.1), late(21.2, 22.5)];
    let head = Head {
        start: 2.3,
        end: 18.8,
        length: 14.7,
        latest: 18.9,
        behind_max: 1.0,
        leapt: 1.8,
        phrases: 3,
        mid: false,
        ..AIRS
    };
    let estimates = Estimates::default();
    let scene = Scene {
        head: Some(head),
        beliefs: &PROMPT,
        from: None,
        until: None,
        arriving: false,
        now: 23.0,
        ..line(&sounds, &phrases, &estimates)
    };
    assert_eq!(runs_of(&scene), [(0, 1, 0, 3), (1, 1, 3, 1)]);
    let scene = Scene {
        head: Some(Head { leapt: 0.0, ..head }),
        ..scene
    };
    assert_ne!(runs_of(&scene)[0], (0, 1, 0, 3));
}

#[test]
fn no_answer_reaches_over_source_that_nobody_heard() {
    let mut phrases = [spoken(0.0, 5.2), spoken(5.2, 12.2), spoken(12.6, 15.5)];
    phrases[2].open = true;
    let behind = Sound {
        first: true,
        earliest: (14.0, 14.0),
        latest: (15.3, 15.5),
        ..sound(15.1, 15.6, 0.08)
    };
    let head = Head {
        start: 0.8,
        end: 6.7,
        length: 5.9,
        latest: 6.8,
        mid: false,
        ..AIRS
    };
    let estimates = Estimates::default();
    let scene = Scene {
        head: Some(head),
        beliefs: &PROMPT,
        from: None,
        until: None,
        now: 15.5,
        ..line(std::slice::from_ref(&behind), &phrases, &estimates)
    };
    assert_eq!(runs_of(&scene), [(0, 0, 0, 1), (0, 1, 2, 1)]);
}
