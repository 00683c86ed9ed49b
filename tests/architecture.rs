//! The architecture as failing checks. Each says what it found and what to do about it.
//!
//! The tree that is looked at is that of `CARGO_MANIFEST_DIR` when the test runs, so that a spoiled copy shows what a
//! check is worth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "architecture/tree.rs"]
mod tree;

#[path = "architecture/compose.rs"]
mod compose;
#[path = "architecture/crates.rs"]
mod crates;
#[path = "architecture/native.rs"]
mod native;
#[path = "architecture/observability.rs"]
mod observability;
#[path = "architecture/settings.rs"]
mod settings;
#[path = "architecture/sizes.rs"]
mod sizes;
#[path = "architecture/words.rs"]
mod words;
