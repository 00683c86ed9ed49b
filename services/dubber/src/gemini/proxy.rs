//! Proxies as the environment names them, by the rules of curl.
use base64::Engine as _;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use service_kit::Env;
use std::fmt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head of an answer to CONNECT that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Which proxy leads where.
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    all: Option<Named>,
    /// Takes every host that `no_proxy` does not name.
    wanted: Matcher,
}

/// A variable of the environment and what it says.
struct Named {
    key: &'static str,
    value: String,
}

/// A variable of the environment that names no proxy that is spoken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} names no http:// or https:// proxy; correct it, or name the host in NO_PROXY")]
pub struct UnknownProxy {
    /// Name of the variable.
    pub key: &'static str,
}

impl Proxies {
    /// Reads `https_proxy`, `http_proxy` (in small letters only: a web server's `Proxy:` header of a request arrives
    /// as `HTTP_PROXY`), `all_proxy` and `no_proxy`; small letters win over capitals.
    pub fn from_env(env: &Env) -> Self {
        let first = |keys: &[&'static str]| {
            keys.iter().find_map(|key| {
                let value = env.get(key)?.to_owned();
                Some(Named { key, value })
            })
        };
        let no = env
            .get("no_proxy")
            .or_else(|| env.get("NO_PROXY"))
            .unwrap_or_default();
        // The matcher takes a star for names only; curl takes it for addresses as well.
        let nowhere = no.split(',').any(|entry| entry.trim() == "*");
        let wanted = Matcher::builder()
            .all(if nowhere { "" } else { "http://any" })
            .no(no.to_owned());
        Self {
            http: first(&["http_proxy"]),
            https: first(&["https_proxy", "HTTPS_PROXY"]),
            all: first(&["all_proxy", "ALL_PROXY"]),
            wanted: wanted.build(),
        }
    }

    /// The proxy on the way to a host; `secure` where TLS is spoken with the host itself.
    pub fn to(&self, secure: bool, authority: &str) -> Result<Option<Proxy>, UnknownProxy> {
        let own = if secure { &self.https } else { &self.http };
        let Some(Named { key, value }) = own.as_ref().or(self.all.as_ref()) else {
            return Ok(None);
        };
        // The path of a host that is none is nobody's; whoever dials it is told so.
        let Ok(uri) = format!("http://{authority}/").parse() else {
            return Ok(None);
        };
        if self.wanted.intercept(&uri).is_none() {
            return Ok(None);
        }
        let unknown = UnknownProxy { key };
        let scheme = value.split_once("://").map_or("http", |(scheme, _)| scheme);
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(unknown);
        }
        let found = Matcher::builder().all(value.clone()).build().intercept(&uri);
        found.as_ref().and_then(Proxy::new).ok_or(unknown).map(Some)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[proxies]")
    }
}

/// One proxy.
pub struct Proxy {
    /// Its host, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken with the proxy itself.
    pub secure: bool,
    authorization: Option<String>,
}

impl Proxy {
    fn new(intercept: &Intercept) -> Option<Self> {
        let uri = intercept.uri();
        let secure = uri.scheme_str() == Some("https");
        let authorization = match (intercept.basic_auth(), intercept.raw_auth()) {
            (Some(basic), _) => basic.to_str().ok().map(str::to_owned),
            (None, Some((user, word))) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{word}"));
                Some(format!("Basic {pair}"))
            }
            (None, None) => None,
        };
        let host = super::route::bare(uri.host()?);
        Some(Self {
            host: Some(host).filter(|host| !host.is_empty())?.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            secure,
            authorization,
        })
    }

    /// Asks the proxy for a tunnel to `authority` (`host:port`); what failed, in words.
    pub async fn tunnel<S>(&self, stream: &mut S, authority: &str) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let lost = |error: std::io::Error| format!("{self} was lost: {error}");
        stream.write_all(request.as_bytes()).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        // Byte by byte up to the empty line: what follows belongs to the tunnel.
        let mut head = Vec::with_capacity(256);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX {
                return Err(format!("{self} answers CONNECT with no end"));
            }
            head.push(stream.read_u8().await.map_err(lost)?);
        }
        let text = String::from_utf8_lossy(&head);
        let status = text
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse::<u16>().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(407) => Err(format!(
                "{self} wants a user and a password: write http://USER:PASSWORD@HOST:PORT"
            )),
            Some(status) => Err(format!(
                "{self} refuses a tunnel to {authority} with status {status}"
            )),
            None => Err(format!("{self} does not speak HTTP")),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}:{}", self.host, self.port)
    }
}
