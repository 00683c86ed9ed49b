//! One socket: the upgrade, and then bytes in both directions, as badly as ordered.

use crate::connection::Out;
use crate::serve::Event;
use crate::twin::opening::{Answer, Request};
use crate::wire::Bye;
use crate::ws::{self, Reader};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

/// The longest request, and the longest wait for it.
const REQUEST_BYTES_MAX: usize = 16 << 10;
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// A closed socket waits so long for the client's own close.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// A frozen socket is kept for so long.
const FROZEN: Duration = Duration::from_secs(900);
/// Bytes of a second of sound on the wire: PCM in base64 in JSON.
const SOUND_BYTES_PER_S: f64 = 43_500.0;

/// A stream whose connection can be reset.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// The next drop resets the connection.
    fn reset_on_drop(&self);
}

impl Socket for TcpStream {
    fn reset_on_drop(&self) {
        // If the kernel refuses, the drop is an ordinary end: still a connection lost in the middle of a frame.
        let _ = self.set_zero_linger();
    }
}

impl Socket for TlsStream<TcpStream> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

/// Reads a request; what followed it already is handed on.
pub async fn request<S: Socket>(stream: &mut S) -> Option<(Request, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = timeout(REQUEST_WAIT, async {
        loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                return Some(end + 4);
            }
            if bytes.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    });
    let end = end.await.ok()??;
    let rest = bytes.split_off(end);
    Some((parse(&String::from_utf8_lossy(&bytes))?, rest))
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Request {
        method,
        target,
        headers,
    })
}

/// What a WebSocket handshake has to be answered with; nothing for other requests.
pub fn accept_key(request: &Request) -> Option<String> {
    request
        .header("upgrade")
        .filter(|value| value.eq_ignore_ascii_case("websocket"))?;
    let key = request.header("sec-websocket-key")?;
    Some(tungstenite::handshake::derive_accept_key(key.as_bytes()))
}

/// Upgrades the connection.
pub async fn upgrade<S: Socket>(stream: &mut S, accept: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Answers without an upgrade.
pub async fn answer<S: Socket>(stream: &mut S, answer: &Answer) -> io::Result<()> {
    let retry = answer
        .retry_after
        .map(|seconds| format!("Retry-After: {seconds}\r\n"))
        .unwrap_or_default();
    let text = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {}\r\n{retry}\
         Connection: close\r\n\r\n{}",
        answer.status,
        if answer.status == 200 { "OK" } else { "Error" },
        answer.body.len(),
        answer.body
    );
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await
}

/// Writes a close frame and waits for the client's.
pub async fn close<S: Socket>(stream: &mut S, bye: &Bye) -> io::Result<()> {
    stream.write_all(&ws::close(bye)).await?;
    stream.flush().await?;
    let mut bytes = [0; 4_096];
    // Whatever the client still sends is of no interest; its end is.
    let _ = timeout(CLOSE_WAIT, async {
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    stream.shutdown().await
}

/// Moves frames until one side ends it.
///
/// # Errors
/// The close for a client that broke the protocol.
pub async fn talk<S: Socket>(
    stream: &mut S,
    rest: Vec<u8>,
    number: u64,
    events_tx: &mpsc::Sender<Event>,
    mut orders_rx: mpsc::Receiver<Out>,
) -> Result<(), Bye> {
    let mut reader = Reader::default();
    let mut bytes = rest;
    let mut pace = f64::INFINITY;
    let mut read_from = Instant::now();
    loop {
        reader.push(&bytes);
        if pace.is_finite() {
            let wait = Duration::from_secs_f64(bytes.len() as f64 / (SOUND_BYTES_PER_S * pace));
            read_from = read_from.max(Instant::now()) + wait;
        }
        bytes.clear();
        while let Some(incoming) = reader.next()? {
            if events_tx.send(Event::Incoming(number, incoming)).await.is_err() {
                return Ok(());
            }
        }
        // Sound is read in small pieces, so that a slow reader is slow all the time and not in jerks.
        bytes.reserve(if pace.is_finite() { 2_048 } else { 16_384 });
        tokio::select! {
            read = async {
                sleep_until(read_from).await;
                stream.read_buf(&mut bytes).await
            } => if !read.is_ok_and(|count| count > 0) {
                return Ok(());
            },
            order = orders_rx.recv() => match order {
                Some(Out::ReadSlowly(wanted)) => pace = wanted,
                Some(order) => if !obey(stream, order).await {
                    return Ok(());
                },
                None => return Ok(()),
            },
        }
    }
}

/// Does as ordered; says whether the connection goes on.
async fn obey<S: Socket>(stream: &mut S, order: Out) -> bool {
    let bytes = match order {
        Out::Frame {
            text,
            binary,
            fragmented,
        } => ws::message(&text, binary, fragmented),
        Out::Pong(payload) => ws::pong(&payload),
        Out::Close(bye) => {
            // The connection is over either way.
            let _ = close(stream, &bye).await;
            return false;
        }
        Out::Reset => {
            let _ = stream.write_all(&ws::broken_message()).await;
            let _ = stream.flush().await;
            // Time for the first half of the frame to be read: a reset discards what is still on its way.
            sleep(Duration::from_millis(20)).await;
            stream.reset_on_drop();
            return false;
        }
        Out::Freeze => {
            sleep(FROZEN).await;
            return false;
        }
        Out::ReadSlowly(_) | Out::Note(_) => return true,
    };
    stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok()
}
