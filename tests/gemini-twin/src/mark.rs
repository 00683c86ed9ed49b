//! Puts the code on source speech, for tests: the twin and its listener read it back from the sound.

use crate::code::{Cell, NUMBER_MAX, PARTS_MAX};
use crate::listen::cells;
use crate::tones::SOURCE;

/// Amplitude of each tone of a mark: about -18 dB of full scale.
pub const GAIN: f64 = 0.13;
/// The shortest part; a phrase has as many parts as fit, up to 16.
pub const PART_S_MIN: f64 = 0.28;
/// Pauses shorter than this do not end a phrase, phrases shorter than this are none.
const PAUSE_S: f64 = 0.3;
const PHRASE_S_MIN: f64 = 0.4;
/// Louder than this (RMS of 20 ms) is speech.
const SPEECH: f64 = 0.01;

/// A phrase in samples: `[start, end)`.
pub type Span = (usize, usize);

/// Where speech is in clean speech (marks are put on before music is mixed under it).
pub fn phrases(speech: &[f32], rate: u32) -> Vec<Span> {
    let step = (f64::from(rate) * 0.02) as usize;
    let pause = (f64::from(rate) * PAUSE_S) as usize;
    let mut spans: Vec<Span> = Vec::new();
    for (index, chunk) in speech.chunks(step.max(1)).enumerate() {
        let power: f64 = chunk.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        if (power / chunk.len() as f64).sqrt() < SPEECH {
            continue;
        }
        let (start, end) = (index * step, index * step + chunk.len());
        match spans.last_mut().filter(|last| start - last.1 < pause) {
            Some(last) => last.1 = end,
            None => spans.push((start, end)),
        }
    }
    let shortest = (f64::from(rate) * PHRASE_S_MIN) as usize;
    spans.retain(|(start, end)| end - start >= shortest);
    spans
}

/// How much quieter speech becomes where it hides a mark.
const DUCK: f32 = 0.25;

/// Adds the marks of phrase `number` to `[start, end)`, and makes sure that they are heard: a part that speech hides is
/// marked again over quieter speech.
pub fn mark_clearly(sound: &mut [f32], rate: u32, span: Span, number: u16) {
    let end = span.1.min(sound.len());
    let start = span.0.min(end);
    let span = (start, end);
    let clean = sound[start..end].to_vec();
    mark(sound, rate, span, number);
    let heard = cells(&sound[start..end], rate, SOURCE);
    let parts = parts(clean.len(), rate);
    let hidden: Vec<u8> = (0..parts)
        .filter(|part| {
            !heard
                .iter()
                .any(|it| it.cell.part == *part && it.cell.number == number)
        })
        .collect();
    if hidden.is_empty() {
        return;
    }
    sound[start..end].copy_from_slice(&clean);
    let length = clean.len() / usize::from(parts);
    for part in hidden.into_iter().map(usize::from) {
        for sample in &mut sound[start + part * length..(start + (part + 1) * length).min(end)] {
            *sample *= DUCK;
        }
    }
    mark(sound, rate, span, number);
}

/// Parts of a phrase of this length.
pub fn parts(samples: usize, rate: u32) -> u8 {
    let length_s = samples as f64 / f64::from(rate);
    ((length_s / PART_S_MIN) as u8).clamp(1, PARTS_MAX)
}

/// Adds the marks of phrase `number` to `[start, end)`.
pub fn mark(sound: &mut [f32], rate: u32, span: Span, number: u16) {
    let (start, end) = span;
    let end = end.min(sound.len());
    let length_s = end.saturating_sub(start) as f64 / f64::from(rate);
    let parts = parts(end.saturating_sub(start), rate);
    let symbol_s = length_s / f64::from(parts) / 4.0;
    let symbols: Vec<_> = (0..parts)
        .flat_map(|part| {
            Cell {
                number: number & NUMBER_MAX,
                part,
                parts,
            }
            .symbols()
        })
        .collect();
    for (index, sample) in sound.iter_mut().take(end).skip(start).enumerate() {
        let at_s = index as f64 / f64::from(rate);
        let position = ((at_s / symbol_s) as usize).min(symbols.len() - 1);
        let within_s = at_s - position as f64 * symbol_s;
        let mark = SOURCE.sample(symbols[position], within_s, symbol_s, GAIN);
        *sample = (*sample + mark as f32).clamp(-1.0, 1.0);
    }
}

/// Marks every phrase of clean speech with numbers from `first` on, and says where they are. After 1023 comes 1.
pub fn mark_all(speech: &mut [f32], rate: u32, first: u16) -> Vec<(u16, Span)> {
    phrases(speech, rate)
        .into_iter()
        .zip((first.max(1)..=NUMBER_MAX).chain((1..=NUMBER_MAX).cycle()))
        .map(|(span, number)| {
            mark_clearly(speech, rate, span, number);
            (number, span)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phrases::{Hearing, Hears};

    #[test]
    fn marked_phrases_are_heard_with_their_numbers_and_all_their_parts() {
        let rate = 16_000;
        let mut sound = vec![0.0_f32; 16_000 * 6];
        let mut state = 7_u32;
        for range in [8_000..40_000, 48_000..90_000] {
            for sample in &mut sound[range] {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * 0.2;
            }
        }
        let marked = mark_all(&mut sound, rate, 40);
        assert_eq!(marked.iter().map(|it| it.0).collect::<Vec<_>>(), [40, 41]);
        let samples: Vec<i16> = sound.iter().map(|sample| (sample * 32_767.0) as i16).collect();
        let mut hearing = Hearing::new(Hears::Auto, rate, false);
        let heard: Vec<_> = samples
            .chunks(1_600)
            .flat_map(|chunk| hearing.hear(chunk))
            .collect();
        let told: Vec<(u16, u8, u8)> = heard
            .iter()
            .map(|it| (it.cell.number, it.cell.part, it.cell.parts))
            .collect();
        let wanted: Vec<(u16, u8, u8)> = (0..7)
            .map(|part| (40, part, 7))
            .chain((0..9).map(|part| (41, part, 9)))
            .collect();
        assert_eq!(told, wanted);
    }
    #[test]
    fn a_part_that_speech_hides_is_marked_over_quieter_speech() {
        let rate = 16_000;
        let mut sound = vec![0.0_f32; 32_000];
        let mut state = 11_u32;
        for sample in &mut sound[8_000..16_000] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * 1.9;
        }
        let heard = |sound: &[f32]| cells(sound, rate, SOURCE).len();
        let mut hidden = sound.clone();
        mark(&mut hidden, rate, (0, 32_000), 5);
        assert!(heard(&hidden) < 7, "the noise is loud enough to hide marks");
        mark_clearly(&mut sound, rate, (0, 32_000), 5);
        assert_eq!(heard(&sound), 7);
    }
}
