//! `make demo`: a sample programme goes in, the dubbed programme is watched, recorded and judged.

mod guide;
mod latency;
mod live;
mod material;
mod table;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use media_judge::Verdict;
use media_judge::av::PROGRAMME_BEEP_HZ;
use media_judge::verdict::{VerdictOptions, verdict};
use service_kit::exit;
use service_kit::settings::Env;

use crate::part::Name;
use crate::ports;
use crate::settings::StackSettings;
use crate::tools::{self, Tool};
use crate::up::{Interrupts, builder, say};

use live::{Length, Live};
use material::Material;

/// Stream id of the programme.
pub const STREAM: &str = "demo";

/// Runs the demo; the exit code is that of its verdict.
pub async fn run(settings: StackSettings) -> Result<u8> {
    let mut interrupts = Interrupts::listen()?;
    refuse_taken_ports(&settings)?;
    let length = Length::of(settings.demo);
    let material = tokio::select! {
        made = material::make(&settings, length) => made?,
        () = interrupts.next() => return Ok(exit::code::FAILED),
    };
    say("starting the stack");
    let stack = tokio::select! {
        started = with_fixtures(&settings, &material).start() => started?,
        () = interrupts.next() => return Ok(exit::code::FAILED),
    };
    let on_air = tokio::select! {
        live = Live::begin(&stack, &material, length) => live,
        () = interrupts.next() => Err(anyhow::anyhow!("interrupted before the programme was on air")),
    };
    let shown = match on_air {
        Ok(live) => live.until_end(&mut interrupts).await,
        Err(error) => Err(error),
    };
    let stages = latency::stages(&stack).await;
    let logs = stack.dir().join("logs");
    say("stopping the stack");
    stack.stop().await;
    let shown =
        shown.with_context(|| format!("the demo did not get through; logs are in {}", logs.display()))?;
    say("judging what was recorded");
    let verdict = judge(material.programme.clone(), shown.recording.clone()).await?;
    let good = table::print(&shown, &verdict, &stages)?;
    Ok(if good {
        exit::code::DONE
    } else {
        exit::code::FAILED
    })
}

/// The stack takes its ports only when the programme is made, which takes a while: a port in use is said before.
fn refuse_taken_ports(settings: &StackSettings) -> Result<()> {
    let env = Env::from_process();
    let parts: Vec<Name> = Name::ALL
        .into_iter()
        .filter(|name| *name != Name::Twin)
        .filter(|name| *name != Name::Jaeger || tools::find(Tool::Jaeger, &env).is_some())
        .collect();
    ports::claim(settings.offset, &env, &parts).map(drop)
}

/// The dubber answers with the Spanish recordings, unless the caller wants another mock.
fn with_fixtures(settings: &StackSettings, material: &Material) -> crate::Builder {
    let said = Env::from_process();
    let wanted = [
        ("WORKER_STS_PROVIDER", "mock".to_owned()),
        ("DUBBER_MOCK_MODE", "fixtures".to_owned()),
        (
            "DUBBER_MOCK_FIXTURES_DIR",
            material.fixtures.display().to_string(),
        ),
    ];
    wanted
        .into_iter()
        .filter(|(key, _)| said.get(key).is_none())
        .fold(builder(settings), |builder, (key, value)| builder.env(key, value))
}

async fn judge(programme: PathBuf, recording: PathBuf) -> Result<Verdict> {
    let options = VerdictOptions {
        beep_hz: PROGRAMME_BEEP_HZ,
        // The sound is dubbed: the source's own need not be heard.
        passes_sound: false,
        ..VerdictOptions::default()
    };
    let judged = tokio::task::spawn_blocking(move || verdict(&programme, &recording, &options));
    judged.await.context("judging")?
}

/// A finished file at `path`, made by `make` under another name of the same kind first, so that an interrupted demo
/// leaves no half.
fn finished(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!("part-{name}"));
    make(&part)?;
    std::fs::rename(&part, path).with_context(|| format!("moving to {}", path.display()))
}
