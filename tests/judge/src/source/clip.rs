//! Clips for tests: moving picture with a flashing corner patch, and beeps or coded noise.

use crate::av::BEEP_HZ;
use crate::ffmpeg;
use crate::noise::{self, Reference};
use crate::video::PATCH_SHARE;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};
use std::path::Path;
use std::str::FromStr;

/// Length of a beep; its middle, the top of a Hann window, stands at the first lit picture.
const BEEP_MS: f64 = 40.0;
/// Pictures that the patch is lit.
const LIT_PICTURES: u32 = 2;

/// Raised when the makers change, so that no cached clip of before is taken for one of now.
const REVISION: u32 = 2;

/// The picture of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoSpec {
    /// Width and height, multiples of 16.
    pub size: (u32, u32),
    /// Pictures a second.
    pub fps: u32,
    /// B-frames of x264 (its default is 3).
    pub bframes: u32,
    /// Seconds from key frame to key frame, without others between; x264's own choice when unset.
    pub gop_s: Option<u32>,
    /// Preset of x264.
    pub preset: String,
    /// Bits a second, such as `2500k`; x264's own choice when unset.
    pub bitrate: Option<String>,
    /// Turns the colours, so that clips of the same length differ in every access unit.
    pub variant: u32,
}

impl Default for VideoSpec {
    fn default() -> Self {
        Self {
            size: (1280, 720),
            fps: 30,
            bframes: 3,
            gop_s: None,
            preset: "medium".into(),
            bitrate: None,
            variant: 0,
        }
    }
}

/// Codec of a clip's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioCodec {
    /// AAC-LC by ffmpeg.
    Aac,
    /// Opus by libopus (48 kHz; not in FLV).
    Opus,
}

impl FromStr for AudioCodec {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "aac" => Ok(Self::Aac),
            "opus" => Ok(Self::Opus),
            other => Err(format!("{other} is no codec here, known are aac and opus")),
        }
    }
}

/// Channels of a clip's sound; each carries the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channels {
    /// One.
    Mono,
    /// Two.
    Stereo,
    /// Six: 5.1.
    Surround,
}

impl Channels {
    /// How many.
    pub fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
            Self::Surround => 6,
        }
    }
}

impl FromStr for Channels {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "mono" => Ok(Self::Mono),
            "stereo" => Ok(Self::Stereo),
            "5.1" => Ok(Self::Surround),
            other => Err(format!(
                "{other} is no layout here, known are mono, stereo and 5.1"
            )),
        }
    }
}

/// The sound of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioSpec {
    /// Codec.
    pub codec: AudioCodec,
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: Channels,
    /// Bits a second, such as `128k`.
    pub bitrate: String,
}

impl Default for AudioSpec {
    fn default() -> Self {
        Self {
            codec: AudioCodec::Aac,
            rate: 48_000,
            channels: Channels::Stereo,
            bitrate: "192k".into(),
        }
    }
}

/// A clip. Flashes, and beeps, stand at every full second from the first on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipSpec {
    /// Length.
    pub seconds: u32,
    /// Picture, if any.
    pub video: Option<VideoSpec>,
    /// Sound, if any.
    pub audio: Option<AudioSpec>,
}

impl Default for ClipSpec {
    fn default() -> Self {
        Self {
            seconds: 30,
            video: Some(VideoSpec::default()),
            audio: Some(AudioSpec::default()),
        }
    }
}

impl ClipSpec {
    /// A small clip that is made quickly: 640x360, `veryfast`, one second from key frame to key frame.
    pub fn small(seconds: u32) -> Self {
        let video = VideoSpec {
            size: (640, 360),
            preset: "veryfast".into(),
            gop_s: Some(1),
            ..VideoSpec::default()
        };
        Self {
            seconds,
            video: Some(video),
            audio: Some(AudioSpec::default()),
        }
    }

    /// A name that says what the clip holds, for [`super::cached`].
    pub fn name(&self, kind: &str, extension: &str) -> String {
        let mut name = format!("{kind}{REVISION}-{}s", self.seconds);
        if let Some(v) = &self.video {
            let gop = v.gop_s.map_or("auto".to_owned(), |gop| format!("{gop}s"));
            let bitrate = v.bitrate.as_deref().unwrap_or("crf");
            name += &format!(
                "-{}x{}p{}-b{}-g{gop}-{}-{bitrate}-v{}",
                v.size.0, v.size.1, v.fps, v.bframes, v.preset, v.variant
            );
        }
        if let Some(a) = &self.audio {
            name += &format!("-{:?}{}x{}-{}", a.codec, a.rate, a.channels.count(), a.bitrate).to_lowercase();
        }
        format!("{name}.{extension}")
    }
}

/// Makes a clip with a flash and a 1 kHz beep each second.
pub fn flash_beep(out: &Path, spec: &ClipSpec) -> Result<()> {
    let samples = spec.audio.as_ref().map(|audio| {
        let mut mono = vec![0.0f32; (spec.seconds * audio.rate) as usize];
        for second in 1..spec.seconds {
            add_beep(&mut mono, audio.rate, f64::from(second), BEEP_HZ, 0.5);
        }
        Sound {
            rate: audio.rate,
            mono,
        }
    });
    encode(out, spec, samples, 1, &[])
}

/// Makes a clip with a flash each second and the coded noise of a seed. At other rates than 48 kHz ffmpeg resamples
/// the noise.
pub fn coded_noise(out: &Path, spec: &ClipSpec, seed: u64) -> Result<()> {
    let sound = Sound {
        rate: noise::RATE,
        mono: Reference::new(seed, spec.seconds).samples,
    };
    encode(out, spec, spec.audio.as_ref().map(|_| sound), 1, &[])
}

/// Samples for a clip, the same in all channels.
pub(crate) struct Sound {
    pub rate: u32,
    pub mono: Vec<f32>,
}

/// Adds a beep whose middle stands at `at_s`.
pub(crate) fn add_beep(mono: &mut [f32], rate: u32, at_s: f64, frequency: f64, amplitude: f64) {
    let half = BEEP_MS / 2000.0;
    let first = ((at_s - half) * f64::from(rate)).ceil().max(0.0) as usize;
    let last = ((at_s + half) * f64::from(rate)).floor() as usize;
    for (index, sample) in mono.iter_mut().enumerate().take(last + 1).skip(first) {
        let t = index as f64 / f64::from(rate) - at_s;
        let window = 0.5 + 0.5 * (PI * t / half).cos();
        *sample += (amplitude * window * (TAU * frequency * t).cos()) as f32;
    }
}

/// Encodes picture and sound. `filters` come behind the patch.
pub(crate) fn encode(
    out: &Path,
    spec: &ClipSpec,
    sound: Option<Sound>,
    period_s: u32,
    filters: &[String],
) -> Result<()> {
    ensure!(
        spec.seconds > 0 && (spec.video.is_some() || spec.audio.is_some()),
        "an empty clip"
    );
    let mut command = ffmpeg::command("error");
    command.arg("-y");
    let seconds = spec.seconds.to_string();
    if let Some(video) = &spec.video {
        let (width, height) = video.size;
        ensure!(
            width % 16 == 0 && height % 2 == 0 && video.fps > 0,
            "{width}x{height}p{} cannot be made",
            video.fps
        );
        let card = format!(
            "testsrc2=size={width}x{height}:rate={}:duration={seconds}",
            video.fps
        );
        command.args(["-f", "lavfi", "-i", &card]);
    }
    let mut raw = None;
    if let (Some(audio), Some(sound)) = (&spec.audio, &sound) {
        let count = audio.channels.count();
        let interleaved: Vec<f32> = sound
            .mono
            .iter()
            .flat_map(|s| std::iter::repeat_n(*s, count))
            .collect();
        let file = ffmpeg::raw_samples(&interleaved)?;
        command.args([
            "-f",
            "f32le",
            "-ar",
            &sound.rate.to_string(),
            "-ac",
            &count.to_string(),
            "-i",
        ]);
        command.arg(file.path());
        raw = Some(file);
    }
    if let Some(video) = &spec.video {
        video_arguments(&mut command, video, period_s, filters);
    }
    if let Some(audio) = &spec.audio {
        audio_arguments(&mut command, audio);
    }
    command.args(["-t", &seconds]);
    if out.extension().is_some_and(|extension| extension == "flv") {
        command.args(["-flvflags", "no_duration_filesize"]);
    }
    ffmpeg::finish(command.arg(out))?;
    drop(raw);
    Ok(())
}

fn video_arguments(
    command: &mut std::process::Command,
    video: &VideoSpec,
    period_s: u32,
    filters: &[String],
) {
    let (columns, rows) = PATCH_SHARE;
    let patch = format!("drawbox=x=0:y=0:w=iw/{columns}:h=ih/{rows}:t=fill");
    let period = video.fps * period_s;
    let lit = format!("gte(n,{period})*lt(mod(n,{period}),{LIT_PICTURES})");
    let mut chain = Vec::new();
    if video.variant > 0 {
        chain.push(format!("hue=h={}", video.variant * 37 % 360));
    }
    chain.extend(filters.iter().cloned());
    chain.push(format!("{patch}:color=black"));
    chain.push(format!("{patch}:color=white:enable='{lit}'"));
    chain.push("format=yuv420p".into());
    command.args([
        "-vf",
        &chain.join(","),
        "-c:v",
        "libx264",
        "-preset",
        &video.preset,
    ]);
    command.args(["-bf", &video.bframes.to_string()]);
    if let Some(gop_s) = video.gop_s {
        let frames = (gop_s * video.fps).to_string();
        command.args(["-g", &frames, "-keyint_min", &frames, "-sc_threshold", "0"]);
    }
    if let Some(bitrate) = &video.bitrate {
        command.args(["-b:v", bitrate]);
    }
}

fn audio_arguments(command: &mut std::process::Command, audio: &AudioSpec) {
    command.args(["-ar", &audio.rate.to_string(), "-b:a", &audio.bitrate]);
    match audio.codec {
        // Perceptual noise substitution would replace coded noise by other noise.
        AudioCodec::Aac => command.args(["-c:a", "aac", "-aac_pns", "0"]),
        AudioCodec::Opus => command.args(["-c:a", "libopus"]),
    };
}
