//! Where a newer line goes on with what an older one said of the same.
use super::anew::voice;
use super::*;

/// What a second connection says between two instants of the speech, of which it was asked what lies behind `asked`.
fn again(placement: &mut Placement, asked: i64, at: i64, from: i64, until: i64) {
    placement.speech(&Speech {
        earliest: ms(asked),
        ..voice(2, at, from, until)
    });
}

#[test]
fn who_was_not_asked_the_beginning_goes_on_where_the_one_that_says_it_ends() {
    // Asked from the middle of the phrase, and from so near to its onset that it is no part of its own.
    for (asked, from) in [(15_000, 1_700), (13_280, 200)] {
        let mut placement = answered();
        placement.phrase_ended(range(13_000, 17_500));
        placement.speech(&voice(1, 14_200, 0, 2_600));
        placement.supersede(2, ms(asked), ms(asked));
        again(&mut placement, asked, 19_000, from, 4_600);
        let (decisions, heard) = air(&mut placement, 0, 30_000);
        assert_eq!(all(&heard)[4..], [(13_000, 17_600)], "{asked}: {decisions:?}");
    }
}

#[test]
fn a_word_behind_a_pause_and_halting_speech_are_no_beginning() {
    let alone = [(14_400, 14_560)];
    let halting = [
        (14_200, 14_480),
        (15_000, 15_280),
        (15_800, 16_080),
        (16_600, 16_880),
    ];
    // However long a pause is.
    let stalling = [(14_200, 15_030), (15_260, 15_530), (16_260, 16_510)];
    for said in [&alone[..], &halting[..], &stalling[..]] {
        let mut placement = answered();
        placement.phrase_ended(range(13_000, 17_500));
        for (start, end) in said {
            placement.speech(&piece(1, *start, *end));
        }
        placement.supersede(2, ms(13_280), ms(13_280));
        let mut whole = piece(2, 19_000, 23_000);
        whole.earliest = ms(13_280);
        placement.speech(&whole);
        let (_, heard) = air(&mut placement, 0, 30_000);
        assert_eq!(all(&heard)[4..], [(13_000, 17_000)]);
    }
}

#[test]
fn who_says_again_what_was_heard_is_waited_for() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 19_000));
    placement.speech(&voice(1, 14_200, 0, 2_600));
    placement.supersede(2, ms(15_000), ms(15_000));
    let (mut heard, mut aired) = (Vec::new(), 0);
    // It has not come to the end of what was heard when that has aired.
    for (comes, from, until) in [(15_400, 1_700, 2_400), (16_200, 2_400, 5_200)] {
        heard.extend(all(&air(&mut placement, aired, comes).1));
        again(&mut placement, 15_000, 20_000 + from, from, until);
        aired = comes;
    }
    heard.extend(all(&air(&mut placement, aired, 30_000).1));
    let last = heard.last().copied();
    assert_eq!(last, Some((16_200, 18_800)), "{heard:?}");
}

#[test]
fn a_sound_that_many_others_are_alike_tells_no_joint() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 17_500));
    placement.speech(&piece(1, 14_200, 16_200));
    placement.supersede(2, ms(15_000), ms(15_000));
    let mut hum = piece(2, 19_000, 23_000);
    hum.earliest = ms(15_000);
    placement.speech(&hum);
    let (_, heard) = air(&mut placement, 0, 30_000);
    let length: i64 = all(&heard)[4..].iter().map(|(from, until)| until - from).sum();
    assert!(5_000 < length, "{:?}", all(&heard));
}

#[test]
fn a_dub_that_is_shorter_than_its_phrase_stays_with_the_speaker_at_its_pauses() {
    let mut placement = aligned();
    for phrase in 0..6 {
        let from = 1_000 + 3_000 * phrase;
        placement.phrase_ended(range(from, from + 2_000));
        placement.speech(&piece(1, from + 1_200, from + 2_800));
    }
    placement.phrase_ended(range(19_000, 27_000));
    for part in 0..4 {
        let from = 20_200 + 1_600 * part;
        placement.speech(&piece(1, from, from + 1_500));
    }
    let (_, heard) = air(&mut placement, 0, 40_000);
    let starts: Vec<i64> = all(&heard)[6..].iter().map(|(from, _)| from - 19_000).collect();
    assert_eq!(starts.len(), 4, "{:?}", all(&heard));
    for (part, start) in (0..).zip(starts) {
        assert!(
            (start - 2_000 * part).abs() < 300,
            "part {part} begins at {start}"
        );
    }
}

#[test]
fn a_sketch_names_what_waits_and_what_was_decided() {
    let mut placement = answered();
    air(&mut placement, 0, 2_000);
    let sketch = placement.sketch().to_string();
    for words in [
        "phrase 0 id 0 1.00..3.00 Some(Dubbed)",
        "phrase 1 id 1 4.00..6.00 None",
        "answers 1+1",
    ] {
        assert!(sketch.contains(words), "{words} in\n{sketch}");
    }
}

#[test]
fn a_dub_that_ended_long_before_says_nothing_of_the_next_phrase() {
    let mut placement = answered();
    placement.phrase_ended(range(13_000, 15_000));
    placement.phrase_ended(range(15_000, 18_500));
    placement.speech(&piece(1, 14_200, 16_000));
    // Its connection died, and the beginning of the second phrase is asked of nobody.
    placement.supersede(2, ms(16_900), ms(16_900));
    let (decisions, heard) = air(&mut placement, 0, 30_000);
    let fell_back = (range(15_000, 16_900), Verdict::FellBack);
    let told: Vec<_> = decisions.iter().map(|it| (it.part, it.verdict)).collect();
    assert!(told.contains(&fell_back), "{decisions:?}");
    assert_eq!(all(&heard)[4..], [(13_000, 14_800)]);
}
