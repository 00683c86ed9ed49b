//! Fits an answer to its fragment, or says why it cannot be used.
//!
//! * An answer in the contract's form and of the right length passes untouched, to the bit.
//! * Wrong rate or channels are converted, what is too loud is limited, what is too long is cut with a fade,
//!   what is too short is followed by silence.
//! * No audio at all, a broken frame or a sample that is not a number is refused: guessing would be heard.
use crate::pcm;
use crate::provider::{Answer, Samples};
use crate::resample::{self, ResampleError};
use bytes::Bytes;
use media_types::{MediaTime, SAMPLE_RATE_HZ};

/// Length of the fade where an answer is cut or ends: 3 ms, too short to be heard and long enough not to click.
pub const FADE_FRAMES: usize = 144;

/// An answer that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// As long as the fragment, in the contract's form.
    pub pcm: Bytes,
    /// Length of the answer minus length of the fragment.
    pub alignment_delta: MediaTime,
    /// Whether anything had to be changed.
    pub repaired: bool,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing came.
    #[error("invalid output: the answer has no audio")]
    Empty,
    /// Half a frame at the end.
    #[error("invalid output: {0} bytes are no whole number of frames")]
    BrokenFrame(usize),
    /// Not a number, or infinite.
    #[error("invalid output: sample {0} is not a finite number")]
    NotANumber(usize),
    /// A form that cannot be converted.
    #[error("invalid output: {0}")]
    Form(#[from] ResampleError),
}

/// Fits `answer` to a fragment of `frames` frames.
pub fn fit(answer: Answer, frames: usize) -> Result<Fitted, Unusable> {
    let (pcm, mut repaired) = to_contract(answer)?;
    if pcm.is_empty() {
        return Err(Unusable::Empty);
    }
    let got = pcm::frames(pcm.len());
    let delta = i64::try_from(got).unwrap_or(i64::MAX) - i64::try_from(frames).unwrap_or(i64::MAX);
    let pcm = if delta == 0 {
        pcm
    } else {
        repaired = true;
        resize(&pcm, frames)
    };
    Ok(Fitted {
        pcm,
        alignment_delta: MediaTime::from_frames(delta),
        repaired,
    })
}

/// Cuts or pads to `frames`. Either way the answer ends in a fade: cut speech and a recording that stops in the
/// middle of a wave click alike.
fn resize(pcm: &Bytes, frames: usize) -> Bytes {
    let wanted = frames * usize::from(pcm::CHANNELS);
    let mut samples: Vec<i16> = pcm::decode(pcm).take(wanted).collect();
    pcm::fade_out(&mut samples, FADE_FRAMES);
    samples.resize(wanted, 0);
    pcm::encode(samples)
}

/// The contract's form, and whether the samples had to be changed for it.
fn to_contract(answer: Answer) -> Result<(Bytes, bool), Unusable> {
    let Answer {
        samples,
        sample_rate_hz,
        channels,
    } = answer;
    let in_form = sample_rate_hz == SAMPLE_RATE_HZ && channels == pcm::CHANNELS;
    let floats = match samples {
        Samples::S16(bytes) => {
            if bytes.len() % (usize::from(channels.max(1)) * 2) != 0 {
                return Err(Unusable::BrokenFrame(bytes.len()));
            }
            if in_form {
                return Ok((bytes, false));
            }
            pcm::decode(&bytes).map(pcm::normalize).collect::<Vec<f32>>()
        }
        Samples::F32(floats) => {
            if floats.len() % usize::from(channels.max(1)) != 0 {
                return Err(Unusable::BrokenFrame(floats.len() * 4));
            }
            if let Some(at) = floats.iter().position(|sample| !sample.is_finite()) {
                return Err(Unusable::NotANumber(at));
            }
            floats
        }
    };
    let floats = resample::to_contract(floats, channels, sample_rate_hz)?;
    let too_loud = floats.iter().any(|sample| sample.abs() > 1.0);
    Ok((
        pcm::encode(floats.into_iter().map(pcm::quantize)),
        too_loud || !in_form,
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn floats(samples: Vec<f32>, sample_rate_hz: u32, channels: u16) -> Answer {
        Answer {
            samples: Samples::F32(samples),
            sample_rate_hz,
            channels,
        }
    }

    #[test]
    fn an_answer_that_fits_passes_to_the_bit() {
        let pcm = pcm::encode((0..2000).map(|n| (n * 31 % 65_536 - 32_768) as i16));
        let fitted = fit(Answer::contract(pcm.clone()), 1000).unwrap();
        assert_eq!(
            fitted,
            Fitted {
                pcm,
                alignment_delta: MediaTime::ZERO,
                repaired: false
            }
        );
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_fade() {
        let fitted = fit(Answer::contract(pcm::encode(vec![1000; 2400])), 1000).unwrap();
        let samples: Vec<i16> = pcm::decode(&fitted.pcm).collect();
        assert_eq!(
            (samples.len(), fitted.repaired, fitted.alignment_delta.frames()),
            (2000, true, 200)
        );
        assert!(
            samples[..2 * (1000 - FADE_FRAMES)]
                .iter()
                .all(|sample| *sample == 1000)
        );
        assert!(samples.windows(3).all(|w| (w[2] - w[0]).abs() < 20), "no step");
        assert_eq!(samples[1999], 0);
    }

    #[test]
    fn what_is_too_short_is_followed_by_silence() {
        let fitted = fit(Answer::contract(pcm::encode(vec![1000; 800])), 1000).unwrap();
        let samples: Vec<i16> = pcm::decode(&fitted.pcm).collect();
        assert_eq!(
            (samples.len(), fitted.repaired, fitted.alignment_delta.frames()),
            (2000, true, -600)
        );
        assert_eq!(samples[0], 1000);
        assert!(samples[800..].iter().all(|sample| *sample == 0));
        assert!(samples.windows(3).all(|w| (w[2] - w[0]).abs() < 20), "no step");
    }

    #[test]
    fn wrong_rate_and_channels_are_converted() {
        let fitted = fit(floats(vec![0.25; 24_000], 24_000, 1), 48_000).unwrap();
        assert_eq!(
            (fitted.pcm.len(), fitted.repaired, fitted.alignment_delta.frames()),
            (192_000, true, 0)
        );
        let middle: Vec<i16> = pcm::decode(&fitted.pcm[96_000..96_400]).collect();
        assert!(
            middle.iter().all(|sample| (sample - 8192).abs() < 40),
            "{middle:?}"
        );
    }

    #[test]
    fn what_is_too_loud_is_limited_and_said() {
        let fitted = fit(floats(vec![1.5, -1.5, 0.5, 0.5], 48_000, 2), 2).unwrap();
        assert!(fitted.repaired);
        assert_eq!(
            pcm::decode(&fitted.pcm).collect::<Vec<_>>(),
            [i16::MAX, i16::MIN, 16_384, 16_384]
        );
        assert!(!fit(floats(vec![0.5, 0.5], 48_000, 2), 1).unwrap().repaired);
    }

    #[test]
    fn what_cannot_be_heard_is_refused() {
        let refused = |answer| fit(answer, 10).unwrap_err();
        assert_eq!(
            refused(floats(vec![0.0, f32::NAN], 48_000, 2)),
            Unusable::NotANumber(1)
        );
        assert_eq!(
            refused(floats(vec![f32::INFINITY, 0.0], 48_000, 2)),
            Unusable::NotANumber(0)
        );
        assert_eq!(refused(floats(vec![], 48_000, 2)), Unusable::Empty);
        assert_eq!(
            refused(Answer::contract(Bytes::from_static(&[0; 6]))),
            Unusable::BrokenFrame(6)
        );
        assert_eq!(
            refused(floats(vec![0.0], 0, 1)),
            Unusable::Form(ResampleError::Rate(0))
        );
        assert_eq!(
            refused(floats(vec![0.0], 48_000, 0)),
            Unusable::Form(ResampleError::NoChannel)
        );
    }
}
