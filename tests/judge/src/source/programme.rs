//! The programme of the demo: a moving test card with its clock, real speech over music, and a mark every five seconds.

use super::clip::{self, AudioSpec, ClipSpec, Sound, VideoSpec};
use super::speech::{self, ENGLISH, MUSIC, RATE, SOUNDS_ROOT};
use crate::av::PROGRAMME_BEEP_HZ;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Seconds between marks.
pub const MARK_PERIOD_S: u32 = 5;
/// Prompts that make sense one after the other; those that are installed are used.
const PROMPTS: [&str; 8] = [
    "demo-congrats",
    "demo-instruct",
    "demo-moreinfo",
    "demo-abouttotry",
    "demo-echotest",
    "basic-pbx-ivr-main",
    "demo-nogo",
    "demo-thanks",
];
/// Silence between prompts.
const PAUSE_S: f64 = 0.8;
const SPEECH_DB: f64 = -19.0;
const MUSIC_DB: f64 = -31.0;
const MARK_AMPLITUDE: f64 = 0.1;
/// Fonts that a machine may have; the card shows only its own small clock without one.
const FONTS: [&str; 4] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf",
];

/// What programme is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgrammeSpec {
    /// Length.
    pub seconds: u32,
    /// Picture.
    pub video: VideoSpec,
    /// Sound.
    pub audio: AudioSpec,
    /// Root of the installed sounds.
    pub sounds_root: PathBuf,
    /// Text in the picture, where a font is found.
    pub title: String,
}

impl Default for ProgrammeSpec {
    fn default() -> Self {
        let video = VideoSpec {
            preset: "veryfast".into(),
            gop_s: Some(2),
            bitrate: Some("2500k".into()),
            ..VideoSpec::default()
        };
        let audio = AudioSpec {
            bitrate: "160k".into(),
            ..AudioSpec::default()
        };
        Self {
            seconds: 120,
            video,
            audio,
            sounds_root: SOUNDS_ROOT.into(),
            title: "test programme".into(),
        }
    }
}

/// Makes the programme. Flashes of the corner patch come with 9 kHz beeps, which neither speech nor music of the
/// telephone packages contains.
pub fn programme(out: &Path, spec: &ProgrammeSpec) -> Result<()> {
    let mono = mix(spec)?;
    let clip = ClipSpec {
        seconds: spec.seconds,
        video: Some(spec.video.clone()),
        audio: Some(spec.audio.clone()),
    };
    let sound = Sound { rate: RATE, mono };
    clip::encode(out, &clip, Some(sound), MARK_PERIOD_S, &clock(&spec.title))
}

fn mix(spec: &ProgrammeSpec) -> Result<Vec<f32>> {
    let length = (spec.seconds * RATE) as usize;
    let prompts = ENGLISH.files(&spec.sounds_root)?;
    let music = MUSIC.files(&spec.sounds_root)?;
    let mut mono = speech::load(music.first().context("no music")?, MUSIC_DB)?;
    let round = mono.len();
    mono.resize(length, 0.0);
    for at in round..length {
        mono[at] = mono[at - round];
    }
    let mut chosen: Vec<&PathBuf> = PROMPTS
        .iter()
        .filter_map(|name| {
            prompts
                .iter()
                .find(|path| path.file_stem().is_some_and(|stem| stem == *name))
        })
        .collect();
    if chosen.is_empty() {
        chosen = prompts.iter().collect();
    }
    let pause = (PAUSE_S * f64::from(RATE)) as usize;
    let mut at = pause;
    for path in chosen.iter().cycle() {
        if at >= length {
            break;
        }
        let speech = speech::load(path, SPEECH_DB)?;
        for (sample, spoken) in mono[at..].iter_mut().zip(&speech) {
            *sample += spoken;
        }
        at += speech.len() + pause;
    }
    for mark in (MARK_PERIOD_S..spec.seconds).step_by(MARK_PERIOD_S as usize) {
        clip::add_beep(
            &mut mono,
            RATE,
            f64::from(mark),
            PROGRAMME_BEEP_HZ,
            MARK_AMPLITUDE,
        );
    }
    mono.iter_mut()
        .for_each(|sample| *sample = sample.clamp(-0.98, 0.98));
    Ok(mono)
}

/// Filters that draw the clock and the title.
fn clock(title: &str) -> Vec<String> {
    let Some(font) = FONTS.iter().find(|path| Path::new(path).exists()) else {
        return Vec::new();
    };
    let title: String = title
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_.".contains(*c))
        .collect();
    let common = format!("fontfile={font}:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=12");
    vec![
        format!("drawtext={common}:fontsize=h/7:x=(w-tw)/2:y=h*0.70:text='%{{pts\\:hms}}'"),
        format!("drawtext={common}:fontsize=h/18:x=(w-tw)/2:y=h*0.90:text='{title}'"),
    ]
}
