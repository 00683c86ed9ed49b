//! audio-dsp
