//! The only reader of a pipeline's bus: messages become [`BusEvent`]s by their typed domain and code, each is logged
//! here once.
//!
//! Messages are taken in the thread that posts them (sync handler), so that no thread waits on the bus; the callback
//! must not block.
use gstreamer::prelude::*;
use gstreamer::{BusSyncReply, MessageView, Pipeline, State, glib};
use std::sync::atomic::{AtomicBool, Ordering};

/// What kind of fault an error is, as far as its domain and code tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is nothing at the address: no such path, no listener.
    NotFound,
    /// The peer refuses us.
    Refused,
    /// A connection broke or could not be made.
    Connection,
    /// The stream is of a kind that no element handles.
    Format,
    /// Anything else.
    Other,
}

/// One thing that a bus said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// The pipeline cannot go on.
    Error {
        /// Name of the element.
        element: String,
        /// Kind of fault.
        fault: Fault,
        /// Message, with the end of its debug text; addresses carry no credentials.
        message: String,
    },
    /// The pipeline goes on.
    Warning {
        /// Name of the element.
        element: String,
        /// Message.
        message: String,
    },
    /// The pipeline itself changed its state.
    StateChanged {
        /// State left.
        from: State,
        /// State reached.
        to: State,
    },
    /// All sinks got the end of the stream.
    EndOfStream,
}

/// Hands every event of `pipeline` to `on_event` and logs it once, with `component` as its origin.
pub fn watch(
    pipeline: &Pipeline,
    component: &'static str,
    on_event: impl Fn(BusEvent) + Send + Sync + 'static,
) {
    let Some(bus) = pipeline.bus() else { return };
    let own = pipeline.downgrade();
    let failed = AtomicBool::new(false);
    bus.set_sync_handler(move |_, message| {
        let is_own = || {
            own.upgrade()
                .is_some_and(|own| message.src() == Some(own.upcast_ref()))
        };
        if let Some(event) = typed(message, is_own) {
            let is_error = matches!(event, BusEvent::Error { .. });
            log(
                component,
                &event,
                is_error && failed.swap(true, Ordering::Relaxed),
            );
            on_event(event);
        }
        BusSyncReply::Drop
    });
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the library has forty kinds of message and grows"
)]
fn typed(message: &gstreamer::Message, is_own: impl Fn() -> bool) -> Option<BusEvent> {
    let element = || {
        message
            .src()
            .map(|source| source.name().to_string())
            .unwrap_or_default()
    };
    match message.view() {
        MessageView::Error(error) => Some(BusEvent::Error {
            element: element(),
            fault: fault(&error.error()),
            message: text(&error.error(), error.debug()),
        }),
        MessageView::Warning(warning) => Some(BusEvent::Warning {
            element: element(),
            message: text(&warning.error(), warning.debug()),
        }),
        MessageView::StateChanged(change) if is_own() => Some(BusEvent::StateChanged {
            from: change.old(),
            to: change.current(),
        }),
        MessageView::Eos(_) => Some(BusEvent::EndOfStream),
        _ => None,
    }
}

/// One broken connection makes several elements fail: the first error counts, those that follow are its echo.
fn log(component: &'static str, event: &BusEvent, is_echo: bool) {
    match event {
        BusEvent::Error { element, message, .. } if is_echo => {
            tracing::debug!(
                component,
                element,
                error = message,
                "pipeline error after the first"
            );
        }
        BusEvent::Error {
            element,
            fault,
            message,
        } => {
            tracing::warn!(component, element, ?fault, error = message, "pipeline error");
        }
        BusEvent::Warning { element, message } => {
            tracing::warn!(component, element, warning = message, "pipeline warning");
        }
        BusEvent::StateChanged { from, to } => {
            tracing::debug!(component, ?from, ?to, "pipeline state changed");
        }
        BusEvent::EndOfStream => tracing::info!(component, "pipeline got the end of the stream"),
    }
}

fn fault(error: &glib::Error) -> Fault {
    use gstreamer::{CoreError, ResourceError, StreamError};
    match error.kind::<ResourceError>() {
        Some(ResourceError::NotFound) => return Fault::NotFound,
        Some(ResourceError::NotAuthorized) => return Fault::Refused,
        Some(
            ResourceError::OpenRead
            | ResourceError::OpenWrite
            | ResourceError::OpenReadWrite
            | ResourceError::Read
            | ResourceError::Write
            | ResourceError::Close,
        ) => return Fault::Connection,
        Some(_) | None => {}
    }
    let format = matches!(
        error.kind::<StreamError>(),
        Some(
            StreamError::TypeNotFound
                | StreamError::WrongType
                | StreamError::CodecNotFound
                | StreamError::Format
        )
    ) || matches!(
        error.kind::<CoreError>(),
        Some(CoreError::Negotiation | CoreError::MissingPlugin)
    );
    if format { Fault::Format } else { Fault::Other }
}

/// The debug text ends in what really happened ("Connection refused"); its head is only a place in the source.
fn text(error: &glib::Error, debug: Option<glib::GString>) -> String {
    let message = error.message().trim().to_owned();
    let detail = debug.as_deref().and_then(|debug| {
        debug
            .lines()
            .skip(1)
            .filter(|line| !line.trim().is_empty())
            .last()
    });
    redact(&match detail {
        Some(detail) if !message.contains(detail.trim()) => format!("{message} ({})", detail.trim()),
        Some(_) | None => message,
    })
}

/// Takes user, password and query out of every address in `text`: keys travel there.
fn redact(text: &str) -> String {
    text.split(' ')
        .map(|word| {
            let Some((scheme, rest)) = word.split_once("://") else {
                return word.to_owned();
            };
            let (authority, path) = rest
                .split_once('/')
                .map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let host = host.split_once('?').map_or(host, |(host, _)| host);
            match path.map(|path| path.split_once('?').map_or(path, |(path, _)| path)) {
                Some(path) => format!("{scheme}://{host}/{path}"),
                None => format!("{scheme}://{host}"),
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn credentials_and_queries_never_reach_a_message() {
        assert_eq!(
            redact("failed rtmp://u:p@host:1935/live/a/in?pass=x now"),
            "failed rtmp://host:1935/live/a/in now"
        );
        assert_eq!(redact("srt://host:8890?streamid=read:k"), "srt://host:8890");
        assert_eq!(redact("plain text, no address"), "plain text, no address");
    }

    #[test]
    fn a_missing_file_is_reported_once_with_its_element_and_kind() {
        crate::gst::init().unwrap();
        let pipeline = Pipeline::new();
        let source = crate::gst::make("filesrc").unwrap();
        source.set_property("location", "/nonexistent/clip");
        let sink = crate::gst::make("fakesink").unwrap();
        pipeline.add_many([&source, &sink]).unwrap();
        source.link(&sink).unwrap();
        let (tx, rx) = mpsc::sync_channel(64);
        watch(&pipeline, "test", move |event| drop(tx.send(event)));
        assert!(pipeline.set_state(State::Playing).is_err());
        let found = rx.iter().find_map(|event| match event {
            BusEvent::Error { element, fault, .. } => Some((element, fault)),
            BusEvent::Warning { .. } | BusEvent::StateChanged { .. } | BusEvent::EndOfStream => None,
        });
        let (element, fault) = found.unwrap();
        assert!(element.starts_with("filesrc"));
        assert_eq!(fault, Fault::NotFound);
        assert_eq!(
            crate::gst::stop::to_null(&pipeline, Duration::from_secs(2)),
            crate::gst::stop::Stopped::Clean
        );
    }
}
