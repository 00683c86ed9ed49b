//! The dub lies where it belongs, and where there is none the stream goes on without it.
use dub_proto::edge::v1::{Fate, Fragment};
use dub_tests::{
    Live, NOISE_SEED,
    coded::{EDGE_MS, frequency_of},
    felt::{longest_gap_of_sound, wall_ms},
    heard::{Heard, decode, noise_above_tones, noise_between},
    journal::{Journal, Told},
};
use local_stack::Signal;
use media_judge::{
    Pictures, Recorder,
    arrivals::access_units,
    av::AvReport,
    loudness::level_between,
    noise::Reference,
    packets::GapReport,
    source::ClipSpec,
    tones::{ToneRange, coded_frequencies, dominant},
    units,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
/// No reader of the output hears less than this often.
const GAP_MS: f64 = 200.0;
/// Way from the worker's air to a reader on this machine.
const WAY_MS: f64 = 300.0;
/// Parts whose ERROR lines would be a failure.
const SERVICES: [&str; 2] = ["media-edge", "orchestrator"];
const TONE_HZ: f64 = 440.0;

fn clip(seconds: u32) -> (PathBuf, Reference) {
    let clip = noise_above_tones(&ClipSpec::small(seconds)).unwrap();
    (clip, Reference::new(NOISE_SEED, seconds))
}

/// A stream of a test and those who look at it.
struct Watched {
    name: String,
    journal: Journal,
    output: Recorder,
}

impl Watched {
    fn new(live: &Live, id: &str) -> Self {
        let output = live.record(&live.output(id), id, 30 * SECOND).unwrap();
        let journal = Journal::start(live, id).unwrap();
        Self {
            name: id.to_owned(),
            journal,
            output,
        }
    }

    fn stop(self) -> Outcome {
        let told = self.journal.told();
        let recording = self.output.stop().unwrap();
        assert!(
            !recording.dropped,
            "{}: the reader was dropped: {}",
            self.name, recording.message
        );
        let worker = told.worker.clone().unwrap();
        eprintln!(
            "{}: fates {:?}, fallbacks {:?}, A/V delta {} ms",
            self.name, worker.fragments_total, worker.fallbacks_total, worker.av_sync_delta_ms
        );
        assert_eq!(told.overlapping(), Vec::<u64>::new());
        Outcome {
            told,
            heard: Heard::of(recording).unwrap(),
        }
    }
}

/// What became of it.
struct Outcome {
    told: Told,
    heard: Heard,
}

impl Outcome {
    /// Fragments that were heard from end to end, with where.
    fn aired(&self) -> Vec<(Fragment, (f64, f64))> {
        self.told.aired(self.heard.within_ms()).unwrap()
    }

    fn of_fate(&self, fate: Fate) -> Vec<(Fragment, (f64, f64))> {
        self.aired()
            .into_iter()
            .filter(|(fragment, _)| fragment.fate() == fate)
            .collect()
    }

    fn noise_in(&self, reference: &Reference, (from, to): (f64, f64)) -> bool {
        noise_between(&self.heard.audio, reference, from + 10.0, to - 10.0).whole()
    }
}

/// Every tone of the coded mode that is heard lies on its fragment, each is heard once, and none is missing.
fn assert_tones_lie_on_their_fragments(outcome: &Outcome) -> Vec<ToneRange> {
    let expected: Vec<(Fragment, (f64, f64))> = outcome
        .of_fate(Fate::Success)
        .into_iter()
        .filter(|(fragment, _)| fragment.fragment_seq % 2 == 1)
        .collect();
    let (mut all, mut edges) = (Vec::new(), Vec::new());
    for frequency in coded_frequencies() {
        all.extend(outcome.heard.tones(frequency));
    }
    for (fragment, (from, to)) in &expected {
        let hz = frequency_of(fragment.fragment_seq).unwrap();
        let own: Vec<&ToneRange> = all.iter().filter(|tone| tone.frequency_hz == hz).collect();
        assert_eq!(
            own.len(),
            1,
            "fragment {} is heard once: {own:#?}",
            fragment.fragment_seq
        );
        let (early, late) = (own[0].start_ms - from, own[0].end_ms - to);
        edges.push(format!("{early:+.1} {late:+.1}"));
        assert!(
            early.abs() <= EDGE_MS && late.abs() <= EDGE_MS,
            "tone of fragment {}: starts {early:+.2} ms, ends {late:+.2} ms beside its range",
            fragment.fragment_seq
        );
        let loudest = dominant(&outcome.heard.audio, from + 20.0, to - 20.0, &coded_frequencies()).unwrap();
        assert_eq!(loudest.frequency_hz, hz, "{loudest:?}");
    }
    // At both ends of the recording half a fragment is heard.
    let within = outcome.heard.within_ms();
    let whole = all
        .iter()
        .filter(|tone| tone.start_ms > within.0 + 30.0 && tone.end_ms < within.1 - 30.0)
        .count();
    assert!(
        whole <= expected.len() + 1,
        "{whole} tones for {} fragments: {all:#?}",
        expected.len()
    );
    eprintln!("tones on their fragments, start and end beside the range's, ms: {edges:?}");
    all.sort_by(|a, b| a.start_ms.total_cmp(&b.start_ms));
    all
}

/// The picture is held by what `GetWorker` says, and sound and picture are as in the source.
fn assert_held_picture(
    outcome: &Outcome,
    input: &[media_judge::Arrival],
    clip: &Path,
    reference: &Reference,
) {
    let report = units::compare(
        &access_units(input),
        &access_units(&outcome.heard.recording.arrivals),
    );
    let told = &outcome.told;
    assert_eq!(
        (told.source_origins_ms.len(), told.publish_origins_ms.len()),
        (1, 1),
        "{told:#?}"
    );
    let expected = -told.source_origins_ms[0] - told.publish_origins_ms[0];
    eprintln!(
        "picture: {} units, offset {:.2} ms, {:.2} ms from what is told, worst {:.2} ms",
        report.matched,
        report.pts_offset_ms,
        report.pts_offset_ms - expected,
        report.pts_worst_ms
    );
    assert!(
        report.identical(2.0) && (report.pts_offset_ms - expected).abs() <= 2.0,
        "{report:#?}"
    );
    let of = |path: &Path| {
        let audio = decode(path).unwrap();
        AvReport::of_noise(&Pictures::decode(path).unwrap(), &audio, reference, 1.0)
    };
    let comparison = of(&outcome.heard.path).against(&of(clip));
    eprintln!(
        "A/V median {:.2} ms, worst {:.2} ms",
        comparison.median_ms, comparison.worst_ms
    );
    assert!(
        comparison.median_ms.abs() <= 5.0 && comparison.worst_ms.abs() <= 20.0,
        "{comparison:#?}"
    );
}

fn assert_no_gap(outcome: &Outcome, since_ms: f64) {
    let silence = longest_gap_of_sound(&outcome.heard.recording.arrivals, since_ms);
    let stamps = GapReport::of_file(&outcome.heard.path).unwrap();
    eprintln!(
        "longest wait for sound {:.0} ms, longest gap of its time stamps {:.0} ms",
        silence.ms, stamps.audio_gap.ms
    );
    assert!(
        silence.ms <= GAP_MS && stamps.audio_gap.ms <= GAP_MS,
        "{silence:?} {stamps:#?}"
    );
    assert!(stamps.audio_steps.is_empty(), "{stamps:#?}");
}

fn assert_no_errors(live: &Live) {
    for part in SERVICES {
        assert_eq!(live.error_lines(part), Vec::<String>::new(), "{part}");
    }
}

#[tokio::test]
async fn each_tone_lies_on_its_fragment_and_is_gone_within_the_hold_of_a_dead_dubber() {
    const HOLD_MS: f64 = 5_000.0;
    let (clip, reference) = clip(40);
    let settings = [
        ("DUBBER_MOCK_MODE", "coded"),
        ("WORKER_BUFFER_TARGET", "5s"),
        ("WORKER_FRAGMENT_TARGET_DUR", "2s"),
    ];
    let live = Live::start("dubbing-coded", &settings).await.unwrap();
    let input = live.record(&live.input("a"), "in", 10 * SECOND).unwrap();
    let watched = Watched::new(&live, "a");
    let mut publisher = live.publish(&clip, &live.input("a")).unwrap();
    watched.output.wait_for_picture(30 * SECOND).unwrap();
    tokio::time::sleep(16 * SECOND).await;
    let edge = live.stack.ports().media_edge_admin;
    let before = live.metric(edge, "worker_fallback_total").unwrap();
    live.stack.set_restart("dubber", false).unwrap();
    live.stack.kill("dubber", Signal::SIGKILL).unwrap();
    let killed_ms = wall_ms();
    publisher.wait(60 * SECOND).unwrap();
    tokio::time::sleep(4 * SECOND).await;
    let counted: Vec<f64> = ["error", "breaker_open", "timeout"]
        .iter()
        .map(|reason| {
            live.metric(edge, &format!("worker_fallback_total{{reason=\"{reason}\"}}"))
                .unwrap()
        })
        .collect();
    let outcome = watched.stop();
    let input = input.stop().unwrap();
    assert_no_errors(&live);
    live.stack.stop().await;

    assert_held_picture(&outcome, &input.arrivals, &clip, &reference);
    let tones = assert_tones_lie_on_their_fragments(&outcome);
    for (fragment, range) in outcome
        .of_fate(Fate::Success)
        .iter()
        .filter(|(f, _)| f.fragment_seq % 2 == 0)
    {
        assert!(
            outcome.noise_in(&reference, *range),
            "fragment {} is the original",
            fragment.fragment_seq
        );
    }
    let last = tones.last().unwrap();
    let gone_ms = outcome.heard.arrived_ms(last.end_ms).unwrap() - killed_ms;
    eprintln!(
        "last tone gone {gone_ms:.0} ms after the dubber's death; fallbacks before {before}, then error, breaker_open, timeout: {counted:?}"
    );
    assert!(gone_ms <= HOLD_MS + WAY_MS, "{gone_ms}");
    let rest = noise_between(
        &outcome.heard.audio,
        &reference,
        last.end_ms + 20.0,
        outcome.heard.within_ms().1 - 200.0,
    );
    eprintln!("then the original: {rest:?}");
    assert!(rest.whole() && rest.windows > 50, "{rest:?}");
    assert_no_gap(&outcome, killed_ms - 1_000.0);
    assert!(
        before == 0.0 && counted.iter().sum::<f64>() >= 5.0 && counted[1] > 0.0,
        "{before} {counted:?}"
    );
}

#[tokio::test]
async fn a_dubber_that_dies_and_comes_back_leaves_no_gap_and_its_dub_is_back_within_the_hold_and_5_s() {
    const HOLD_MS: f64 = 5_000.0;
    let (clip, reference) = clip(40);
    let settings = [
        ("DUBBER_MOCK_MODE", "tone"),
        ("WORKER_BUFFER_TARGET", "5s"),
        ("WORKER_BED_MODE", "none"),
    ];
    let live = Live::start("dubbing-reborn", &settings).await.unwrap();
    let watched = Watched::new(&live, "a");
    let mut publisher = live.publish(&clip, &live.input("a")).unwrap();
    watched.output.wait_for_picture(30 * SECOND).unwrap();
    tokio::time::sleep(8 * SECOND).await;
    live.stack.kill("dubber", Signal::SIGKILL).unwrap();
    let killed_ms = wall_ms();
    publisher.wait(60 * SECOND).unwrap();
    tokio::time::sleep(4 * SECOND).await;
    let outcome = watched.stop();
    assert_no_errors(&live);
    live.stack.stop().await;

    let tones = outcome.heard.tones(TONE_HZ);
    eprintln!("tones {tones:#?}");
    let outage: Vec<(f64, f64)> = tones
        .windows(2)
        .map(|two| (two[0].end_ms, two[1].start_ms))
        .collect();
    assert_eq!(outage.len(), 1, "one stretch without a dub: {tones:#?}");
    let (from, to) = outage[0];
    let gone = outcome.heard.arrived_ms(from).unwrap() - killed_ms;
    let back = outcome.heard.arrived_ms(to).unwrap() - killed_ms;
    let meanwhile = noise_between(&outcome.heard.audio, &reference, from + 20.0, to - 20.0);
    eprintln!("dub gone {gone:.0} ms and back {back:.0} ms after the kill, meanwhile {meanwhile:?}");
    assert!(back <= HOLD_MS + 5_000.0, "{back}");
    assert!(meanwhile.whole(), "{meanwhile:?}");
    assert_no_gap(&outcome, killed_ms - 1_000.0);
}

/// Level of each fragment that fell back, in dBFS, the edges left out.
fn levels(outcome: &Outcome, fate: Fate) -> Vec<f64> {
    let level = |(_, (from, to)): &(Fragment, (f64, f64))| {
        level_between(&outcome.heard.audio, from + 30.0, to - 30.0)
    };
    outcome.of_fate(fate).iter().map(level).collect()
}

fn assert_levels(outcome: &Outcome, fate: Fate, around_db: f64) {
    let levels = levels(outcome, fate);
    eprintln!("{levels:.1?} dBFS, expected {around_db:.1}");
    assert!(
        !levels.is_empty() && levels.iter().all(|level| (level - around_db).abs() <= 1.0),
        "{levels:?}"
    );
}

/// Four streams of one clip at a dubber that answers late, or never; its metric of timeouts is checked on the way.
async fn lossy_streams(clip: &Path, streams: [(&str, &str); 4]) -> Vec<Outcome> {
    let settings = [
        ("DUBBER_MOCK_MODE", "coded"),
        ("DUBBER_MOCK_DELAY", "4s"),
        ("DUBBER_MOCK_LOSS", "0.3"),
        ("DUBBER_MOCK_SEED", "12"),
        ("DUBBER_IN_FLIGHT_MAX", "30s"),
        ("WORKER_MAX_INFLIGHT", "16"),
        ("WORKER_BUFFER_TARGET", "8s"),
        ("WORKER_FALLBACK", "silence"),
    ];
    let live = Live::start("dubbing-lossy", &settings).await.unwrap();
    let (mut watched, mut publishers) = (Vec::new(), Vec::new());
    for (id, query) in streams {
        watched.push(Watched::new(&live, id));
        let url = format!("{}{query}", live.input(id));
        publishers.push(live.publish(clip, &url).unwrap());
    }
    for publisher in &mut publishers {
        publisher.wait(60 * SECOND).unwrap();
    }
    tokio::time::sleep(6 * SECOND).await;
    let edge = live.stack.ports().media_edge_admin;
    let counted = live
        .metric(edge, "worker_fallback_total{reason=\"timeout\"}")
        .unwrap();
    let outcomes: Vec<Outcome> = watched.into_iter().map(Watched::stop).collect();
    assert_no_errors(&live);
    live.stack.stop().await;
    let timeouts = |one: &Outcome| one.told.worker.as_ref()?.fallbacks_total.get("timeout").copied();
    let told: u64 = outcomes.iter().filter_map(timeouts).sum();
    eprintln!("{counted} timeouts counted, {told} told");
    assert!(told > 20 && counted >= told as f64, "{counted} {told}");
    outcomes
}

#[tokio::test]
async fn a_late_or_lost_dub_airs_its_fallback_and_no_phrase_is_heard_twice() {
    let (clip, reference) = clip(36);
    let streams = [
        ("late", "?hold=3s&fallback=pass-through"),
        ("pass", "?fallback=pass-through"),
        ("ducked", "?fallback=ducked-original"),
        ("silent", ""),
    ];
    let outcomes = lossy_streams(&clip, streams).await;
    let [late, pass, ducked, silent] = &outcomes[..] else {
        panic!("four streams")
    };

    assert!(late.of_fate(Fate::Success).is_empty());
    assert!(
        late.aired()
            .iter()
            .all(|(fragment, _)| fragment.reason == "timeout")
    );
    // Behind the last fragment there is nothing left to air.
    let end = late.aired().last().map_or(0.0, |(_, range)| range.1);
    let start = late.heard.within_ms().0;
    let whole = noise_between(&late.heard.audio, &reference, start + 50.0, end - 50.0);
    eprintln!("late: {whole:?}");
    assert!(whole.whole() && whole.windows > 200, "{whole:?}");

    for outcome in [pass, ducked, silent] {
        assert_tones_lie_on_their_fragments(outcome);
        let (dubbed, all) = (outcome.of_fate(Fate::Success).len(), outcome.aired().len());
        assert!(dubbed >= 5 && all - dubbed >= 3, "{dubbed} of {all}");
    }
    let original_db = {
        let original = decode(&clip).unwrap();
        level_between(&original, original.start_ms() + 100.0, original.end_ms() - 100.0)
    };
    for (outcome, below_db) in [(pass, 0.0), (ducked, 15.0)] {
        let fell_back = outcome.of_fate(Fate::Fallback);
        assert_levels(outcome, Fate::Fallback, original_db - below_db);
        for (fragment, range) in fell_back {
            let seq = fragment.fragment_seq;
            assert!(
                outcome.noise_in(&reference, range),
                "fragment {seq} is the original"
            );
        }
    }
    let quiet = levels(silent, Fate::Failed);
    eprintln!("silence: {quiet:.1?} dBFS");
    assert!(
        !quiet.is_empty() && quiet.iter().all(|level| *level < -70.0),
        "{quiet:?}"
    );
}
