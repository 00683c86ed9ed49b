//! What a viewer calls a stall: silence, and pictures that stand still or are missing.

use crate::{Audio, Pictures, dsp};
use serde::{Deserialize, Serialize};

/// Sound below this RMS level counts as silence.
pub const SILENCE_DB: f64 = -60.0;
/// Step in which silence is looked for.
const SILENCE_STEP_MS: f64 = 10.0;
/// Pictures whose cells all differ by at most this much are the same picture.
const SAME_CELL: u8 = 2;

/// A stretch of silence or of a standing picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Presentation time at which it starts.
    pub from_ms: f64,
    /// Its length.
    pub ms: f64,
}

/// Every stretch of silence of at least `min_ms`, holes of the time stamps included.
pub fn silences(audio: &Audio, min_ms: f64) -> Vec<Stall> {
    let step = (SILENCE_STEP_MS * f64::from(audio.rate) / 1000.0) as usize;
    let mut quiet: Vec<Stall> = Vec::new();
    for segment in &audio.segments {
        let first = audio.frames[segment.first_frame].first_sample;
        let last = audio.frames[segment.end_frame - 1];
        let samples = &audio.mono[first..(last.first_sample + last.samples).min(audio.mono.len())];
        let start_ms = audio.time_ms(first as f64);
        if let Some(end_ms) = segment.first_frame.checked_sub(1).map(|frame| {
            let before = audio.frames[frame];
            audio.time_ms((before.first_sample + before.samples) as f64 - 1.0)
        }) {
            add(&mut quiet, end_ms, start_ms);
        }
        for (index, chunk) in samples.chunks(step.max(1)).enumerate() {
            if dsp::rms_db(chunk) < SILENCE_DB {
                let from = start_ms + index as f64 * SILENCE_STEP_MS;
                add(
                    &mut quiet,
                    from,
                    from + chunk.len() as f64 * 1000.0 / f64::from(audio.rate),
                );
            }
        }
    }
    quiet.retain(|stall| stall.ms >= min_ms);
    quiet
}

/// Every stretch of at least `min_ms` in which one picture is shown: repeated, or because the next is missing.
pub fn freezes(pictures: &Pictures, min_ms: f64) -> Vec<Stall> {
    let mut stalls = Vec::new();
    let mut from = 0;
    for index in 1..=pictures.len() {
        let end = index == pictures.len();
        if !end && same(pictures.cells(index - 1), pictures.cells(index)) {
            continue;
        }
        let until = if end {
            pictures.pts_ms[index - 1]
        } else {
            pictures.pts_ms[index]
        };
        let ms = until - pictures.pts_ms[from];
        if ms >= min_ms {
            stalls.push(Stall {
                from_ms: pictures.pts_ms[from],
                ms,
            });
        }
        from = index;
    }
    stalls
}

/// The longest of some stretches.
pub fn longest(stalls: &[Stall]) -> Stall {
    stalls
        .iter()
        .copied()
        .max_by(|a, b| a.ms.total_cmp(&b.ms))
        .unwrap_or_default()
}

fn add(quiet: &mut Vec<Stall>, from_ms: f64, to_ms: f64) {
    if to_ms <= from_ms {
        return;
    }
    match quiet.last_mut() {
        Some(last) if from_ms - (last.from_ms + last.ms) < 1.0 => last.ms = to_ms - last.from_ms,
        _ => quiet.push(Stall {
            from_ms,
            ms: to_ms - from_ms,
        }),
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(x, y)| x.abs_diff(*y) <= SAME_CELL)
}
