//! media-edge: pulls a live stream, keeps its air and publishes it dubbed.
//!
//! Three programs in one binary, and a look at what they need. `serve` answers gRPC and supervises one `worker` per stream; a `worker` owns the
//! run's timeline, the hold, the air plan and the output; its disposable child `ingest` pulls and decodes.
pub mod children;
pub mod config;
pub mod gst;
pub mod ingest;
pub mod link;
pub mod metrics;
pub mod serve;
pub mod worker;
