//! A programme of real speech that hardly stops, over music: each phrase carries its number as the twin reads it.
//!
//! It is made phrase by phrase and goes straight to the encoder, so an hour takes no more memory than a minute. The
//! picture is small and its packets are sent as they are: many stacks fit on one machine.

use crate::scratch;
use crate::talk::SPEECH_DB;
use anyhow::{Context, Result, ensure};
use gemini_twin::code::NUMBER_MAX;
use gemini_twin::mark;
use media_judge::units::{self, AccessUnit};
use media_judge::{
    Audio, dsp, ffmpeg,
    source::{
        self,
        speech::{ENGLISH, MUSIC, RATE, SOUNDS_ROOT},
    },
};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

/// Music lies so far below the speaker.
const MUSIC_BELOW_DB: f64 = 14.0;
/// Phrases of this length in seconds are said as they are.
const PHRASE_S: (f64, f64) = (1.0, 8.0);
/// Before the first phrase.
const LEAD_S: f64 = 1.0;

/// Which programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its length in seconds.
    pub seconds: u32,
    /// Where the sound is silent altogether, from and to in seconds.
    pub hole: Option<(u32, u32)>,
}

/// One phrase and where it is in the programme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spoken {
    /// Its number, 1 to 1023, then 1 again.
    pub number: u16,
    /// Where it begins.
    pub start_s: f64,
    /// Where it ends.
    pub end_s: f64,
    /// Parts that its code has.
    pub parts: u8,
}

impl Spoken {
    /// How long it is.
    pub fn length_s(&self) -> f64 {
        self.end_s - self.start_s
    }
}

/// A programme that is made.
#[derive(Debug)]
pub struct Programme {
    /// FLV with H.264 and AAC.
    pub clip: PathBuf,
    /// Its phrases in order.
    pub phrases: Vec<Spoken>,
    /// Its pictures.
    pub units: Vec<AccessUnit>,
    /// Its length.
    pub seconds: f64,
}

impl Programme {
    /// Makes it, or takes it from where it was made before.
    pub fn get(shape: Shape) -> Result<Self> {
        let hole = shape
            .hole
            .map(|(from, to)| format!("-silent-{from}-{to}"))
            .unwrap_or_default();
        let name = format!("coded-speech-2-{}{hole}.flv", shape.seconds);
        let folder = scratch().join("clips");
        let clip = source::cached(&folder, &name, |out| {
            let phrases = make(out, shape)?;
            fs::write(folder.join(listing(&name)), render(&phrases))?;
            Ok(())
        })?;
        let listing = folder.join(listing(&name));
        let text = fs::read_to_string(&listing).with_context(|| format!("reading {}", listing.display()))?;
        Ok(Self {
            phrases: parse(&text)?,
            units: units::read(&clip)?,
            clip,
            seconds: f64::from(shape.seconds),
        })
    }
}

fn listing(name: &str) -> String {
    format!("{name}.phrases.jsonl")
}

fn render(phrases: &[Spoken]) -> String {
    phrases
        .iter()
        .map(|it| {
            let line =
                json!({"number": it.number, "start_s": it.start_s, "end_s": it.end_s, "parts": it.parts});
            format!("{line}\n")
        })
        .collect()
}

fn parse(text: &str) -> Result<Vec<Spoken>> {
    text.lines()
        .map(|line| {
            let it: Value = serde_json::from_str(line)?;
            let seconds = |key: &str| it[key].as_f64().context("a phrase without its time");
            let count = |key: &str| it[key].as_u64().context("a phrase without its number");
            Ok(Spoken {
                number: u16::try_from(count("number")?)?,
                parts: u8::try_from(count("parts")?)?,
                start_s: seconds("start_s")?,
                end_s: seconds("end_s")?,
            })
        })
        .collect()
}

/// The same numbers each time.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    /// Mostly a breath, now and then hardly one, now and then a pause for thought.
    fn pause_s(&mut self) -> f64 {
        match self.next() {
            kind if kind < 0.7 => self.between(0.3, 0.6),
            kind if kind < 0.85 => self.between(0.2, 0.3),
            _ => self.between(1.0, 2.0),
        }
    }
}

/// Everything that is said between two pauses in the installed prompts, at the speaker's level, shuffled.
fn pieces(draw: &mut Draw) -> Result<Vec<Vec<f32>>> {
    let mut pieces = Vec::new();
    // A third of them is more than is heard in ten minutes.
    for file in ENGLISH.files(Path::new(SOUNDS_ROOT))?.iter().step_by(3) {
        let prompt = load(file, SPEECH_DB)?;
        for (from, to) in mark::phrases(&prompt, RATE) {
            let seconds = (to - from) as f64 / f64::from(RATE);
            if (PHRASE_S.0..=PHRASE_S.1).contains(&seconds) {
                pieces.push(prompt[from..to.min(prompt.len())].to_vec());
            }
        }
    }
    ensure!(pieces.len() > 50, "only {} phrases in the prompts", pieces.len());
    for last in (1..pieces.len()).rev() {
        let other = (draw.next() * (last + 1) as f64) as usize;
        pieces.swap(last, other);
    }
    Ok(pieces)
}

fn load(path: &Path, level_db: f64) -> Result<Vec<f32>> {
    let mut samples = Audio::decode_at(path, Some(RATE))
        .with_context(|| path.display().to_string())?
        .mono;
    let gain = 10f64.powf((level_db - dsp::rms_db(&samples)) / 20.0) as f32;
    samples
        .iter_mut()
        .for_each(|sample| *sample = (*sample * gain).clamp(-0.9, 0.9));
    Ok(samples)
}

fn music() -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for file in MUSIC.files(Path::new(SOUNDS_ROOT))? {
        let mut piece = load(&file, SPEECH_DB - MUSIC_BELOW_DB)?;
        piece.truncate(120 * RATE as usize);
        all.extend(piece);
    }
    Ok(all)
}

fn make(out: &Path, shape: Shape) -> Result<Vec<Spoken>> {
    let mut draw = Draw(11);
    let (pieces, music) = (pieces(&mut draw)?, music()?);
    let mut encoder = Encoder::start(out, music, shape)?;
    let mut phrases: Vec<Spoken> = Vec::new();
    encoder.sound(vec![0.0; (LEAD_S * f64::from(RATE)) as usize])?;
    for (index, piece) in pieces.iter().cycle().enumerate() {
        if let Some((from, to)) = shape.hole
            && encoder.at_s() + 9.0 > f64::from(from)
            && encoder.at_s() < f64::from(to)
        {
            encoder.silence_until(f64::from(to))?;
        }
        let mut sound = piece.clone();
        let number = (index % usize::from(NUMBER_MAX)) as u16 + 1;
        let length = sound.len();
        mark::mark_clearly(&mut sound, RATE, (0, length), number);
        let pause = draw.pause_s();
        sound.resize(length + (pause * f64::from(RATE)) as usize, 0.0);
        let start_s = encoder.at_s();
        if start_s + sound.len() as f64 / f64::from(RATE) > f64::from(shape.seconds) {
            break;
        }
        phrases.push(Spoken {
            number,
            start_s,
            end_s: start_s + length as f64 / f64::from(RATE),
            parts: mark::parts(length, RATE),
        });
        encoder.sound(sound)?;
    }
    encoder.silence_until(f64::from(shape.seconds))?;
    encoder.finish()?;
    Ok(phrases)
}

/// ffmpeg, fed with sound while it makes its own picture.
struct Encoder {
    child: Child,
    input: Option<ChildStdin>,
    music: Vec<f32>,
    written: usize,
    hole: Option<(usize, usize)>,
}

impl Encoder {
    fn start(out: &Path, music: Vec<f32>, shape: Shape) -> Result<Self> {
        let card = format!("testsrc2=size=320x180:rate=25:duration={}", shape.seconds);
        let rate = RATE.to_string();
        // Its standard input is the sound, so it is not told to leave that alone.
        let mut command = std::process::Command::new("ffmpeg");
        command.args("-hide_banner -nostats -loglevel error -y -f lavfi -i".split(' '));
        command.args([&card, "-f", "s16le", "-ar", &rate, "-ac", "1", "-i", "pipe:0"]);
        command.args(
            "-map 0:v -map 1:a -c:v libx264 -preset ultrafast -crf 34 -g 50 -pix_fmt yuv420p".split(' '),
        );
        command.args("-c:a aac -b:a 128k -ac 2 -flvflags no_duration_filesize".split(' '));
        let mut child = command
            .arg(out)
            .stdin(Stdio::piped())
            .spawn()
            .context("ffmpeg cannot be started: is it installed?")?;
        let at = |second: u32| second as usize * RATE as usize;
        Ok(Self {
            input: child.stdin.take(),
            child,
            music,
            written: 0,
            hole: shape.hole.map(|(from, to)| (at(from), at(to))),
        })
    }

    fn at_s(&self) -> f64 {
        self.written as f64 / f64::from(RATE)
    }

    fn silence_until(&mut self, second: f64) -> Result<()> {
        while self.at_s() < second {
            let left = ((second - self.at_s()) * f64::from(RATE)).ceil() as usize;
            self.sound(vec![0.0; left.min(RATE as usize)])?;
        }
        Ok(())
    }

    /// Writes sound with the music under it; in the hole there is none.
    fn sound(&mut self, mut sound: Vec<f32>) -> Result<()> {
        let mut bytes = Vec::with_capacity(2 * sound.len());
        for (offset, sample) in sound.iter_mut().enumerate() {
            let at = self.written + offset;
            let is_silent = self.hole.is_some_and(|(from, to)| (from..to).contains(&at));
            if !is_silent {
                *sample += self.music[at % self.music.len()];
            }
            let step = (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16;
            bytes.extend(step.to_le_bytes());
        }
        self.written += sound.len();
        let input = self.input.as_mut().context("the encoder takes no more")?;
        Ok(input.write_all(&bytes)?)
    }

    fn finish(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "ffmpeg failed: {status}");
        Ok(())
    }
}

/// The sound of a file at a rate, handed on piece by piece with its place, in seconds of presentation time.
pub fn decoded(path: &Path, rate: u32, mut each: impl FnMut(f64, &[f32])) -> Result<()> {
    let mut command = ffmpeg::command("error");
    command.arg("-copyts").arg("-i").arg(path);
    // From presentation time zero on, holes filled: a sample's place is its time.
    command.args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"]);
    command.args(["-f", "s16le", "-ac", "1", "-ar", &rate.to_string(), "pipe:1"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("ffmpeg cannot be started: is it installed?")?;
    let mut stdout = child.stdout.take().context("no pipe from ffmpeg")?;
    let mut bytes = vec![0_u8; 2 * rate as usize];
    let mut done = 0_usize;
    loop {
        let count = fill(&mut stdout, &mut bytes)?;
        let samples: Vec<f32> = bytes[..count - count % 2]
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();
        if samples.is_empty() {
            break;
        }
        each(done as f64 / f64::from(rate), &samples);
        done += samples.len();
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} cannot be decoded: {status}", path.display());
    Ok(())
}

/// Reads until the buffer is full or nothing more comes.
fn fill(from: &mut impl std::io::Read, bytes: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use gemini_twin::listen::Listener;
    use gemini_twin::tones::SOURCE;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_part_of_every_phrase_is_read_back_from_the_finished_clip_at_its_place() {
        let shape = Shape {
            seconds: 60,
            hole: Some((20, 32)),
        };
        let programme = Programme::get(shape).unwrap();
        let mut listener = Listener::new(16_000, SOURCE);
        let mut cells = Vec::new();
        let mut end_s = 0.0;
        decoded(&programme.clip, 16_000, |at_s, sound| {
            cells.extend(listener.hear(sound));
            end_s = at_s + sound.len() as f64 / 16_000.0;
        })
        .unwrap();
        cells.extend(listener.end());
        let mut parts: BTreeMap<u16, BTreeSet<u8>> = BTreeMap::new();
        for heard in &cells {
            parts
                .entry(heard.cell.number)
                .or_default()
                .insert(heard.cell.part);
            let phrase = programme
                .phrases
                .iter()
                .find(|it| it.number == heard.cell.number)
                .unwrap();
            assert!(
                phrase.start_s - 0.1 <= heard.start_s && heard.end_s <= phrase.end_s + 0.1,
                "{heard:?} {phrase:?}"
            );
        }
        assert!(programme.phrases.len() > 10, "{:?}", programme.phrases);
        for phrase in &programme.phrases {
            let heard = parts.get(&phrase.number).map_or(0, BTreeSet::len);
            assert_eq!(heard, usize::from(phrase.parts), "{phrase:?}");
            assert!(
                phrase.end_s <= 20.0 || 32.0 <= phrase.start_s,
                "{phrase:?} in the hole"
            );
        }
        assert!((59.9..60.3).contains(&end_s), "{end_s}");
        assert_eq!(programme.units.len(), 1500);
    }
}
