//! As much HTTP as a check of health and a look at JSON or metrics need: GET over HTTP/1.0, the answer read to its
//! end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Largest answer that is taken: a metrics page of a busy stack is well below 1 MiB.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Gets `path` from a server on this machine.
pub async fn get(address: SocketAddr, path: &str, timeout: Duration) -> Result<Answer> {
    tokio::time::timeout(timeout, fetch(address, path))
        .await
        .with_context(|| format!("no answer from {address} within {timeout:?}"))?
}

async fn fetch(address: SocketAddr, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await?;
    parse(&bytes).with_context(|| format!("answer of {address}{path}"))
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("no end of the header")
    };
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no status code in the first line")?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_split_into_status_and_body() {
        let answer = parse(b"HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nnot yet\r\n\r\nreally").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "not yet\r\n\r\nreally")
        );
        assert!(!answer.is_ok());
    }

    #[test]
    fn an_answer_without_header_is_refused() {
        assert!(parse(b"hello").is_err());
    }
}
