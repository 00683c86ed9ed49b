//! dub-placement
