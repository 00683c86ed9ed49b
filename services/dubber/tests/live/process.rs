//! The program itself: a process with a log.
use crate::programme::KEY;
use crate::support::{Dub, field, program, spawn, stream, terminate};
use std::net::SocketAddr;
use std::process::Child;
use std::thread::JoinHandle;

/// The dubber as a process; it ends with the test.
pub struct Process {
    child: Child,
    log: Option<JoinHandle<Vec<String>>>,
    grpc: SocketAddr,
    pub admin: SocketAddr,
}

impl Process {
    /// Starts it with the server of this address in Google's place. It logs all that it can.
    pub fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        let (child, mut lines) = spawn(
            program()
                .env("WORKER_GEMINI_BASE_URL", url)
                .env("WORKER_GEMINI_API_KEY", KEY)
                .env("LOG_LEVEL", "debug")
                .envs(settings.iter().copied()),
        );
        let bound = lines.find(|line| line.contains("grpc_addr")).unwrap();
        assert_eq!(field(&bound, "provider"), "gemini-live");
        Self {
            child,
            // The pipe is read while sessions run, so that the program never waits for us.
            log: Some(std::thread::spawn(move || lines.collect())),
            grpc: field(&bound, "grpc_addr").parse().unwrap(),
            admin: field(&bound, "admin_addr").parse().unwrap(),
        }
    }

    pub async fn stream(&self) -> Dub {
        stream(self.grpc).await
    }

    /// Stops it, and says what it logged.
    pub async fn stop(mut self) -> Vec<String> {
        // Whoever it talks to lives in this process, and has to be awake while it ends.
        let ended = tokio::task::spawn_blocking(move || self.end());
        ended.await.unwrap()
    }

    fn end(&mut self) -> Vec<String> {
        terminate(&self.child);
        let log = self.log.take().unwrap().join().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
