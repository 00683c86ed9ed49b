//! What the twin understands of the sound that it is sent: coded phrases, or, where there is no code, speech by its
//! loudness. It knows nothing else of the source.

use crate::code::{Cell, PARTS_MAX};
use crate::ear::{Ear, HeardCell};
use crate::tones::SOURCE;

/// Length of a part of speech that has no code.
const PART_S: f64 = 0.4;
/// Loudness is judged in steps of this length.
const STEP_S: f64 = 0.02;
/// Speech is louder than this, and stands out of the background by this factor (amplitudes).
const SPEECH_MIN: f64 = 0.006;
const SPEECH_OVER_BACKGROUND: f64 = 3.0;
/// Speech goes on through pauses shorter than this.
const HANGOVER_S: f64 = 0.3;

/// How phrases are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hears {
    /// By code as soon as one was heard anywhere, until then by loudness.
    #[default]
    Auto,
    /// By code alone.
    Codes,
    /// By loudness alone; no answer carries a number.
    Loudness,
}

/// The hearing of one connection.
#[derive(Debug)]
pub struct Hearing {
    ear: Ear,
    hears: Hears,
    coded: bool,
    loud: Loudness,
    rate: f64,
    heard: u64,
}

/// Speech by loudness: steps, background, and the speech that goes on.
#[derive(Debug, Default)]
struct Loudness {
    step: Vec<f32>,
    background: f64,
    began_s: Option<f64>,
    last_s: Option<f64>,
    parts: u8,
    told_s: f64,
}

impl Hearing {
    /// Hearing of sound with this rate; `coded` when a code was heard elsewhere already.
    pub fn new(hears: Hears, rate: u32, coded: bool) -> Self {
        Self {
            ear: Ear::new(SOURCE, rate),
            hears,
            coded,
            loud: Loudness {
                background: 1.0,
                ..Loudness::default()
            },
            rate: f64::from(rate),
            heard: 0,
        }
    }

    /// Seconds of sound heard.
    pub fn position_s(&self) -> f64 {
        self.heard as f64 / self.rate
    }

    /// Whether a code was heard here.
    pub fn is_coded(&self) -> bool {
        self.coded
    }

    /// Where speech was last heard.
    pub fn last_speech_s(&self) -> Option<f64> {
        if self.by_code() {
            self.ear.last_code_s()
        } else {
            self.loud.last_s
        }
    }

    /// The sound is cut here: says which part of a phrase is complete if it ended with the sound.
    pub fn cut(&mut self) -> Vec<HeardCell> {
        if self.by_code() {
            self.ear.cut()
        } else {
            self.loud.cut()
        }
    }

    /// Another turn begins: what was cut at the end of the last one is told, and is not completed by what comes.
    pub fn forget(&mut self) {
        self.ear.forget();
    }

    fn by_code(&self) -> bool {
        match self.hears {
            Hears::Auto => self.coded,
            Hears::Codes => true,
            Hears::Loudness => false,
        }
    }

    /// Hears more sound and says which parts of phrases are complete.
    pub fn hear(&mut self, samples: &[i16]) -> Vec<HeardCell> {
        let sound: Vec<f32> = samples
            .iter()
            .map(|sample| f32::from(*sample) / 32_768.0)
            .collect();
        let from_s = self.position_s();
        self.heard += samples.len() as u64;
        let coded = match self.hears {
            Hears::Loudness => Vec::new(),
            Hears::Auto | Hears::Codes => self.ear.hear(&sound),
        };
        self.coded |= coded.iter().any(|heard| heard.piece.is_none());
        if self.by_code() {
            return coded;
        }
        self.loud.hear(&sound, from_s, self.rate)
    }
}

impl Loudness {
    fn hear(&mut self, sound: &[f32], from_s: f64, rate: f64) -> Vec<HeardCell> {
        let length = (rate * STEP_S) as usize;
        let mut parts = Vec::new();
        for (index, sample) in sound.iter().enumerate() {
            self.step.push(*sample);
            if self.step.len() == length {
                let end_s = from_s + (index + 1) as f64 / rate;
                let power: f64 = self.step.iter().map(|sample| f64::from(*sample).powi(2)).sum();
                self.step.clear();
                self.judge((power / length as f64).sqrt(), end_s, &mut parts);
            }
        }
        parts
    }

    /// One step of `level`, ending at `end_s`.
    fn judge(&mut self, level: f64, end_s: f64, parts: &mut Vec<HeardCell>) {
        // The background is what is quiet: down at once, up slowly.
        self.background = level.min(self.background * 1.005).max(1e-5);
        if level > SPEECH_MIN && level > SPEECH_OVER_BACKGROUND * self.background {
            self.last_s = Some(end_s);
            if self.began_s.is_none() {
                self.began_s = Some(end_s - STEP_S);
                self.told_s = end_s - STEP_S;
                self.parts = 0;
            }
        }
        let (Some(_), Some(last_s)) = (self.began_s, self.last_s) else {
            return;
        };
        // Half a part late, so that a code, should there be one, is heard first.
        if last_s >= self.told_s + PART_S && end_s >= self.told_s + 1.5 * PART_S {
            parts.push(self.part(self.told_s + PART_S));
        } else if end_s - last_s >= HANGOVER_S {
            parts.extend(self.cut());
        }
    }

    /// Speech is over, or its sound is: the rest of it is a part of its own if it is long enough.
    fn cut(&mut self) -> Vec<HeardCell> {
        let last_s = self.last_s.filter(|_| self.began_s.is_some());
        self.began_s = None;
        last_s
            .filter(|last_s| *last_s > self.told_s + PART_S / 4.0)
            .map(|last_s| self.part(last_s))
            .into_iter()
            .collect()
    }

    fn part(&mut self, end_s: f64) -> HeardCell {
        let cell = Cell {
            number: 0,
            part: self.parts,
            parts: PARTS_MAX,
        };
        let part = HeardCell {
            cell,
            piece: None,
            start_s: self.told_s,
            end_s,
        };
        self.parts = (self.parts + 1) % PARTS_MAX;
        self.told_s = end_s;
        part
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn speech(seconds: f64, amplitude: f64) -> Vec<i16> {
        let mut state = 1_u64;
        (0..(seconds * 16_000.0) as usize)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 33) as f64 / f64::from(1_u32 << 31) * 2.0 - 1.0) * amplitude * 32_767.0
            })
            .map(|sample| sample as i16)
            .collect()
    }

    #[test]
    fn speech_without_a_code_is_heard_by_its_loudness_part_by_part() {
        let mut hearing = Hearing::new(Hears::Auto, 16_000, false);
        let mut sound = speech(1.0, 0.0);
        sound.extend(speech(2.0, 0.2));
        sound.extend(speech(1.0, 0.0));
        let parts: Vec<HeardCell> = sound
            .chunks(1_600)
            .flat_map(|chunk| hearing.hear(chunk))
            .collect();
        assert_eq!(parts.len(), 5, "{parts:?}");
        assert!((parts[0].start_s - 1.0).abs() < 0.03, "{parts:?}");
        assert!((parts[4].end_s - 3.0).abs() < 0.03, "{parts:?}");
        assert!(parts.iter().all(|part| part.cell.number == 0));
        assert!((hearing.last_speech_s().unwrap() - 3.0).abs() < 0.03);
    }

    #[test]
    fn a_twin_that_hears_codes_alone_takes_nothing_else_for_speech() {
        let mut hearing = Hearing::new(Hears::Codes, 16_000, false);
        assert_eq!(hearing.hear(&speech(3.0, 0.2)), Vec::new());
    }
}
