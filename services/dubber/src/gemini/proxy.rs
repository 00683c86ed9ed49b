//! Proxies as the environment names them, by the rules of curl.
use base64::Engine as _;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use service_kit::Env;
use std::fmt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head of an answer to CONNECT that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Which proxy leads where.
pub struct Proxies(Matcher);

/// A setting of the environment that names no proxy that is spoken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} names no http:// or https:// proxy; correct it, or name the host in NO_PROXY")]
pub struct UnknownProxy {
    /// Name of the variable.
    pub key: &'static str,
}

impl Proxies {
    /// Reads `https_proxy`, `http_proxy` (in small letters only: a web server's `Proxy:` header of a request arrives
    /// as `HTTP_PROXY`), `all_proxy` and `no_proxy`; small letters win over capitals.
    pub fn from_env(env: &Env) -> Result<Self, UnknownProxy> {
        let http = first(env, &["http_proxy"])?;
        let https = first(env, &["https_proxy", "HTTPS_PROXY"])?;
        let all = first(env, &["all_proxy", "ALL_PROXY"])?;
        let no = env.get("no_proxy").or_else(|| env.get("NO_PROXY"));
        // The matcher takes a star for names only; curl takes it for addresses as well.
        if no.is_some_and(|no| no.split(',').any(|entry| entry.trim() == "*")) {
            return Ok(Self(Matcher::builder().build()));
        }
        let matcher = Matcher::builder()
            .http(http)
            .https(https)
            .all(all)
            .no(no.unwrap_or_default().to_owned());
        Ok(Self(matcher.build()))
    }

    /// The proxy on the way to a host; `secure` where TLS is spoken with the host itself.
    pub fn to(&self, secure: bool, authority: &str) -> Option<Proxy> {
        let scheme = if secure { "https" } else { "http" };
        let uri = format!("{scheme}://{authority}/").parse().ok()?;
        Proxy::new(&self.0.intercept(&uri)?)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[proxies]")
    }
}

/// The first of these that is set.
fn first(env: &Env, keys: &[&'static str]) -> Result<String, UnknownProxy> {
    let Some((key, value)) = keys.iter().find_map(|key| Some((*key, env.get(key)?))) else {
        return Ok(String::new());
    };
    let scheme = value.split_once("://").map_or("http", |(scheme, _)| scheme);
    let is_known = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
    let leads_somewhere = Matcher::builder()
        .all(value.to_owned())
        .build()
        .intercept(&http::Uri::from_static("http://host.invalid/"))
        .is_some_and(|proxy| proxy.uri().host().is_some_and(|host| !host.is_empty()));
    if is_known && leads_somewhere {
        Ok(value.to_owned())
    } else {
        Err(UnknownProxy { key })
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
        Some(Self {
            host: super::route::bare(uri.host()?).to_owned(),
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
