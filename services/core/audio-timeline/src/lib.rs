//! Where sound belongs in time: the run's clock and its hold, the sample store, the cutting of fragments, the air
//! plan and the ledger of fates. Pure: time is an argument.
#![deny(missing_docs)]

mod air_plan;
mod anchor;
mod chunker;
mod clock;
mod ledger;
mod ranges;
mod store;

pub use air_plan::{AirPlan, AirSpan, Author};
pub use anchor::{AudioAnchor, AudioPlacement};
pub use chunker::{Chunker, Step};
pub use clock::{RunClock, SourceMap};
pub use ledger::{Aired, Decision, Ledger, Outcome};
pub use ranges::RangeSet;
pub use store::PcmStore;
