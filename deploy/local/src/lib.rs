//! The deployment on one machine without Docker: MediaMTX, the three services and Jaeger as processes of one
//! supervisor, for `make up`, `make demo`, the tests and the bench.
//!
//! * A dead part is restarted as a container engine would, or left dead where that is asked for.
//! * Every port is a default plus one offset, so that several stacks run side by side.
//! * No process outlives its stack: parts are drained, then killed with all their descendants; when this process
//!   itself is killed, the kernel takes the parts along (Linux).

pub mod binaries;
pub mod demo;
pub mod environment;
pub mod http;
pub mod listeners;
pub mod log_sink;
pub mod part;
pub mod ports;
pub mod process;
pub mod readiness;
pub mod settings;
pub mod stack;
pub mod supervisor;
pub mod tools;
pub mod up;

pub use listeners::Ports;
pub use nix::sys::signal::Signal;
pub use stack::{Builder, Stack};
