//! The file of the twin laid over the compose file: coded phrases of real speech are dubbed as by Gemini Live.

use super::Bench;
use super::air::{SECOND, START, leave, read};
use super::procfs::inside;
use super::programme::GAP_MS;
use super::project::Setup;
use super::undone;
use crate::twin::air::Air;
use crate::twin::programme::Shape;
use crate::twin::{Family, Programme};
use anyhow::{Context as _, Result, ensure};
use dub_proto::dub::v1::ListSessionsRequest;
use media_judge::publish::PublishOptions;
use media_judge::{Publisher, Recording};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is laid over the compose file.
const FILE: &str = "deploy/docker-compose.twin.yml";
/// Its service.
const SERVICE: &str = "gemini-twin";
/// Certificates of a company's proxy, as far as a container can tell.
const BUNDLE: &str = "# a bundle of no certificate\n";
/// Where the dubber reads the certificates that it trusts.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The stream.
const ID: &str = "twin";
/// Seconds of the programme that are judged.
const SECONDS: u32 = 45;
/// Behind them more is published, so that the reader leaves before the stream ends.
const MORE: u32 = 4;
/// How long a session may take to be listed.
const LISTED: Duration = Duration::from_secs(10);

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    let hold = format!("{}s", Family::Translate.hold_s());
    let bundle = std::path::absolute(bench.project.dir.join("bundle.pem"))?;
    std::fs::write(&bundle, BUNDLE)?;
    let setup = Setup::default()
        .variable("CA_BUNDLE_FILE", &bundle.display().to_string())
        .setting("orchestrator", "WORKER_BUFFER_TARGET", &hold)
        .setting("orchestrator", "ORCH_GRACE_PERIOD", "1s")
        .laid_over(FILE);
    bench.up(&setup)?;
    let container = bench.project.container(SERVICE)?;
    undone::judge(bench, &container)?;
    trusts(bench)?;
    let shape = Shape {
        seconds: SECONDS + MORE + 1,
        hole: None,
    };
    let programme = Programme::get(shape)?;
    bench.verdicts.step(&format!(
        "publishing {} s of coded phrases to live/{ID}/in and reading live/{ID}/out",
        SECONDS + MORE
    ));
    let recording = recorded(bench, &programme).await?;
    bench.verdicts.step("listening to what was recorded");
    judge(bench, &programme, &recording)
}

/// The dubber trusts whom the bundle says; the twin is called without TLS and does not ask.
fn trusts(bench: &mut Bench) -> Result<()> {
    let pid = bench.project.container("dubber")?.pid();
    let found = std::fs::read_to_string(inside(pid, ROOTS))?;
    let words = if found == BUNDLE { "the bundle's" } else { "others" };
    bench.verdicts.bar(
        "certificates of the dubber",
        words,
        "the bundle's",
        found == BUNDLE,
    );
    Ok(())
}

async fn recorded(bench: &mut Bench, programme: &Programme) -> Result<Recording> {
    let hold = SECOND * Family::Translate.hold_s();
    let reader = read(bench, ID, "twin-out", hold + START)?;
    let options = PublishOptions {
        seconds: Some(f64::from(SECONDS + MORE)),
        log: Some(bench.project.dir.join("twin-publisher.log")),
        ..PublishOptions::default()
    };
    let mut publisher = Publisher::start(&programme.clip, &bench.services.input(ID), &options)?;
    reader
        .wait_for_picture(hold + START)
        .context("no picture at /out")?;
    let provider = provider(bench).await?;
    bench.verdicts.bar(
        "who dubs",
        provider.clone(),
        "gemini-live",
        provider == "gemini-live",
    );
    publisher.wait(SECOND * (SECONDS + MORE) + START)?;
    // What is held plays out, but for its last second.
    tokio::time::sleep(hold - SECOND).await;
    let recording = reader.stop()?;
    leave(bench, ID).await?;
    ensure!(
        !recording.dropped,
        "the reader was dropped: {}",
        recording.message
    );
    Ok(recording)
}

/// The provider of the stream's session.
async fn provider(bench: &Bench) -> Result<String> {
    let mut dubber = bench.services.dubber()?;
    let begun = std::time::Instant::now();
    loop {
        let request = ListSessionsRequest {
            stream_id: ID.to_owned(),
            ..ListSessionsRequest::default()
        };
        let sessions = dubber.list_sessions(request).await?.into_inner().sessions;
        if let Some(session) = sessions.into_iter().next() {
            return Ok(session.provider);
        }
        ensure!(begun.elapsed() < LISTED, "the dubber lists no session of {ID}");
        tokio::time::sleep(SECOND / 4).await;
    }
}

fn judge(bench: &mut Bench, programme: &Programme, recording: &Recording) -> Result<()> {
    let air = Air::of(programme, recording, f64::from(SECONDS))?;
    std::fs::write(bench.project.dir.join("twin-heard.txt"), air.render())?;
    let dubbed = air.heard.len() - air.not_dubbed(&BTreeSet::new()).count();
    let (doubled, disordered) = (air.doubled().len(), air.out_of_order.len());
    bench.verdicts.bar(
        "phrases heard dubbed; doubled, out of order",
        format!("{dubbed} of {}; {doubled}, {disordered}", air.heard.len()),
        "all, at least 5; 0, 0",
        air.heard.len() >= 5 && dubbed == air.heard.len() && doubled + disordered == 0,
    );
    bench.verdicts.bar(
        "missing at the end of the stream",
        format!("{:.1} s", air.missing_s),
        "nothing",
        air.is_complete(),
    );
    let gap = air.longest_gap_ms();
    bench.verdicts.bar(
        "longest wait for sound or a picture",
        format!("{gap:.0} ms"),
        "<= 200 ms",
        gap <= GAP_MS,
    );
    let errors = bench.project.error_lines("dubber")?;
    bench.verdicts.bar(
        "ERROR lines of dubber",
        format!(
            "{}{}",
            errors.len(),
            errors.first().map_or(String::new(), |line| format!(": {line}"))
        ),
        "0",
        errors.is_empty(),
    );
    Ok(())
}
