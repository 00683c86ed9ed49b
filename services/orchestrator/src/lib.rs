//! The orchestrator: takes MediaMTX's hooks, knows which streams are live, and has media-edge run exactly one
//! worker for each.
//!
//! A hook is answered at once; what follows from it is decided by one `stream-lifecycle` machine per stream,
//! each owned by its own task. Every second two listings, MediaMTX's paths and media-edge's workers, correct
//! what hooks and calls have told. A restart of this process disturbs nothing: workers run on and are adopted,
//! and what no listing can tell stands in files.
pub mod app;
pub mod config;
pub mod edge_client;
pub mod error;
pub mod hooks;
pub mod mediamtx_client;
pub mod metrics;
pub mod operator;
pub mod path_pattern;
pub mod query;
pub mod registry;
pub mod start_trace;
pub mod state_dir;
pub mod stream_task;
