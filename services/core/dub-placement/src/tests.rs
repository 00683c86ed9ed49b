//! Promises of placement.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

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
