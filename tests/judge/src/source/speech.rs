//! Real speech and music from Debian's packages of telephone prompts, and the fixtures made of it.

use crate::{Audio, dsp, ffmpeg};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Where Debian puts the sounds.
pub const SOUNDS_ROOT: &str = "/usr/share/asterisk";
/// Rate of everything that is made here.
pub const RATE: u32 = 48_000;
/// G.722 holds this many bytes for each second.
const BYTES_A_SECOND: u64 = 8_000;

/// Parts of names of sounds that are beeps or names of protocols, not phrases.
const NO_PHRASES: [&str; 2] = ["beep", "spy-"];

/// A set of sounds and the Debian package that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundSet {
    /// Folder under the sounds' root.
    pub folder: &'static str,
    /// Extension of its files.
    pub extension: &'static str,
    /// Debian package.
    pub package: &'static str,
}

/// English prompts.
pub const ENGLISH: SoundSet = SoundSet {
    folder: "sounds/en_US_f_Allison",
    extension: "g722",
    package: "asterisk-core-sounds-en-g722",
};
/// Spanish prompts.
pub const SPANISH: SoundSet = SoundSet {
    folder: "sounds/es_MX_f_Allison",
    extension: "g722",
    package: "asterisk-core-sounds-es-g722",
};
/// Music.
pub const MUSIC: SoundSet = SoundSet {
    folder: "moh",
    extension: "wav",
    package: "asterisk-moh-opsound-wav",
};

impl SoundSet {
    /// Its files, sorted by name.
    pub fn files(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let folder = root.join(self.folder);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == self.extension)
        });
        files.sort();
        if files.is_empty() {
            bail!(
                "no .{} files in {}: install the Debian package {} (apt-get install {})",
                self.extension,
                folder.display(),
                self.package,
                self.package
            );
        }
        Ok(files)
    }
}

/// Decodes a file to mono at [`RATE`] and scales it to an RMS level.
pub(crate) fn load(path: &Path, level_db: f64) -> Result<Vec<f32>> {
    let mut samples = Audio::decode_at(path, Some(RATE))?.mono;
    let gain = 10f64.powf((level_db - dsp::rms_db(&samples)) / 20.0) as f32;
    samples
        .iter_mut()
        .for_each(|sample| *sample = (*sample * gain).clamp(-0.95, 0.95));
    Ok(samples)
}

/// What fixtures are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct FixtureSpec {
    /// Root of the installed sounds.
    pub sounds_root: PathBuf,
    /// How many at most.
    pub count: usize,
    /// Shortest in seconds.
    pub shortest_s: f64,
    /// Longest in seconds.
    pub longest_s: f64,
    /// Channels of the WAV files.
    pub channels: u32,
    /// RMS level in dBFS.
    pub level_db: f64,
}

impl Default for FixtureSpec {
    fn default() -> Self {
        Self {
            sounds_root: SOUNDS_ROOT.into(),
            count: 24,
            shortest_s: 1.2,
            longest_s: 2.1,
            channels: 1,
            level_db: -18.0,
        }
    }
}

/// Fills a directory with Spanish phrases as 48 kHz WAV files of 16 bits, named so that their order is fixed. Gives
/// back their paths.
pub fn fixtures(dir: &Path, spec: &FixtureSpec) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let bytes = |seconds: f64| (seconds * BYTES_A_SECOND as f64) as u64;
    let fitting: Vec<PathBuf> = SPANISH
        .files(&spec.sounds_root)?
        .into_iter()
        .filter(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            !NO_PHRASES.iter().any(|part| stem.contains(part))
        })
        .filter(|path| {
            let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            (bytes(spec.shortest_s)..=bytes(spec.longest_s)).contains(&size)
        })
        .collect();
    ensure!(
        !fitting.is_empty(),
        "no Spanish phrase lasts {} to {} s",
        spec.shortest_s,
        spec.longest_s
    );
    // Taken evenly over the alphabet: neighbours in it say nearly the same.
    let count = spec.count.clamp(1, fitting.len());
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let source = &fitting[number * fitting.len() / count];
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let out = dir.join(format!("{:03}-{stem}.wav", number + 1));
        let mono = load(source, spec.level_db)?;
        let interleaved: Vec<f32> = mono
            .iter()
            .flat_map(|sample| std::iter::repeat_n(*sample, spec.channels as usize))
            .collect();
        let raw = ffmpeg::raw_samples(&interleaved)?;
        let mut command = ffmpeg::command("error");
        command.args([
            "-y",
            "-f",
            "f32le",
            "-ar",
            &RATE.to_string(),
            "-ac",
            &spec.channels.to_string(),
            "-i",
        ]);
        command.arg(raw.path()).args(["-c:a", "pcm_s16le"]).arg(&out);
        ffmpeg::finish(&mut command)?;
        made.push(out);
    }
    Ok(made)
}
