//! `media-judge make …`

use super::Out;
use anyhow::Result;
use clap::{Args, Subcommand};
use media_judge::source::{
    self, AudioCodec, AudioSpec, Channels, ClipSpec, FixtureSpec, ProgrammeSpec, VideoSpec,
    speech::SOUNDS_ROOT,
};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Make {
    /// Moving picture, a flash of the corner patch and a 1 kHz beep each second.
    FlashBeep(Clip),
    /// The same picture; the sound is coded noise.
    CodedNoise {
        #[command(flatten)]
        clip: Clip,
        /// Seed of the noise.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The programme of the demo: test card with a clock, English speech over music, a mark each 5 s.
    Programme {
        /// File to write; its extension chooses the container.
        out: PathBuf,
        /// Length in seconds.
        #[arg(long, default_value_t = 120)]
        seconds: u32,
        /// Text in the picture.
        #[arg(long, default_value = "test programme")]
        title: String,
        /// Where the Debian packages' sounds are.
        #[arg(long, default_value = SOUNDS_ROOT)]
        sounds_root: PathBuf,
    },
    /// A directory of Spanish phrases as 48 kHz WAV files.
    Fixtures {
        /// Directory to fill.
        dir: PathBuf,
        /// How many at most.
        #[arg(long, default_value_t = 24)]
        count: usize,
        /// Channels of the files.
        #[arg(long, default_value_t = 1)]
        channels: u32,
        /// Where the Debian packages' sounds are.
        #[arg(long, default_value = SOUNDS_ROOT)]
        sounds_root: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Clip {
    /// File to write; its extension (flv, mp4, mkv, ts) chooses the container.
    out: PathBuf,
    /// Length in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Width of the picture.
    #[arg(long, default_value_t = 1280)]
    width: u32,
    /// Height of the picture.
    #[arg(long, default_value_t = 720)]
    height: u32,
    /// Pictures a second.
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// B-frames.
    #[arg(long, default_value_t = 3)]
    bframes: u32,
    /// Seconds from key frame to key frame; x264's own choice when left out.
    #[arg(long)]
    gop: Option<u32>,
    /// Preset of x264.
    #[arg(long, default_value = "medium")]
    preset: String,
    /// Bits a second of the picture, such as 2500k.
    #[arg(long)]
    video_bitrate: Option<String>,
    /// Turns the colours, so that every access unit differs from another clip's.
    #[arg(long, default_value_t = 0)]
    variant: u32,
    /// aac or opus.
    #[arg(long, default_value = "aac")]
    codec: AudioCodec,
    /// Samples a second.
    #[arg(long, default_value_t = 48_000)]
    rate: u32,
    /// mono, stereo or 5.1.
    #[arg(long, default_value = "stereo")]
    channels: Channels,
    /// Bits a second of the sound.
    #[arg(long, default_value = "192k")]
    audio_bitrate: String,
    /// Leaves the sound out.
    #[arg(long)]
    no_audio: bool,
    /// Leaves the picture out.
    #[arg(long)]
    no_video: bool,
}

impl Clip {
    fn spec(&self) -> ClipSpec {
        let video = VideoSpec {
            size: (self.width, self.height),
            fps: self.fps,
            bframes: self.bframes,
            gop_s: self.gop,
            preset: self.preset.clone(),
            bitrate: self.video_bitrate.clone(),
            variant: self.variant,
        };
        let audio = AudioSpec {
            codec: self.codec,
            rate: self.rate,
            channels: self.channels,
            bitrate: self.audio_bitrate.clone(),
        };
        ClipSpec {
            seconds: self.seconds,
            video: (!self.no_video).then_some(video),
            audio: (!self.no_audio).then_some(audio),
        }
    }
}

pub fn run(make: Make, out: &Out) -> Result<bool> {
    let made = match make {
        Make::FlashBeep(clip) => {
            source::flash_beep(&clip.out, &clip.spec())?;
            vec![clip.out]
        }
        Make::CodedNoise { clip, seed } => {
            source::coded_noise(&clip.out, &clip.spec(), seed)?;
            vec![clip.out]
        }
        Make::Programme {
            out,
            seconds,
            title,
            sounds_root,
        } => {
            let spec = ProgrammeSpec {
                seconds,
                title,
                sounds_root,
                ..ProgrammeSpec::default()
            };
            source::programme(&out, &spec)?;
            vec![out]
        }
        Make::Fixtures {
            dir,
            count,
            channels,
            sounds_root,
        } => {
            let spec = FixtureSpec {
                count,
                channels,
                sounds_root,
                ..FixtureSpec::default()
            };
            source::fixtures(&dir, &spec)?
        }
    };
    out.result(&made, |made| {
        made.iter().map(|path| format!("{}\n", path.display())).collect()
    })?;
    Ok(true)
}
