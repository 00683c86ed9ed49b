//! Single promises of a session, without a model behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod bench;

use bench::{Bench, ONE, TWO, at, config, handle};
use gemini_live::{
    ClientMessage, Ending, ErrorObject, Handle, RealtimeInput, ResumptionUpdate, ServerContent,
    SetupComplete, Transcription,
};
use gemini_session::{Cause, Config, ConnectionId, Family, Input, Outcome, Output, Session, State, Watchdog};
use media_types::{FragmentSeq, MediaTime};
use std::time::Duration;

#[test]
fn nothing_is_sent_before_setup_is_confirmed() {
    let mut bench = Bench::new(config());
    bench.pass(500, true);
    bench.input(Input::ConnectionOpened { connection: ONE });
    bench.pass(500, true);
    let sends = bench
        .out
        .iter()
        .filter(|it| matches!(it, Output::Send { .. }))
        .count();
    assert_eq!(sends, 1, "the setup alone");
    bench.say(ONE, |it| it.setup_complete = Some(SetupComplete::default()));
    bench.pass(1_000, true);
    assert!(bench.session.view().backlog < Duration::from_millis(200));
}

#[test]
fn what_a_connection_that_is_gone_still_says_concerns_nobody() {
    let mut bench = Bench::ready(config());
    bench.pass(2_000, true);
    bench.input(Input::ConnectionEnded {
        connection: ONE,
        ending: Ending::Dropped,
    });
    bench.set_up(TWO);
    bench.pass(1_000, true);
    bench.speak(ONE);
    bench.say(ONE, |it| it.go_away = Some(gemini_live::GoAway::default()));
    bench.input(Input::ConnectionEnded {
        connection: ONE,
        ending: Ending::Dropped,
    });
    assert_eq!(
        (bench.speeches(), bench.opened(), bench.failures().len()),
        (0, 2, 1)
    );
    bench.speak(TWO);
    assert_eq!(bench.speeches(), 1);
}

#[test]
fn what_a_connection_says_before_it_heard_anything_answers_nothing() {
    let mut bench = Bench::ready(config());
    bench.speak(ONE);
    assert_eq!((bench.speeches(), bench.session.view().stray_total), (0, 1));
    bench.pass(1_000, true);
    bench.speak(ONE);
    assert_eq!((bench.speeches(), bench.session.view().stray_total), (1, 1));
}

#[test]
fn an_error_object_ends_its_connection_and_the_next_one_is_opened() {
    let mut bench = Bench::ready(config());
    bench.pass(1_000, true);
    bench.speak(ONE);
    bench.say(ONE, |it| {
        it.error = Some(ErrorObject {
            code: Some(500),
            ..ErrorObject::default()
        });
    });
    let closed = bench.out.contains(&Output::Close { connection: ONE });
    assert_eq!(bench.opened(), 1, "not at once");
    bench.pass(500, true);
    assert!(closed && bench.opened() == 2, "{:?}", bench.session.view());
}

#[test]
fn a_session_is_resumed_by_its_handle_only_where_that_is_asked_for() {
    for resume in [false, true] {
        let mut config = config();
        config.resume = resume;
        let mut bench = Bench::ready(config);
        bench.pass(1_000, true);
        bench.say(ONE, |it| it.resumption = Some(handle()));
        // Not resumable for a moment: the good handle stays.
        bench.say(ONE, |it| it.resumption = Some(ResumptionUpdate::default()));
        bench.speak(ONE);
        bench.input(Input::ConnectionEnded {
            connection: ONE,
            ending: Ending::Dropped,
        });
        bench.set_up(TWO);
        let wanted = resume.then(|| Handle::new("h-1"));
        assert_eq!(bench.handles(), [None, wanted]);
    }
}

#[test]
fn a_poisoned_handle_is_not_used_again() {
    let mut config = config();
    config.resume = true;
    let mut bench = Bench::ready(config);
    bench.pass(1_000, true);
    bench.say(ONE, |it| it.resumption = Some(handle()));
    bench.speak(ONE);
    bench.input(Input::ConnectionEnded {
        connection: ONE,
        ending: Ending::Dropped,
    });
    bench.set_up(TWO);
    // It hears, and never answers.
    for _ in 0..20 {
        bench.pass(500, true);
        bench.say(TWO, |it| {
            it.content = Some(ServerContent {
                input_transcription: Some(Transcription {
                    text: " word".to_owned(),
                    ..Transcription::default()
                }),
                ..ServerContent::default()
            });
        });
    }
    assert_eq!(bench.failures().last(), Some(&Cause::Silent(Watchdog::Answer)));
    bench.pass(500, true);
    bench.set_up(ConnectionId(3));
    assert_eq!(bench.handles(), [None, Some(Handle::new("h-1")), None]);
}

#[test]
fn a_quiet_connection_is_pinged_and_given_up_when_not_a_frame_comes_for_a_minute() {
    let mut bench = Bench::ready(config());
    let pings = |bench: &Bench| {
        bench
            .out
            .iter()
            .filter(|it| matches!(it, Output::Ping { .. }))
            .count()
    };
    bench.pass(59_000, false);
    assert_eq!((pings(&bench), bench.failures().len()), (2, 0));
    bench.input(Input::FrameReceived { connection: ONE });
    bench.pass(59_000, false);
    assert_eq!(
        (pings(&bench), bench.failures().len()),
        (4, 0),
        "a pong half a minute late is a pong"
    );
    bench.pass(2_000, false);
    assert_eq!(bench.failures(), [Cause::Silent(Watchdog::Frame)]);
}

#[test]
fn a_song_of_which_no_word_is_heard_costs_a_fresh_session_now_and_then_and_is_no_failure() {
    let mut config = config();
    config.watchdogs.message_translate = Duration::from_secs(3_600);
    config.watchdogs.frame = Duration::from_secs(3_600);
    let mut bench = Bench::ready(config);
    for number in 2..8 {
        bench.pass(31_000, true);
        bench.set_up(ConnectionId(number));
    }
    let view = bench.session.view();
    assert_eq!((view.failures_total, view.connections_total), (0, 7));
}

#[test]
fn fragments_that_nobody_waits_for_are_settled_as_failed() {
    let mut bench = Bench::new(config());
    for number in 0..3_u32 {
        let start = MediaTime::from_millis(i64::from(number) * 2_000);
        let fragment = FragmentSeq(u64::from(number));
        bench.input(Input::FragmentStarted { fragment, start });
        let end = start + MediaTime::from_millis(2_000);
        bench.input(Input::FragmentEnded { fragment, end });
    }
    bench.input(Input::FragmentsAbandoned {
        up_to: FragmentSeq(1),
    });
    let settled: Vec<(u64, bool)> = bench
        .out
        .iter()
        .filter_map(|output| {
            if let Output::Settle(it) = output {
                Some((it.fragment.0, it.outcome == Outcome::Delivered))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(settled, [(0, false), (1, false)]);
}

#[test]
fn a_session_without_source_closes_as_soon_as_its_source_ends() {
    let mut bench = Bench::ready(config());
    bench.input(Input::SourceEnded);
    bench.session.handle_timeout(at(1_000));
    bench.drain();
    assert_eq!(bench.session.view().state, State::Closed);
    assert!(bench.out.contains(&Output::Close { connection: ONE }));
    assert_eq!(bench.session.poll_timeout(), None);
}

#[test]
fn a_model_hears_silence_when_the_source_stops_coming_and_not_for_ever() {
    let mut config = config();
    config.watchdogs.message_translate = Duration::from_secs(3_600);
    let mut bench = Bench::ready(config);
    bench.pass(1_000, true);
    let sent_before = bench.session.usage().sent();
    while bench.now < 30_000 {
        bench.now += 50;
        bench.session.handle_timeout(at(bench.now));
        bench.drain();
    }
    let silence = bench.session.usage().sent() - sent_before;
    assert!((4_900..5_200).contains(&silence.as_millis()), "{silence:?}");
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let fields = |config: Config| -> Vec<&'static str> {
        let errors = Session::new(at(0), config).err().unwrap_or_default();
        errors.iter().map(|error| error.field).collect()
    };
    assert_eq!(
        fields(Config::translate("m", "tlh", Duration::from_secs(10))),
        ["target_language"]
    );
    assert_eq!(
        fields(Config::translate("", "es", Duration::from_secs(10))),
        ["model"]
    );
    let mut small = config();
    small.ring = Duration::from_secs(5);
    assert_eq!(fields(small), ["ring"]);
    let mut fast = config();
    fast.pace.replay_speed = 3;
    assert_eq!(fields(fast), ["replay_speed"]);
    let mut old = config();
    old.lifetimes.age_soft = Duration::from_secs(589);
    assert_eq!(fields(old), ["age_soft"]);
    let mut long = Config::dialogue("m", "interpret", Duration::from_secs(20));
    if let Family::Dialogue(dialogue) = &mut long.family {
        dialogue.window_max = Duration::from_millis(15_001);
    }
    assert_eq!(fields(long), ["window_max"]);
    let short = Config::dialogue("m", "interpret", Duration::from_secs(5));
    assert!(fields(short).contains(&"window_max"));
    assert_eq!(
        fields(Config::dialogue("m", "", Duration::from_secs(20))),
        ["instruction"]
    );
}

#[test]
fn words_and_sound_are_not_printed() {
    let mut bench = Bench::ready(config());
    bench.pass(1_000, true);
    bench.say(ONE, |it| {
        it.content = Some(ServerContent {
            output_transcription: Some(Transcription {
                text: "PRIVATE".to_owned(),
                ..Transcription::default()
            }),
            ..ServerContent::default()
        });
    });
    bench.speak(ONE);
    let printed = format!("{:?}", bench.out);
    assert!(
        printed.contains("Speech") && printed.contains("Text"),
        "{printed}"
    );
    assert!(
        !printed.contains("PRIVATE") && !printed.contains("6000,") && !printed.contains("-600"),
        "{printed}"
    );
}

#[test]
fn the_translate_family_is_sent_sound_and_nothing_else() {
    let mut bench = Bench::ready(config());
    bench.pass(3_000, true);
    let inputs = bench.out.iter().filter_map(|output| {
        if let Output::Send { message, .. } = output {
            Some(message.as_ref())
        } else {
            None
        }
    });
    let sound =
        |message: &&ClientMessage| matches!(message, ClientMessage::RealtimeInput(RealtimeInput::Audio(_)));
    assert_eq!(inputs.skip(1).filter(|message| !sound(message)).count(), 0);
}

#[test]
fn a_hole_of_the_source_is_no_loss_and_ends_a_window() {
    let dialogue = Config::dialogue("models/live", "interpret", Duration::from_secs(20));
    for config in [config(), dialogue] {
        let mut bench = Bench::ready(config);
        bench.pass(2_000, true);
        bench.now += 50_000;
        bench.session.handle_timeout(at(bench.now));
        bench.drain();
        bench.pass(500, true);
        assert_eq!(bench.session.view().dropped, Duration::ZERO);
        let marks = bench.out.iter().filter(|output| {
            if let Output::Send { message, .. } = output {
                matches!(
                    message.as_ref(),
                    ClientMessage::RealtimeInput(RealtimeInput::ActivityEnd(_))
                )
            } else {
                false
            }
        });
        let windows = bench.out.iter().any(|output| {
            matches!(output, Output::Send { message, .. } if format!("{message:?}").contains("ActivityStart"))
        });
        assert_eq!(marks.count(), usize::from(windows));
    }
}
