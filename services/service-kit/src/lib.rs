//! What every program of the house starts, watches and stops with: settings, command line, telemetry, admin
//! endpoints, tasks, gRPC server, clock, exit codes. It knows no word of the domain.

pub mod admin;
pub mod cli;
pub mod clock;
mod env;
pub mod exit;
pub mod grpc;
mod log_file;
mod log_line;
mod log_sink;
pub mod net;
pub mod settings;
mod span_export;
pub mod tasks;
pub mod telemetry;

pub use admin::{Admin, Metrics, Readiness};
pub use cli::{Invocation, Program};
pub use clock::Clock;
pub use grpc::GrpcServer;
pub use net::{Endpoint, bind_error};
pub use settings::{ConfigErrors, Env, Reader, Setting};
pub use tasks::{OnEnd, Signals, Tasks};
pub use telemetry::{Identity, LogStream, Telemetry, TelemetryConfig, trace};
