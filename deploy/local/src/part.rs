//! One part of the stack: a process that is started, watched, restarted and stopped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::log_sink::LogSink;
use crate::process;

/// First wait before a restart; it doubles.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Longest wait before a restart.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A part that lived this long starts again with the first wait.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// How long a killed process may take to be reaped: a process stuck in the kernel must not hold the others up.
const REAP_MAX: Duration = Duration::from_secs(1);

/// The parts of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// MediaMTX.
    MediaMtx,
    /// Our orchestrator.
    Orchestrator,
    /// Our media-edge, which has workers as children.
    MediaEdge,
    /// Our dubber.
    Dubber,
    /// Jaeger.
    Jaeger,
    /// The Gemini twin, in Google's place.
    Twin,
}

impl Name {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 6] = [
        Self::Jaeger,
        Self::Twin,
        Self::MediaMtx,
        Self::Dubber,
        Self::MediaEdge,
        Self::Orchestrator,
    ];

    /// As it is written in logs and compose files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MediaMtx => "mediamtx",
            Self::Orchestrator => "orchestrator",
            Self::MediaEdge => "media-edge",
            Self::Dubber => "dubber",
            Self::Jaeger => "jaeger",
            Self::Twin => "gemini-twin",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("no part {text:?}; parts are {known}")
            })
    }
}

/// How a part is started.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Which part.
    pub name: Name,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// By which its descendants are found again.
    pub mark: String,
    /// File that takes its output.
    pub log: PathBuf,
    /// Whether its output is shown on the terminal too.
    pub echo: bool,
}

/// What a part is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Whether it comes back when it dies.
    SetRestart(bool),
    /// Start now if it is dead.
    Start,
    /// End: SIGTERM, after this time SIGKILL.
    Stop(Duration),
    /// End at once: SIGKILL.
    Kill,
}

/// Where a part stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Its process, while it lives.
    pub pid: Option<u32>,
    /// How often it was started.
    pub starts: u32,
    /// Whether it comes back when it dies.
    pub restarts: bool,
    /// Exit code of the last life, where it had one.
    pub last_code: Option<i32>,
    /// How the last life ended.
    pub last_end: Option<String>,
}

/// Where all parts stand.
pub type Statuses = BTreeMap<Name, Status>;

/// Keeps one part as it is ordered to be.
#[derive(Debug)]
pub struct PartTask {
    spec: Spec,
    restarts: bool,
    orders: mpsc::Receiver<Order>,
    statuses: watch::Sender<Statuses>,
    backoff: Duration,
    pumps: JoinSet<()>,
}

/// What follows an attended phase.
enum Next {
    Start,
    Rest,
    End,
}

impl PartTask {
    /// A part that is started when the task runs.
    #[must_use]
    pub fn new(
        spec: Spec,
        restarts: bool,
        orders: mpsc::Receiver<Order>,
        statuses: watch::Sender<Statuses>,
    ) -> Self {
        Self {
            spec,
            restarts,
            orders,
            statuses,
            backoff: BACKOFF_FIRST,
            pumps: JoinSet::new(),
        }
    }

    /// Runs until it is stopped, or until whoever gives orders is gone; then nothing of the part is left.
    pub async fn run(mut self) {
        loop {
            let next = match self.spawn() {
                Ok(child) => self.attend(child).await,
                Err(error) => {
                    self.note(&format!("cannot be started: {error}"));
                    self.update(|status| status.last_end = Some(error.to_string()));
                    Next::Rest
                }
            };
            let next = match next {
                Next::Rest => self.rest().await,
                other @ (Next::Start | Next::End) => other,
            };
            if matches!(next, Next::End) {
                return;
            }
        }
    }

    fn spawn(&mut self) -> anyhow::Result<Child> {
        let sink = LogSink::open(&self.spec.log, self.spec.name.as_str(), self.spec.echo)?;
        // One pipe for both streams keeps their lines in the order in which they were written.
        let (ours, theirs) = std::io::pipe()?;
        let ours = pipe::Receiver::from_owned_fd(ours.into())?;
        let mut command = Command::new(&self.spec.program);
        command
            .args(&self.spec.args)
            .env_clear()
            .envs(self.spec.env.iter().map(|(key, value)| (key, value)))
            .env(process::MARK, &self.spec.mark)
            .stdin(Stdio::null())
            .stdout(theirs.try_clone()?)
            .stderr(theirs);
        process::bind_to_supervisor(&mut command);
        let child = command.spawn()?;
        let pid = child.id();
        self.pumps.spawn(sink.drain(ours));
        self.update(|status| {
            status.pid = pid;
            status.starts += 1;
        });
        Ok(child)
    }

    /// Waits for the end of a living part and for orders.
    async fn attend(&mut self, mut child: Child) -> Next {
        let born = Instant::now();
        loop {
            tokio::select! {
                status = child.wait() => {
                    self.buried(status.ok(), child_pid(&self.statuses, self.spec.name), born.elapsed());
                    return Next::Rest;
                }
                order = self.orders.recv() => match order {
                    Some(Order::SetRestart(restarts)) => self.set_restarts(restarts),
                    Some(Order::Start) => {}
                    Some(Order::Stop(grace)) => {
                        self.end(child, Some(grace)).await;
                        return Next::End;
                    }
                    Some(Order::Kill) | None => {
                        self.end(child, None).await;
                        return Next::End;
                    }
                }
            }
        }
    }

    /// A part died by itself: what it leaves behind dies too, as in a container.
    fn buried(&mut self, status: Option<ExitStatus>, pid: Option<u32>, lived: Duration) {
        let end = status.map_or_else(|| "ended".to_owned(), process::describe);
        if let Some(pid) = pid {
            process::kill_group(pid);
        }
        let left = process::sweep(&self.spec.mark);
        let left = if left > 0 {
            format!(", {left} of its processes killed")
        } else {
            String::new()
        };
        self.note(&format!("{end} after {:.1} s{left}", lived.as_secs_f64()));
        self.update(|state| {
            state.pid = None;
            state.last_code = status.and_then(|status| status.code());
            state.last_end = Some(end);
        });
        if lived >= HEALTHY_AFTER {
            self.backoff = BACKOFF_FIRST;
        }
    }

    /// Waits, dead, for the next start.
    async fn rest(&mut self) -> Next {
        let wake = Instant::now() + self.backoff;
        if self.restarts {
            self.note(&format!("starts again in {} ms", self.backoff.as_millis()));
        }
        loop {
            let restarts = self.restarts;
            let wait = async {
                if restarts {
                    sleep(wake.saturating_duration_since(Instant::now())).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = wait => {
                    self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                    return Next::Start;
                }
                order = self.orders.recv() => match order {
                    Some(Order::SetRestart(restarts)) => self.set_restarts(restarts),
                    Some(Order::Start) => return Next::Start,
                    Some(Order::Stop(_) | Order::Kill) | None => return Next::End,
                }
            }
        }
    }

    /// Ends a living part. Only its first process gets SIGTERM, as in a container: it knows how to drain its children.
    async fn end(&mut self, mut child: Child, grace: Option<Duration>) {
        let Some(pid) = child.id() else { return };
        if let Some(grace) = grace {
            let _ = process::signal(pid, Signal::SIGTERM);
            if timeout(grace, child.wait()).await.is_err() {
                self.note(&format!(
                    "did not end within {:.1} s of SIGTERM, is killed",
                    grace.as_secs_f64()
                ));
            }
        }
        process::kill_group(pid);
        process::sweep(&self.spec.mark);
        let end = timeout(REAP_MAX, child.wait())
            .await
            .ok()
            .and_then(Result::ok)
            .map(process::describe);
        self.update(|status| {
            status.pid = None;
            status.last_end = end;
        });
        // What it wrote last is in the pipe already.
        let _ = timeout(Duration::from_millis(200), self.pumps.join_next()).await;
    }

    fn set_restarts(&mut self, restarts: bool) {
        self.restarts = restarts;
        self.update(|status| status.restarts = restarts);
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        self.statuses
            .send_modify(|all| change(all.entry(self.spec.name).or_default()));
    }

    /// A line of the supervisor in the part's own log.
    fn note(&self, text: &str) {
        if let Ok(mut sink) = LogSink::open(&self.spec.log, self.spec.name.as_str(), self.spec.echo) {
            sink.line(format!("local-stack: {}: {text}\n", self.spec.name).as_bytes());
        }
    }
}

fn child_pid(statuses: &watch::Sender<Statuses>, name: Name) -> Option<u32> {
    statuses.borrow().get(&name).and_then(|status| status.pid)
}
