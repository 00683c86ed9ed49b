//! Source that is answered anew: it is sent faster than it is spoken, and answered at once its pace.
use super::*;

/// Which phrase a sound is taken for that comes behind the answer to the first of four.
fn answered_by(next: Sound, arriving: bool, now: f64) -> Option<usize> {
    let phrases = [
        spoken(162.6, 166.08),
        spoken(166.44, 167.5),
        spoken(168.06, 169.24),
        spoken(169.9, 172.1),
    ];
    let head = Head {
        start: 167.15,
        end: 170.06,
        length: 2.91,
        from: 162.6,
        earliest: 163.34,
        latest: 173.21,
        behind_max: 2.95,
        mid: false,
        ..AIRS
    };
    let beliefs = Beliefs {
        lag: 2.0,
        tail: 1.79,
        ratio: -0.17,
        ..PROMPT
    };
    let (sounds, estimates) = ([next], Estimates::default());
    let scene = Scene {
        head: Some(head),
        beliefs: &beliefs,
        arriving,
        anew: true,
        begun: None,
        until: None,
        from: Some(162.2),
        age_max: 11.0,
        now,
        ..line(&sounds, &phrases, &estimates)
    };
    runs_of(&scene).last().map(|run| run.2)
}

#[test]
fn what_was_not_sent_yet_is_not_overdue() {
    let whole = Sound {
        leapt: 4.58,
        ..sound(171.77, 172.77, 0.11)
    };
    let answered = |now: f64| answered_by(whole, false, now);
    // How far it was sent, and how far the source has come.
    assert_eq!((answered(173.6), answered(176.0)), (Some(1), Some(2)));
}

#[test]
fn nothing_is_overdue_behind_a_sound_that_comes_just_now() {
    let said = Sound {
        leapt: 4.95,
        ..sound(172.17, 172.95, 0.11)
    };
    // Since it began, its connection was sent more than it had time to speak of.
    assert_eq!(answered_by(said, true, 174.7), Some(1));
}

#[test]
fn who_has_fallen_behind_pauses_between_answers_rather_than_inside() {
    let phrases = [
        spoken(14.56, 19.04),
        spoken(19.4, 21.12),
        spoken(21.44, 25.08),
        spoken(25.64, 28.04),
    ];
    let estimates = Estimates::default();
    let head = Head {
        start: 16.39,
        end: 20.19,
        length: 3.8,
        from: 14.76,
        earliest: 14.76,
        latest: 24.16,
        behind_max: 0.63,
        mid: false,
        ..AIRS
    };
    // Sent again at twice the pace of speech: between the sounds its clock leaps.
    let leapt = |start: f64, end: f64, leapt: f64| Sound {
        leapt,
        ..sound(start, end, 0.11)
    };
    let sounds = [leapt(23.15, 24.57, 3.48), leapt(26.33, 26.56, 5.13)];
    let scene = Scene {
        sounds: &sounds,
        phrases: &phrases,
        head: Some(head),
        beliefs: estimates.beliefs(),
        arriving: true,
        anew: true,
        begun: None,
        until: None,
        from: Some(14.56),
        age_max: 11.0,
        now: 27.57,
    };
    assert_eq!(runs_of(&scene), [(0, 0, 0, 1), (0, 1, 1, 1), (1, 1, 2, 1)]);
}

#[test]
fn a_line_that_begins_a_little_inside_of_a_phrase_begins_with_its_answer() {
    let answered = Spoken {
        settled: Some(197.7),
        ..spoken(197.76, 200.28)
    };
    let phrases = [answered, spoken(201.6, 203.58), spoken(204.1, 205.66)];
    let late = |start: f64, end: f64, gap: f64| Sound {
        earliest: (198.11, 198.11),
        heard_at: 198.6,
        leapt: 2.4,
        ..sound(start, end, gap)
    };
    let sounds = [late(202.57, 202.71, 0.08), late(202.82, 203.46, 0.11)];
    let beliefs = Beliefs {
        lag: 2.06,
        tail: 1.7,
        ratio: -0.15,
        ..PROMPT
    };
    let estimates = Estimates::default();
    let scene = Scene {
        beliefs: &beliefs,
        anew: true,
        begun: None,
        until: None,
        from: Some(198.11),
        age_max: 11.0,
        now: 204.1,
        ..line(&sounds, &phrases, &estimates)
    };
    assert_eq!(runs_of(&scene), [(0, 2, 0, 1)]);
}

#[test]
fn the_first_answer_of_a_line_that_catches_up_is_told_by_the_time_since_it_was_asked() {
    // The first phrase fell back. Whether the model left it out too, its answer would be about as long.
    let fell_back = Spoken {
        settled: Some(101.3),
        fell_back: true,
        ..spoken(101.3, 104.3)
    };
    let phrases = [fell_back, spoken(107.3, 110.4)];
    let estimates = Estimates::default();
    for (waited, first) in [(1.3, 0), (4.3, 1)] {
        let sounds = [Sound {
            earliest: (101.3, 103.0),
            heard_at: 101.4 + waited,
            ..sound(109.1, 111.9, 0.11)
        }];
        let scene = Scene {
            anew: true,
            begun: Some(101.4),
            until: None,
            from: Some(101.3),
            now: 112.0,
            ..line(&sounds, &phrases, &estimates)
        };
        let begins = runs_of(&scene).first().map(|run| run.2);
        assert_eq!(begins, Some(first), "{waited} s");
    }
}
