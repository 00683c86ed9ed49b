//! Programs that take a while: their output goes to a file, a line now and then says that they are still at it, and
//! the end of the output is shown when they fail.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{log_sink, process};

/// Between two signs of life.
const SIGN_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at the program.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A line of progress on stderr.
pub fn say(text: &str) {
    // One write per line: several processes may share the terminal.
    let _ = std::io::stderr().write_all(format!("local-stack: {text}\n").as_bytes());
}

/// Runs a program to its end. `what` says what it does; `expected` how long that takes, where it is long.
pub fn run(command: &mut Command, what: &str, expected: &str, log: &Path) -> Result<()> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("opening {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    process::die_with_parent(command);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("{program} is not installed"),
        Err(error) => return Err(error).with_context(|| format!("starting {program}")),
    };
    let begun = Instant::now();
    let mut next_sign = SIGN_EVERY;
    loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("waiting for {program}"))?
        {
            if status.success() {
                return Ok(());
            }
            bail!(
                "{what} failed ({})\n{}",
                process::describe(status),
                log_sink::tail(log, 15)
            );
        }
        if begun.elapsed() >= next_sign {
            say(&format!(
                "{what}: {} s so far{expected}",
                begun.elapsed().as_secs()
            ));
            next_sign += SIGN_EVERY;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
