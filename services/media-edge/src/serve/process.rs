//! A child process: its program, its start, and the ways to end it.
//!
//! The child leads a process group of its own, so that a Ctrl-C at the terminal reaches only `serve` and a kill
//! reaches the child's own children. It asks the kernel itself to be killed with its parent; the kernel ties that to
//! the thread that started it, so a start happens on a thread of the runtime, which lives as long as the process.

use crate::children::{RUN_ID_VARIABLE, STREAM_ID_VARIABLE};
use media_types::{RunId, StreamId};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use tokio::process::{Child, Command};

/// Shells and container engines report a signal as this plus its number.
const SIGNAL_CODE_BASE: i32 = 128;

/// What is started for a worker.
#[derive(Clone, Debug)]
pub struct Program {
    /// As a list of processes shows it.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables on top of the inherited environment: what the command line or a file set.
    pub environment: Vec<(String, String)>,
}

impl Program {
    /// Starts it with three pipes, for one run of a stream.
    pub fn spawn(&self, stream_id: &StreamId, run_id: &RunId) -> io::Result<Child> {
        Command::new(&self.path)
            .arg0(self.name)
            .args(&self.args)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env(STREAM_ID_VARIABLE, stream_id.as_str())
            .env(RUN_ID_VARIABLE, run_id.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// Asks the process to end. One that is gone already is no error.
pub fn terminate(pid: u32) {
    if let Some(pid) = as_pid(pid) {
        let _ = kill(pid, Signal::SIGTERM);
    }
}

/// Ends the process and everything in its group. One that is gone already is no error.
pub fn kill_group(pid: u32) {
    if let Some(pid) = as_pid(pid) {
        let _ = killpg(pid, Signal::SIGKILL);
    }
}

/// 0 would address our own group.
fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// The exit code, and a word for a person.
pub fn code_and_detail(status: ExitStatus) -> (i32, String) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (code, format!("ended with exit code {code}")),
        (None, Some(number)) => {
            let name =
                Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string());
            (SIGNAL_CODE_BASE + number, format!("ended by {name}"))
        }
        (None, None) => (
            SIGNAL_CODE_BASE,
            "ended in a way that the system does not tell".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_and_a_code_are_told_apart() {
        assert_eq!(
            code_and_detail(ExitStatus::from_raw(75 << 8)),
            (75, "ended with exit code 75".to_owned())
        );
        assert_eq!(
            code_and_detail(ExitStatus::from_raw(9)),
            (137, "ended by SIGKILL".to_owned())
        );
    }

    #[test]
    fn our_own_group_and_init_are_never_addressed() {
        assert_eq!((as_pid(0), as_pid(1), as_pid(u32::MAX)), (None, None, None));
    }
}
