//! Where one answer becomes the next one, when there is no pause between them.
use crate::atoms::{Atom, STEP_FRAMES};

/// Steps that a level is taken over: a dip between words, not between the waves of a vowel.
const SMOOTH: usize = 3;
/// How much lower than the sound around it a dip is at least.
const DEPTH: f64 = 0.4;
/// What a place at the edge of what is searched must be better by.
const DISTANCE: f64 = 0.5;
/// Steps of silence that a pause counts for at most.
const PAUSE_STEPS: f64 = 30.0;

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
}
