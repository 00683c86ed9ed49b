//! audio-timeline
