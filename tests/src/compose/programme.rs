//! A programme goes in on this machine and is judged as it comes out.

use super::Bench;
use super::air::{HOLD, SECOND, START, leave, read};
use super::project::Setup;
use crate::NOISE_SEED;
use crate::coded;
use crate::felt::{Pulse, longest_gap_of_picture, longest_gap_of_sound};
use crate::heard::{Heard, decode, noise_above_tones};
use crate::journal::{Journal, Told};
use anyhow::{Context as _, Result, ensure};
use media_judge::arrivals::access_units;
use media_judge::av::AvReport;
use media_judge::live::RecordOptions;
use media_judge::noise::Reference;
use media_judge::packets::GapReport;
use media_judge::publish::PublishOptions;
use media_judge::source::ClipSpec;
use media_judge::units::{self, UnitReport};
use media_judge::{Pictures, Publisher, Recorder, Recording};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No reader of the output gets nothing for longer than this.
pub const GAP_MS: f64 = 200.0;
/// Sound against picture, the source's own offset taken away.
const AV_MEDIAN_MS: f64 = 5.0;
/// The same, worst flash.
const AV_WORST_MS: f64 = 20.0;
/// Presentation times, one constant taken away.
const PTS_MS: f64 = 2.0;
/// Stream of the profile `demo`.
const DEMO: &str = "demo";
/// How long the sample programme is read.
const DEMO_READ: Duration = Duration::from_secs(10);
/// From the start of the stack to the first picture of the sample programme, with the product's own hold.
const DEMO_PATIENCE: Duration = Duration::from_secs(60);

/// The stack as a user starts it, with the sample programme.
pub async fn up(bench: &mut Bench) -> Result<()> {
    let setup = Setup::default().profile("demo");
    let took = bench.up(&setup)?;
    bench
        .verdicts
        .tell("up to healthy", format!("{:.1} s", took.as_secs_f64()));
    let config = bench.project.config()?;
    let wanted: Vec<String> = config["services"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    let containers = bench.project.containers()?;
    for service in &wanted {
        let container = containers.iter().find(|one| one.service() == service);
        let found = container.map_or("no container".to_owned(), |one| {
            format!("{}, {}", one.status(), one.health())
        });
        bench.verdicts.bar(
            service,
            found,
            "healthy",
            container.is_some_and(|one| one.is_healthy()),
        );
    }
    ensure!(
        wanted.len() > 5,
        "the profile `demo` adds no publisher: {wanted:?}"
    );

    bench.verdicts.step("reading live/demo/out");
    let pulse = Pulse::start();
    let reader = read(bench, DEMO, "demo-out", DEMO_PATIENCE)?;
    let begun = reader.wait_for_picture(DEMO_PATIENCE);
    std::thread::sleep(DEMO_READ);
    let recording = reader.stop()?;
    let begun = begun.context("the sample programme has no picture at /out")?;
    judge_gaps(bench, "sample programme", &recording, begun.at_ms);
    bench.verdicts.tell(
        "longest stall of this machine",
        format!("{:.0} ms", pulse.longest().ms),
    );
    let fates = bench.services.worker(DEMO).await?.fragments_total;
    bench.verdicts.bar(
        "sample programme: fragments by fate",
        format!("{fates:?}"),
        "some with their dub",
        fates.get("success").is_some_and(|count| *count > 0),
    );
    bench.project.remove(&["publisher"])
}

/// A programme with coded tones.
pub async fn programme(bench: &mut Bench) -> Result<()> {
    bench.up(&Setup::coded())?;
    judged(bench, "a", 40).await
}

/// The same in short, with the small image of media-edge.
pub async fn slim(bench: &mut Bench) -> Result<()> {
    let setup = Setup::coded().variable("MEDIA_EDGE_VARIANT", "-slim");
    bench.up(&setup)?;
    let image = bench.project.container("media-edge")?.image().to_owned();
    bench.verdicts.bar(
        "image of media-edge",
        image.clone(),
        "the slim one",
        image.contains("-slim"),
    );
    judged(bench, "slim", 20).await
}

struct Outcome {
    clip: PathBuf,
    reference: Reference,
    input: Recording,
    told: Told,
    heard: Heard,
    begun_ms: f64,
    stall_ms: f64,
}

async fn judged(bench: &mut Bench, id: &str, seconds: u32) -> Result<()> {
    bench.verdicts.step(&format!(
        "publishing {seconds} s to live/{id}/in and reading both sides"
    ));
    let outcome = recorded(bench, id, seconds).await?;
    bench.verdicts.step("judging what was recorded");
    judge_picture(bench, &outcome)?;
    judge_gaps(bench, "programme", &outcome.heard.recording, outcome.begun_ms);
    let stamps = GapReport::of_file(&outcome.heard.path)?;
    bench.verdicts.bar(
        "longest gap between time stamps of sound",
        format!(
            "{:.0} ms, {} steps",
            stamps.audio_gap.ms,
            stamps.audio_steps.len()
        ),
        "<= 200 ms, none",
        stamps.audio_gap.ms <= GAP_MS && stamps.audio_steps.is_empty(),
    );
    judge_tones(bench, &outcome)?;
    bench.verdicts.tell(
        "longest stall of this machine",
        format!("{:.0} ms", outcome.stall_ms),
    );
    for service in ["media-edge", "orchestrator", "dubber"] {
        let errors = bench.project.error_lines(service)?;
        let found = format!(
            "{}{}",
            errors.len(),
            errors.first().map_or(String::new(), |line| format!(": {line}"))
        );
        bench.verdicts.bar(
            &format!("ERROR lines of {service}"),
            found,
            "0",
            errors.is_empty(),
        );
    }
    leave(bench, id).await
}

async fn recorded(bench: &Bench, id: &str, seconds: u32) -> Result<Outcome> {
    let clip = noise_above_tones(&ClipSpec::small(seconds))?;
    let pulse = Pulse::start();
    let input = Recorder::start(
        &bench.services.input(id),
        Some(&bench.project.dir.join(format!("{id}-in.flv"))),
        RecordOptions::default(),
    )?;
    let output = read(bench, id, &format!("{id}-out"), HOLD + START)?;
    let journal = Journal::start(&bench.services, id)?;
    let log = bench.project.dir.join(format!("{id}-publisher.log"));
    let options = PublishOptions {
        log: Some(log),
        ..PublishOptions::default()
    };
    let mut publisher = Publisher::start(&clip, &bench.services.input(id), &options)?;
    let begun = output.wait_for_picture(HOLD + START)?;
    publisher.wait(Duration::from_secs(u64::from(seconds)) + START)?;
    // What is held plays out; its end is not judged.
    tokio::time::sleep(HOLD - SECOND).await;
    let told = journal.told();
    let recording = output.stop()?;
    ensure!(
        !recording.dropped,
        "the reader was dropped: {}",
        recording.message
    );
    Ok(Outcome {
        clip,
        reference: Reference::new(NOISE_SEED, seconds),
        input: input.stop()?,
        told,
        heard: Heard::of(recording)?,
        begun_ms: begun.at_ms,
        stall_ms: pulse.longest().ms,
    })
}

fn judge_picture(bench: &mut Bench, outcome: &Outcome) -> Result<()> {
    let report = units::compare(
        &access_units(&outcome.input.arrivals),
        &access_units(&outcome.heard.recording.arrivals),
    );
    let UnitReport {
        matched,
        judged,
        lost,
        doubled,
        foreign,
        ..
    } = report;
    bench.verdicts.bar(
        "access units lost, doubled, foreign",
        format!("{lost}, {doubled}, {foreign} of {judged}"),
        "0, 0, 0",
        matched > 0 && lost + doubled + foreign == 0,
    );
    bench.verdicts.bar(
        "presentation times, worst",
        format!("{:.2} ms", report.pts_worst_ms),
        "<= 2 ms",
        report.pts_worst_ms <= PTS_MS,
    );
    let of = |path: &Path| -> Result<AvReport> {
        let pictures = Pictures::decode(path)?;
        Ok(AvReport::of_noise(
            &pictures,
            &decode(path)?,
            &outcome.reference,
            1.0,
        ))
    };
    let av = of(&outcome.heard.path)?.against(&of(&outcome.clip)?);
    bench.verdicts.bar(
        "A/V offset, median and worst",
        format!(
            "{:+.1} ms, {:+.1} ms over {} flashes",
            av.median_ms, av.worst_ms, av.heard
        ),
        "<= 5 ms, <= 20 ms",
        av.heard > 0 && av.median_ms.abs() <= AV_MEDIAN_MS && av.worst_ms.abs() <= AV_WORST_MS,
    );
    Ok(())
}

fn judge_gaps(bench: &mut Bench, what: &str, recording: &Recording, from_ms: f64) {
    let sound = longest_gap_of_sound(&recording.arrivals, from_ms);
    let picture = longest_gap_of_picture(&recording.arrivals, from_ms);
    let packets = recording.arrivals.len();
    bench.verdicts.bar(
        &format!("{what}: longest wait for sound, for a picture"),
        format!("{:.0} ms, {:.0} ms in {packets} packets", sound.ms, picture.ms),
        "<= 200 ms",
        packets > 100 && !recording.dropped && sound.ms <= GAP_MS && picture.ms <= GAP_MS,
    );
}

fn judge_tones(bench: &mut Bench, outcome: &Outcome) -> Result<()> {
    let audio = &outcome.heard.audio;
    let dubbed = coded::dubbed(&outcome.told, audio)?;
    let report = coded::compare(&dubbed, &coded::tones(audio), outcome.heard.within_ms());
    let found = match report.problems.first() {
        None => format!("{}, edges within {:.1} ms", report.right, report.worst_edge_ms),
        Some(problem) => format!("{} right; {problem}", report.right),
    };
    bench.verdicts.bar(
        "coded tones on their fragments",
        found,
        "all, within 5 ms",
        report.right >= 3 && report.problems.is_empty(),
    );
    let fates = outcome
        .told
        .worker
        .as_ref()
        .map(|worker| worker.fragments_total.clone());
    bench
        .verdicts
        .tell("fragments by fate", format!("{:?}", fates.unwrap_or_default()));
    Ok(())
}
