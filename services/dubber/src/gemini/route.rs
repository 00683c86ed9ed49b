//! The way to a server: addresses, proxy, TLS, and one HTTP request over it.
use super::proxy::Proxies;
use super::tls;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// One address may take so long; a host has several, and the deadline of the caller is for all of them.
const ADDRESS_WAIT: Duration = Duration::from_secs(3);
/// What a refusal says may come so much later than its head.
const BODY_WAIT: Duration = Duration::from_secs(2);
/// Longest body that is read.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Bytes in both directions: plain, TLS, or either in a tunnel.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream whose kind is known only when it runs.
pub type Stream = Box<dyn Duplex>;

/// What all connections of a target have in common.
#[derive(Debug)]
pub struct Route {
    /// Proxies of the environment.
    pub proxies: Proxies,
    /// Whom TLS trusts; nothing where TLS is spoken with nobody.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A host, and whether TLS is spoken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub secure: bool,
}

/// Where and why the way ended.
#[derive(Debug)]
pub enum Broken {
    /// Nobody was reached.
    Unreachable(String),
    /// Somebody was reached, and left in the middle of the exchange.
    Dropped(String),
}

/// What came of a request.
pub enum Exchanged {
    /// The protocol was switched: head, stream, and bytes that came behind the head.
    Switched(Response<()>, Stream, Vec<u8>),
    /// An answer with as much of its body as is read.
    Answered(Response<Vec<u8>>),
}

/// An IPv6 address without its brackets.
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

impl Place {
    /// Host and port of a URL; `None` where it has no host, a port that is none, or a user.
    pub fn of(uri: &http::Uri) -> Option<Self> {
        let secure = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            Some(_) | None => return None,
        };
        let authority = uri.authority()?;
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" if secure => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self {
            host: bare(authority.host()).to_owned(),
            port,
            secure,
        })
    }

    /// `host:port`, with brackets where they are needed.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

impl Route {
    /// Opens a stream to a place; what failed, in words.
    pub async fn open(&self, place: &Place) -> Result<Stream, String> {
        let authority = place.authority();
        let stream: Stream = match self
            .proxies
            .to(place.secure, &authority)
            .map_err(|error| error.to_string())?
        {
            None => Box::new(connect(&place.host, place.port).await?),
            Some(proxy) => {
                let stream = connect(&proxy.host, proxy.port)
                    .await
                    .map_err(|cause| format!("{proxy}: {cause}"))?;
                let mut stream: Stream = if proxy.secure {
                    Box::new(self.secured(&proxy.host, stream).await?)
                } else {
                    Box::new(stream)
                };
                proxy.tunnel(&mut stream, &authority).await?;
                stream
            }
        };
        if place.secure {
            Ok(Box::new(self.secured(&place.host, stream).await?))
        } else {
            Ok(stream)
        }
    }

    async fn secured<S: Duplex>(&self, host: &str, stream: S) -> Result<impl Duplex + use<S>, String> {
        match &self.tls {
            Some(config) => tls::open(config, host, stream).await,
            None => Err(format!(
                "TLS with {host} is asked for, but no authority is trusted"
            )),
        }
    }

    /// Sends one request over a stream of its own and reads what comes.
    pub async fn exchange(&self, place: &Place, request: Request<Full<Bytes>>) -> Result<Exchanged, Broken> {
        let stream = self.open(place).await.map_err(Broken::Unreachable)?;
        let dropped = |error: hyper::Error| Broken::Dropped(words(&error));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(dropped)?;
        let mut connection = std::pin::pin!(connection.with_upgrades());
        let mut talk = std::pin::pin!(async move {
            let response = sender.send_request(request).await.map_err(dropped)?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let head = head_of(&response);
                let upgraded = hyper::upgrade::on(response).await.map_err(dropped)?;
                return match upgraded.downcast::<TokioIo<Stream>>() {
                    Ok(parts) => {
                        let rest = parts.read_buf.to_vec();
                        Ok(Exchanged::Switched(head, parts.io.into_inner(), rest))
                    }
                    Err(_) => Err(Broken::Dropped("the stream was not handed over".to_owned())),
                };
            }
            let head = head_of(&response);
            // Half a body is better than none, and none is no reason to hide the status.
            let body = timeout(
                BODY_WAIT,
                Limited::new(response.into_body(), BODY_BYTES_MAX).collect(),
            )
            .await;
            let body = body
                .ok()
                .and_then(Result::ok)
                .map(|body| body.to_bytes().to_vec());
            Ok(Exchanged::Answered(head.map(|()| body.unwrap_or_default())))
        });
        tokio::select! {
            done = &mut talk => done,
            // The connection drives the exchange; where it has ended, the exchange knows how.
            _ = &mut connection => talk.await,
        }
    }
}

fn head_of<B>(response: &Response<B>) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = response.status();
    *head.headers_mut() = response.headers().clone();
    head
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// What the kernel may take on and not send: less than a second of sound. A server that reads too slowly is felt here, and
/// not after a minute that a large buffer hides.
const SEND_BUFFER: u32 = 32 * 1024;

/// The first address of a host that takes a connection.
async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let found = lookup_host((host, port))
        .await
        .map_err(|error| format!("the name {host} was not found: {error}"))?;
    let mut last = format!("the name {host} has no address");
    for address in by_turns(found.collect()) {
        match timeout(ADDRESS_WAIT, connect_to(address)).await {
            Ok(Ok(stream)) => {
                // A piece of sound is small and must not wait for the next.
                return match stream.set_nodelay(true) {
                    Ok(()) => Ok(stream),
                    Err(error) => Err(format!("{address}: {error}")),
                };
            }
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer within {} s", ADDRESS_WAIT.as_secs()),
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.connect(address).await
}

/// The families by turns: a network that swallows one of them costs one wait, not all.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return mixed;
        }
        mixed.extend(pair.0.into_iter().chain(pair.1));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_tried_by_turns_of_their_families_in_the_order_of_the_resolver() {
        let parse = |list: &[&str]| {
            list.iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        let found = parse(&[
            "[2001:db8::1]:443",
            "[2001:db8::2]:443",
            "192.0.2.1:443",
            "192.0.2.2:443",
        ]);
        let tried = parse(&[
            "[2001:db8::1]:443",
            "192.0.2.1:443",
            "[2001:db8::2]:443",
            "192.0.2.2:443",
        ]);
        assert_eq!(by_turns(found), tried);
        assert_eq!(by_turns(parse(&["192.0.2.1:1"])), parse(&["192.0.2.1:1"]));
    }

    #[test]
    fn a_place_has_the_port_of_its_scheme_and_brackets_only_where_it_is_written() {
        let place = |url: &str| Place::of(&url.parse().unwrap()).unwrap();
        assert_eq!(place("wss://host/x").authority(), "host:443");
        assert_eq!(place("http://host/x").authority(), "host:80");
        assert_eq!(place("wss://[::1]:8443/").authority(), "[::1]:8443");
        assert_eq!(place("wss://[::1]:8443/").host, "::1");
        for nowhere in ["wss://host:99999/", "wss://user@host/", "ftp://host/", "/path"] {
            assert_eq!(Place::of(&nowhere.parse().unwrap()), None, "{nowhere}");
        }
    }
}
