//! Proxies of the environment.
use crate::place::{self, Scripted, Twin, read, target};
use dubber::gemini::dial::{dial, dial_or_tell};
use gemini_live::Ending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A proxy that tunnels, and remembers what it was asked.
struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Tunnel {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let head = place::request(&mut near).await.unwrap();
                let to = head.split_whitespace().nth(1).unwrap().to_owned();
                seen.lock().unwrap().push(head);
                let mut far = TcpStream::connect(&to).await.unwrap();
                near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await
                    .unwrap();
                tunnels.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        });
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn tls_goes_by_a_tunnel_of_the_https_proxy_which_never_sees_the_key() {
    let (twin, proxy) = (Twin::start(true, ""), Tunnel::start().await);
    let base = format!("https://localhost:{}", twin.address.port());
    let by = format!("http://user:p%40ss@{}", proxy.address);
    let target = target(&[
        ("WORKER_GEMINI_BASE_URL", &base),
        ("SSL_CERT_FILE", &twin.authority()),
        ("HTTPS_PROXY", &by),
    ]);
    place::set_up(&mut dial(&target).await.unwrap()).await;
    let asked = proxy.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", twin.address.port())));
    // user:p@ss
    assert!(
        asked[0].contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"),
        "{}",
        asked[0]
    );
    assert!(!asked[0].contains("any-key"));
}

#[tokio::test]
async fn plain_addresses_go_by_http_proxy_in_small_letters_only() {
    let (twin, proxy) = (Twin::plain(), Tunnel::start().await);
    let by = format!("http://{}", proxy.address);
    let settings = |name| [("WORKER_GEMINI_BASE_URL", twin.base()), (name, by.clone())];
    for (name, tunnels) in [
        ("HTTP_PROXY", 0),
        ("https_proxy", 0),
        ("http_proxy", 1),
        ("ALL_PROXY", 2),
    ] {
        let settings = settings(name);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        place::set_up(&mut dial(&target(&settings)).await.unwrap()).await;
        assert_eq!(proxy.asked().len(), tunnels, "{name}");
    }
}

#[tokio::test]
async fn no_proxy_names_hosts_suffixes_and_networks_that_are_called_directly() {
    let (twin, proxy) = (Twin::plain(), Tunnel::start().await);
    let by = format!("http://{}", proxy.address);
    let port = twin.address.port();
    for (host, no, tunnels) in [
        ("127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", 0),
        ("127.0.0.1", "*", 0),
        ("localhost", ".localhost", 0),
        ("localhost", "host", 1),
    ] {
        let base = format!("http://{host}:{port}");
        let target = target(&[
            ("WORKER_GEMINI_BASE_URL", &base),
            ("all_proxy", &by),
            ("NO_PROXY", no),
        ]);
        place::set_up(&mut dial(&target).await.unwrap()).await;
        assert_eq!(proxy.asked().len(), tunnels, "{no}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_reason() {
    for (answer, word) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "USER:PASSWORD",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "status 403"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
    ] {
        let proxy = Scripted::start(move |_| answer.to_owned()).await;
        let target = target(&[
            ("WORKER_GEMINI_BASE_URL", "http://host.invalid"),
            ("http_proxy", &proxy.base()),
        ]);
        let failure = dial_or_tell(&target).await.err().unwrap();
        assert_eq!(failure.ending, Ending::Unreachable);
        assert!(failure.cause.contains(word), "{failure:?}");
    }
}

#[test]
fn a_proxy_that_is_not_spoken_is_refused_by_name_and_without_its_password_where_it_is_needed() {
    let key = ("WORKER_GEMINI_API_KEY", "any-key");
    for by in ["socks5://user:word@host:1", "http://", "://"] {
        let error = read([key, ("ALL_PROXY", by)]).unwrap_err();
        assert!(error.contains("ALL_PROXY") && !error.contains("word"), "{error}");
        assert!(read([key, ("ALL_PROXY", by), ("NO_PROXY", ".googleapis.com")]).is_ok());
        assert!(read([key, ("ALL_PROXY", by), ("HTTPS_PROXY", "proxy:3128")]).is_ok());
    }
}
