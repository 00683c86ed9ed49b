//! The docker command line as a child process: what it said, what it failed with, and its end when the drills end.

use crate::processes::{Ended, Running};
use anyhow::{Context as _, Result, bail, ensure};
use local_stack::{Signal, process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Longest time of a question that changes nothing.
const QUESTION: Duration = Duration::from_secs(30);
/// Settings of the product that somebody's shell may hold: they would reach the stack beside the drill's own.
const FOREIGN: [&str; 9] = [
    "WORKER_",
    "DUBBER_",
    "ORCH_",
    "MEDIA_EDGE_",
    "MTX_",
    "LOG_",
    "RECORD_",
    "OTEL_",
    "COMPOSE_",
];

/// The command line, shared by the drills and by whoever ends them.
#[derive(Clone, Debug, Default)]
pub struct Docker {
    is_over: Arc<AtomicBool>,
    child: Arc<AtomicU32>,
    variables: BTreeMap<String, String>,
}

impl Docker {
    /// The same with variables that compose puts into its files.
    pub fn with_variables(&self, variables: &BTreeMap<String, String>) -> Self {
        Self {
            variables: variables.clone(),
            ..self.clone()
        }
    }

    /// From now on nothing new is started, and what runs is asked to end.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let pid = self.child.load(Ordering::SeqCst);
        if pid > 1 {
            // It may have ended by itself meanwhile.
            let _ = process::signal(pid, Signal::SIGINT);
        }
    }

    /// One that may start again, for taking down what was made.
    pub fn reopened(&self) -> Self {
        Self {
            variables: self.variables.clone(),
            ..Self::default()
        }
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new("docker");
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            if FOREIGN.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&key);
            }
        }
        command.args(arguments).envs(&self.variables);
        command
    }

    /// Runs it to its end, whatever that is.
    pub fn run<S: Into<OsString> + Clone>(&self, arguments: &[S], within: Duration) -> Result<Ended> {
        let arguments: Vec<OsString> = arguments.iter().cloned().map(Into::into).collect();
        ensure!(!self.is_over.load(Ordering::SeqCst), "interrupted");
        let running = Running::start(&mut self.command(&arguments))
            .context("is the docker command line installed? `make compose-test` installs it")?;
        self.child.store(running.pid(), Ordering::SeqCst);
        let ended = running.wait(within);
        self.child.store(0, Ordering::SeqCst);
        ended.with_context(|| words(&arguments))
    }

    /// Runs it and gives what it printed; a failure carries what it said.
    pub fn text<S: Into<OsString> + Clone>(&self, arguments: &[S], within: Duration) -> Result<String> {
        let ended = self.run(arguments, within)?;
        if ended.code != Some(0) {
            let arguments: Vec<OsString> = arguments.iter().cloned().map(Into::into).collect();
            bail!(
                "{} ended with {:?}: {}",
                words(&arguments),
                ended.code,
                last_lines(&format!("{}{}", ended.stdout, ended.stderr), 12)
            );
        }
        Ok(ended.stdout)
    }

    /// Asks something.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.text(arguments, QUESTION)
    }

    /// Asks something whose answer is JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.ask(arguments)?;
        serde_json::from_str(&text).with_context(|| format!("docker {} answers no JSON", arguments.join(" ")))
    }

    /// Runs it and hands on its output piece by piece: an image is larger than memory should be.
    pub fn stream(&self, arguments: &[&str], mut take: impl FnMut(&[u8])) -> Result<()> {
        ensure!(!self.is_over.load(Ordering::SeqCst), "interrupted");
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let mut command = self.command(&arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command.spawn().context("starting docker")?;
        self.child.store(child.id(), Ordering::SeqCst);
        let mut pipe = child.stdout.take().context("no pipe from docker")?;
        let mut buffer = vec![0_u8; 1 << 20];
        let read = loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => take(&buffer[..count]),
                Err(error) => break Err(error),
            }
        };
        if read.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        self.child.store(0, Ordering::SeqCst);
        read?;
        ensure!(status.success(), "{} ended with {status}", words(&arguments));
        Ok(())
    }
}

fn words(arguments: &[OsString]) -> String {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    format!("docker {}", words.join(" "))
}

/// The end of what a program said.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    format!("\n  {}", lines[lines.len().saturating_sub(count)..].join("\n  "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_what_was_said() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "\n  b\n  c");
        assert_eq!(last_lines("", 2), "\n  ");
    }

    #[test]
    fn after_the_end_nothing_new_is_started() {
        let docker = Docker::default();
        docker.end();
        let refused = docker.ask(&["version"]).unwrap_err().to_string();
        assert_eq!(refused, "interrupted");
    }
}
