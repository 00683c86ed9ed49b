//! Faults of connections: how they are made, kept and ended.

use super::{ALWAYS, Act, Class, Fault, Models, Step, When, ms, now, s, step};
use crate::connection::manner::Pongs;
use crate::wire::Bye;
use Class::{Fatal, Overload, Quota, Recover, Transparent};
use Models::{Both, Dialogue};
use When::{Attempt, Open, Setup};

/// The warning comes when it always comes.
const WARNING: When = Setup(s(540));

fn nothing() -> Vec<Step> {
    Vec::new()
}

/// The warning, and an end of another kind or at another time.
fn ends(left: Option<u64>, after: std::time::Duration, bye: Bye) -> Vec<Step> {
    vec![
        now(Act::NoLife),
        now(Act::GoAway(left.map(s))),
        step(after, Act::Close(bye)),
    ]
}

fn refused(status: u16, retry_after: Option<u16>) -> Vec<Step> {
    vec![now(Act::Refuse { status, retry_after })]
}

const fn fault(
    number: u8,
    name: &'static str,
    (class, models): (Class, Models),
    (when, times): (When, u32),
    what: &'static str,
    steps: fn() -> Vec<Step>,
) -> Fault {
    Fault {
        number,
        name,
        class,
        models,
        when,
        times,
        what,
        steps,
    }
}

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2,
        "a_lifetime",
        (Transparent, Both),
        (WARNING, 1),
        "goAway 50s at 9:00, close 1008 aborted at 9:50",
        || ends(Some(50), s(50), Bye::aborted()),
    ),
    fault(
        3,
        "a_three_hours",
        (Transparent, Both),
        (WARNING, ALWAYS),
        "the same for ever",
        || ends(Some(50), s(50), Bye::aborted()),
    ),
    fault(
        4,
        "goaway_then_1011",
        (Transparent, Both),
        (WARNING, 1),
        "goAway 50s, then 1011 deadline",
        || ends(Some(50), s(50), Bye::deadline()),
    ),
    fault(
        5,
        "goaway_no_timeleft",
        (Recover, Both),
        (WARNING, 1),
        "goAway {}, then 1008 after 2 s",
        || ends(None, s(2), Bye::aborted()),
    ),
    fault(
        6,
        "goaway_fraction_short",
        (Recover, Both),
        (WARNING, 1),
        "goAway 1.25s, then 1008",
        || {
            vec![
                now(Act::NoLife),
                now(Act::GoAway(Some(ms(1_250)))),
                step(ms(1_250), Act::Close(Bye::aborted())),
            ]
        },
    ),
    fault(
        7,
        "goaway_then_silence",
        (Transparent, Both),
        (WARNING, 1),
        "goAway 50s, then no frame until the close",
        || {
            vec![
                now(Act::NoLife),
                now(Act::GoAway(Some(s(50)))),
                now(Act::Manner(|manner| manner.muted = true)),
                step(s(50), Act::Close(Bye::aborted())),
            ]
        },
    ),
    fault(
        8,
        "goaway_late_close",
        (Transparent, Both),
        (WARNING, 1),
        "goAway 50s, close only after 120 s",
        || ends(Some(50), s(120), Bye::aborted()),
    ),
    fault(
        9,
        "goaway_early_close",
        (Recover, Both),
        (WARNING, 1),
        "goAway 50s, close after 5 s",
        || ends(Some(50), s(5), Bye::aborted()),
    ),
    fault(
        10,
        "no_goaway_1011",
        (Transparent, Both),
        (Setup(s(590)), 1),
        "1011 deadline at 9:50 without a warning",
        || vec![now(Act::NoLife), now(Act::Close(Bye::deadline()))],
    ),
    fault(
        11,
        "long_58min",
        (Transparent, Both),
        (Open, ALWAYS),
        "no goAway; 1011 deadline at 58:00",
        || vec![now(Act::NoLife), step(s(3_480), Act::Close(Bye::deadline()))],
    ),
    fault(
        12,
        "vertex_cancelled",
        (Recover, Both),
        (Setup(s(600)), 1),
        "close 1000 cancelled, not asked for",
        || vec![now(Act::NoLife), now(Act::Close(Bye::cancelled()))],
    ),
    fault(
        13,
        "tcp_reset",
        (Recover, Both),
        (Setup(s(60)), 1),
        "RST in the middle of a frame",
        || vec![now(Act::Reset)],
    ),
    fault(
        14,
        "half_open",
        (Recover, Both),
        (Setup(s(60)), 1),
        "the socket stays, nothing is read or written",
        || vec![now(Act::Freeze)],
    ),
    fault(
        15,
        "late_pong",
        (Transparent, Both),
        (Open, ALWAYS),
        "pongs 25 s late, data as ever",
        || vec![now(Act::Manner(|manner| manner.pongs = Pongs::After(s(25))))],
    ),
    fault(
        16,
        "no_pong",
        (Transparent, Both),
        (Open, ALWAYS),
        "no pongs, data as ever",
        || vec![now(Act::Manner(|manner| manner.pongs = Pongs::Never))],
    ),
    fault(
        17,
        "text_frames",
        (Transparent, Both),
        (Open, ALWAYS),
        "server JSON in text frames",
        || vec![now(Act::Manner(|manner| manner.text_frames = true))],
    ),
    fault(
        18,
        "fragmented",
        (Transparent, Both),
        (Open, ALWAYS),
        "messages in 5 frames, a ping between",
        || vec![now(Act::Manner(|manner| manner.fragmented = true))],
    ),
    fault(
        19,
        "setup_slow",
        (Recover, Both),
        (Attempt, 1),
        "setupComplete after 7 s",
        || vec![now(Act::SetupAfter(s(7)))],
    ),
    fault(
        19,
        "setup_never",
        (Recover, Both),
        (Attempt, 1),
        "setupComplete never",
        || vec![now(Act::SetupNever)],
    ),
    fault(
        20,
        "setup_close",
        (Recover, Both),
        (Attempt, 1),
        "1011 internal between upgrade and setupComplete",
        || vec![now(Act::CloseAtSetup(Bye::internal()))],
    ),
    fault(
        21,
        "setup_unknown_field",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "1007 Unknown name in every setup",
        || {
            vec![now(Act::CloseAtSetup(Bye::unknown_name(
                "inputAudioTranscription",
                "setup.generation_config",
            )))]
        },
    ),
    fault(
        22,
        "setup_1007_generic",
        (Recover, Both),
        (Attempt, ALWAYS),
        "1007 invalid argument while resumption, then compression, is in the setup",
        || vec![now(Act::Ladder)],
    ),
    fault(
        23,
        "double_setup",
        (Transparent, Both),
        (Open, 1),
        "a second setup closes 1007 (as ever)",
        nothing,
    ),
    fault(
        24,
        "key_bad",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade, then 1007 key not valid",
        || vec![now(Act::CloseAtOpen(Bye::key_invalid()))],
    ),
    fault(
        24,
        "key_leaked",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade, then 1008 reported as leaked",
        || vec![now(Act::CloseAtOpen(Bye::key_leaked()))],
    ),
    fault(
        24,
        "key_expired",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade, then 1007 key expired",
        || vec![now(Act::CloseAtOpen(Bye::key_expired()))],
    ),
    fault(
        25,
        "no_identity",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "1008 unregistered callers, cut at 123 bytes",
        || vec![now(Act::CloseAtOpen(Bye::no_identity()))],
    ),
    fault(
        26,
        "model_missing",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "1008 model not found for API version",
        || {
            vec![now(Act::CloseAtSetup(Bye::model_not_found(
                "models/gemini-live",
                "v1beta",
            )))]
        },
    ),
    fault(
        27,
        "http_400",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade answered 400",
        || refused(400, None),
    ),
    fault(
        27,
        "http_401",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade answered 401",
        || refused(401, None),
    ),
    fault(
        27,
        "http_403",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade answered 403",
        || refused(403, None),
    ),
    fault(
        27,
        "http_404",
        (Fatal, Both),
        (Attempt, ALWAYS),
        "upgrade answered 404",
        || refused(404, None),
    ),
    fault(
        27,
        "http_429",
        (Quota, Both),
        (Attempt, 1),
        "upgrade answered 429 with Retry-After: 5",
        || refused(429, Some(5)),
    ),
    fault(
        27,
        "http_500",
        (Overload, Both),
        (Attempt, 3),
        "three upgrades answered 500",
        || refused(500, None),
    ),
    fault(
        27,
        "http_502",
        (Overload, Both),
        (Attempt, 3),
        "three upgrades answered 502",
        || refused(502, None),
    ),
    fault(
        27,
        "http_503",
        (Overload, Both),
        (Attempt, 3),
        "three upgrades answered 503",
        || refused(503, None),
    ),
    fault(
        28,
        "quota_at_start",
        (Quota, Both),
        (Setup(ms(800)), 1),
        "1011 quota 0.8 s after setupComplete, for 70 s",
        || vec![now(Act::QuotaFor(s(70)))],
    ),
    fault(
        29,
        "quota_midway",
        (Quota, Both),
        (Setup(s(60)), 1),
        "1011 quota after a frame, then as at the start for 70 s",
        || vec![step(ms(100), Act::QuotaFor(s(70)))],
    ),
    fault(
        30,
        "overload_storm",
        (Overload, Both),
        (Attempt, 6),
        "1011 unavailable on six attempts in a row",
        || vec![now(Act::CloseAtSetup(Bye::unavailable()))],
    ),
    fault(
        31,
        "midsession_1011_then_reject",
        (Recover, Both),
        (Setup(s(200)), 1),
        "1011 internal; the next attempt gets 1011 too, the third goes well",
        || {
            vec![
                now(Act::Next(vec![vec![Act::CloseAtSetup(Bye::internal())]])),
                now(Act::Close(Bye::internal())),
            ]
        },
    ),
    fault(
        61,
        "handover_replacement_fails",
        (Transparent, Both),
        (WARNING, 1),
        "goAway 50s; replacements get 503 and 1011 in turn for 20 s",
        || {
            let mut steps = ends(Some(50), s(50), Bye::aborted());
            steps.push(now(Act::RefuseFor(s(20))));
            steps
        },
    ),
    fault(
        62,
        "handover_both_die",
        (Recover, Both),
        (WARNING, 1),
        "goAway 50s; the old one is reset after 2 s, the new one set up only after 6 s",
        || {
            vec![
                now(Act::NoLife),
                now(Act::GoAway(Some(s(50)))),
                now(Act::Next(vec![vec![Act::SetupAfter(s(6))]])),
                step(s(2), Act::Reset),
            ]
        },
    ),
    fault(
        63,
        "middlebox_150s",
        (Recover, Both),
        (Setup(s(150)), ALWAYS),
        "1008 without a reason every 150 s",
        || vec![now(Act::Close(Bye::new(1008, "")))],
    ),
    fault(
        64,
        "stale_frame",
        (Transparent, Both),
        (WARNING, 1),
        "goAway; sound goes on 2 s after the client's close",
        || {
            let mut steps = ends(Some(50), s(50), Bye::aborted());
            steps.push(now(Act::Manner(|manner| manner.stale = true)));
            steps
        },
    ),
    fault(
        65,
        "meta_reconnect_storm",
        (Transparent, Both),
        (Setup(s(540)), 1),
        "every connection gets goAway 50s at the same moment",
        || vec![now(Act::GoAwayAll(s(50)))],
    ),
    fault(
        58,
        "b_context_exhausted",
        (Recover, Dialogue),
        (Setup(s(1_200)), 1),
        "1007 invalid argument after 20 min without compression",
        || {
            vec![
                now(Act::NoLife),
                now(Act::CloseUncompressed(Bye::invalid_argument())),
            ]
        },
    ),
];
