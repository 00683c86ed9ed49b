//! Settings of media-edge.
