//! One connection to Gemini Live: from settings to an upgraded WebSocket, or the way in which it failed.
use super::auth::Tokens;
use super::route::{Broken, Exchanged, Place, Route, Stream};
use gemini_live::{Credential, Ending, Endpoint, FRAME_BYTES_MAX, Fault};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// An upgraded connection.
pub type Wire = WebSocketStream<Stream>;

/// Longest part of a refusal that is kept.
const MESSAGE_CHARS_MAX: usize = 2_000;
/// Bytes that are read from the socket at a time; a quarter of a second of sound has 17 kB.
const READ_BYTES: usize = 16 << 10;
/// Bytes that wait for a socket that takes none; 4 MiB are a minute and a half of sound.
const WRITE_BYTES_MAX: usize = 4 << 20;
/// A probe takes no longer.
const PROBE_WAIT: Duration = Duration::from_secs(4);
/// The setting that says where the server is.
const BASE_URL: &str = "WORKER_GEMINI_BASE_URL";
/// Who calls, in the form that Google asks of its partners.
const CLIENT: &str = concat!("live-dub-dubber/", env!("CARGO_PKG_VERSION"));

/// Where to call, who calls, and by which way. Copies share tokens and trust.
#[derive(Clone)]
pub struct Target {
    endpoint: Endpoint,
    identity: Identity,
    route: Arc<Route>,
}

/// Who calls.
#[derive(Clone)]
pub enum Identity {
    /// Whoever has this key.
    Fixed(Credential),
    /// A service account, which gets its tokens over the same way.
    Account(Arc<Tokens>),
}

/// A dial that failed: what it means for the protocol, and the cause for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For `gemini_live::classify`.
    pub ending: Ending,
    /// In words, without any secret.
    pub cause: String,
}

impl Target {
    /// Puts a target together.
    pub fn new(endpoint: Endpoint, identity: Identity, route: Arc<Route>) -> Self {
        Self {
            endpoint,
            identity,
            route,
        }
    }

    /// Where it is; knows what a model is called there.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The text of somebody else without what shows who calls.
    pub fn redact(&self, text: &str) -> String {
        match &self.identity {
            Identity::Fixed(credential) => credential_of(credential).redact(text),
            Identity::Account(tokens) => tokens.redact(text),
        }
    }

    /// What a person can do about a fault of this target.
    pub fn remedy(&self, fault: Fault) -> &'static str {
        match (&self.identity, fault) {
            (Identity::Account(_), Fault::KeyRefused) => {
                "check WORKER_GEMINI_VERTEX_CREDENTIALS_FILE and WORKER_GEMINI_VERTEX_PROJECT: the account needs the \
                 role Vertex AI User (roles/aiplatform.user)"
            }
            (Identity::Account(_) | Identity::Fixed(_), _) => fault.remedy(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.endpoint)
    }
}

/// Opens a connection. Dropping the future gives it up and leaves nothing behind. The caller sets the deadline.
pub async fn dial(target: &Target) -> Result<Wire, Ending> {
    dial_or_tell(target).await.map_err(|failure| failure.ending)
}

/// As [`dial`], with the cause in words.
pub async fn dial_or_tell(target: &Target) -> Result<Wire, Failure> {
    let dialed = try_dial(target).await;
    if let Err(failure) = &dialed {
        tracing::debug!(endpoint = %target.endpoint, cause = failure.cause, "dial failed");
    }
    dialed
}

async fn try_dial(target: &Target) -> Result<Wire, Failure> {
    match &target.identity {
        Identity::Fixed(credential) => upgrade(target, credential).await,
        Identity::Account(tokens) => {
            let (credential, was_kept) = tokens.get(&target.route).await?;
            let tried = upgrade(target, &credential).await;
            match &tried {
                // A token can be withdrawn before its time; a fresh one that is refused too says more.
                Err(Failure {
                    ending: Ending::Refused { status: 401, .. },
                    ..
                }) if was_kept => {
                    tokens.forget(&credential).await;
                    let (credential, _) = tokens.get(&target.route).await?;
                    upgrade(target, &credential).await
                }
                Ok(_) | Err(_) => tried,
            }
        }
    }
}

/// Nobody answers where a setting points.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {place} is not reachable: {cause}; {remedy}")]
pub struct Problem {
    /// Name of the setting.
    pub setting: &'static str,
    /// Host and port that were tried.
    pub place: String,
    /// What happened.
    pub cause: String,
    /// What a person can do.
    pub remedy: &'static str,
}

/// Whether the server of a target can be reached at all: name, address, proxy and TLS. No key is sent and nothing is
/// asked, so it costs nothing and proves nothing more.
pub async fn probe(target: &Target) -> Result<(), Problem> {
    let url = target.endpoint.url();
    let problem = |place: String, cause: String| Problem {
        setting: BASE_URL,
        place,
        cause,
        remedy: Fault::Unreachable.remedy(),
    };
    let Some(place) = url.parse().ok().and_then(|uri| Place::of(&uri)) else {
        return Err(problem(url, "it is no address".to_owned()));
    };
    let opened = timeout(PROBE_WAIT, target.route.open(&place)).await;
    let late = || Err(format!("no answer within {} s", PROBE_WAIT.as_secs()));
    match opened.unwrap_or_else(|_| late()) {
        Ok(_) => Ok(()),
        Err(cause) => Err(problem(place.authority(), cause)),
    }
}

async fn upgrade(target: &Target, credential: &Credential) -> Result<Wire, Failure> {
    let (_, secret) = credential.header();
    let url = target.endpoint.url();
    let no_address = || Failure::unreachable(format!("{url} is no address"));
    let uri: Uri = url.parse().map_err(|_| no_address())?;
    let place = Place::of(&uri).ok_or_else(no_address)?;
    let key = generate_key();
    let request = request(&uri, credential, &key)
        .map_err(|error| Failure::unreachable(format!("the request cannot be written: {error}")))?;
    match target.route.exchange(&place, request).await {
        Ok(Exchanged::Switched(head, stream, rest)) => {
            if !is_accepted(&head, &key) {
                let cause = format!("{} answers, but is no WebSocket server", place.authority());
                return Err(Failure::unreachable(cause));
            }
            let config = WebSocketConfig::default()
                .read_buffer_size(READ_BYTES)
                .write_buffer_size(0)
                .max_write_buffer_size(WRITE_BYTES_MAX)
                .max_message_size(Some(FRAME_BYTES_MAX))
                .max_frame_size(Some(FRAME_BYTES_MAX));
            Ok(WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config)).await)
        }
        Ok(Exchanged::Answered(response)) => Err(Failure::refused(&response, |text| {
            secret.redact(&credential_of(credential).redact(text))
        })),
        Err(broken) => Err(broken.into()),
    }
}

fn credential_of(credential: &Credential) -> &gemini_live::Secret {
    match credential {
        Credential::ApiKey(secret) | Credential::AccessToken(secret) => secret,
    }
}

fn request(
    uri: &Uri,
    credential: &Credential,
    key: &str,
) -> Result<Request<http_body_util::Full<bytes::Bytes>>, http::Error> {
    let (name, secret) = credential.header();
    let mut value = HeaderValue::from_str(secret.expose())?;
    value.set_sensitive(true);
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Request::get(path)
        .header(header::HOST, authority)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key)
        .header(header::USER_AGENT, CLIENT)
        .header("x-goog-api-client", CLIENT)
        .header(name, value)
        .body(http_body_util::Full::default())
}

/// Whether a server understood the upgrade, as RFC 6455 has it say so.
fn is_accepted(head: &Response<()>, key: &str) -> bool {
    let headers = head.headers();
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        && headers
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|value| *value == derive_accept_key(key.as_bytes()))
        && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
}

impl Failure {
    pub(super) fn unreachable(cause: String) -> Self {
        Self {
            ending: Ending::Unreachable,
            cause,
        }
    }

    /// An answer that is none that was asked for; `redact` takes secrets out of what it says.
    pub(super) fn refused(response: &Response<Vec<u8>>, redact: impl Fn(&str) -> String) -> Self {
        let text = redact(&String::from_utf8_lossy(response.body()));
        let message: String = text.trim().chars().take(MESSAGE_CHARS_MAX).collect();
        let status = response.status();
        Self {
            cause: format!("refused with status {status}"),
            ending: Ending::Refused {
                status: status.as_u16(),
                retry_after: retry_after(response.headers()),
                message,
            },
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unreachable(cause) => Self::unreachable(cause),
            Broken::Dropped(cause) => Self {
                ending: Ending::Dropped,
                cause,
            },
        }
    }
}

/// `Retry-After` in seconds, the form in which Google writes it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
