//! Dialling Gemini Live over real sockets: plain, TLS, by a proxy, with a key and with a service account.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod account_key;
mod check;
mod opening;
mod place;
mod proxies;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use dubber::gemini::dial::{dial, dial_or_tell, probe};
use futures_util::StreamExt as _;
use gemini_live::{Ending, FRAME_BYTES_MAX};
use place::{Twin, target};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_plain_address_is_upgraded_by_http_and_by_ws() {
    let twin = Twin::plain();
    for scheme in ["http", "ws"] {
        let base = format!("{scheme}://{}", twin.address);
        let mut wire = dial(&target(&[("WORKER_GEMINI_BASE_URL", &base)])).await.unwrap();
        place::set_up(&mut wire).await;
    }
}

#[tokio::test]
async fn tls_trusts_the_authority_that_ssl_cert_file_names_and_nobody_else() {
    let twin = Twin::start(true, "");
    let authority = twin.authority();
    for scheme in ["https", "wss"] {
        let base = format!("{scheme}://localhost:{}", twin.address.port());
        let trusting = target(&[("WORKER_GEMINI_BASE_URL", &base), ("SSL_CERT_FILE", &authority)]);
        place::set_up(&mut dial(&trusting).await.unwrap()).await;
        probe(&trusting).await.unwrap();
        let doubting = target(&[("WORKER_GEMINI_BASE_URL", &base)]);
        let failure = dial_or_tell(&doubting).await.err().unwrap();
        assert_eq!(failure.ending, Ending::Unreachable);
        assert!(failure.cause.contains("TLS with localhost failed"), "{failure:?}");
    }
}

#[tokio::test]
async fn the_key_is_in_its_header_and_nowhere_else_and_no_compression_is_offered() {
    let server = place::Scripted::start(|_| "HTTP/1.1 503 Busy\r\n\r\n".to_owned()).await;
    let target = target(&[("WORKER_GEMINI_BASE_URL", &server.base())]);
    assert!(dial(&target).await.is_err());
    let heads = server.heads();
    let head = heads.first().unwrap().to_ascii_lowercase();
    assert_eq!(head.matches("any-key").count(), 1);
    assert!(head.contains("\r\nx-goog-api-key: any-key\r\n"), "{head}");
    assert!(head.starts_with(
        "get /ws/google.ai.generativelanguage.v1beta.generativeservice.bidigeneratecontent http/1.1\r\n"
    ));
    assert!(!head.contains("sec-websocket-extensions") && !head.contains("any-key?"));
    assert!(!format!("{target:?}").contains("any-key"));
}

#[tokio::test]
async fn a_refusal_keeps_its_status_its_wait_and_its_words_but_not_the_key() {
    let body = "{\"error\": {\"message\": \"API key any-key not valid.\"}}";
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = place::Scripted::start(move |_| answer.clone()).await;
    let failure = dial_or_tell(&target(&[("WORKER_GEMINI_BASE_URL", &server.base())]))
        .await
        .err()
        .unwrap();
    let ending = Ending::Refused {
        status: 429,
        retry_after: Some(Duration::from_secs(7)),
        message: body.replace("any-key", "[redacted]"),
    };
    assert_eq!(failure.ending, ending);
    assert!(!format!("{failure:?}").contains("any-key"));
}

#[tokio::test]
async fn refusals_of_the_service_come_with_all_they_say() {
    for (fault, status, wait, word) in [
        ("http_429", 429, Some(5), "RESOURCE_EXHAUSTED"),
        ("http_503", 503, None, "UNAVAILABLE"),
        ("http_400", 400, None, "API key not valid"),
    ] {
        let twin = Twin::start(false, &format!("[[fault]]\nname = \"{fault}\"\n"));
        let ending = dial(&target(&[("WORKER_GEMINI_BASE_URL", &twin.base())]))
            .await
            .err()
            .unwrap();
        let Ending::Refused {
            status: told,
            retry_after,
            message,
        } = ending
        else {
            panic!("{fault}: {ending:?}")
        };
        assert_eq!(
            (told, retry_after),
            (status, wait.map(Duration::from_secs)),
            "{fault}"
        );
        assert!(message.contains(word), "{fault}: {message}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_the_probe_names_setting_and_remedy() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    for base in [format!("http://{address}"), "http://host.invalid:1".to_owned()] {
        let target = target(&[("WORKER_GEMINI_BASE_URL", &base)]);
        assert_eq!(dial(&target).await.err(), Some(Ending::Unreachable), "{base}");
        let problem = probe(&target).await.unwrap_err().to_string();
        let place = base.trim_start_matches("http://");
        for word in ["WORKER_GEMINI_BASE_URL", place, "firewall"] {
            assert!(problem.contains(word), "{problem}");
        }
    }
}

#[tokio::test]
async fn a_dial_that_is_given_up_leaves_no_connection_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let target = target(&[("WORKER_GEMINI_BASE_URL", &base)]);
    let mut stream = tokio::select! {
        stream = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            place::request(&mut stream).await.unwrap();
            stream
        } => stream,
        _ = dial(&target) => panic!("nobody answered"),
    };
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the client hung up");
}

#[tokio::test]
async fn a_server_that_is_no_websocket_server_is_told_from_one_that_is() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: wrong\r\n\r\n";
    for (answer, ending) in [(switched, Ending::Unreachable), ("", Ending::Dropped)] {
        let server = place::Scripted::start(move |_| answer.to_owned()).await;
        let target = target(&[("WORKER_GEMINI_BASE_URL", &server.base())]);
        assert_eq!(dial(&target).await.err(), Some(ending));
    }
}

#[tokio::test]
async fn a_frame_that_is_longer_than_any_of_the_service_ends_the_connection() {
    let mut flood = vec![0x82, 127];
    flood.extend((FRAME_BYTES_MAX as u64 + 1).to_be_bytes());
    let server = place::Upgrading::start(flood).await;
    let mut wire = dial(&target(&[("WORKER_GEMINI_BASE_URL", &server.base())]))
        .await
        .unwrap();
    let end = wire.next().await.unwrap();
    assert!(end.is_err(), "{:?}", end.map(|message: Message| message.len()));
}
