//! A twin and other servers in this process, and targets that lead to them.
use dubber::config::endpoint;
use dubber::gemini::dial::{Target, Wire};
use futures_util::{SinkExt as _, StreamExt as _};
use gemini_twin::journal::Journal;
use gemini_twin::replay::Replay;
use gemini_twin::scenario::Scenario;
use gemini_twin::serve::{Server, Service};
use gemini_twin::twin;
use service_kit::{Env, Reader};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A twin that serves until it is dropped.
pub struct Twin {
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Twin {
    /// Without TLS and without a fault.
    pub fn plain() -> Self {
        Self::start(false, "")
    }

    /// Serves a scenario.
    pub fn start(tls: bool, scenario: &str) -> Self {
        Self::serve(
            tls,
            Service::Twin(Box::new(twin::Twin::new(Scenario::parse(scenario).unwrap()))),
        )
    }

    /// Plays a record.
    pub fn replay(file: &Path) -> Self {
        let record = std::fs::read_to_string(file).unwrap();
        Self::serve(false, Service::Replay(Replay::parse(&record).unwrap()))
    }

    fn serve(tls: bool, service: Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let acceptor = tls.then(|| gemini_twin::tls::acceptor(folder.path(), any).unwrap().0);
        let server = Server::bind(any, acceptor).unwrap();
        let address = server.address().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(service, Journal::default()));
        Self {
            address,
            folder,
            _tasks: tasks,
        }
    }

    /// Its base URL without TLS.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// File of its authority.
    pub fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

/// The target of these settings, with a key.
pub fn target(settings: &[(&str, &str)]) -> Target {
    read(
        [("WORKER_GEMINI_API_KEY", "any-key")]
            .iter()
            .chain(settings)
            .copied(),
    )
    .unwrap()
}

/// The target of these settings, or what is wrong with them.
pub fn read<'s>(settings: impl IntoIterator<Item = (&'s str, &'s str)>) -> Result<Target, String> {
    let env = Env::from_pairs(settings);
    let mut reader = Reader::new(&env);
    let target = endpoint::read(&mut reader, &env, &mut Vec::new());
    reader.finish().map_err(|errors| errors.to_string())?;
    Ok(target.unwrap())
}

/// Sets a session up: the twin has understood key and message.
pub async fn set_up(wire: &mut Wire) {
    let setup = r#"{"setup":{"model":"models/gemini-3.5-live-translate-preview","generationConfig":{"responseModalities":["AUDIO"],"translationConfig":{"targetLanguageCode":"es"}}}}"#;
    wire.send(Message::text(setup)).await.unwrap();
    let answer = wire.next().await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("setupComplete"), "{answer}");
}

/// Head and body of a request; nothing where the peer left.
pub async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(text.clone()).unwrap().to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    text.extend(body);
    String::from_utf8(text).ok()
}

/// The answer to a request for a WebSocket that makes one.
pub fn switched(head: &str) -> String {
    let key = head.to_ascii_lowercase().find("sec-websocket-key: ").unwrap() + 19;
    let key = head[key..].split("\r\n").next().unwrap();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// A server that answers each request with a text and leaves.
pub struct Scripted {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    /// Serves; `answer` gets the request.
    pub async fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(head) = request(&mut stream).await else {
                    continue;
                };
                let text = answer(&head);
                seen.lock().unwrap().push(head);
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        Self {
            address,
            heads,
            _tasks: tasks,
        }
    }

    /// Its base URL.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A server that upgrades one connection, says some bytes, and waits.
pub struct Upgrading {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Upgrading {
    /// Serves.
    pub async fn start(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = request(&mut stream).await.unwrap();
            // In one piece: what follows the head must not be lost.
            let all = [switched(&head).as_bytes(), &bytes].concat();
            stream.write_all(&all).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    /// Its base URL.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}
