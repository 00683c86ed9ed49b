//! Arithmetic on PCM in the form of the contract: interleaved signed 16 bit little endian, 48 kHz, stereo.
use bytes::Bytes;
use media_types::MediaTime;

/// Channels of a frame.
pub const CHANNELS: u16 = 2;
/// Bytes of a frame.
pub const FRAME_BYTES: usize = 4;
/// Full scale of a signed 16 bit sample.
const FULL_SCALE: f32 = 32_768.0;

/// Frames in `bytes` of PCM; a broken last frame does not count.
pub const fn frames(bytes: usize) -> usize {
    bytes / FRAME_BYTES
}

/// Length of `bytes` of PCM.
pub fn length(bytes: usize) -> MediaTime {
    MediaTime::from_frames(i64::try_from(frames(bytes)).unwrap_or(i64::MAX))
}

/// Frames of a length; nothing for a negative one.
pub fn frames_of(length: MediaTime) -> usize {
    usize::try_from(length.frames()).unwrap_or(0)
}

/// Bytes to numbers.
pub fn decode(pcm: &[u8]) -> impl Iterator<Item = i16> + '_ {
    pcm.chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
}

/// Numbers to bytes.
pub fn encode(samples: impl IntoIterator<Item = i16>) -> Bytes {
    samples
        .into_iter()
        .flat_map(i16::to_le_bytes)
        .collect::<Vec<u8>>()
        .into()
}

/// Full scale 1.0 to a 16 bit sample; what is louder is limited.
pub fn quantize(sample: f32) -> i16 {
    // A cast saturates, so that 1.0 becomes the loudest sample and not the quietest.
    (sample * FULL_SCALE).round() as i16
}

/// A 16 bit sample to full scale 1.0.
pub fn normalize(sample: i16) -> f32 {
    f32::from(sample) / FULL_SCALE
}

/// Fades the last `frames` frames of `samples` (interleaved stereo) to silence.
pub fn fade_out(samples: &mut [i16], frames: usize) {
    let count = samples.len() / usize::from(CHANNELS);
    let frames = frames.min(count);
    for (n, frame) in samples
        .chunks_exact_mut(usize::from(CHANNELS))
        .skip(count - frames)
        .enumerate()
    {
        let gain = 1.0 - (n + 1) as f32 / frames as f32;
        for sample in frame {
            *sample = (f32::from(*sample) * gain).round() as i16;
        }
    }
}

/// Fades the first `frames` frames of `samples` (interleaved stereo) in from silence.
pub fn fade_in(samples: &mut [i16], frames: usize) {
    let frames = frames.min(samples.len() / usize::from(CHANNELS));
    for (n, frame) in samples
        .chunks_exact_mut(usize::from(CHANNELS))
        .take(frames)
        .enumerate()
    {
        let gain = n as f32 / frames as f32;
        for sample in frame {
            *sample = (f32::from(*sample) * gain).round() as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_both_ways() {
        let pcm: Vec<u8> = (0..=255).collect();
        assert_eq!(encode(decode(&pcm)), pcm);
        for sample in [i16::MIN, -1, 0, 1, i16::MAX] {
            assert_eq!(quantize(normalize(sample)), sample);
        }
    }

    #[test]
    fn what_is_too_loud_is_limited_and_does_not_wrap() {
        assert_eq!(
            [quantize(1.0), quantize(7.5), quantize(-7.5)],
            [i16::MAX, i16::MAX, i16::MIN]
        );
    }

    #[test]
    fn a_fade_ends_in_silence_and_leaves_the_rest_alone() {
        let mut samples = vec![1000_i16; 20];
        fade_out(&mut samples, 4);
        assert_eq!(
            samples,
            [[1000; 12].as_slice(), &[750, 750, 500, 500, 250, 250, 0, 0]].concat()
        );
        let mut short = vec![1000_i16; 4];
        fade_out(&mut short, 144);
        assert_eq!(short, [500, 500, 0, 0]);
        let mut samples = vec![1000_i16; 6];
        fade_in(&mut samples, 2);
        assert_eq!(samples, [0, 0, 500, 500, 1000, 1000]);
    }
}
