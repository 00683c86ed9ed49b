//! Processes and how they end: a child dies with its supervisor, and a dead child leaves no descendants.

// One call of the standard library (`pre_exec`) and one system call (`prctl`) have no safe form.
#![allow(unsafe_code)]

use std::path::Path;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

/// Environment variable by which every descendant of a part is found again: `<stack>:<part>`.
pub const MARK: &str = "STACK_MARK";

/// Puts the child in a process group of its own, so that a terminal's Ctrl-C reaches only the supervisor, and has the
/// kernel kill it when the thread that spawned it ends.
pub fn bind_to_supervisor(command: &mut Command) {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        let supervisor = std::process::id();
        // SAFETY: the closure runs between fork and exec and calls only async-signal-safe functions.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // The supervisor may have died before the order was in place.
                if u32::try_from(libc::getppid()).ok() != Some(supervisor) {
                    return Err(std::io::Error::other("the supervisor is gone"));
                }
                Ok(())
            });
        }
    }
}

/// Has the kernel kill a child of plain [`std::process::Command`] when the calling thread ends (Linux).
pub fn die_with_parent(command: &mut std::process::Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt as _;
        // SAFETY: as above.
        unsafe {
            command.pre_exec(|| {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Sends a signal to one process; that it is gone already is no error.
pub fn signal(pid: u32, signal: Signal) -> nix::Result<()> {
    match kill(as_pid(pid), signal) {
        Err(nix::errno::Errno::ESRCH) => Ok(()),
        other => other,
    }
}

/// Kills a process group whose leader was `pid`.
pub fn kill_group(pid: u32) {
    // Gone already is what is wanted.
    let _ = killpg(as_pid(pid), Signal::SIGKILL);
}

fn as_pid(pid: u32) -> Pid {
    // Process ids of every supported system fit; -1 (all processes) must never come out of this.
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// Kills every process whose mark begins with `mark`, and tells how many there were. A process can fork while it is
/// looked for, so the search is repeated until it finds none.
pub fn sweep(mark: &str) -> usize {
    let mut killed = 0;
    for _ in 0..5 {
        let found = marked(mark);
        if found.is_empty() {
            break;
        }
        for pid in &found {
            let _ = signal(*pid, Signal::SIGKILL);
        }
        killed += found.len();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    killed
}

/// Living processes whose mark begins with `mark`, this one aside. Empty where there is no `/proc`.
#[must_use]
pub fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id() && environ_has(*pid, wanted.as_bytes()))
        .collect()
}

fn environ_has(pid: u32, wanted: &[u8]) -> bool {
    // A zombie's environment is empty: it is not found, and needs no killing.
    std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(wanted))
    })
}

/// How a process ended, in words for a log line.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or_else(|_| signal.to_string(), |s| s.to_string());
            format!("killed by {name}")
        }
        (None, None) => "ended".to_owned(),
    }
}
