//! Arithmetic on samples: the mix of original and dub, its limiter, and the one-sample slew. No allocation per block.
#![deny(missing_docs)]

mod limiter;
mod mix;
mod slew;

pub use limiter::Limiter;
pub use mix::{FADE, Levels, MixSpan, Mixer, gain_from_db};
pub use slew::slew;
