//! The speech that is sent.
use gemini_live::INPUT_RATE_HZ;
use hound::{SampleFormat, WavReader};
use std::fmt::Display;
use std::io::Read;
use std::path::Path;

/// A sentence of eight seconds; its origin stands beside it.
const SPEECH: &[u8] = include_bytes!("speech.wav");
/// Pause before speech is said again.
const PAUSE_SAMPLES: usize = INPUT_RATE_HZ as usize / 2;

/// The speech of this program.
pub fn bundled() -> Result<Vec<i16>, String> {
    samples(SPEECH)
}

/// Speech of a user.
pub fn read(path: &Path) -> Result<Vec<i16>, String> {
    let file = std::fs::File::open(path).map_err(|error| problem(path, error))?;
    samples(std::io::BufReader::new(file)).map_err(|error| problem(path, error))
}

fn problem(path: &Path, error: impl Display) -> String {
    format!(
        "{}: {error}; name a WAV of {INPUT_RATE_HZ} Hz, mono, 16 bit",
        path.display()
    )
}

fn samples(wav: impl Read) -> Result<Vec<i16>, String> {
    let reader = WavReader::new(wav).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    let fits = spec.sample_rate == INPUT_RATE_HZ
        && spec.channels == 1
        && spec.bits_per_sample == 16
        && spec.sample_format == SampleFormat::Int;
    if !fits {
        let (rate, channels, bits) = (spec.sample_rate, spec.channels, spec.bits_per_sample);
        return Err(format!("it has {rate} Hz, {channels} channels, {bits} bit"));
    }
    let samples: Result<Vec<i16>, _> = reader.into_samples().collect();
    match samples {
        Ok(samples) if samples.is_empty() => Err("there is no sound in it".to_owned()),
        Ok(samples) => Ok(samples),
        Err(error) => Err(error.to_string()),
    }
}

/// Speech of so many seconds: cut, or said again and again.
pub fn of_length(speech: Vec<i16>, seconds: Option<u64>) -> Vec<i16> {
    let Some(seconds) = seconds else { return speech };
    let wanted = usize::try_from(seconds).unwrap_or(1) * INPUT_RATE_HZ as usize;
    let pause = std::iter::repeat_n(0, PAUSE_SAMPLES);
    speech.iter().copied().chain(pause).cycle().take(wanted).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_bundled_speech_is_as_the_service_wants_it_and_is_repeated_behind_a_pause() {
        let speech = bundled().unwrap();
        assert_eq!(speech.len() / INPUT_RATE_HZ as usize, 8);
        assert!(speech.iter().any(|sample| sample.abs() > 5_000));
        assert_eq!(of_length(speech.clone(), None), speech);
        assert_eq!(of_length(speech.clone(), Some(3)), speech[..48_000]);
        let long = of_length(speech.clone(), Some(20));
        assert_eq!(long.len(), 320_000);
        let again = speech.len() + PAUSE_SAMPLES;
        assert_eq!(long[again..again + 1_000], speech[..1_000]);
    }
}
