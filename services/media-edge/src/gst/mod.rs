//! gst
