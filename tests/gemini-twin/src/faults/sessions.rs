//! Faults inside a session: what is said, how, and what is not.

use super::{ALWAYS, Act, Class, Fault, Models, Step, When, message, now, s, step};
use crate::connection::manner::{Handles, Manner, Presented, Sound};
use crate::wire::Bye;
use crate::wire::server::Usage;
use Class::{Recover, Transparent};
use Models::{Both, Dialogue, Translate};
use When::{Open, Setup};
use serde_json::json;

fn nothing() -> Vec<Step> {
    Vec::new()
}

fn manner(change: fn(&mut Manner)) -> Vec<Step> {
    vec![now(Act::Manner(change))]
}

/// The connection dies, so that there is a handle to present.
fn resumed(presented: Presented) -> Vec<Step> {
    vec![now(Act::Presented(presented)), now(Act::Reset)]
}

fn odd_messages() -> Vec<String> {
    [
        json!({"serverContent": {}}),
        json!({"serverContent": {"outputTranscription": {}}}),
        json!({"serverContent": {"inputTranscription": {"languageCode": "en"}}}),
        json!({"serverContent": {"modelTurn": {"parts": [{"text": "thinking", "thought": true}]}}}),
        json!({"serverContent": {"outputTranscription": {"text": "", "finished": true}}}),
        json!({"serverContent": {"interimInputTranscription": {"text": "hel"}}}),
        json!({"serverContent": {"waitingForInput": true}}),
        json!({"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "1.500s"}}),
        json!({"toolCall": {"functionCalls": [{"name": "f", "args": {}, "id": "function-call-1"}]}}),
    ]
    .iter()
    .map(message)
    .collect()
}

fn unknown_messages() -> Vec<String> {
    let mut frames: Vec<String> = [
        json!({"somethingNew": {"a": 1}}),
        json!({"serverContent": {"somethingNew": {"a": 1}}}),
        json!({"serverContent": {"interactionStatus": "SOMETHING_NEW"}}),
        json!({"voiceActivity": {"type": "SOMETHING_NEW"}}),
    ]
    .iter()
    .map(message)
    .collect();
    frames.push("this is not JSON\n".to_owned());
    frames
}

const fn fault(
    number: u8,
    name: &'static str,
    (class, models): (Class, Models),
    (when, times): (When, u32),
    what: &'static str,
    steps: fn() -> Vec<Step>,
) -> Fault {
    Fault {
        number,
        name,
        class,
        models,
        when,
        times,
        what,
        steps,
    }
}

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1,
        "a_clean",
        (Transparent, Both),
        (Open, ALWAYS),
        "nothing is wrong",
        nothing,
    ),
    fault(
        32,
        "resume_ok",
        (Recover, Both),
        (Setup(s(60)), 1),
        "reset; a valid handle is honoured",
        || resumed(Presented::Honest),
    ),
    fault(
        33,
        "resume_replay",
        (Recover, Both),
        (Setup(s(60)), 1),
        "reset; after a resume the last second comes again",
        || resumed(Presented::Replayed),
    ),
    fault(
        34,
        "resume_while_open",
        (Transparent, Both),
        (Setup(s(60)), 1),
        "goAway 50s; a handle presented while its socket is open gets 1011 (as ever)",
        || vec![now(Act::GoAway(Some(s(50))))],
    ),
    fault(
        35,
        "resume_bad_handle",
        (Recover, Both),
        (Setup(s(60)), 1),
        "reset; the handle gets 1007 Invalid session handle",
        || resumed(Presented::Refused),
    ),
    fault(
        36,
        "poisoned_handle",
        (Recover, Both),
        (Setup(s(60)), 1),
        "reset; resumed, it transcribes but never answers",
        || resumed(Presented::Poisoned),
    ),
    fault(
        37,
        "no_handle_yet",
        (Recover, Both),
        (Open, 1),
        "no handle is ever given; reset after 20 s",
        || {
            vec![
                now(Act::Manner(|manner| manner.handles = Handles::Never)),
                step(s(20), Act::Reset),
            ]
        },
    ),
    fault(
        38,
        "not_resumable_update",
        (Recover, Both),
        (Setup(s(30)), 1),
        "after good handles empty updates, then reset",
        || {
            vec![
                now(Act::Manner(|manner| manner.handles = Handles::Withheld)),
                step(s(10), Act::Reset),
            ]
        },
    ),
    fault(
        39,
        "asr_alive_no_audio",
        (Recover, Both),
        (Setup(s(120)), 1),
        "only inputTranscription from now on",
        || manner(|manner| manner.sound = Sound::Nothing),
    ),
    fault(
        40,
        "zero_audio",
        (Recover, Both),
        (Setup(s(60)), 1),
        "transcripts as ever, PCM all zero",
        || manner(|manner| manner.sound = Sound::Zero),
    ),
    fault(
        41,
        "near_zero_audio",
        (Recover, Both),
        (Setup(s(60)), 1),
        "transcripts as ever, PCM within 3 of zero",
        || manner(|manner| manner.sound = Sound::NearZero),
    ),
    fault(
        42,
        "no_target",
        (Recover, Translate),
        (Setup(s(60)), 1),
        "as without a target language: zeros, no translation",
        || {
            manner(|manner| {
                manner.sound = Sound::Zero;
                manner.no_output_text = true;
            })
        },
    ),
    fault(
        43,
        "tone",
        (Recover, Both),
        (Setup(s(60)), 1),
        "440 Hz for ever, no transcripts",
        || {
            manner(|manner| {
                manner.sound = Sound::Tone;
                manner.no_input_text = true;
                manner.no_output_text = true;
            })
        },
    ),
    fault(
        44,
        "slow_generation",
        (Recover, Both),
        (Setup(s(30)), 1),
        "output at 0.8 of its pace for 60 s",
        || {
            vec![
                now(Act::Manner(|manner| manner.rate = 0.8)),
                step(s(60), Act::Manner(|manner| manner.rate = 1.0)),
            ]
        },
    ),
    fault(
        45,
        "burst_starve",
        (Transparent, Translate),
        (Setup(s(30)), 1),
        "nothing for 4 s, then the audio of them at once, for 60 s",
        || {
            vec![
                now(Act::Manner(|manner| manner.bursts = true)),
                step(s(60), Act::Manner(|manner| manner.bursts = false)),
            ]
        },
    ),
    fault(
        46,
        "source_silence_10min",
        (Transparent, Both),
        (Open, ALWAYS),
        "a silent source is answered with zeros (as ever)",
        nothing,
    ),
    fault(
        46,
        "source_silence_nothing",
        (Transparent, Translate),
        (Open, ALWAYS),
        "a silent source is answered with nothing",
        || manner(|manner| manner.quiet_in_silence = true),
    ),
    fault(
        47,
        "language_switch",
        (Transparent, Both),
        (Setup(s(10)), ALWAYS),
        "languageCode changes with each transcript",
        || manner(|manner| manner.languages = true),
    ),
    fault(
        48,
        "odd_shapes",
        (Transparent, Both),
        (Setup(s(1)), ALWAYS),
        "every odd but allowed shape, and odd byte counts",
        || {
            vec![
                now(Act::Manner(|manner| manner.odd = true)),
                now(Act::Say(odd_messages)),
            ]
        },
    ),
    fault(
        49,
        "unknowns",
        (Transparent, Both),
        (Setup(s(5)), ALWAYS),
        "unknown keys, fields, enums, and no JSON at all",
        || vec![now(Act::Say(unknown_messages))],
    ),
    fault(
        49,
        "error_object",
        (Recover, Both),
        (Setup(s(30)), 1),
        "an error object, then 1011 internal after 1 s",
        || {
            vec![
                now(Act::Say(|| {
                    vec![message(
                        &json!({"error": {"code": 500, "message": "Internal error", "status": "INTERNAL"}}),
                    )]
                })),
                step(s(1), Act::Close(Bye::internal())),
            ]
        },
    ),
    fault(
        50,
        "b_turns",
        (Transparent, Dialogue),
        (Open, ALWAYS),
        "generationComplete, turnComplete when it was heard (as ever)",
        nothing,
    ),
    fault(
        51,
        "b_no_turncomplete",
        (Transparent, Dialogue),
        (Open, ALWAYS),
        "turns end with generationComplete alone",
        || manner(|manner| manner.no_turn_complete = true),
    ),
    fault(
        52,
        "b_interrupted",
        (Recover, Dialogue),
        (Setup(s(30)), 1),
        "interrupted in the middle of an answer, then turnComplete",
        || manner(|manner| manner.interrupt_next = true),
    ),
    fault(
        53,
        "b_phantom_interrupt",
        (Recover, Dialogue),
        (Setup(s(30)), 1),
        "interrupted without input, then zeros in each turn",
        || {
            vec![
                now(Act::Say(|| {
                    vec![message(&json!({"serverContent": {"interrupted": true}}))]
                })),
                now(Act::Manner(|manner| manner.sound = Sound::Zero)),
            ]
        },
    ),
    fault(
        54,
        "b_rejected",
        (Recover, Dialogue),
        (Setup(s(30)), 1),
        "27 turns end with RESPONSE_REJECTED and no sound",
        || manner(|manner| manner.rejected = 27),
    ),
    fault(
        55,
        "b_monologue",
        (Transparent, Dialogue),
        (Open, ALWAYS),
        "automatic windows wait for a pause (as ever)",
        nothing,
    ),
    fault(
        56,
        "b_window_discard",
        (Transparent, Dialogue),
        (Open, ALWAYS),
        "sound outside manual windows is dropped (as ever)",
        nothing,
    ),
    fault(
        57,
        "b_extended",
        (Transparent, Dialogue),
        (Open, ALWAYS),
        "turnComplete IN_PROGRESS twice, then IDLE",
        || manner(|manner| manner.extended = true),
    ),
    fault(
        59,
        "voice_change",
        (Transparent, Both),
        (Setup(s(60)), ALWAYS),
        "another voice goes on",
        || manner(|manner| manner.other_voice = true),
    ),
    fault(
        60,
        "slow_server_reader",
        (Recover, Both),
        (Setup(s(30)), 1),
        "reads at half the pace of sound",
        || vec![now(Act::ReadSlowly(0.5))],
    ),
    fault(
        66,
        "usage_shapes",
        (Transparent, Both),
        (Open, ALWAYS),
        "usage in odd shapes, and after 60 s not at all",
        || {
            vec![
                now(Act::Manner(|manner| manner.usage = Usage::Odd)),
                step(s(60), Act::Manner(|manner| manner.usage = Usage::Silent)),
            ]
        },
    ),
];
