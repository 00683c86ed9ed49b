//! Whole stacks that dub at the Gemini twin: a programme whose phrases carry numbers, what a reader of `/out` heard of
//! them, what the twin did meanwhile, and the drills that lay these beside each other.
//!
//! The drills know the programme and the sound at `/out`. Of the client they read what every operator can.

pub mod accounts;
pub mod air;
pub mod case;
pub mod faults;
pub mod figures;
pub mod jobs;
pub mod journal;
pub mod plans;
pub mod programme;
pub mod report;
pub mod rotation;
pub mod soak;

pub use air::{Air, Heard};
pub use case::{Case, Family, Ran};
pub use programme::{Programme, Spoken};
