//! The operator's switch: thrown at once, heard at once, and it stays where it was thrown.
use dub_proto::{
    edge::v1::{GetWorkerRequest, SetAirRequest, edge_service_client::EdgeServiceClient},
    media::v1::{AirState, MediaTime},
};
use dub_tests::{
    Live, NOISE_SEED,
    felt::wall_ms,
    heard::{Heard, noise_above_tones, noise_between},
    journal::{Journal, Told},
};
use local_stack::Signal;
use media_judge::{Audio, loudness::level_between, noise::Reference, source::ClipSpec, tones::tone_energy};
use std::time::{Duration, Instant};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

const SECOND: Duration = Duration::from_secs(1);
const TONE_HZ: f64 = 440.0;
const CLIP_S: u32 = 55;
/// From the call to its answer.
const ANSWER_MS: f64 = 200.0;
/// From the call to a reader's ear.
const HEARD_MS: f64 = 700.0;
/// Where the sound changes, beside where the answer said it would: AAC smears what follows something loud over the
/// 21 ms of a frame.
const PLACE_MS: f64 = 25.0;
/// Step in which a change is looked for.
const STEP_MS: f64 = 2.5;
/// Length of what is looked at.
const LOOK_MS: f64 = 10.0;

/// One throw of the switch.
struct Throw {
    state: AirState,
    called_ms: f64,
    answered_ms: f64,
    in_force_from: MediaTime,
}

async fn throw(edge: &mut EdgeServiceClient<Channel>, state: AirState) -> Throw {
    let request = SetAirRequest {
        stream_id: "a".to_owned(),
        state: state.into(),
        author: "test".to_owned(),
    };
    let (called_ms, begun) = (wall_ms(), Instant::now());
    let answer = edge.set_air(request).await.unwrap().into_inner();
    let answered_ms = begun.elapsed().as_secs_f64() * 1000.0;
    Throw {
        state,
        called_ms,
        answered_ms,
        in_force_from: answer.in_force_from.unwrap(),
    }
}

/// What a stretch of sound is made of, told by the level of the tone and of what is not the tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    tone: bool,
    original: Original,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Original {
    Gone,
    Ducked,
    Full,
}

fn made_of(state: AirState) -> Made {
    let (tone, original) = match state {
        AirState::Dub => (true, Original::Gone),
        AirState::VoiceOver => (true, Original::Ducked),
        AirState::Original => (false, Original::Full),
        AirState::Mute => (false, Original::Gone),
        AirState::Unspecified | AirState::Bed | AirState::Outage => panic!("{state:?} is never thrown here"),
    };
    Made { tone, original }
}

/// The recording, and the part of its sound that the dub's tone does not reach.
struct Ear {
    heard: Heard,
    rest: Audio,
    reference: Reference,
}

impl Ear {
    /// What is heard between two presentation times: the tone at -15 dBFS, the original at -16 (its upper part) or 15 dB lower.
    fn made_of(&self, from_ms: f64, to_ms: f64) -> Made {
        let tone = tone_energy(
            self.heard.audio.between(from_ms, to_ms),
            self.heard.audio.rate,
            TONE_HZ,
        );
        let samples = ((to_ms - from_ms) * f64::from(self.heard.audio.rate) / 1000.0).max(1.0);
        let tone_db = 10.0 * (tone / samples).max(1e-12).log10();
        let level = level_between(&self.rest, from_ms, to_ms);
        let original = match level {
            level if level > -23.0 => Original::Full,
            level if level > -38.0 => Original::Ducked,
            _ => Original::Gone,
        };
        Made {
            tone: tone_db > -21.0,
            original,
        }
    }

    /// The presentation time from which `wanted` is heard, looked for around `expected_ms`.
    fn change_to(&self, wanted: Made, expected_ms: f64) -> Option<f64> {
        let steps = (400.0 / STEP_MS) as i32;
        let at = |step: i32| expected_ms + f64::from(step) * STEP_MS;
        let is = |step: &i32| self.made_of(at(*step), at(*step) + LOOK_MS) == wanted;
        (-steps..steps)
            .find(|step| (*step..step + 20).all(|next| is(&next)))
            .map(at)
    }

    /// Whether this and nothing else is heard, and the original, where it is heard, lies where it belongs.
    fn assert_only(&self, wanted: Made, from_ms: f64, to_ms: f64) {
        let mut at = from_ms;
        while at + 100.0 <= to_ms {
            assert_eq!(self.made_of(at, at + 100.0), wanted, "at {at:.0} ms");
            at += 100.0;
        }
        if wanted.original != Original::Gone {
            let noise = noise_between(&self.rest, &self.reference, from_ms, to_ms);
            assert!(noise.whole(), "{wanted:?}: {noise:?}");
        }
    }
}

/// Judges the stretch from one throw to the next.
fn judge(ear: &Ear, told: &Told, throw: &Throw, next: Option<&Throw>) {
    let expected = told.heard_at_ms(&throw.in_force_from).unwrap();
    let wanted = made_of(throw.state);
    let change = ear
        .change_to(wanted, expected)
        .unwrap_or_else(|| panic!("{:?} is not heard", throw.state));
    let heard_ms = ear.heard.arrived_ms(change).unwrap() - throw.called_ms;
    eprintln!(
        "{:?}: answered after {:.0} ms, heard after {heard_ms:.0} ms, {:+.1} ms beside its place",
        throw.state,
        throw.answered_ms,
        change - expected
    );
    assert!(throw.answered_ms <= ANSWER_MS, "{}", throw.answered_ms);
    assert!(heard_ms <= HEARD_MS, "{heard_ms}");
    assert!((change - expected).abs() <= PLACE_MS, "{change} {expected}");
    if let Some(next) = next {
        ear.assert_only(
            wanted,
            change + 20.0,
            told.heard_at_ms(&next.in_force_from).unwrap() - 20.0,
        );
    }
}

async fn throws_with_everyone_alive(live: &Live) -> Vec<Throw> {
    let mut edge = live.edge().unwrap();
    let mut throws = Vec::new();
    // Three fragments long nobody touches it: it stays.
    for (state, rest_ms) in [
        (AirState::Original, 7_000),
        (AirState::Dub, 2_000),
        (AirState::Mute, 5_000),
        (AirState::Dub, 2_000),
        (AirState::VoiceOver, 5_000),
    ] {
        throws.push(throw(&mut edge, state).await);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
    let request = SetAirRequest {
        stream_id: "a".to_owned(),
        state: AirState::Bed.into(),
        author: "test".to_owned(),
    };
    let refused = edge.set_air(request).await.unwrap_err();
    let reason = refused.get_details_error_info().map(|info| info.reason);
    eprintln!("bed: {:?} {reason:?} {}", refused.code(), refused.message());
    assert_eq!(
        (refused.code(), reason.as_deref()),
        (Code::FailedPrecondition, Some("BED_UNAVAILABLE"))
    );
    let request = GetWorkerRequest {
        stream_id: "a".to_owned(),
    };
    let worker = edge
        .get_worker(request)
        .await
        .unwrap()
        .into_inner()
        .worker
        .unwrap();
    assert_eq!(worker.air_state(), AirState::VoiceOver);
    tokio::time::sleep(SECOND).await;
    throws
}

/// What the dubber gave is held for some seconds beyond its death.
async fn throws_with_orchestrator_and_dubber_dead(live: &Live) -> Vec<Throw> {
    for part in ["orchestrator", "dubber"] {
        live.stack.set_restart(part, false).unwrap();
        live.stack.kill(part, Signal::SIGKILL).unwrap();
    }
    let mut edge = live.edge().unwrap();
    let mut throws = Vec::new();
    for (state, rest_ms) in [
        (AirState::Original, 1_500),
        (AirState::Dub, 1_200),
        (AirState::Mute, 8_000),
        (AirState::Original, 3_000),
    ] {
        throws.push(throw(&mut edge, state).await);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
    throws
}

#[tokio::test]
async fn the_switch_is_in_force_at_once_and_heard_within_700_ms_also_with_orchestrator_and_dubber_dead() {
    let clip = noise_above_tones(&ClipSpec::small(CLIP_S)).unwrap();
    let settings = [
        ("DUBBER_MOCK_MODE", "tone"),
        ("WORKER_BUFFER_TARGET", "8s"),
        ("WORKER_BED_MODE", "none"),
    ];
    let live = Live::start("air", &settings).await.unwrap();
    let journal = Journal::start(&live, "a").unwrap();
    let recorder = live.record(&live.output("a"), "out", 30 * SECOND).unwrap();
    let publisher = live.publish(&clip, &live.input("a")).unwrap();
    recorder.wait_for_picture(30 * SECOND).unwrap();
    tokio::time::sleep(3 * SECOND).await;
    let mut throws = throws_with_everyone_alive(&live).await;
    throws.extend(throws_with_orchestrator_and_dubber_dead(&live).await);
    let told = journal.told();
    let recording = recorder.stop().unwrap();
    assert!(!recording.dropped, "{}", recording.message);
    publisher.stop().unwrap();
    assert_eq!(live.error_lines("media-edge"), Vec::<String>::new());
    live.stack.stop().await;

    let heard = Heard::of(recording).unwrap();
    let ear = Ear {
        rest: heard.above_the_tones(),
        heard,
        reference: Reference::new(NOISE_SEED, CLIP_S),
    };
    let first = told.heard_at_ms(&throws[0].in_force_from).unwrap();
    ear.assert_only(
        made_of(AirState::Dub),
        ear.heard.within_ms().0 + 200.0,
        first - 20.0,
    );
    for (index, throw) in throws.iter().enumerate() {
        judge(&ear, &told, throw, throws.get(index + 1));
    }
}
