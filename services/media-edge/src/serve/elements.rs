//! The check at the start that every element is here: an image without one must not fail stream by stream.
//!
//! A child looks, so that this process, on which every stream hangs, loads no plugin.

use crate::gst::elements::Verdict;
use anyhow::{Context as _, bail};
use service_kit::exit::{ExitWith, code};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The first look on a machine reads every installed plugin, which takes seconds.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Has `program` list the elements; warns of what is missing and not needed.
///
/// # Errors
/// When an element is missing, with exit code 69, or when the child tells nothing.
pub async fn check(program: &Path) -> anyhow::Result<()> {
    let mut child = Command::new(program);
    child.arg("elements").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LOOK_MAX, child.output())
        .await
        .with_context(|| format!("the list of elements took more than {LOOK_MAX:?}"))?
        .context("the list of elements cannot be made")?;
    let list = String::from_utf8_lossy(&output.stdout);
    let Verdict { missing, without } = Verdict::of(&list);
    for problem in without {
        tracing::warn!(problem, "an optional element is missing");
    }
    if !missing.is_empty() {
        return Err(anyhow::Error::new(ExitWith(code::UNAVAILABLE)).context(missing.join("; ")));
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "the list of elements ended with {}: {}",
            output.status,
            said.trim()
        );
    }
    Ok(())
}
