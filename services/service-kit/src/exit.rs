//! How a program ends: one table of exit codes, and one way to die on a broken invariant.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// Exit codes, the same for every program and every child process.
pub mod code {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// The settings, the command line or the job are wrong; the same start fails again.
    pub const CONFIG: u8 = 64;
    /// A peer is not available.
    pub const UNAVAILABLE: u8 = 69;
    /// An invariant of ours broke.
    pub const INTERNAL: u8 = 70;
    /// Try again: the supervisor may restart this.
    pub const TRY_AGAIN: u8 = 75;
}

/// Attached to an error with `anyhow::Context::context`, decides the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitWith(pub u8);

impl fmt::Display for ExitWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for ExitWith {}

/// The exit code that an error asks for; [`code::FAILED`] when it asks for none.
#[must_use]
pub fn code_of(error: &anyhow::Error) -> u8 {
    let needs_other_settings = error.downcast_ref::<crate::settings::ConfigErrors>().is_some()
        || error.downcast_ref::<crate::net::BindError>().is_some();
    if needs_other_settings {
        return code::CONFIG;
    }
    error
        .downcast_ref::<ExitWith>()
        .map_or(code::FAILED, |exit| exit.0)
}

/// Says on stderr why a program ends before its log begins; the exit code that the error asks for.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{error:#}");
    ExitCode::from(code_of(error))
}

/// Ends the process because an invariant of ours broke: one ERROR line, then exit code 70.
#[macro_export]
macro_rules! fatal {
    ($($arg:tt)+) => {{
        ::tracing::error!($($arg)+);
        $crate::telemetry::flush_logs();
        ::std::process::exit(i32::from($crate::exit::code::INTERNAL))
    }};
}
