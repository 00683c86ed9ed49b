//! What crosses a process border inside one container: JSON lines between `serve` and `worker` ([`lines`]), and
//! media frames from `ingest` to `worker` ([`frames`]).
pub mod frames;
pub mod lines;
