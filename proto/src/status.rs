//! One table from an error code to its gRPC status, its HTTP status and whether trying again makes sense.
//! Every code has a heading in `specs/ERRORS.md`.
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of every `google.rpc.ErrorInfo` that we send.
pub const DOMAIN: &str = "dub";

macro_rules! codes {
    ($($variant:ident $text:literal $grpc:ident $http:literal $retry:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode { $(#[doc = $text] $variant,)* }
        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
            /// Its gRPC status.
            pub const fn grpc(self) -> Code { match self { $(Self::$variant => Code::$grpc,)* } }
            /// Its HTTP status.
            pub const fn http(self) -> u16 { match self { $(Self::$variant => $http,)* } }
            /// Whether the same call may succeed later.
            pub const fn is_retryable(self) -> bool { match self { $(Self::$variant => $retry,)* } }
        }
    };
}

codes! {
    InvalidBody "INVALID_BODY" InvalidArgument 400 false;
    InvalidPath "INVALID_PATH" InvalidArgument 400 false;
    InvalidField "INVALID_FIELD" InvalidArgument 400 false;
    BodyTooLarge "BODY_TOO_LARGE" InvalidArgument 413 false;
    WorkerLimit "WORKER_LIMIT" ResourceExhausted 429 true;
    StreamUnknown "STREAM_UNKNOWN" NotFound 404 false;
    WorkerUnknown "WORKER_UNKNOWN" NotFound 404 false;
    SessionUnknown "SESSION_UNKNOWN" NotFound 404 false;
    WorkerConflict "WORKER_CONFLICT" FailedPrecondition 409 false;
    VideoCodecUnsupported "VIDEO_CODEC_UNSUPPORTED" FailedPrecondition 409 false;
    BedUnavailable "BED_UNAVAILABLE" FailedPrecondition 409 false;
    WorkerUnresponsive "WORKER_UNRESPONSIVE" Unavailable 503 true;
    Draining "DRAINING" Unavailable 503 true;
    ProviderUnreachable "PROVIDER_UNREACHABLE" Unavailable 503 true;
    Protocol "PROTOCOL" InvalidArgument 400 false;
    Internal "INTERNAL" Internal 500 false;
}

impl ErrorCode {
    /// A gRPC status with `ErrorInfo`, and with `BadRequest` where a field is to blame.
    pub fn status(self, message: impl Into<String>, field: Option<&str>) -> Status {
        let message = message.into();
        let mut details = ErrorDetails::new();
        details.set_error_info(
            self.as_str(),
            DOMAIN,
            [("retryable".to_owned(), self.is_retryable().to_string())],
        );
        if let Some(field) = field {
            details.add_bad_request_violation(field, message.clone());
        }
        if self.is_retryable() {
            details.set_retry_info(Some(std::time::Duration::from_secs(1)));
        }
        Status::with_error_details(self.grpc(), message, details)
    }
}
