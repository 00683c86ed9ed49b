//! A directory of recordings, read once at start and answered in a circle by fragment number.
//!
//! * Files that end in `.wav` count, sorted by name; anything else in the directory is left alone.
//! * Signed 16 bit, mono or stereo, any usual rate; kept in memory as 48 kHz stereo.
//! * Nothing is skipped silently: a file that cannot be read stops the start, by its name.
use crate::{pcm, resample};
use bytes::Bytes;
use media_types::{FragmentSeq, SAMPLE_RATE_HZ};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to make any recording fit.
const REMEDY: &str = "convert it with `ffmpeg -i IN -c:a pcm_s16le -ac 2 -ar 48000 OUT.wav`";

/// Why a directory gives no recordings.
#[derive(Debug, thiserror::Error)]
pub enum FixturesError {
    /// The directory cannot be listed.
    #[error("{0} cannot be read: {1}")]
    Directory(PathBuf, io::Error),
    /// Nothing to answer with.
    #[error("{0} has no file that ends in .wav; put at least one recording of speech into it")]
    Empty(PathBuf),
    /// A file that is no WAV, or broken.
    #[error("{0} cannot be read as WAV: {1}; {REMEDY}")]
    File(PathBuf, hound::Error),
    /// A WAV in another form.
    #[error("{0} is {1}; it must be signed 16 bit with 1 or 2 channels: {REMEDY}")]
    Form(PathBuf, String),
    /// A WAV without samples.
    #[error("{0} has no audio; remove it or record it again")]
    Silent(PathBuf),
}

/// Recordings to answer with; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixtures(Arc<[Bytes]>);

impl Fixtures {
    /// Reads every recording of `directory`.
    pub fn load(directory: &Path) -> Result<Self, FixturesError> {
        let unreadable = |error| FixturesError::Directory(directory.to_owned(), error);
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("wav"))
            {
                files.push(path);
            }
        }
        files.sort();
        let recordings = files
            .iter()
            .map(|path| load_one(path))
            .collect::<Result<Vec<_>, _>>()?;
        if recordings.is_empty() {
            return Err(FixturesError::Empty(directory.to_owned()));
        }
        Ok(Self(recordings.into()))
    }

    /// How many recordings there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The recording for a fragment, at its own length.
    pub fn recording(&self, seq: FragmentSeq) -> Bytes {
        let at = seq.0 % u64::try_from(self.0.len()).unwrap_or(1).max(1);
        usize::try_from(at)
            .ok()
            .and_then(|at| self.0.get(at))
            .cloned()
            .unwrap_or_default()
    }
}

fn load_one(path: &Path) -> Result<Bytes, FixturesError> {
    let broken = |error| FixturesError::File(path.to_owned(), error);
    let mut reader = hound::WavReader::open(path).map_err(broken)?;
    let spec = reader.spec();
    if spec.sample_format != hound::SampleFormat::Int
        || spec.bits_per_sample != 16
        || !(1..=2).contains(&spec.channels)
    {
        let format = match spec.sample_format {
            hound::SampleFormat::Int => "integer",
            hound::SampleFormat::Float => "float",
        };
        let said = format!(
            "{} bit {format} with {} channels",
            spec.bits_per_sample, spec.channels
        );
        return Err(FixturesError::Form(path.to_owned(), said));
    }
    let samples = reader
        .samples::<i16>()
        .collect::<Result<Vec<_>, _>>()
        .map_err(broken)?;
    if samples.is_empty() {
        return Err(FixturesError::Silent(path.to_owned()));
    }
    if spec.channels == pcm::CHANNELS && spec.sample_rate == SAMPLE_RATE_HZ {
        return Ok(pcm::encode(samples));
    }
    let floats = samples.into_iter().map(pcm::normalize).collect();
    let stereo = resample::to_contract(floats, spec.channels, spec.sample_rate)
        .map_err(|error| FixturesError::Form(path.to_owned(), error.to_string()))?;
    Ok(pcm::encode(stereo.into_iter().map(pcm::quantize)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(path: &Path, channels: u16, sample_rate: u32, bits_per_sample: u16, samples: &[i16]) {
        let spec = hound::WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn recordings_are_taken_in_a_circle_by_name() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("b.wav"), 2, 48_000, 16, &[2, 2]);
        write(&dir.path().join("a.WAV"), 2, 48_000, 16, &[1, 1]);
        write(&dir.path().join("c.wav"), 2, 48_000, 16, &[3, 3]);
        fs::write(dir.path().join("README.md"), "about").unwrap();
        let fixtures = Fixtures::load(dir.path()).unwrap();
        let heard: Vec<i16> = (0..7)
            .map(|n| pcm::decode(&fixtures.recording(FragmentSeq(n))).next().unwrap())
            .collect();
        assert_eq!(heard, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn a_mono_recording_at_another_rate_becomes_48_khz_stereo() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("mono.wav"), 1, 22_050, 16, &[1000; 22_050]);
        let recording = Fixtures::load(dir.path()).unwrap().recording(FragmentSeq(9));
        assert!(recording.len().abs_diff(192_000) <= 8, "{}", recording.len());
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let said = || Fixtures::load(dir.path()).unwrap_err().to_string();
        assert!(said().contains("has no file that ends in .wav"), "{}", said());
        write(&dir.path().join("24bit.wav"), 2, 48_000, 24, &[1, 1]);
        assert!(
            said().contains("24bit.wav is 24 bit integer with 2 channels") && said().contains("ffmpeg"),
            "{}",
            said()
        );
        fs::write(dir.path().join("0.wav"), "no wave").unwrap();
        assert!(said().contains("0.wav cannot be read as WAV"), "{}", said());
        let missing = Fixtures::load(&dir.path().join("nowhere"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("nowhere cannot be read"), "{missing}");
    }
}
