//! The independent judge of media: what is heard and seen in a recording, and the makers of test programmes.
//!
//! Nothing here knows our services. A recording is taken by ffmpeg, decoded by ffmpeg, and every verdict is
//! arithmetic on decoded samples, decoded pictures or bytes of the container. The same code serves the binary
//! `media-judge`, the end-to-end tests and the demo.
//!
//! Time is always milliseconds as `f64` on the recording's own presentation axis, unless a name says otherwise.

pub mod arrivals;
pub mod audio;
pub mod av;
pub mod clicks;
pub mod dsp;
pub mod ffmpeg;
pub mod flv;
pub mod holes;
pub mod live;
pub mod loudness;
pub mod noise;
pub mod packets;
pub mod publish;
pub mod source;
pub mod spoil;
pub mod stalls;
pub mod tones;
pub mod units;
pub mod verdict;
pub mod video;

pub use arrivals::Arrival;
pub use audio::Audio;
pub use live::{Recorder, Recording};
pub use publish::Publisher;
pub use verdict::{Limits, Verdict, verdict};
pub use video::Pictures;
