//! How connections end.

use crate::Check;
use crate::rig::{DIALOGUE, Rig, TRANSLATE, near, setup};
use gemini_twin::connection::Out;
use gemini_twin::wire::Bye;
use serde_json::json;

/// A warning with this text 2 s after the setup, and this close so long after it.
fn ends(fault: &str, left: Option<&str>, after_s: f64, bye: &Bye) {
    let mut rig = Rig::with(fault, "after = \"2s\"", TRANSLATE);
    rig.pass(200.0);
    let warning = rig.messages("goAway");
    assert_eq!(warning.len(), 1, "{warning:?}");
    near(warning[0].0, 2.25);
    assert_eq!(
        warning[0].1,
        left.map_or(json!({}), |left| json!({"timeLeft": left}))
    );
    let closes = rig.closes();
    assert_eq!((closes[0].2, &closes[0].3), (bye.code, &bye.reason));
    near(closes[0].0, 2.25 + after_s);
    assert_eq!(closes.len(), 1);
}

/// This close after so long, and no warning before it.
fn ends_without_warning(fault: &str, lines: &str, at_s: f64, bye: &Bye) {
    let mut rig = Rig::with(fault, lines, TRANSLATE);
    rig.pass(at_s + 1.0);
    assert!(rig.messages("goAway").is_empty());
    let closes = rig.closes();
    assert_eq!((closes[0].2, &closes[0].3), (bye.code, &bye.reason));
    near(closes[0].0, at_s);
}

pub const CHECKS: &[Check] = &[
    ("a_lifetime", || {
        let mut rig = Rig::with("a_lifetime", "", TRANSLATE);
        rig.pass(600.0);
        near(rig.messages("goAway")[0].0, 540.25);
        near(rig.closes()[0].0, 590.25);
        ends("a_lifetime", Some("50s"), 50.0, &Bye::aborted());
    }),
    ("a_three_hours", || {
        let mut rig = Rig::with("a_three_hours", "", TRANSLATE);
        for _ in 0..17 {
            rig.pass(545.0);
            let number = rig.open().unwrap();
            rig.set_up(number, setup(TRANSLATE));
        }
        rig.pass(600.0);
        assert_eq!(rig.messages("goAway").len(), 18);
        assert!(
            rig.closes().iter().all(|close| close.2 == 1008),
            "{:?}",
            rig.closes()
        );
        assert_eq!(rig.closes().len(), 18);
    }),
    ("goaway_then_1011", || {
        ends("goaway_then_1011", Some("50s"), 50.0, &Bye::deadline())
    }),
    ("goaway_no_timeleft", || {
        ends("goaway_no_timeleft", None, 2.0, &Bye::aborted())
    }),
    ("goaway_fraction_short", || {
        ends("goaway_fraction_short", Some("1.25s"), 1.25, &Bye::aborted())
    }),
    ("goaway_late_close", || {
        ends("goaway_late_close", Some("50s"), 120.0, &Bye::aborted())
    }),
    ("goaway_early_close", || {
        ends("goaway_early_close", Some("50s"), 5.0, &Bye::aborted())
    }),
    ("goaway_then_silence", || {
        let mut rig = Rig::with("goaway_then_silence", "after = \"3s\"", TRANSLATE);
        rig.talk(1, 10.0);
        let warning = rig.messages("goAway")[0].0;
        assert_eq!(rig.sent_after(warning), 0);
        rig.pass(60.0);
        near(rig.closes()[0].0, warning + 50.0);
    }),
    ("no_goaway_1011", || {
        ends_without_warning("no_goaway_1011", "", 590.25, &Bye::deadline());
        ends_without_warning("no_goaway_1011", "after = \"20s\"", 20.25, &Bye::deadline());
    }),
    ("long_58min", || {
        ends_without_warning("long_58min", "", 3_480.0, &Bye::deadline())
    }),
    ("vertex_cancelled", || {
        ends_without_warning("vertex_cancelled", "after = \"20s\"", 20.25, &Bye::cancelled());
    }),
    ("tcp_reset", || {
        let mut rig = Rig::with("tcp_reset", "", TRANSLATE);
        rig.talk(1, 62.0);
        near(rig.resets()[0], 60.25);
        assert_eq!(rig.sent_after(60.3), 0);
    }),
    ("half_open", || {
        let mut rig = Rig::with("half_open", "after = \"3s\"", TRANSLATE);
        rig.talk(1, 8.0);
        let frozen = rig.seen.iter().find(|seen| seen.out == Out::Freeze).unwrap().at_s;
        near(frozen, 3.25);
        rig.pass(700.0);
        assert_eq!(rig.sent_after(frozen), 0, "not even the end of its life");
    }),
    ("handover_replacement_fails", || {
        let mut rig = Rig::with("handover_replacement_fails", "after = \"2s\"", TRANSLATE);
        rig.pass(2.0);
        assert_eq!(rig.messages("goAway").len(), 1);
        assert_eq!(rig.open(), Err(503));
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        assert_eq!(rig.closes()[0].1, number);
        assert_eq!(rig.closes()[0].2, 1011);
        rig.pass(20.0);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        assert_eq!(rig.messages("setupComplete").len(), 2);
        rig.pass(40.0);
        assert_eq!(rig.closes()[1].1, 1, "the old one lives to its deadline");
    }),
    ("handover_both_die", || {
        let mut rig = Rig::with("handover_both_die", "after = \"2s\"", TRANSLATE);
        rig.pass(1.9);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        rig.pass(10.0);
        near(rig.resets()[0], 4.25);
        near(rig.messages("setupComplete")[1].0, 2.4 + 6.0);
    }),
    ("middlebox_150s", || {
        let mut rig = Rig::with("middlebox_150s", "", TRANSLATE);
        rig.pass(151.0);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        rig.pass(151.0);
        let closes = rig.closes();
        assert_eq!(closes.len(), 2);
        assert!(closes.iter().all(|close| close.2 == 1008 && close.3.is_empty()));
    }),
    ("stale_frame", || {
        let mut rig = Rig::with("stale_frame", "after = \"2s\"", TRANSLATE);
        rig.talk(1, 5.0);
        rig.client_closes(1);
        let closed = rig.now.as_secs_f64();
        rig.talk(1, 4.0);
        assert!(rig.contents("modelTurn").iter().any(|(at, _)| *at > closed + 1.0));
        near(rig.closes()[0].0, closed + 2.0);
    }),
    ("meta_reconnect_storm", || {
        let mut rig = Rig::with("meta_reconnect_storm", "after = \"30s\"", TRANSLATE);
        for _ in 0..49 {
            let number = rig.open().unwrap();
            rig.send(number, &json!({"setup": setup(TRANSLATE)}));
        }
        rig.pass(90.0);
        let warnings = rig.messages("goAway");
        assert_eq!(warnings.len(), 50);
        assert!(warnings.iter().all(|(at, _)| *at == warnings[0].0));
        assert_eq!(rig.closes().len(), 50);
    }),
    ("b_context_exhausted", || {
        let mut rig = Rig::with("b_context_exhausted", "after = \"5s\"", DIALOGUE);
        rig.pass(6.0);
        assert_eq!(
            (rig.closes()[0].2, rig.closes()[0].3.as_str()),
            (1007, "Request contains an invalid argument.")
        );
        let mut rig = Rig::new("[[fault]]\nname = \"b_context_exhausted\"\nafter = \"5s\"");
        let number = rig.open().unwrap();
        let mut compressed = setup(DIALOGUE);
        compressed["contextWindowCompression"] = json!({"slidingWindow": {}});
        rig.set_up(number, compressed);
        rig.pass(60.0);
        assert!(
            rig.closes().is_empty(),
            "a session that compresses its context goes on"
        );
    }),
];
