//! The hook program: MediaMTX runs it when a path becomes ready or not ready, it tells the orchestrator.
//!
//! * The body is built from environment variables by a JSON writer, never by a shell: a query may hold anything.
//! * MediaMTX sends SIGINT when the publisher leaves again; a request under way is finished all the same.
//! * MediaMTX swallows exit codes, so a failure is also one JSON line on stderr, which ends in its log.
//! * MediaMTX waits for its hooks when it shuts down: after [`BUDGET`] the program is gone, whatever happens.
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, atomic::AtomicBool, mpsc};
use std::time::{Duration, Instant, SystemTime};
use std::{env, process::ExitCode, thread};

/// Time for everything, name resolution and retries included.
const BUDGET: Duration = Duration::from_millis(4800);
/// Time for one attempt to connect, and for each wait inside an exchange.
const STEP: Duration = Duration::from_millis(1200);
/// Waits before the second attempt and each later one.
const PAUSE: Duration = Duration::from_millis(250);

/// An `http://` address taken apart.
struct Target {
    authority: String,
    host: String,
    port: u16,
    path: String,
}

/// How one attempt failed: another may succeed, or would get the same answer.
enum Failure {
    Passing(String),
    Final(String),
}

fn main() -> ExitCode {
    let command = env::args().nth(1).unwrap_or_default();
    // A handler that only sets a flag takes the deadly default away from the signal.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)));
    let (done_tx, done_rx) = mpsc::sync_channel(1);
    let job = match command.as_str() {
        "ready" | "not-ready" => tell_orchestrator,
        "health" => ask_health,
        _ => return fail(&command, "usage: mtx-hook ready | not-ready | health", 64),
    };
    let event = command.clone();
    thread::spawn(move || done_tx.send(job(&event)));
    match done_rx.recv_timeout(BUDGET) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(problem)) => fail(&command, &problem, 1),
        Err(_) => fail(&command, &format!("not done within {BUDGET:?}"), 1),
    }
}

/// One JSON line, because MediaMTX passes it into its own JSON log.
fn fail(command: &str, problem: &str, code: u8) -> ExitCode {
    let line = serde_json::json!({
        "timestamp": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "level": "error",
        "component": "mtx-hook",
        "message": "hook failed",
        "command": command,
        "error": problem,
        "path": variable("MTX_PATH"),
        "source_id": variable("MTX_SOURCE_ID"),
    });
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(code)
}

fn variable(key: &str) -> String {
    env::var_os(key)
        .map(|value| value.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn variable_or(key: &str, default: &str) -> String {
    Some(variable(key))
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

fn tell_orchestrator(event: &str) -> Result<(), String> {
    let base = variable_or("ORCH_HOOK_BASE_URL", "http://orchestrator:8080");
    let url = format!("{}/v1/mediamtx/events/{event}", base.trim_end_matches('/'));
    let target =
        Target::parse(&url).ok_or(format!("ORCH_HOOK_BASE_URL={base:?} is not http://HOST[:PORT]"))?;
    let body = serde_json::json!({
        "path": variable("MTX_PATH"),
        "query": variable("MTX_QUERY"),
        "sourceType": variable("MTX_SOURCE_TYPE"),
        "sourceId": variable("MTX_SOURCE_ID"),
    })
    .to_string();
    let Target { path, authority, .. } = &target;
    let head = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n");
    let request = format!(
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let deadline = Instant::now() + BUDGET;
    let mut pause = PAUSE;
    loop {
        match target.exchange(&request) {
            Ok(()) => return Ok(()),
            Err(Failure::Final(problem)) => return Err(problem),
            Err(Failure::Passing(problem)) if deadline < Instant::now() + pause + STEP => {
                return Err(problem);
            }
            Err(Failure::Passing(_)) => thread::sleep(pause),
        }
        pause *= 2;
    }
}

fn ask_health(_command: &str) -> Result<(), String> {
    let port = variable_or("MTX_API_PORT", "9997");
    let url = variable_or("MTX_HEALTH_URL", &format!("http://127.0.0.1:{port}/v3/info"));
    let target = Target::parse(&url).ok_or(format!("{url:?} is not http://HOST[:PORT]/PATH"))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        target.path, target.authority
    );
    target.exchange(&request).map_err(|failure| match failure {
        Failure::Passing(problem) | Failure::Final(problem) => problem,
    })
}

impl Target {
    fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            Some(_) | None => (authority, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let clean = !host.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control());
        clean.then(|| Self {
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
        })
    }

    /// One request, one answer; fine when the answer is 2xx.
    fn exchange(&self, request: &str) -> Result<(), Failure> {
        let passing = |what: &str, error: io::Error| {
            Failure::Passing(format!("{what} {}:{}: {error}", self.host, self.port))
        };
        let mut stream = self
            .connect()
            .map_err(|error| passing("cannot connect to", error))?;
        let mut answer = Vec::new();
        stream
            .set_read_timeout(Some(STEP))
            .and_then(|()| stream.set_write_timeout(Some(STEP)))
            .and_then(|()| stream.write_all(request.as_bytes()))
            .and_then(|()| (&stream).take(16 * 1024).read_to_end(&mut answer))
            // A peer that resets after its whole answer has still answered.
            .map(|_| ())
            .or_else(|error| {
                if answer.is_empty() {
                    Err(passing("no answer from", error))
                } else {
                    Ok(())
                }
            })?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
        match status.as_bytes() {
            [b'2', _, _] => Ok(()),
            [b'4', _, _] => Err(Failure::Final(format!(
                "{} answered {status}: {body}",
                self.authority
            ))),
            _ => Err(Failure::Passing(format!(
                "{} answered {status:?}: {body}",
                self.authority
            ))),
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, STEP) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
