//! What the end of a connection means, and what to do about it: one table.
//!
//! The service reports one thing under several codes (three for the same expiry) and several things under one, and it
//! cuts reasons at 123 bytes. So the beginning of the reason decides, then the code, and where both leave it open, the
//! age of the connection. The words of a reason reach nobody but this table: they may repeat a key.
use crate::server::ErrorObject;
use std::time::Duration;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server closed it.
    Closed {
        /// Close code; 1005 where there was none.
        code: u16,
        /// Its words, cut by the server.
        reason: String,
    },
    /// It broke without a close.
    Dropped,
    /// It could not be opened: no address, no route, no TLS.
    Unreachable,
    /// The server answered the upgrade with an HTTP status.
    Refused {
        /// The status.
        status: u16,
        /// When to come again, if it said so.
        retry_after: Option<Duration>,
        /// Its words.
        message: String,
    },
    /// The server sent an error object.
    Errored(ErrorObject),
}

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet a WebSocket.
    Upgrading,
    /// Setup sent and not confirmed.
    SettingUp,
    /// Set up.
    Live,
}

/// What is known of a connection when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// How far it had come.
    pub phase: Phase,
    /// It gave output, or lived for a minute. That it opened proves nothing: a spent quota opens too.
    pub proven: bool,
    /// It was warned by a go-away.
    pub warned: bool,
    /// It was to go on with an earlier session.
    pub resumed: bool,
}

/// Kind of an error, in the words of every provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No answer in time.
    Timeout,
    /// Too many requests.
    RateLimit,
    /// Refused credentials.
    Auth,
    /// Input that the service does not accept.
    InvalidInput,
    /// Overloaded.
    Overloaded,
    /// Connection closed.
    Closed,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A connection lives so long and no longer.
    LifetimeOver,
    /// The connection broke.
    ConnectionLost,
    /// No way to the server.
    Unreachable,
    /// Something between us and the server closed it.
    MiddleboxClose,
    /// A close that means nothing to us.
    UnexpectedClose,
    /// The server went wrong.
    InternalError,
    /// The server has too much to do.
    Unavailable,
    /// The project's quota is spent.
    QuotaSpent,
    /// Our own library missed a pong.
    KeepaliveTimeout,
    /// The server takes too long to answer.
    ServerTimeout,
    /// The server takes something for wrong and does not say what.
    InvalidArgument,
    /// The server knows no such field.
    UnknownField,
    /// The resumption handle is good for nothing.
    HandleRefused,
    /// The key, or who has it, is refused.
    KeyRefused,
    /// The server knows no such model, or not for live sessions.
    ModelMissing,
    /// The server offers none of it, here or now.
    NotEnabled,
    /// There is no such service at this address.
    AddressWrong,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It had to come: a fresh session now, and nobody's failure.
    Renew,
    /// The first new try at once, later ones with growing waits.
    RetryAtOnce,
    /// Every new try with growing waits.
    RetryLater,
    /// Growing waits, and no more than this many tries for this fault.
    RetryFew(u8),
    /// A fresh session at once, without the handle.
    DropHandle,
    /// The next simpler setup.
    Simplify,
    /// Wait until the quota is there again; never the fast curve.
    AwaitQuota,
    /// Every further try would end the same.
    GiveUp,
}

/// What an end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happened.
    pub fault: Fault,
    /// What to do about it.
    pub recovery: Recovery,
    /// When to come again, if the server said so.
    pub retry_after: Option<Duration>,
}

impl Class {
    /// The word of requirement and metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimit => "rate_limit",
            Self::Auth => "auth",
            Self::InvalidInput => "invalid_input",
            Self::Overloaded => "overloaded",
            Self::Closed => "closed",
        }
    }
}

impl Fault {
    /// Its kind.
    pub const fn class(self) -> Class {
        match self {
            Self::KeepaliveTimeout | Self::ServerTimeout => Class::Timeout,
            Self::QuotaSpent => Class::RateLimit,
            Self::KeyRefused => Class::Auth,
            Self::InvalidArgument
            | Self::UnknownField
            | Self::HandleRefused
            | Self::ModelMissing
            | Self::NotEnabled
            | Self::AddressWrong => Class::InvalidInput,
            Self::Unavailable => Class::Overloaded,
            Self::LifetimeOver
            | Self::ConnectionLost
            | Self::Unreachable
            | Self::MiddleboxClose
            | Self::UnexpectedClose
            | Self::InternalError => Class::Closed,
        }
    }

    /// One word, for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LifetimeOver => "lifetime_over",
            Self::ConnectionLost => "connection_lost",
            Self::Unreachable => "unreachable",
            Self::MiddleboxClose => "middlebox_close",
            Self::UnexpectedClose => "unexpected_close",
            Self::InternalError => "internal_error",
            Self::Unavailable => "unavailable",
            Self::QuotaSpent => "quota_spent",
            Self::KeepaliveTimeout => "keepalive_timeout",
            Self::ServerTimeout => "server_timeout",
            Self::InvalidArgument => "invalid_argument",
            Self::UnknownField => "unknown_field",
            Self::HandleRefused => "handle_refused",
            Self::KeyRefused => "key_refused",
            Self::ModelMissing => "model_missing",
            Self::NotEnabled => "not_enabled",
            Self::AddressWrong => "address_wrong",
        }
    }

    /// What a person can do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::LifetimeOver => "nothing: every connection ends after some minutes and is renewed",
            Self::ConnectionLost | Self::InternalError | Self::UnexpectedClose => {
                "nothing: it is tried again; look at the network and at the service's status page if it lasts"
            }
            Self::Unreachable => "check WORKER_GEMINI_BASE_URL, name resolution, proxy and firewall",
            Self::MiddleboxClose => {
                "a proxy or firewall closes long connections: let WebSockets of 10 minutes pass"
            }
            Self::Unavailable | Self::ServerTimeout => "nothing: it is tried again with growing waits",
            Self::QuotaSpent => {
                "raise the project's quota or billing tier, or dub fewer streams with this key"
            }
            Self::KeepaliveTimeout => "pongs of this service come late: do not end a connection for one",
            Self::InvalidArgument => "check model, voice, languages and session hint",
            Self::UnknownField => "the service changed its form: update this program",
            Self::HandleRefused => "nothing: a fresh session is opened",
            Self::KeyRefused => {
                "check WORKER_GEMINI_API_KEY: wrong, expired, reported as leaked, or without rights"
            }
            Self::ModelMissing => "check WORKER_GEMINI_MODEL and WORKER_GEMINI_API_VERSION",
            Self::NotEnabled => "enable the Gemini API for the project, or choose another model",
            Self::AddressWrong => "check WORKER_GEMINI_BASE_URL and WORKER_GEMINI_API_VERSION",
        }
    }
}

/// Beginnings of reasons, in the order in which they are tried.
const REASONS: &[(&str, Fault)] = &[
    ("The operation was aborted", Fault::LifetimeOver),
    ("Deadline expired before operation", Fault::LifetimeOver),
    ("The operation was cancelled", Fault::LifetimeOver),
    ("Internal error", Fault::InternalError),
    ("The service is currently unavailable", Fault::Unavailable),
    ("You exceeded your current quota", Fault::QuotaSpent),
    ("Resource has been exhausted", Fault::QuotaSpent),
    ("Resource exhausted", Fault::QuotaSpent),
    ("RESOURCE_EXHAUSTED", Fault::QuotaSpent),
    ("Quota exceeded", Fault::QuotaSpent),
    ("keepalive ping timeout", Fault::KeepaliveTimeout),
    ("Invalid JSON payload received", Fault::UnknownField),
    ("Invalid session handle", Fault::HandleRefused),
    ("BidiGenerateContent session not found", Fault::HandleRefused),
    ("Requested entity was not found", Fault::HandleRefused),
    ("API key", Fault::KeyRefused),
    ("Your API key", Fault::KeyRefused),
    ("Method doesn't allow unregistered", Fault::KeyRefused),
    ("Permission denied", Fault::KeyRefused),
    ("The caller does not have permission", Fault::KeyRefused),
    ("Request had invalid authentication", Fault::KeyRefused),
    ("Request is missing required authentication", Fault::KeyRefused),
    ("Operation is not implemented", Fault::NotEnabled),
    // A long model name leaves no room for the words behind it.
    ("models/", Fault::ModelMissing),
    ("projects/", Fault::ModelMissing),
    ("Publisher Model", Fault::ModelMissing),
    ("Publisher model", Fault::ModelMissing),
    ("Request contains an invalid argument", Fault::InvalidArgument),
];

/// What an end means.
pub fn classify(ending: &Ending, context: Context) -> Verdict {
    let (fault, retry_after) = match ending {
        Ending::Closed { code, reason } => (
            by_reason(reason).unwrap_or_else(|| by_close_code(*code, reason)),
            None,
        ),
        Ending::Dropped => (Fault::ConnectionLost, None),
        Ending::Unreachable => (Fault::Unreachable, None),
        Ending::Refused {
            status,
            retry_after,
            message,
        } => (by_status(*status, message), *retry_after),
        Ending::Errored(error) => (by_error(error), None),
    };
    // Without a handle "not found" can only speak of the model.
    let fault = if fault == Fault::HandleRefused && !context.resumed {
        Fault::ModelMissing
    } else {
        fault
    };
    Verdict {
        fault,
        recovery: recovery(fault, context),
        retry_after,
    }
}

fn by_reason(reason: &str) -> Option<Fault> {
    REASONS
        .iter()
        .find(|(beginning, _)| reason.starts_with(beginning))
        .map(|(_, fault)| *fault)
}

fn by_close_code(code: u16, reason: &str) -> Fault {
    match code {
        1000 | 1001 => Fault::LifetimeOver,
        1005 | 1006 | 1015 => Fault::ConnectionLost,
        1007 => Fault::InvalidArgument,
        1008 if reason.is_empty() => Fault::MiddleboxClose,
        1011 => Fault::InternalError,
        1012..=1014 => Fault::Unavailable,
        _ => Fault::UnexpectedClose,
    }
}

fn by_status(status: u16, message: &str) -> Fault {
    let of_key =
        message.contains("API_KEY") || message.contains("API key") || message.contains("ACCESS_TOKEN");
    match status {
        400 if of_key => Fault::KeyRefused,
        401 | 403 => Fault::KeyRefused,
        408 | 504 => Fault::ServerTimeout,
        429 => Fault::QuotaSpent,
        400..=499 if status != 404 && status != 405 && status != 426 => Fault::InvalidArgument,
        500..=599 => Fault::Unavailable,
        _ => Fault::AddressWrong,
    }
}

fn by_error(error: &ErrorObject) -> Fault {
    if let Some(fault) = by_reason(&error.message) {
        return fault;
    }
    match error.status.as_str() {
        "RESOURCE_EXHAUSTED" => return Fault::QuotaSpent,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => return Fault::KeyRefused,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => return Fault::InvalidArgument,
        "NOT_FOUND" => return Fault::HandleRefused,
        "UNIMPLEMENTED" => return Fault::NotEnabled,
        "UNAVAILABLE" => return Fault::Unavailable,
        "DEADLINE_EXCEEDED" => return Fault::ServerTimeout,
        "ABORTED" | "CANCELLED" => return Fault::LifetimeOver,
        "INTERNAL" => return Fault::InternalError,
        _ => {}
    }
    match error.code.and_then(|code| u16::try_from(code).ok()) {
        Some(404) => Fault::HandleRefused,
        Some(status @ 400..=599) => by_status(status, &error.message),
        Some(_) | None => Fault::InternalError,
    }
}

fn recovery(fault: Fault, context: Context) -> Recovery {
    let live = context.phase == Phase::Live;
    match fault {
        // An "expiry" of a connection that has proven nothing would be renewed for ever at full speed.
        Fault::LifetimeOver if live && (context.proven || context.warned) => Recovery::Renew,
        Fault::LifetimeOver
        | Fault::ConnectionLost
        | Fault::InternalError
        | Fault::MiddleboxClose
        | Fault::UnexpectedClose
        | Fault::KeepaliveTimeout => Recovery::RetryAtOnce,
        Fault::Unreachable | Fault::Unavailable | Fault::ServerTimeout => Recovery::RetryLater,
        Fault::QuotaSpent => Recovery::AwaitQuota,
        // A context that is full ends a long session in these words; the setup cannot be to blame any more.
        Fault::InvalidArgument if live && context.proven => Recovery::RetryAtOnce,
        Fault::InvalidArgument if context.phase == Phase::Upgrading => Recovery::GiveUp,
        Fault::InvalidArgument => Recovery::Simplify,
        Fault::HandleRefused => Recovery::DropHandle,
        Fault::NotEnabled => Recovery::RetryFew(3),
        Fault::UnknownField | Fault::KeyRefused | Fault::ModelMissing | Fault::AddressWrong => {
            Recovery::GiveUp
        }
    }
}
