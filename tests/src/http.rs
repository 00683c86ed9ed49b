//! As much HTTP as tests need: one request to a port of this machine, the answer read to its end.

use anyhow::{Context as _, Result};
use std::time::Duration;

/// Body of a GET on this machine.
pub fn http_get(port: u16, path: &str) -> Result<String> {
    http(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
    .map(|(_, body)| body)
}

/// Status and body of a POST of JSON on this machine.
pub fn http_post(port: u16, path: &str, body: &[u8]) -> Result<(u16, String)> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    exchange(port, &request)
}

fn http(port: u16, request: &str) -> Result<(u16, String)> {
    exchange(port, request.as_bytes())
}

fn exchange(port: u16, request: &[u8]) -> Result<(u16, String)> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    // A server that refuses a body early closes its side while we still write.
    let written = socket.write_all(request);
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    if answer.is_empty() {
        written?;
        read?;
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no HTTP status")?;
    Ok((
        status,
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            body.to_owned()
        },
    ))
}

fn unchunk(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let Some(chunk) = tail.get(..size).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        out.push_str(chunk);
        rest = tail.get(size + 2..).unwrap_or_default();
    }
    out
}
