//! The disposable child that pulls and decodes: started, read, and started again when it dies.
use super::event::{Sender, WorkerEvent};
use crate::{
    children::own_program,
    ingest::IngestOrder,
    link::frames::{Frame, read_frame},
};
use anyhow::{Context, Result};
use media_types::Tick;
use std::{
    io::{BufReader, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Wait before the second start in a row that brought no media; it doubles. The first one is at once.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest wait: a publisher that is back is heard within this.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Starts and heals ingest.
pub struct IngestChild {
    events: Sender,
    generation: u32,
    running: Option<Running>,
    retry: Duration,
    start_at: Option<Tick>,
}

struct Running {
    child: Arc<Mutex<Child>>,
    pid: u32,
    /// Its order came this way; closing it tells the child that its worker is gone.
    _orders: std::process::ChildStdin,
}

impl IngestChild {
    /// Nothing runs yet; the first start is due at once.
    pub fn new(events: Sender) -> Self {
        Self {
            events,
            generation: 0,
            running: None,
            retry: Duration::ZERO,
            start_at: Some(Tick::default()),
        }
    }

    /// Whether a start is due.
    pub fn is_due(&self, now: Tick) -> bool {
        self.running.is_none() && self.start_at.is_some_and(|at| at <= now)
    }

    /// Starts a child.
    pub fn start(&mut self, order: &IngestOrder) -> Result<()> {
        self.generation += 1;
        self.start_at = None;
        let (ours, theirs) = UnixStream::pair().context("no socket pair for ingest")?;
        let program = own_program().context("own program is not found")?;
        let mut child = Command::new(program)
            .arg0("media-edge")
            .arg("ingest")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::inherit())
            .spawn()
            .context("ingest does not start")?;
        let mut orders = child.stdin.take().context("ingest has no standard input")?;
        let line = serde_json::to_string(order)?;
        writeln!(orders, "{line}").context("ingest takes no order")?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        self.running = Some(Running {
            child: Arc::clone(&child),
            pid,
            _orders: orders,
        });
        let (generation, events) = (self.generation, self.events.clone());
        tracing::info!(pid, generation, protocol = ?order.protocol, "ingest started");
        std::thread::Builder::new()
            .name("ingest-frames".to_owned())
            .spawn(move || read(generation, ours, &child, &events))
            .context("no thread to read ingest")?;
        Ok(())
    }

    /// A child has ended. News of an older one is no news. The next start is at once after a connection that brought
    /// media, and backs off otherwise.
    pub fn exited(&mut self, now: Tick, generation: u32, brought_media: bool) -> bool {
        if generation != self.generation {
            return false;
        }
        self.running = None;
        self.retry = if brought_media {
            Duration::ZERO
        } else {
            (self.retry * 2).clamp(RETRY_FIRST, RETRY_MAX)
        };
        self.start_at = Some(now.after(self.retry));
        true
    }

    /// A start that waits is due at once.
    pub fn hurry(&mut self) {
        if self.start_at.is_some() {
            self.retry = Duration::ZERO;
            self.start_at = Some(Tick::default());
        }
    }

    /// Could not be started: later again.
    pub fn failed_to_start(&mut self, now: Tick) {
        self.running = None;
        self.start_at = Some(now.after(RETRY_MAX));
    }

    /// Ends the running child; its exit comes as an event. With `again` the next one follows.
    pub fn stop(&mut self, again: bool) {
        if let Some(running) = &self.running {
            // A child that is gone already needs no killing.
            running
                .child
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .kill()
                .ok();
        }
        if !again {
            self.generation += 1;
            self.running = None;
            self.start_at = None;
        }
    }

    /// Process id of the running child, else 0.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.pid)
    }

    /// The child that speaks now.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

fn read(generation: u32, socket: UnixStream, child: &Mutex<Child>, events: &Sender) {
    let mut reader = BufReader::with_capacity(64 << 10, socket);
    loop {
        let frame: Frame = match read_frame(&mut reader) {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "stream of ingest is torn");
                break;
            }
        };
        if events.send(WorkerEvent::Source { generation, frame }).is_err() {
            break;
        }
    }
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Whatever it did wrong, it has nothing more to say.
    child.kill().ok();
    let code = child.wait().ok().and_then(|status| status.code());
    // A loop that has ended needs no news.
    events.send(WorkerEvent::IngestExited { generation, code }).ok();
}
