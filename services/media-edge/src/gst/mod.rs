//! What the pulling and the publishing pipeline share: the library's start, bus messages as typed events
//! ([`bus`]), and a stop that cannot hang ([`stop`]).
pub mod bus;
pub mod stop;

use gstreamer::glib;

/// Starts the library; the second call in a process does nothing.
pub fn init() -> Result<(), glib::Error> {
    gstreamer::init()
}

/// Makes one element; the message of a missing one says which plugin to install.
pub fn make(factory: &str) -> Result<gstreamer::Element, MissingElement> {
    gstreamer::ElementFactory::make(factory)
        .build()
        .map_err(|_| MissingElement(factory.to_owned()))
}

/// An element that no installed plugin provides.
#[derive(Debug, thiserror::Error)]
#[error("gstreamer element `{0}` is missing: install the plugin that has it (base, good, bad or libav)")]
pub struct MissingElement(pub String);
