//! The wire: what clients send, what the service sends, how it hangs up.

pub mod client;
pub mod schema;
pub mod server;
pub mod setup;

use std::fmt;

/// The service cuts every close reason here: a close frame holds 125 bytes, two of them the code.
pub const REASON_BYTES_MAX: usize = 123;

/// A close: code and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bye {
    /// Close code.
    pub code: u16,
    /// Reason, at most 123 bytes.
    pub reason: String,
}

impl Bye {
    /// A close whose reason is cut as the service cuts it.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason }
    }

    /// The deadline after a goAway.
    pub fn aborted() -> Self {
        Self::new(1008, "The operation was aborted.")
    }

    /// The other form in which a life ends.
    pub fn deadline() -> Self {
        Self::new(1011, "Deadline expired before operation could complete.")
    }

    /// The form in which Vertex ends a life.
    pub fn cancelled() -> Self {
        Self::new(1000, "The operation was cancelled.")
    }

    /// A fault of the service, or a handle whose socket still lives.
    pub fn internal() -> Self {
        Self::new(1011, "Internal error encountered.")
    }

    /// Overload.
    pub fn unavailable() -> Self {
        Self::new(1011, "The service is currently unavailable.")
    }

    /// Spent quota.
    pub fn quota() -> Self {
        Self::new(
            1011,
            "You exceeded your current quota, please check your plan and billing details. For more information on this \
             error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
        )
    }

    /// Whatever the service does not like.
    pub fn invalid_argument() -> Self {
        Self::new(1007, "Request contains an invalid argument.")
    }

    /// A name that no message has, where it stood.
    pub fn unknown_name(name: &str, place: &str) -> Self {
        let place = if place.is_empty() {
            String::new()
        } else {
            format!(" at '{place}'")
        };
        Self::new(
            1007,
            format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."),
        )
    }

    /// A handle that was never given.
    pub fn bad_handle() -> Self {
        Self::new(1007, "Invalid session handle")
    }

    /// A handle that is too old.
    pub fn session_not_found() -> Self {
        Self::new(1008, "BidiGenerateContent session not found")
    }

    /// A model that this version does not serve.
    pub fn model_not_found(model: &str, version: &str) -> Self {
        Self::new(
            1008,
            format!(
                "{model} is not found for API version {version}, or is not supported for bidiGenerateContent. Call \
                 ListModels to see the list of available models and their supported methods."
            ),
        )
    }

    /// A key that is none.
    pub fn key_invalid() -> Self {
        Self::new(1007, "API key not valid. Please pass a valid API key.")
    }

    /// A key past its day.
    pub fn key_expired() -> Self {
        Self::new(1007, "API key expired. Please renew the API key.")
    }

    /// A key that was found in public.
    pub fn key_leaked() -> Self {
        Self::new(
            1008,
            "Your API key was reported as leaked. Please use another API key.",
        )
    }

    /// No key at all, or a token where a key belongs.
    pub fn no_identity() -> Self {
        Self::new(
            1008,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or \
             other form of API consumer identity to call this API.",
        )
    }
}

impl fmt::Display for Bye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.code, self.reason)
    }
}
