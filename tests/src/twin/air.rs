//! What a reader of `/out` heard: which phrases of the programme were dubbed, where, and where the original was heard
//! instead. By ear alone: the twin's voice and the marks of the original lie in different bands.

use super::programme::{Programme, Spoken, decoded};
use anyhow::{Result, ensure};
use gemini_twin::ear::HeardCell;
use gemini_twin::listen::Listener;
use gemini_twin::tones::ANSWER;
use media_judge::Recording;
use media_judge::arrivals::{Arrival, Kind, Silence, longest_silence};
use media_judge::units::{self, UnitReport};
use std::f64::consts::{PI, SQRT_2};
use std::path::Path;

/// Rate at which is listened: what a mark and a voice need.
const RATE: u32 = 16_000;
/// Between two values of an envelope.
const STEP_S: f64 = 0.02;
/// Above the twin's voice, at the high tones of the marks.
const MARKS_HZ: f64 = 4_700.0;
/// Below this level no mark sounds in the programme.
const MARK_DB: f64 = -45.0;
/// The original is heard as such down to this gain; under a dub it has less.
const ORIGINAL_DB: f64 = -7.0;
/// A dub is looked for so long before and behind its phrase.
const BEFORE_S: f64 = 20.0;
const BEHIND_S: f64 = 60.0;
/// A dub that begins so long before its phrase is another's.
const EARLY_S: f64 = 1.2;
/// What is not judged at the end of a recording, and a moment.
const MISSING_S_MAX: f64 = 2.0;
/// What stands in front of this is where the stream was joined.
const SETTLED_S: f64 = 4.0;
/// What is said so shortly before the end of the programme is not judged: its end is another matter.
const LAST_S: f64 = 4.0;

/// One phrase as it was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What was said, and when.
    pub spoken: Spoken,
    /// Parts of its dub in the order in which they were heard, and where they began, in seconds of the programme.
    pub dub: Vec<(u8, f64)>,
    /// Share of it in which the original was heard as such.
    pub original: f64,
}

impl Heard {
    /// A phrase of which no dub was heard yet.
    pub fn new(spoken: Spoken, original: f64) -> Self {
        Self {
            spoken,
            dub: Vec::new(),
            original,
        }
    }

    /// Parts of the dub that were heard.
    pub fn dubbed_parts(&self) -> usize {
        (0..self.spoken.parts)
            .filter(|part| self.dub.iter().any(|(heard, _)| heard == part))
            .count()
    }

    /// Whether all of it was heard dubbed.
    pub fn is_whole(&self) -> bool {
        self.dubbed_parts() == usize::from(self.spoken.parts)
    }

    /// Parts that were heard twice.
    pub fn doubled(&self) -> usize {
        self.dub.len() - self.dubbed_parts()
    }

    /// It is doubled by no more than one part, said twice in a row: what both sides of a border say where the speaker did
    /// not pause.
    pub fn is_seam(&self) -> bool {
        self.is_whole() && self.doubled() == 1 && self.dub.windows(2).any(|pair| pair[0].0 == pair[1].0)
    }

    /// Share of it that was heard neither dubbed nor in the original.
    pub fn lost(&self) -> f64 {
        let dubbed = self.dubbed_parts() as f64 / f64::from(self.spoken.parts);
        (1.0 - dubbed - self.original).max(0.0)
    }

    /// It in a line, with what was heard of it and when.
    pub fn line(&self) -> String {
        let parts: Vec<String> = self
            .dub
            .iter()
            .map(|(part, at_s)| format!("{part}@{at_s:.2}"))
            .collect();
        let Spoken {
            number,
            start_s,
            end_s,
            parts: count,
        } = self.spoken;
        let word = match (self.is_whole(), self.doubled()) {
            (true, 0) => "dubbed",
            (true, _) if self.is_seam() => "A SEAM",
            (true, _) => "DOUBLED",
            (false, _) => "NOT DUBBED",
        };
        format!(
            "{number:>4}  {start_s:8.2} to {end_s:8.2}  {word:<10}  original {:.2}  {} of {count} parts: {}\n",
            self.original,
            self.dubbed_parts(),
            parts.join(" "),
        )
    }

    /// From its onset to its dub's, where the beginning of that was heard.
    pub fn late_s(&self) -> Option<f64> {
        let (_, at_s) = self.dub.iter().find(|(part, _)| *part == 0)?;
        Some(at_s - self.spoken.start_s)
    }
}

/// What was heard and seen at `/out`.
#[derive(Clone, Debug, Default)]
pub struct Air {
    /// Phrases that are judged: not those at the very beginning and end.
    pub heard: Vec<Heard>,
    /// Parts of dubs that belong to no phrase of the programme.
    pub foreign: usize,
    /// Phrases whose dub began after that of a later one.
    pub out_of_order: Vec<u16>,
    /// Longest time without a packet of sound, as the reader felt it.
    pub sound_gap: Silence,
    /// The same of picture.
    pub picture_gap: Silence,
    /// The pictures against the programme's.
    pub units: UnitReport,
    /// Seconds of the programme that were judged.
    pub judged_s: f64,
    /// Seconds of the programme that were missing at the end of the stream.
    pub missing_s: f64,
}

impl Air {
    /// Judges a recording. `sent_s` says how much of the programme was published.
    pub fn of(programme: &Programme, recording: &Recording, sent_s: f64) -> Result<Self> {
        let path = recording.path.as_deref().unwrap_or(Path::new(""));
        let got = units::read(path)?;
        let units = units::compare(&programme.units, &got);
        ensure!(
            units.matched > 50,
            "the recording has hardly a picture of the programme"
        );
        // What a sample's time in the recording is more than in the programme.
        let shift_s = units.pts_offset_ms / 1000.0;
        let first_s = programme.units[units.source_first].pts_ms as f64 / 1000.0 + SETTLED_S;
        let end_s = programme.units[units.source_last].pts_ms as f64 / 1000.0;
        let last_s = end_s.min(sent_s) - LAST_S;
        let source = Envelope::of(&programme.clip, |_, _| ())?;
        let mut listener = Listener::new(RATE, ANSWER);
        let mut cells = Vec::new();
        let out = Envelope::of(path, |_, sound| cells.extend(listener.hear(sound)))?;
        cells.extend(listener.end());
        let mut heard: Vec<Heard> = programme
            .phrases
            .iter()
            .map(|spoken| Heard::new(*spoken, source.original(&out, *spoken, shift_s)))
            .collect();
        let foreign = hand_out(&cells, &mut heard, shift_s);
        heard.retain(|it| first_s <= it.spoken.start_s && it.spoken.end_s <= last_s);
        let until_ms = (1000.0 * (sent_s + shift_s - 0.5)) as i64;
        let felt: Vec<Arrival> = recording
            .arrivals
            .iter()
            .filter(|arrival| arrival.pts_ms <= until_ms)
            .copied()
            .collect();
        Ok(Self {
            out_of_order: out_of_order(&heard),
            heard,
            foreign,
            sound_gap: longest_silence(&felt, Some(Kind::Audio)),
            picture_gap: longest_silence(&felt, Some(Kind::Video)),
            units,
            judged_s: (last_s - first_s).max(0.0),
            missing_s: (sent_s - end_s).max(0.0),
        })
    }

    /// Every phrase with what was heard of it, a line each, for whoever looks into a failure.
    pub fn render(&self) -> String {
        self.heard.iter().map(Heard::line).collect()
    }

    /// The longer of the two gaps.
    pub fn longest_gap_ms(&self) -> f64 {
        self.sound_gap.ms.max(self.picture_gap.ms)
    }

    /// Phrases that were not heard dubbed as a whole, but for those of `omitted`.
    pub fn not_dubbed<'a>(
        &'a self,
        omitted: &'a std::collections::BTreeSet<u16>,
    ) -> impl Iterator<Item = &'a Heard> {
        self.heard
            .iter()
            .filter(|it| !it.is_whole() && !omitted.contains(&it.spoken.number))
    }

    /// Numbers of phrases of which a part was heard twice.
    pub fn doubled(&self) -> Vec<u16> {
        let doubled = self.heard.iter().filter(|it| it.doubled() > 0);
        doubled.map(|it| it.spoken.number).collect()
    }

    /// Numbers of those of them that are doubled at a border only.
    pub fn seams(&self) -> Vec<u16> {
        let seams = self.heard.iter().filter(|it| it.is_seam());
        seams.map(|it| it.spoken.number).collect()
    }

    /// Numbers of phrases whose dub began clearly before them: it was taken for another's.
    pub fn early(&self) -> Vec<u16> {
        let first = |it: &&Heard| {
            it.dub
                .first()
                .is_some_and(|(_, at_s)| at_s - it.spoken.start_s < -EARLY_S)
        };
        self.heard
            .iter()
            .filter(first)
            .map(|it| it.spoken.number)
            .collect()
    }

    /// Whether the stream was there to its end.
    pub fn is_complete(&self) -> bool {
        self.missing_s < MISSING_S_MAX
    }

    /// Seconds of speech in which the original was heard as such.
    pub fn original_s(&self) -> f64 {
        let of = |it: &Heard| it.original * it.spoken.length_s();
        self.heard.iter().map(of).sum()
    }

    /// Seconds of speech that were heard neither dubbed nor in the original, those of `omitted` aside.
    pub fn lost_s(&self, omitted: &std::collections::BTreeSet<u16>) -> f64 {
        let of = |it: &Heard| it.lost() * it.spoken.length_s();
        self.heard
            .iter()
            .filter(|it| !omitted.contains(&it.spoken.number))
            .map(of)
            .sum()
    }

    /// How late dubs begin after their phrases, in seconds.
    pub fn lateness_s(&self) -> Vec<f64> {
        self.heard.iter().filter_map(Heard::late_s).collect()
    }
}

/// Gives each part that was heard to the phrase that it belongs to; how many belong to none.
pub(crate) fn hand_out(cells: &[HeardCell], heard: &mut [Heard], shift_s: f64) -> usize {
    let mut foreign = 0;
    for cell in cells {
        let at_s = cell.start_s - shift_s;
        // A number comes again within the hour: the nearest phrase that has it.
        let fits = |it: &&mut Heard| {
            let late_s = at_s - it.spoken.start_s;
            it.spoken.number == cell.cell.number && (-BEFORE_S..=BEHIND_S).contains(&late_s)
        };
        match heard.iter_mut().filter(fits).last() {
            Some(phrase) if cell.cell.part < phrase.spoken.parts => phrase.dub.push((cell.cell.part, at_s)),
            Some(_) | None => foreign += 1,
        }
    }
    foreign
}

pub(crate) fn out_of_order(heard: &[Heard]) -> Vec<u16> {
    let mut began: Vec<(f64, usize)> = heard
        .iter()
        .enumerate()
        .filter_map(|(index, it)| Some((it.dub.first()?.1, index)))
        .collect();
    began.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut latest = 0;
    let mut behind = Vec::new();
    for (_, index) in began {
        if index < latest {
            behind.push(heard[index].spoken.number);
        }
        latest = latest.max(index);
    }
    behind
}

/// How loud the marks of the original are, step by step.
struct Envelope(Vec<f32>);

impl Envelope {
    /// Decodes a file; `each` gets its sound too.
    fn of(path: &Path, mut each: impl FnMut(f64, &[f32])) -> Result<Self> {
        let step = (STEP_S * f64::from(RATE)) as usize;
        let mut filter = [HighPass::new(MARKS_HZ); 4];
        let mut values = Vec::new();
        let (mut power, mut count) = (0.0_f64, 0);
        decoded(path, RATE, |at_s, sound| {
            each(at_s, sound);
            for sample in sound {
                let left = filter
                    .iter_mut()
                    .fold(f64::from(*sample), |sample, filter| filter.next(sample));
                power += left * left;
                count += 1;
                if count == step {
                    values.push((10.0 * (power / step as f64 + 1e-12).log10()) as f32);
                    (power, count) = (0.0, 0);
                }
            }
        })?;
        Ok(Self(values))
    }

    /// Share of a phrase in which `out` has it as loud as this does.
    fn original(&self, out: &Self, spoken: Spoken, shift_s: f64) -> f64 {
        let step = |second: f64| (second.max(0.0) / STEP_S).round() as usize;
        let (mut sounds, mut heard) = (0, 0);
        for at in step(spoken.start_s)..step(spoken.end_s) {
            let second = at as f64 * STEP_S + shift_s;
            let (Some(here), Some(there)) = (self.0.get(at), out.0.get(step(second))) else {
                continue;
            };
            if f64::from(*here) < MARK_DB {
                continue;
            }
            sounds += 1;
            if f64::from(*there - *here) > ORIGINAL_DB {
                heard += 1;
            }
        }
        f64::from(heard) / f64::from(sounds.max(1))
    }
}

/// A Butterworth high-pass of second order.
#[derive(Clone, Copy)]
struct HighPass {
    norm: f64,
    b1: f64,
    a2: f64,
    x: [f64; 2],
    y: [f64; 2],
}

impl HighPass {
    fn new(hz: f64) -> Self {
        let k = (PI * hz / f64::from(RATE)).tan();
        let norm = 1.0 / (1.0 + SQRT_2 * k + k * k);
        Self {
            norm,
            b1: 2.0 * (k * k - 1.0) * norm,
            a2: (1.0 - SQRT_2 * k + k * k) * norm,
            x: [0.0; 2],
            y: [0.0; 2],
        }
    }

    fn next(&mut self, new: f64) -> f64 {
        let out = self.norm * (new - 2.0 * self.x[0] + self.x[1]) - self.b1 * self.y[0] - self.a2 * self.y[1];
        self.x = [new, self.x[0]];
        self.y = [out, self.y[0]];
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gemini_twin::code::Cell;

    fn phrase(number: u16, start_s: f64) -> Heard {
        Heard {
            spoken: Spoken {
                number,
                start_s,
                end_s: start_s + 0.6,
                parts: 2,
            },
            dub: Vec::new(),
            original: 0.0,
        }
    }

    fn cell(number: u16, part: u8, start_s: f64) -> HeardCell {
        HeardCell {
            cell: Cell {
                number,
                part,
                parts: 2,
            },
            piece: None,
            start_s,
            end_s: start_s + 0.3,
        }
    }

    #[test]
    fn a_phrase_in_two_pieces_is_whole_and_a_part_that_comes_again_is_doubled() {
        let mut heard = vec![phrase(1, 1.0), phrase(2, 3.0)];
        let cells = [
            cell(1, 0, 11.0),
            cell(1, 1, 12.0),
            cell(2, 0, 13.0),
            cell(2, 0, 13.5),
        ];
        assert_eq!(hand_out(&cells, &mut heard, 10.0), 0);
        assert!(heard[0].is_whole() && heard[0].doubled() == 0);
        assert!(!heard[1].is_whole() && heard[1].doubled() == 1);
        assert_eq!(heard[1].lost(), 0.5);
        assert_eq!(heard[0].late_s(), Some(0.0));
        assert!(out_of_order(&heard).is_empty());
    }

    #[test]
    fn a_part_that_both_sides_of_a_border_say_is_doubled_and_a_seam() {
        let of = |parts: u8, dub: &[u8]| {
            let mut it = phrase(1, 1.0);
            it.spoken.parts = parts;
            it.dub = dub.iter().map(|part| (*part, 2.0)).collect();
            (it.is_seam(), it.doubled())
        };
        assert_eq!(of(4, &[0, 1, 2, 3]), (false, 0));
        assert_eq!(of(4, &[0, 1, 1, 2, 3]), (true, 1));
        assert_eq!(of(4, &[0, 0, 1, 2, 2, 3]), (false, 2));
        assert_eq!(of(4, &[0, 1, 2, 0, 3]), (false, 1));
        assert_eq!(of(4, &[0, 1, 1]), (false, 1));
    }

    #[test]
    fn a_dub_that_overtakes_another_and_one_of_nobody_are_told() {
        let mut heard = vec![phrase(1, 1.0), phrase(2, 3.0)];
        let cells = [
            cell(2, 0, 3.0),
            cell(1, 0, 4.0),
            cell(77, 0, 5.0),
            cell(1, 0, 90.0),
        ];
        assert_eq!(hand_out(&cells, &mut heard, 0.0), 2);
        assert_eq!(out_of_order(&heard), [1]);
    }

    #[test]
    fn a_number_that_comes_round_again_is_told_from_its_first_time() {
        let mut heard = vec![phrase(1, 1.0), phrase(1, 3100.0)];
        assert_eq!(hand_out(&[cell(1, 0, 3101.0)], &mut heard, 0.0), 0);
        assert!(heard[0].dub.is_empty() && heard[1].dub.len() == 1);
    }
}
