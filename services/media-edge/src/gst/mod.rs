//! What the pulling and the publishing pipeline share: the library's start, the elements that there must be
//! ([`elements`]), bus messages as typed events ([`bus`]), and a stop that cannot hang ([`stop`]).
pub mod bus;
pub mod elements;
pub mod stop;

use elements::MissingElement;
use gstreamer::glib;

/// Starts the library; the second call in a process does nothing.
pub fn init() -> Result<(), glib::Error> {
    gstreamer::init()
}

/// Makes one element; the message of a missing one says which package to install.
pub fn make(factory: &str) -> Result<gstreamer::Element, MissingElement> {
    gstreamer::ElementFactory::make(factory)
        .build()
        .map_err(|_| MissingElement(factory.to_owned()))
}
