//! What the end of a connection means: a row a case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use gemini_live::{Class, Context, Ending, ErrorObject, Fault, Phase, Recovery, Verdict, classify};
use serde_json::Value;
use std::time::Duration;

const SETTING_UP: Context = Context {
    phase: Phase::SettingUp,
    proven: false,
    warned: false,
    resumed: false,
};
const YOUNG: Context = Context {
    phase: Phase::Live,
    ..SETTING_UP
};
const PROVEN: Context = Context {
    proven: true,
    ..YOUNG
};
const WARNED: Context = Context {
    warned: true,
    ..YOUNG
};
const RESUMED: Context = Context {
    resumed: true,
    ..SETTING_UP
};

fn closed(code: u16, reason: &str) -> Ending {
    Ending::Closed {
        code,
        reason: reason.to_owned(),
    }
}

fn means(ending: &Ending, context: Context) -> (Fault, Recovery) {
    let verdict = classify(ending, context);
    (verdict.fault, verdict.recovery)
}

/// A close from the field, by its name.
fn field(name: &str) -> Ending {
    include_str!("../testdata/server_closes.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["name"] == name)
        .map(|line| {
            closed(
                u16::try_from(line["code"].as_u64().unwrap()).unwrap(),
                line["reason"].as_str().unwrap(),
            )
        })
        .unwrap_or_else(|| panic!("no close {name}"))
}

#[test]
fn every_close_from_the_field_has_its_meaning() {
    let rows = [
        ("goaway_expired_dev", WARNED, Fault::LifetimeOver, Recovery::Renew),
        ("deadline_expired", PROVEN, Fault::LifetimeOver, Recovery::Renew),
        (
            "operation_cancelled_vertex",
            PROVEN,
            Fault::LifetimeOver,
            Recovery::Renew,
        ),
        ("internal", PROVEN, Fault::InternalError, Recovery::RetryAtOnce),
        (
            "unavailable",
            SETTING_UP,
            Fault::Unavailable,
            Recovery::RetryLater,
        ),
        ("quota", YOUNG, Fault::QuotaSpent, Recovery::AwaitQuota),
        (
            "invalid_argument",
            SETTING_UP,
            Fault::InvalidArgument,
            Recovery::Simplify,
        ),
        ("unknown_field", SETTING_UP, Fault::UnknownField, Recovery::GiveUp),
        ("bad_handle", RESUMED, Fault::HandleRefused, Recovery::DropHandle),
        (
            "session_not_found",
            RESUMED,
            Fault::HandleRefused,
            Recovery::DropHandle,
        ),
        (
            "entity_not_found",
            RESUMED,
            Fault::HandleRefused,
            Recovery::DropHandle,
        ),
        (
            "model_not_found",
            SETTING_UP,
            Fault::ModelMissing,
            Recovery::GiveUp,
        ),
        ("key_leaked", SETTING_UP, Fault::KeyRefused, Recovery::GiveUp),
        ("key_expired", SETTING_UP, Fault::KeyRefused, Recovery::GiveUp),
        ("key_invalid", SETTING_UP, Fault::KeyRefused, Recovery::GiveUp),
        ("no_identity", SETTING_UP, Fault::KeyRefused, Recovery::GiveUp),
        (
            "not_enabled",
            SETTING_UP,
            Fault::NotEnabled,
            Recovery::RetryFew(3),
        ),
    ];
    for (name, context, fault, recovery) in rows {
        assert_eq!(means(&field(name), context), (fault, recovery), "{name}");
    }
    let known = include_str!("../testdata/server_closes.jsonl").lines().count();
    assert_eq!(known, rows.len(), "a close without a row");
}

#[test]
fn a_reason_cut_at_123_bytes_means_the_same() {
    for line in include_str!("../testdata/server_closes.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.len() <= 123, "{reason}");
        let code = u16::try_from(line["code"].as_u64().unwrap()).unwrap();
        let whole = classify(&closed(code, reason), PROVEN);
        let cut = &reason[..reason.len().min(40)];
        assert_eq!(classify(&closed(code, cut), PROVEN), whole, "{cut}");
    }
    let name = "projects/a-project-with-a-long-name/locations/northamerica-northeast1/publishers/google/models/\
                gemini-live-2.5-flash-native-audio-prev";
    let model = closed(1008, &name[..123]);
    assert_eq!(means(&model, SETTING_UP), (Fault::ModelMissing, Recovery::GiveUp));
}

#[test]
fn codes_without_words_have_a_meaning_too() {
    let rows = [
        (
            Ending::Dropped,
            PROVEN,
            Fault::ConnectionLost,
            Recovery::RetryAtOnce,
        ),
        (
            closed(1006, ""),
            YOUNG,
            Fault::ConnectionLost,
            Recovery::RetryAtOnce,
        ),
        (
            closed(1005, ""),
            YOUNG,
            Fault::ConnectionLost,
            Recovery::RetryAtOnce,
        ),
        (closed(1000, ""), PROVEN, Fault::LifetimeOver, Recovery::Renew),
        (closed(1001, ""), PROVEN, Fault::LifetimeOver, Recovery::Renew),
        (
            closed(1007, "Something new"),
            SETTING_UP,
            Fault::InvalidArgument,
            Recovery::Simplify,
        ),
        (
            closed(1008, ""),
            PROVEN,
            Fault::MiddleboxClose,
            Recovery::RetryAtOnce,
        ),
        (
            closed(1008, "Something new"),
            YOUNG,
            Fault::UnexpectedClose,
            Recovery::RetryAtOnce,
        ),
        (
            closed(1011, ""),
            YOUNG,
            Fault::InternalError,
            Recovery::RetryAtOnce,
        ),
        (
            closed(1011, "keepalive ping timeout"),
            PROVEN,
            Fault::KeepaliveTimeout,
            Recovery::RetryAtOnce,
        ),
        (closed(1013, ""), YOUNG, Fault::Unavailable, Recovery::RetryLater),
        (
            closed(4000, ""),
            YOUNG,
            Fault::UnexpectedClose,
            Recovery::RetryAtOnce,
        ),
        (
            Ending::Unreachable,
            SETTING_UP,
            Fault::Unreachable,
            Recovery::RetryLater,
        ),
    ];
    for (ending, context, fault, recovery) in rows {
        assert_eq!(means(&ending, context), (fault, recovery), "{ending:?}");
    }
}

#[test]
fn an_expiry_of_a_connection_that_has_proven_nothing_is_a_failure() {
    for name in [
        "goaway_expired_dev",
        "deadline_expired",
        "operation_cancelled_vertex",
    ] {
        for context in [SETTING_UP, YOUNG] {
            assert_eq!(means(&field(name), context).1, Recovery::RetryAtOnce, "{name}");
        }
        assert_eq!(means(&field(name), WARNED).1, Recovery::Renew, "{name}");
    }
}

#[test]
fn a_generic_1007_blames_the_setup_only_while_nothing_has_worked() {
    let generic = field("invalid_argument");
    assert_eq!(means(&generic, SETTING_UP).1, Recovery::Simplify);
    assert_eq!(means(&generic, YOUNG).1, Recovery::Simplify);
    assert_eq!(means(&generic, PROVEN).1, Recovery::RetryAtOnce);
}

#[test]
fn not_found_without_a_handle_speaks_of_the_model() {
    let fresh = means(&field("entity_not_found"), SETTING_UP);
    assert_eq!(fresh, (Fault::ModelMissing, Recovery::GiveUp));
}

#[test]
fn every_http_refusal_has_its_meaning() {
    let refused = |status, message: &str| Ending::Refused {
        status,
        retry_after: None,
        message: message.to_owned(),
    };
    let upgrading = Context {
        phase: Phase::Upgrading,
        ..SETTING_UP
    };
    let rows = [
        (
            400,
            "API key not valid. API_KEY_INVALID",
            Fault::KeyRefused,
            Recovery::GiveUp,
        ),
        (400, "", Fault::InvalidArgument, Recovery::GiveUp),
        (
            401,
            "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            Fault::KeyRefused,
            Recovery::GiveUp,
        ),
        (403, "", Fault::KeyRefused, Recovery::GiveUp),
        (404, "", Fault::AddressWrong, Recovery::GiveUp),
        (301, "", Fault::AddressWrong, Recovery::GiveUp),
        (200, "", Fault::AddressWrong, Recovery::GiveUp),
        (408, "", Fault::ServerTimeout, Recovery::RetryLater),
        (429, "", Fault::QuotaSpent, Recovery::AwaitQuota),
        (500, "", Fault::Unavailable, Recovery::RetryLater),
        (502, "", Fault::Unavailable, Recovery::RetryLater),
        (503, "", Fault::Unavailable, Recovery::RetryLater),
        (504, "", Fault::ServerTimeout, Recovery::RetryLater),
    ];
    for (status, message, fault, recovery) in rows {
        assert_eq!(
            means(&refused(status, message), upgrading),
            (fault, recovery),
            "{status} {message}"
        );
    }
    let later = Ending::Refused {
        status: 429,
        retry_after: Some(Duration::from_secs(7)),
        message: String::new(),
    };
    assert_eq!(
        classify(&later, upgrading).retry_after,
        Some(Duration::from_secs(7))
    );
}

#[test]
fn every_error_object_has_its_meaning() {
    let error = |code, status: &str, message: &str| {
        Ending::Errored(ErrorObject {
            code,
            status: status.to_owned(),
            message: message.to_owned(),
        })
    };
    let rows = [
        (
            error(Some(429), "RESOURCE_EXHAUSTED", "Resource exhausted"),
            Fault::QuotaSpent,
        ),
        (error(Some(429), "", ""), Fault::QuotaSpent),
        (error(Some(401), "UNAUTHENTICATED", ""), Fault::KeyRefused),
        (error(None, "PERMISSION_DENIED", ""), Fault::KeyRefused),
        (error(Some(400), "INVALID_ARGUMENT", ""), Fault::InvalidArgument),
        (
            error(Some(400), "INVALID_ARGUMENT", "API key not valid."),
            Fault::KeyRefused,
        ),
        (error(Some(404), "NOT_FOUND", ""), Fault::ModelMissing),
        (error(Some(404), "", ""), Fault::ModelMissing),
        (error(None, "UNIMPLEMENTED", ""), Fault::NotEnabled),
        (error(Some(503), "UNAVAILABLE", ""), Fault::Unavailable),
        (error(Some(504), "DEADLINE_EXCEEDED", ""), Fault::ServerTimeout),
        (error(None, "ABORTED", ""), Fault::LifetimeOver),
        (error(Some(500), "INTERNAL", ""), Fault::InternalError),
        (error(None, "", ""), Fault::InternalError),
        (error(Some(9), "SOMETHING_NEW", ""), Fault::InternalError),
    ];
    for (ending, fault) in rows {
        assert_eq!(means(&ending, YOUNG).0, fault, "{ending:?}");
    }
}

#[test]
fn the_six_classes_are_told_apart() {
    let class = |ending: &Ending| classify(ending, PROVEN).fault.class();
    assert_eq!(class(&field("key_leaked")), Class::Auth);
    assert_eq!(class(&field("quota")), Class::RateLimit);
    assert_eq!(class(&field("unavailable")), Class::Overloaded);
    assert_eq!(class(&field("unknown_field")), Class::InvalidInput);
    assert_eq!(class(&Ending::Dropped), Class::Closed);
    let late = Ending::Refused {
        status: 504,
        retry_after: None,
        message: String::new(),
    };
    assert_eq!(class(&late), Class::Timeout);
}

#[test]
fn a_verdict_repeats_nothing_that_the_server_said() {
    let ending = closed(1007, "API key AIzaSyPRIVATE not valid");
    let Verdict { fault, .. } = classify(&ending, SETTING_UP);
    let said = format!("{fault:?} {} {}", fault.as_str(), fault.remedy());
    assert!(!said.contains("PRIVATE"), "{said}");
}
