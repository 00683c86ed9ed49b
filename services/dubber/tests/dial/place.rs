//! A twin in this process, and targets that lead to it.
use dubber::config::endpoint;
use dubber::gemini::dial::{Target, Wire};
use futures_util::{SinkExt as _, StreamExt as _};
use gemini_twin::journal::Journal;
use gemini_twin::scenario::Scenario;
use gemini_twin::serve::{Server, Service};
use gemini_twin::twin;
use service_kit::{Env, Reader};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// A twin that serves until it is dropped.
pub struct Twin {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its journal and its authority.
    pub folder: TempDir,
    task: JoinHandle<()>,
}

impl Twin {
    /// Without TLS and without a fault.
    pub async fn plain() -> Self {
        Self::start(false, "")
    }

    /// With TLS.
    pub async fn tls() -> Self {
        Self::start(true, "")
    }

    /// Serves a scenario.
    pub fn start(tls: bool, scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let acceptor = tls.then(|| gemini_twin::tls::acceptor(folder.path(), any).unwrap().0);
        let server = Server::bind(any, acceptor).unwrap();
        let address = server.address().unwrap();
        let service = Service::Twin(Box::new(twin::Twin::new(Scenario::parse(scenario).unwrap())));
        let journal = Journal::create(&folder.path().join("journal.jsonl")).unwrap();
        let task = tokio::spawn(server.run(service, journal));
        Self {
            address,
            folder,
            task,
        }
    }

    /// File of its authority.
    pub fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The target of these settings, with a key.
pub fn target(settings: &[(&str, &str)]) -> Target {
    let env = Env::from_pairs(
        [("WORKER_GEMINI_API_KEY", "any-key")]
            .iter()
            .chain(settings)
            .copied(),
    );
    let mut reader = Reader::new(&env);
    let target = endpoint::read(&mut reader, &env, &mut Vec::new());
    reader.finish().unwrap();
    target.unwrap()
}

/// Sets a session up: the twin has understood key and message.
pub async fn set_up(wire: &mut Wire) {
    let setup = r#"{"setup":{"model":"models/gemini-3.5-live-translate-preview","generationConfig":{"responseModalities":["AUDIO"],"translationConfig":{"targetLanguageCode":"es"}}}}"#;
    wire.send(Message::text(setup)).await.unwrap();
    let answer = wire.next().await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("setupComplete"), "{answer}");
}
