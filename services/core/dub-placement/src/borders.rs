//! Where one answer becomes the next one, when there is no pause between them.
use crate::atoms::{Atom, STEP_FRAMES, STEP_SAMPLES};
use media_types::CHANNELS;
use realfft::RealFftPlanner;

/// Steps that a level is taken over: a dip between words, not between the waves of a vowel.
const SMOOTH: usize = 3;
/// How much lower than the sound around it a dip is at least.
const DEPTH: f64 = 0.4;
/// What a place at the edge of what is searched must be better by.
const DISTANCE: f64 = 0.5;
/// Steps of silence that a pause counts for at most.
const PAUSE_STEPS: usize = 30;

/// Sound that is compared with what was said before, in steps: about a syllable and a half.
pub(crate) const REPEATED_STEPS: usize = 30;
/// Of those at least this many have to sound: what is silence for the rest is said by everybody.
const REPEATED_SOUND: f32 = 15.0;
/// From which likeness on the same is said: 1 is the very same sound.
const ALIKE: f32 = 0.9;
/// How far apart the ends of the same sound are found, in steps; farther apart, it is said twice and nothing is known.
const SAME_PLACE: usize = 15;
/// What tells one sound of a voice from another lies below 5 kHz: bins of 50 Hz.
const VOICE_BINS: usize = 100;
/// Length of a spectrum up to which nothing sounds: that of noise of 50 steps of 16 bit, RMS, in the window used here.
const SILENT: f32 = 2.0e4;

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
            let pause = if index == 0 { 0.0 } else { pause_steps(atom) as f64 };
            offer(
                position + pause / 2.0,
                -0.5 * pause / PAUSE_STEPS as f64,
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
            position += pause_steps(atom) as f64;
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

/// What the silence before an atom counts for.
pub(crate) fn pause_steps(atom: &Atom) -> usize {
    let pause = atom.gap.frames() / STEP_FRAMES as i64;
    usize::try_from(pause).unwrap_or(0).min(PAUSE_STEPS)
}

/// Where a run has said once more what was said before: `tail` is the end of that. Both are compared by their spectra, so
/// nothing is found where the words, the voice or the tempo differ: then it is not known.
pub(crate) fn repeated(run: &[&Atom], tail: &[i16], target: f64, reach: f64) -> Option<Border> {
    let said = tail.len() / STEP_SAMPLES;
    if said < REPEATED_STEPS {
        return None;
    }
    let mut sound = Vec::new();
    let most = (target + reach).max(0.0) as usize * STEP_SAMPLES;
    for (index, atom) in run.iter().enumerate() {
        if most < sound.len() {
            break;
        }
        if 0 < index {
            sound.resize(sound.len() + pause_steps(atom) * STEP_SAMPLES, 0);
        }
        sound.extend_from_slice(atom.steps(atom.placed, atom.levels.len()));
    }
    let length = sound.len() / STEP_SAMPLES;
    // Only what is searched is transformed: a phrase may be half a minute long.
    let last = length.min((target + reach).max(0.0) as usize);
    let first = said.max((target - reach).max(0.0) as usize);
    let searched = sound.get((first - said) * STEP_SAMPLES..last * STEP_SAMPLES)?;
    let (tail, again) = (spectra(tail), spectra(searched));
    let likeness = |end: &usize| {
        let part = again.get(end - first..end - first + said).unwrap_or_default();
        let pairs = || tail.iter().zip(part);
        let same: f32 = pairs().map(|(one, two)| cosine(one, two)).sum();
        let sounding: f32 = pairs()
            .map(|(one, two)| cosine(one, one).max(cosine(two, two)))
            .sum();
        same / sounding.max(REPEATED_SOUND)
    };
    let mut alike = (first..=last).filter(|end| ALIKE <= likeness(end));
    let (earliest, latest) = (alike.next()?, alike.next_back());
    if latest.is_some_and(|latest| SAME_PLACE < latest - earliest) {
        return None;
    }
    let best =
        (earliest..=latest.unwrap_or(earliest)).max_by(|one, two| likeness(one).total_cmp(&likeness(two)))?;
    // Where all that has come was said before, its very last step is kept: what follows is told from there on.
    place(run, best.min(length - 1) as f64)
}

fn mono(pcm: &[i16]) -> Vec<f32> {
    pcm.chunks_exact(CHANNELS)
        .map(|pair| f32::from(pair.first().copied().unwrap_or_default()))
        .collect()
}

/// The spectrum of each step, of length 1; of length 0 where nothing sounds.
fn spectra(pcm: &[i16]) -> Vec<Vec<f32>> {
    let sound = mono(pcm);
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(2 * STEP_FRAMES);
    let mut out = Vec::new();
    let window: Vec<f32> = (0..2 * STEP_FRAMES)
        .map(|index| {
            let turn = std::f32::consts::PI * (index as f32 + 0.5) / STEP_FRAMES as f32;
            0.5 - 0.5 * turn.cos()
        })
        .collect();
    for step in 0..sound.len() / STEP_FRAMES {
        let mut part = plan.make_input_vec();
        let heard = sound.get(step * STEP_FRAMES..).unwrap_or_default();
        for ((slot, sample), share) in part.iter_mut().zip(heard).zip(&window) {
            *slot = sample * share;
        }
        let mut bins = plan.make_output_vec();
        if plan.process(&mut part, &mut bins).is_err() {
            return Vec::new();
        }
        let power: Vec<f32> = bins.iter().take(VOICE_BINS).map(|bin| bin.norm()).collect();
        let length = cosine(&power, &power).sqrt();
        let scale = if SILENT < length { 1.0 / length } else { 0.0 };
        out.push(power.into_iter().map(|level| level * scale).collect());
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
pub(crate) mod tests {
    use super::*;
    use media_types::MediaTime;

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
    pub(crate) fn spoken(seconds: f64, voice: f64) -> Vec<i16> {
        let frames = (seconds * 48_000.0).round() as usize;
        let sample = |frame: usize| {
            let at = frame as f64 / 48_000.0;
            let syllable = (at / 0.07) as usize;
            let pitch = voice * (300.0 + 110.0 * ((syllable * syllable * 7 + syllable * 3) % 23) as f64);
            (9_000.0 * (at * pitch * std::f64::consts::TAU).sin()) as i16
        };
        (0..frames).flat_map(|frame| [sample(frame); CHANNELS]).collect()
    }

    /// What was said before `until`, in seconds.
    fn tail(until: f64, voice: f64) -> Vec<i16> {
        let all = spoken(until, voice);
        all[all.len() - REPEATED_STEPS * STEP_SAMPLES..].to_vec()
    }

    fn sounding(pcm: Vec<i16>, gap_ms: i64) -> Atom {
        let mut atom = atom(&vec![1_000; pcm.len() / STEP_SAMPLES], gap_ms);
        atom.pcm = pcm;
        atom
    }

    #[test]
    fn what_is_said_again_is_found_where_the_same_voice_said_it_before() {
        let again = sounding(spoken(2.0, 1.0), 0);
        let found = repeated(&[&again], &tail(1.25, 1.0), 105.0, 35.0);
        assert_eq!(found, Some(Border { atom: 0, step: 125 }));
        // Too far from where it should be, said by another voice, or too short to tell.
        assert_eq!(repeated(&[&again], &tail(1.25, 1.0), 80.0, 35.0), None);
        assert_eq!(repeated(&[&again], &tail(1.25, 1.13), 105.0, 35.0), None);
        assert_eq!(repeated(&[&again], &tail(1.25, 1.0)[..9_600], 105.0, 35.0), None);
        assert_eq!(repeated(&[], &tail(1.25, 1.0), 105.0, 35.0), None);
    }

    #[test]
    fn what_is_said_again_may_have_a_pause_in_it_and_be_all_that_has_come() {
        let said = spoken(2.0, 1.0);
        let (one, two) = said.split_at(110 * STEP_SAMPLES);
        let (one, two) = (sounding(one.to_vec(), 0), sounding(two.to_vec(), 95));
        let tail = |until: usize| {
            let mut tail = said[..110 * STEP_SAMPLES].to_vec();
            tail.resize(tail.len() + 9 * STEP_SAMPLES, 0);
            tail.extend_from_slice(&said[110 * STEP_SAMPLES..until * STEP_SAMPLES]);
            tail.split_off(tail.len() - REPEATED_STEPS * STEP_SAMPLES)
        };
        let found = repeated(&[&one, &two], &tail(120), 120.0, 35.0);
        assert_eq!(found, Some(Border { atom: 1, step: 10 }));
        let found = repeated(&[&one, &two], &tail(200), 200.0, 35.0);
        assert_eq!(found, Some(Border { atom: 1, step: 89 }));
    }

    #[test]
    fn what_is_said_twice_tells_nothing() {
        let mut said = spoken(1.25, 1.0);
        let once_more = tail(1.25, 1.0);
        said.extend_from_slice(&once_more);
        said.extend_from_slice(&once_more);
        let again = sounding(said, 0);
        assert_eq!(repeated(&[&again], &once_more, 140.0, 60.0), None);
        let found = repeated(&[&again], &once_more, 120.0, 20.0);
        assert_eq!(found, Some(Border { atom: 0, step: 125 }));
    }

    #[test]
    fn silence_is_nothing_that_is_said_again() {
        let mut tail = tail(1.25, 1.0);
        tail[..20 * STEP_SAMPLES].fill(0);
        let mut said = spoken(2.0, 1.0);
        said[95 * STEP_SAMPLES..115 * STEP_SAMPLES].fill(0);
        let again = sounding(said, 0);
        assert_eq!(repeated(&[&again], &tail, 125.0, 35.0), None);
    }
}
