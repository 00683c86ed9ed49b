//! Where one answer becomes the next one, when there is no pause between them.
use crate::atoms::{Atom, STEP_FRAMES};
use media_types::CHANNELS;
use realfft::RealFftPlanner;

/// Steps that a level is taken over: a dip between words, not between the waves of a vowel.
const SMOOTH: usize = 3;
/// How much lower than the sound around it a dip is at least.
const DEPTH: f64 = 0.4;
/// What a place at the edge of what is searched must be better by.
const DISTANCE: f64 = 0.5;
/// Steps of silence that a pause counts for at most.
const PAUSE_STEPS: f64 = 30.0;

/// Sound that is compared with what was said before, in steps: about a syllable and a half.
pub(crate) const REPEATED_STEPS: usize = 30;
/// From which likeness on the same is said: 1 is the very same sound.
const ALIKE: f32 = 0.9;
/// How far apart the ends of the same sound are found, in steps; farther apart, it is said twice and nothing is known.
const SAME_PLACE: usize = 15;
/// What tells one sound of a voice from another lies below 5 kHz: bins of 50 Hz.
const VOICE_BINS: usize = 100;

/// A place in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Border {
    /// Atom that the second part begins in, from the first of the run on.
    pub(crate) atom: usize,
    /// Its step there.
    pub(crate) step: usize,
}

/// The best place for a border within `reach` steps of `target`, both counted in what is not placed yet of the run. A
/// pause is better than a dip, a near place better than a far one; nothing where no word ends.
pub(crate) fn border(run: &[&Atom], target: f64, reach: f64) -> Option<Border> {
    let mut best: Option<(f64, Border)> = None;
    let mut offer = |at: f64, quality: f64, border: Border| {
        let distance = (at - target).abs() / reach.max(1.0);
        let score = quality + DISTANCE * distance;
        if distance <= 1.0 && best.is_none_or(|(least, _)| score < least) {
            best = Some((score, border));
        }
    };
    let mut position = 0.0;
    for (index, atom) in run.iter().enumerate() {
        if 0 < index || atom.placed == 0 {
            let pause = if index == 0 { 0 } else { atom.gap.frames() };
            let pause = (pause as f64 / STEP_FRAMES as f64).clamp(0.0, PAUSE_STEPS);
            offer(
                position + pause / 2.0,
                -0.5 * pause / PAUSE_STEPS,
                Border { atom: index, step: 0 },
            );
            position += pause;
        }
        let levels = atom.levels.get(atom.placed..).unwrap_or_default();
        let usual = median(levels);
        for step in SMOOTH..levels.len().saturating_sub(SMOOTH) {
            let around = levels
                .get(step - SMOOTH / 2..=step + SMOOTH / 2)
                .unwrap_or_default();
            let level = around.iter().map(|level| f64::from(*level)).sum::<f64>() / SMOOTH as f64;
            let depth = level / usual.max(1.0);
            if depth <= DEPTH {
                let border = Border {
                    atom: index,
                    step: atom.placed + step,
                };
                offer(position + step as f64, depth, border);
            }
        }
        position += levels.len() as f64;
    }
    best.map(|(_, border)| border)
}

/// The place at a position of a run, counted as in [`border`]; in a pause, what follows it.
pub(crate) fn place(run: &[&Atom], at: f64) -> Option<Border> {
    let mut position = 0.0;
    for (index, atom) in run.iter().enumerate() {
        if 0 < index {
            position += (atom.gap.frames() as f64 / STEP_FRAMES as f64).clamp(0.0, PAUSE_STEPS);
        }
        let left = atom.levels.len().saturating_sub(atom.placed);
        if at < position + left as f64 {
            let step = atom.placed + (at - position).max(0.0) as usize;
            return Some(Border { atom: index, step });
        }
        position += left as f64;
    }
    None
}

/// Where a run has said once more what was said before: `tail` is the end of that. Both are compared by their spectra, so
/// nothing is found where the words, the voice or the tempo differ: then it is not known.
pub(crate) fn repeated(run: &[&Atom], tail: &[i16], target: f64, reach: f64) -> Option<Border> {
    let mut sound = Vec::new();
    for (index, atom) in run.iter().enumerate() {
        if 0 < index {
            let pause = (atom.gap.frames() / STEP_FRAMES as i64).clamp(0, PAUSE_STEPS as i64);
            sound.resize(
                sound.len() + usize::try_from(pause).unwrap_or(0) * STEP_FRAMES,
                0.0,
            );
        }
        sound.extend(mono(atom.steps(atom.placed, atom.levels.len())));
    }
    let until = (target + reach).max(0.0) as usize * STEP_FRAMES;
    sound.truncate(until);
    let (said, again) = (spectra(&mono(tail)), spectra(&sound));
    let first = said.len().max((target - reach).max(0.0) as usize);
    if said.len() < REPEATED_STEPS {
        return None;
    }
    let likeness = |end: &usize| {
        let part = again.get(end - said.len()..*end).unwrap_or_default();
        let sum: f32 = said.iter().zip(part).map(|(one, two)| cosine(one, two)).sum();
        sum / said.len() as f32
    };
    let mut alike = (first..=again.len()).filter(|end| ALIKE <= likeness(end));
    let (earliest, latest) = (alike.next()?, alike.next_back());
    if latest.is_some_and(|latest| SAME_PLACE < latest - earliest) {
        return None;
    }
    let best =
        (earliest..=latest.unwrap_or(earliest)).max_by(|one, two| likeness(one).total_cmp(&likeness(two)))?;
    place(run, best as f64)
}

fn mono(pcm: &[i16]) -> Vec<f32> {
    pcm.chunks_exact(CHANNELS)
        .map(|pair| f32::from(pair.first().copied().unwrap_or_default()))
        .collect()
}

/// The spectrum of each step, of length 1.
fn spectra(sound: &[f32]) -> Vec<Vec<f32>> {
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(2 * STEP_FRAMES);
    let mut out = Vec::new();
    for step in 0..sound.len() / STEP_FRAMES {
        let mut part = plan.make_input_vec();
        let heard = sound.get(step * STEP_FRAMES..).unwrap_or_default();
        for (index, (slot, sample)) in part.iter_mut().zip(heard).enumerate() {
            let turn = std::f32::consts::PI * (index as f32 + 0.5) / STEP_FRAMES as f32;
            *slot = sample * (0.5 - 0.5 * turn.cos());
        }
        let mut bins = plan.make_output_vec();
        if plan.process(&mut part, &mut bins).is_err() {
            return Vec::new();
        }
        let power: Vec<f32> = bins.iter().take(VOICE_BINS).map(|bin| bin.norm()).collect();
        let length = cosine(&power, &power).sqrt().max(1.0);
        out.push(power.into_iter().map(|level| level / length).collect());
    }
    out
}

fn cosine(one: &[f32], two: &[f32]) -> f32 {
    one.iter().zip(two).map(|(a, b)| a * b).sum()
}

fn median(levels: &[u16]) -> f64 {
    let mut sorted = levels.to_vec();
    sorted.sort_unstable();
    sorted
        .get(sorted.len() / 2)
        .map_or(0.0, |level| f64::from(*level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_types::{CHANNELS, MediaTime};

    fn atom(levels: &[u16], gap_ms: i64) -> Atom {
        Atom {
            connection: 1,
            turn: None,
            start: MediaTime::ZERO,
            gap: MediaTime::from_millis(gap_ms),
            earliest: (MediaTime::ZERO, MediaTime::ZERO),
            latest: (MediaTime::ZERO, MediaTime::ZERO),
            heard_at: MediaTime::ZERO,
            leapt: MediaTime::ZERO,
            open: false,
            pcm: vec![0; levels.len() * STEP_FRAMES * CHANNELS],
            levels: levels.to_vec(),
            placed: 0,
        }
    }

    fn levels(dips: &[usize]) -> Vec<u16> {
        let dipped = |step: &usize| dips.iter().any(|dip| step.abs_diff(*dip) <= 1);
        (0..200)
            .map(|step| if dipped(&step) { 100 } else { 1_000 })
            .collect()
    }

    #[test]
    fn the_nearest_dip_is_the_border() {
        let atom = atom(&levels(&[20, 90, 150]), 0);
        let found = border(&[&atom], 100.0, 60.0);
        assert_eq!(found, Some(Border { atom: 0, step: 90 }));
    }

    #[test]
    fn a_pause_is_a_better_border_than_a_dip() {
        let (one, two) = (atom(&levels(&[195]), 0), atom(&levels(&[]), 200));
        let found = border(&[&one, &two], 195.0, 60.0);
        assert_eq!(found, Some(Border { atom: 1, step: 0 }));
    }

    #[test]
    fn no_word_is_cut() {
        let atom = atom(&levels(&[]), 0);
        assert_eq!(border(&[&atom], 100.0, 60.0), None);
    }

    /// Sound whose pitch changes every 70 ms, as it was spoken by a voice of its own.
    fn spoken(seconds: f64, voice: f64) -> Vec<i16> {
        let frames = (seconds * 48_000.0) as usize;
        let sample = |frame: usize| {
            let at = frame as f64 / 48_000.0;
            let syllable = (at / 0.07) as usize;
            let pitch = voice * (300.0 + 110.0 * ((syllable * syllable * 7 + syllable * 3) % 23) as f64);
            (9_000.0 * (at * pitch * std::f64::consts::TAU).sin()) as i16
        };
        (0..frames).flat_map(|frame| [sample(frame); CHANNELS]).collect()
    }

    #[test]
    fn what_is_said_again_is_found_where_the_same_voice_said_it_before() {
        let mut again = atom(&levels(&[]), 0);
        again.pcm = spoken(2.0, 1.0);
        let said = |until: f64, voice: f64| {
            let all = spoken(until, voice);
            all[all.len() - REPEATED_STEPS * STEP_FRAMES * CHANNELS..].to_vec()
        };
        let found = repeated(&[&again], &said(1.25, 1.0), 105.0, 35.0);
        assert_eq!(found, Some(Border { atom: 0, step: 125 }));
        // Too far from where it should be, said by another voice, or too short to tell.
        assert_eq!(repeated(&[&again], &said(1.25, 1.0), 80.0, 35.0), None);
        assert_eq!(repeated(&[&again], &said(1.25, 1.13), 105.0, 35.0), None);
        assert_eq!(repeated(&[&again], &said(1.25, 1.0)[..9_600], 105.0, 35.0), None);
        assert_eq!(repeated(&[], &said(1.25, 1.0), 105.0, 35.0), None);
    }
}
