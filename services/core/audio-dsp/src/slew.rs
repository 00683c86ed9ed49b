//! Makes a block a sample longer or shorter, so that a drifting sample clock is followed without a jump.
use media_types::CHANNELS;

/// `input` read at a slightly other speed so that it fills `frames` frames: linear between neighbours, which at one
/// frame in a thousand is far below the codec's own error.
pub fn slew(input: &[i16], frames: usize) -> Vec<i16> {
    let own = input.len() / CHANNELS;
    if own == frames || own < 2 || frames < 2 {
        return input.to_vec();
    }
    let step = (own - 1) as f64 / (frames - 1) as f64;
    let mut out = Vec::with_capacity(frames * CHANNELS);
    for frame in 0..frames {
        let position = frame as f64 * step;
        let index = (position as usize).min(own - 2);
        let share = position - index as f64;
        for channel in 0..CHANNELS {
            let sample = |at: usize| f64::from(input.get(at * CHANNELS + channel).copied().unwrap_or(0));
            out.push((sample(index) * (1.0 - share) + sample(index + 1) * share).round() as i16);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_more_or_less_keeps_ends_and_shape() {
        let input: Vec<i16> = (0..1024 * 2).map(|n| (n / 2) as i16).collect();
        for frames in [1023, 1025] {
            let out = slew(&input, frames);
            assert_eq!(out.len(), frames * CHANNELS);
            assert_eq!((out[0], out[out.len() - 1]), (0, 1023));
            assert!(
                out.chunks_exact(2)
                    .zip(out[2..].chunks_exact(2))
                    .all(|(a, b)| a[0] <= b[0])
            );
        }
    }
}
