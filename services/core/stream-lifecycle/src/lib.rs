//! stream-lifecycle
