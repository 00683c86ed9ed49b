//! A server in front of the twin that repeats the key in all that it says itself.
use crate::place::{request, switched};
use crate::programme::KEY;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Kinds of frames.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// What stands before a key that a path is cut in, in bytes.
const CUT: usize = 112;

/// The first request is refused, the second gets an unknown field and an error object, the third is closed, each with the key in its words.
/// All that follow are the twin's.
pub struct Repeating {
    pub url: String,
    _tasks: JoinSet<()>,
}

impl Repeating {
    /// Serves in front of the twin at this address.
    pub async fn start(twin: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let twin = twin.trim_start_matches("http://").to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, twin));
        Self { url, _tasks: tasks }
    }
}

async fn serve(listener: TcpListener, twin: String) {
    let mut tasks = JoinSet::new();
    let mut asked = 0;
    while let Ok((mut stream, _)) = listener.accept().await {
        // Whoever only looks whether somebody is there asks for nothing.
        let Some(head) = request(&mut stream).await else {
            continue;
        };
        asked += 1;
        tasks.spawn(answer(stream, head, asked, twin.clone()));
    }
}

async fn answer(mut stream: TcpStream, head: String, asked: u32, twin: String) {
    assert!(head.contains(KEY), "there is no key to repeat");
    let words = format!("Internal error for API key {KEY}.");
    let complaint = json!({"error": {"message": words, "status": "INTERNAL"}}).to_string();
    let said = match asked {
        1 => {
            let length = complaint.len();
            let head = format!("HTTP/1.1 503 Service Unavailable\r\nContent-Length: {length}\r\n\r\n");
            (head + &complaint).into_bytes()
        }
        2 => {
            // Whole, and where a path is cut.
            let unknown = json!({KEY: true, format!("{}{KEY}", "x".repeat(CUT)): true}).to_string();
            let frames = [unknown, complaint].map(|text| frame(TEXT, text.as_bytes()));
            [switched(&head).into_bytes(), frames.concat()].concat()
        }
        3 => {
            let bye = [&1011_u16.to_be_bytes()[..], words.as_bytes()].concat();
            [switched(&head).into_bytes(), frame(CLOSE, &bye)].concat()
        }
        _ => {
            let mut behind = TcpStream::connect(twin).await.unwrap();
            behind.write_all(head.as_bytes()).await.unwrap();
            // However one side ends, the other is dropped with it.
            let _ = copy_bidirectional(&mut stream, &mut behind).await;
            return;
        }
    };
    stream.write_all(&said).await.unwrap();
    // A socket that is dropped with bytes that nobody read takes back what it said.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// A whole message or a close, as servers send them: without a mask.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let head = match length {
        0..126 => vec![0x80 | kind, length as u8],
        126.. => [&[0x80 | kind, 126][..], &length.to_be_bytes()].concat(),
    };
    [&head, payload].concat()
}
