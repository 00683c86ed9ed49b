//! How connections are made and kept.

use crate::Check;
use crate::rig::{Rig, TRANSLATE, near, setup};
use gemini_twin::connection::Out;
use gemini_twin::wire::server::frame;
use serde_json::json;

/// Frames of server messages: how many, how many of them binary, how many fragmented.
fn frames(rig: &Rig) -> (usize, usize, usize) {
    rig.seen.iter().fold((0, 0, 0), |sum, seen| match seen.out {
        Out::Frame {
            binary, fragmented, ..
        } => (
            sum.0 + 1,
            sum.1 + usize::from(binary),
            sum.2 + usize::from(fragmented),
        ),
        _ => sum,
    })
}

fn refused(fault: &str, status: u16, times: usize) {
    let mut rig = Rig::new(&format!("[[fault]]\nname = \"{fault}\""));
    for _ in 0..times {
        assert_eq!(rig.open(), Err(status));
    }
    assert_eq!(
        rig.open().is_ok(),
        times < 20,
        "the fault is over after {times} attempts"
    );
}

/// Closed right after the upgrade, before any setup, on every attempt.
fn closed_at_open(fault: &str, code: u16, reason: &str) {
    let mut rig = Rig::new(&format!("[[fault]]\nname = \"{fault}\""));
    for attempt in 0..3 {
        let number = rig.open().unwrap();
        let close = rig.closes()[attempt].clone();
        assert_eq!((close.1, close.2), (number, code));
        assert!(close.3.starts_with(reason) && close.3.len() <= 123, "{}", close.3);
    }
    assert!(rig.messages("setupComplete").is_empty());
}

/// Closed instead of `setupComplete`, so many times in a row.
fn closed_at_setup(fault: &str, code: u16, reason: &str, times: usize) {
    let mut rig = Rig::new(&format!("[[fault]]\nname = \"{fault}\""));
    for attempt in 0..times {
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        let close = rig.closes()[attempt].clone();
        assert_eq!(close.2, code);
        assert!(close.3.starts_with(reason), "{}", close.3);
        assert!(rig.messages("setupComplete").is_empty());
    }
    let number = rig.open().unwrap();
    rig.set_up(number, setup(TRANSLATE));
    assert_eq!(rig.messages("setupComplete").len(), usize::from(times < 20));
}

pub const CHECKS: &[Check] = &[
    ("late_pong", || {
        let mut rig = Rig::with("late_pong", "", TRANSLATE);
        rig.ping(1);
        let sent = rig.now.as_secs_f64();
        rig.talk(1, 26.0);
        let pong = rig
            .seen
            .iter()
            .find(|seen| matches!(seen.out, Out::Pong(_)))
            .unwrap();
        near(pong.at_s, sent + 25.0);
        assert!(rig.contents("modelTurn").len() > 100, "data comes as ever");
    }),
    ("no_pong", || {
        let mut rig = Rig::with("no_pong", "", TRANSLATE);
        rig.ping(1);
        rig.pass(300.0);
        assert!(!rig.seen.iter().any(|seen| matches!(seen.out, Out::Pong(_))));
        assert!(rig.closes().is_empty());
    }),
    ("text_frames", || {
        let mut rig = Rig::with("text_frames", "", TRANSLATE);
        rig.talk(1, 2.0);
        let (all, binary, _) = frames(&rig);
        assert!(all > 5 && binary == 0, "setupComplete is text too");
    }),
    ("fragmented", || {
        let mut rig = Rig::with("fragmented", "", TRANSLATE);
        rig.talk(1, 2.0);
        let (all, binary, fragmented) = frames(&rig);
        assert!(all > 5 && binary == all && fragmented == all);
    }),
    ("setup_slow", || {
        let mut rig = Rig::with("setup_slow", "", TRANSLATE);
        rig.pass(10.0);
        near(rig.messages("setupComplete")[0].0, 7.0);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        assert_eq!(rig.messages("setupComplete").len(), 2, "the next one is prompt");
    }),
    ("setup_never", || {
        let mut rig = Rig::with("setup_never", "", TRANSLATE);
        rig.pass(60.0);
        assert!(rig.messages("setupComplete").is_empty() && rig.closes().is_empty());
    }),
    ("setup_close", || {
        closed_at_setup("setup_close", 1011, "Internal error encountered.", 1)
    }),
    ("setup_unknown_field", || {
        closed_at_setup(
            "setup_unknown_field",
            1007,
            "Invalid JSON payload received. Unknown name \"input",
            30,
        );
    }),
    ("setup_1007_generic", || {
        let mut rig = Rig::new("[[fault]]\nname = \"setup_1007_generic\"");
        let ladder = [
            json!({"sessionResumption": {}, "contextWindowCompression": {}}),
            json!({"contextWindowCompression": {}}),
            json!({}),
        ];
        for more in ladder {
            let number = rig.open().unwrap();
            let mut setup = setup(TRANSLATE);
            setup
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            rig.set_up(number, setup);
        }
        assert!(
            rig.closes()
                .iter()
                .all(|close| close.3 == "Request contains an invalid argument.")
        );
        assert_eq!((rig.closes().len(), rig.messages("setupComplete").len()), (2, 1));
    }),
    ("double_setup", || {
        let mut rig = Rig::with("double_setup", "", TRANSLATE);
        rig.send(1, &json!({"setup": setup(TRANSLATE)}));
        assert_eq!(
            (rig.closes()[0].2, rig.closes()[0].3.as_str()),
            (1007, "Request contains an invalid argument.")
        );
    }),
    ("key_bad", || closed_at_open("key_bad", 1007, "API key not valid")),
    ("key_leaked", || {
        closed_at_open("key_leaked", 1008, "Your API key was reported as leaked.")
    }),
    ("key_expired", || {
        closed_at_open("key_expired", 1007, "API key expired. Please renew the API key.")
    }),
    ("no_identity", || {
        closed_at_open("no_identity", 1008, "Method doesn't allow unregistered callers");
        let mut rig = Rig::new("[[fault]]\nname = \"no_identity\"");
        rig.open().unwrap();
        assert_eq!(rig.closes()[0].3.len(), 123, "cut as the service cuts it");
    }),
    ("model_missing", || {
        closed_at_setup(
            "model_missing",
            1008,
            "models/gemini-live is not found for API version v1beta",
            30,
        );
    }),
    ("http_400", || refused("http_400", 400, 30)),
    ("http_401", || refused("http_401", 401, 30)),
    ("http_403", || refused("http_403", 403, 30)),
    ("http_404", || refused("http_404", 404, 30)),
    ("http_429", || refused("http_429", 429, 1)),
    ("http_500", || refused("http_500", 500, 3)),
    ("http_502", || refused("http_502", 502, 3)),
    ("http_503", || refused("http_503", 503, 3)),
    ("quota_at_start", || {
        let mut rig = Rig::with("quota_at_start", "", TRANSLATE);
        rig.pass(2.0);
        near(rig.closes()[0].0, 0.25 + 0.8);
        assert_eq!(rig.closes()[0].2, 1011);
        assert!(rig.closes()[0].3.starts_with("You exceeded your current quota"));
        assert_eq!(rig.closes()[0].3.len(), 123);
        rig.pass(30.0);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        rig.pass(2.0);
        assert_eq!(
            rig.messages("setupComplete").len(),
            2,
            "an open is no proof of health"
        );
        assert_eq!(rig.closes().len(), 2);
        rig.pass(40.0);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        rig.pass(10.0);
        assert_eq!(rig.closes().len(), 2, "after 70 s the quota is back");
    }),
    ("quota_midway", || {
        let mut rig = Rig::with("quota_midway", "after = \"5s\"", TRANSLATE);
        rig.talk(1, 8.0);
        near(rig.closes()[0].0, 5.35);
        assert!(rig.closes()[0].3.starts_with("You exceeded your current quota"));
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        rig.pass(2.0);
        assert_eq!(rig.closes().len(), 2);
    }),
    ("overload_storm", || {
        closed_at_setup("overload_storm", 1011, "The service is currently unavailable.", 6);
        let mut rig = Rig::with("overload_storm", "after = \"5s\"", TRANSLATE);
        rig.pass(6.0);
        near(rig.resets()[0], 5.25);
        let number = rig.open().unwrap();
        rig.set_up(number, setup(TRANSLATE));
        assert_eq!(
            rig.closes().len(),
            1,
            "a session that lives is cut, so that the storm is met"
        );
    }),
    ("midsession_1011_then_reject", || {
        let mut rig = Rig::with("midsession_1011_then_reject", "after = \"5s\"", TRANSLATE);
        rig.pass(6.0);
        for _ in 0..2 {
            let number = rig.open().unwrap();
            rig.set_up(number, setup(TRANSLATE));
        }
        let closes: Vec<u16> = rig.closes().iter().map(|close| close.2).collect();
        assert_eq!(closes, [1011, 1011]);
        assert_eq!(rig.messages("setupComplete").len(), 2, "the first and the third");
    }),
];

#[test]
fn server_messages_are_pretty_json_in_binary_frames() {
    let mut rig = Rig::new("");
    let number = rig.open().unwrap();
    rig.set_up(number, setup(TRANSLATE));
    let text = frame(&json!({"setupComplete": {}}));
    let wanted = Out::Frame {
        text,
        binary: true,
        fragmented: false,
    };
    assert!(rig.seen.iter().any(|seen| seen.out == wanted));
}
