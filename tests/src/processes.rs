//! Processes that a test hurts, asks or looks for.
use anyhow::{Context, Result, bail};
use local_stack::{Signal, process};
use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Ends a process as a crash would.
pub fn kill_hard(pid: u32) -> Result<()> {
    if pid <= 1 {
        bail!("{pid} is no process to kill");
    }
    process::signal(pid, Signal::SIGKILL).with_context(|| format!("killing process {pid}"))
}

/// Whether a process runs; one that has ended and is not yet reaped does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in parentheses and may hold any character.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// Name of a process's program.
pub fn name_of(pid: u32) -> String {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Waits until something holds; how long that took.
pub fn wait_until(what: &str, at_most: Duration, mut holds: impl FnMut() -> bool) -> Result<Duration> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > at_most {
            bail!("not so within {at_most:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(begun.elapsed())
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

/// A running program whose output is collected; killed when dropped.
pub struct Running {
    child: Child,
    begun: Instant,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts it without input.
    pub fn start(command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (stdout, stderr) = (child.stdout.take().map(collect), child.stderr.take().map(collect));
        Ok(Self {
            child,
            begun: Instant::now(),
            stdout,
            stderr,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; it is killed when that does not come.
    pub fn wait(mut self, at_most: Duration) -> Result<Ended> {
        let child = &mut self.child;
        let done = wait_until("the program has ended", at_most, || {
            matches!(child.try_wait(), Ok(Some(_)))
        });
        if done.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        let text = |thread: Option<JoinHandle<String>>| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        if let Err(error) = done {
            bail!("{error}\n{stdout}\n{stderr}");
        }
        Ok(Ended {
            code: status.code(),
            stdout,
            stderr,
            took: self.begun.elapsed(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a program to its end.
pub fn run(command: &mut Command, at_most: Duration) -> Result<Ended> {
    Running::start(command)?.wait(at_most)
}
