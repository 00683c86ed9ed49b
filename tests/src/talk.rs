//! Real speech with known pauses, for whoever says that he hears when somebody speaks.
//!
//! The truth is the sound itself before anything is mixed with it: a step of 5 ms counts as spoken from a level on that
//! is 26 dB below the speaker's own.

use anyhow::{Context, Result};
use media_judge::{
    Audio, dsp, ffmpeg,
    source::speech::{ENGLISH, MUSIC, RATE, SOUNDS_ROOT, SoundSet},
};
use std::path::Path;

/// Level of the speaker while speaking.
pub const SPEECH_DB: f64 = -19.0;
/// What is below this, against the speaker's level, is a pause.
const PAUSE_DB: f64 = -26.0;
/// Samples of one step of the truth: 5 ms.
const STEP: usize = 240;
/// A gap in a word is no pause: a closed mouth before a plosive.
const GAP_STEPS: usize = 20;
/// What is shorter than this between two gaps is a breath.
const BREATH_STEPS: usize = 8;
/// Prompts of this length in seconds are sentences and halves of them.
const PROMPT_S: (f64, f64) = (1.5, 10.0);

/// Speech and where it is.
pub struct Talk {
    /// Mono at 48 kHz, silence in the pauses.
    pub samples: Vec<f32>,
    /// For each 5 ms: whether somebody speaks.
    pub spoken: Vec<bool>,
}

impl Talk {
    /// So many prompts, taken evenly from all, with pauses of 0.4 to 1.3 s between them.
    pub fn new(prompts: usize) -> Result<Self> {
        let files = ENGLISH.files(Path::new(SOUNDS_ROOT))?;
        let fitting: Vec<Vec<f32>> = files
            .iter()
            .step_by((files.len() / (4 * prompts)).max(1))
            .map(|path| load(path, SPEECH_DB))
            .filter(|sound| {
                sound.as_ref().map_or(true, |sound| {
                    let seconds = sound.len() as f64 / f64::from(RATE);
                    PROMPT_S.0 <= seconds && seconds <= PROMPT_S.1
                })
            })
            .take(prompts)
            .collect::<Result<_>>()?;
        let mut samples = vec![0.0; RATE as usize];
        for (number, prompt) in fitting.iter().enumerate() {
            samples.extend(prompt);
            let pause_ms = 400 + 300 * (number % 4);
            samples.resize(samples.len() + pause_ms * RATE as usize / 1000, 0.0);
        }
        let spoken = spoken(&samples);
        Ok(Self { samples, spoken })
    }

    /// The talk with something under it, which goes round as often as it takes.
    pub fn over(&self, bed: &[f32]) -> Vec<f32> {
        let under = bed.iter().cycle();
        self.samples
            .iter()
            .zip(under)
            .map(|(voice, bed)| voice + bed)
            .collect()
    }

    /// For each 20 ms: whether somebody speaks in most of it.
    pub fn blocks(&self) -> Vec<bool> {
        self.spoken
            .chunks(4)
            .map(|steps| steps.iter().filter(|spoken| **spoken).count() * 2 >= steps.len())
            .collect()
    }

    /// Phrases in ms: speech between pauses of at least `pause_ms`.
    pub fn phrases(&self, pause_ms: f64) -> Vec<(f64, f64)> {
        let mut spoken = self.spoken.clone();
        close(&mut spoken, (pause_ms / 5.0) as usize);
        runs(&spoken, true)
            .into_iter()
            .map(|(from, until)| (5.0 * from as f64, 5.0 * until as f64))
            .collect()
    }

    /// Seconds in which somebody speaks.
    pub fn seconds(&self) -> f64 {
        self.seconds_behind(0.0)
    }

    /// Seconds in which somebody speaks behind the first `skipped_s`.
    pub fn seconds_behind(&self, skipped_s: f64) -> f64 {
        let skipped = (skipped_s.max(0.0) * 200.0) as usize;
        self.spoken.iter().skip(skipped).filter(|spoken| **spoken).count() as f64 * 0.005
    }
}

/// Every piece of music that is installed, its first `seconds`, at a level, with its name.
pub fn music(seconds: usize, level_db: f64) -> Result<Vec<(String, Vec<f32>)>> {
    let set: SoundSet = MUSIC;
    set.files(Path::new(SOUNDS_ROOT))?
        .iter()
        .map(|path| {
            let mut sound = load(path, level_db)?;
            sound.truncate(seconds * RATE as usize);
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            Ok((name, sound))
        })
        .collect()
}

/// A clip of a small moving picture with this sound.
pub fn clip(out: &Path, mono: &[f32]) -> Result<()> {
    let seconds = mono.len() as f64 / f64::from(RATE);
    let stereo: Vec<f32> = mono.iter().flat_map(|sample| [*sample; 2]).collect();
    let raw = ffmpeg::raw_samples(&stereo)?;
    let card = format!("testsrc2=size=320x180:rate=25:duration={seconds}");
    let mut command = ffmpeg::command("error");
    command.args(["-y", "-f", "lavfi", "-i", &card]);
    command.args(["-f", "f32le", "-ar", &RATE.to_string(), "-ac", "2", "-i"]);
    command.arg(raw.path());
    command.args("-c:v libx264 -preset veryfast -g 50 -pix_fmt yuv420p -c:a aac -b:a 160k".split(' '));
    command.args(["-flvflags", "no_duration_filesize"]);
    ffmpeg::finish(command.arg(out)).map(|_| ())
}

fn load(path: &Path, level_db: f64) -> Result<Vec<f32>> {
    let mut samples = Audio::decode_at(path, Some(RATE))
        .with_context(|| path.display().to_string())?
        .mono;
    let gain = 10f64.powf((level_db - dsp::rms_db(&samples)) / 20.0) as f32;
    samples
        .iter_mut()
        .for_each(|sample| *sample = (*sample * gain).clamp(-0.95, 0.95));
    Ok(samples)
}

fn spoken(samples: &[f32]) -> Vec<bool> {
    let mut spoken: Vec<bool> = samples
        .chunks(STEP)
        .map(|step| dsp::rms_db(step) > SPEECH_DB + PAUSE_DB)
        .collect();
    close(&mut spoken, GAP_STEPS);
    for (from, until) in runs(&spoken, true) {
        if until - from < BREATH_STEPS {
            spoken[from..until].fill(false);
        }
    }
    spoken
}

/// Fills gaps that are shorter than this.
fn close(spoken: &mut [bool], steps: usize) {
    for (from, until) in runs(spoken, false) {
        if until - from < steps && 0 < from && until < spoken.len() {
            spoken[from..until].fill(true);
        }
    }
}

/// Where a value runs, as half-open ranges.
fn runs(values: &[bool], wanted: bool) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (at, _) in values.iter().enumerate().filter(|(_, value)| **value == wanted) {
        match out.last_mut() {
            Some((_, until)) if *until == at => *until = at + 1,
            _ => out.push((at, at + 1)),
        }
    }
    out
}
