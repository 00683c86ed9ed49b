//! ffmpeg and ffprobe as child processes: the only decoders of this crate.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `ffmpeg` with the flags that every call shares: no terminal, no banner, no progress line.
pub fn command(log_level: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", log_level]);
    command
}

/// Runs a prepared command to its end; an error carries the last lines that the program said.
pub fn finish(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} cannot be started: is it installed?"))?;
    if !output.status.success() {
        bail!(
            "{program} failed ({}): {}",
            output.status,
            last_lines(&output.stderr, 6)
        );
    }
    Ok(output)
}

/// Runs ffmpeg with the given arguments to its end.
pub fn run<I, S>(args: I) -> Result<Output>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    finish(command("error").args(args))
}

/// Runs ffprobe and gives back its standard output.
pub fn probe<I, S>(args: I, path: &Path) -> Result<String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new("ffprobe");
    command.args(["-hide_banner", "-v", "error"]).args(args).arg(path);
    let output = finish(&mut command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last lines of what a program said on its standard error.
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// Writes interleaved samples as raw little-endian `f32` into a temporary file that ffmpeg can read.
pub fn raw_samples(samples: &[f32]) -> Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("judge")
        .suffix(".f32")
        .tempfile()?;
    let mut bytes = Vec::with_capacity(samples.len() * 4);
    for sample in samples {
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    file.write_all(&bytes)?;
    file.flush()?;
    Ok(file)
}

/// The value behind `key` in one line of `showinfo` or `ashowinfo` (`key` includes its colon).
pub(crate) fn field<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let start = line.find(key)? + key.len();
    line[start..].split_whitespace().next()
}
