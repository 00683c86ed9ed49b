//! The dubber's coded tones against the fragments that they belong to.

use crate::journal::Told;
use anyhow::Result;
use dub_proto::edge::v1::Fate;
use media_judge::Audio;
use media_judge::tones::{ToneRange, coded_frequencies, tone_ranges};

/// A -6 dB point lies this near to the edge of its fragment.
pub const EDGE_MS: f64 = 5.0;
/// The dubber's tones have a peak of 0.25; what is softer than half of it is none of them.
const AMPLITUDE_MIN: f64 = 0.12;
/// At the ends of a recording half a fragment is heard.
const MARGIN_MS: f64 = 30.0;

/// A fragment whose dub was heard in full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dubbed {
    /// Its number.
    pub seq: u64,
    /// Where it is heard.
    pub from_ms: f64,
    /// See `from_ms`.
    pub to_ms: f64,
}

/// The fragments that were heard in full, with their dub, in a recording.
pub fn dubbed(told: &Told, audio: &Audio) -> Result<Vec<Dubbed>> {
    let aired = told.aired((audio.start_ms(), audio.end_ms()))?;
    Ok(aired
        .into_iter()
        .filter(|(fragment, _)| fragment.fate() == Fate::Success)
        .map(|(fragment, (from_ms, to_ms))| Dubbed {
            seq: fragment.fragment_seq,
            from_ms,
            to_ms,
        })
        .collect())
}

/// Every tone of the coded mode in a recording.
pub fn tones(audio: &Audio) -> Vec<ToneRange> {
    coded_frequencies()
        .into_iter()
        .flat_map(|frequency| tone_ranges(audio, frequency))
        .filter(|tone| tone.amplitude >= AMPLITUDE_MIN)
        .collect()
}

/// Frequency that an odd fragment carries; an even one carries what was said.
pub fn frequency_of(seq: u64) -> Option<f64> {
    let all = coded_frequencies();
    (seq % 2 == 1).then(|| all[(seq / 2) as usize % all.len()])
}

/// Tones against fragments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodedReport {
    /// Tones that lie on their fragments.
    pub right: usize,
    /// Greatest distance of an edge from its fragment's.
    pub worst_edge_ms: f64,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
}

/// Whether every tone lies on its fragment, each is heard once, and none is missing. `within_ms` is what was recorded.
pub fn compare(fragments: &[Dubbed], tones: &[ToneRange], within_ms: (f64, f64)) -> CodedReport {
    let mut report = CodedReport::default();
    let expected: Vec<(&Dubbed, f64)> = fragments
        .iter()
        .filter_map(|fragment| Some((fragment, frequency_of(fragment.seq)?)))
        .collect();
    for (fragment, frequency) in &expected {
        let own: Vec<&ToneRange> = tones
            .iter()
            .filter(|tone| tone.frequency_hz == *frequency && overlaps(tone, fragment))
            .collect();
        let [tone] = own[..] else {
            report.problems.push(format!(
                "fragment {} ({frequency} Hz) is heard {} times",
                fragment.seq,
                own.len()
            ));
            continue;
        };
        let edge_ms = (tone.start_ms - fragment.from_ms)
            .abs()
            .max((tone.end_ms - fragment.to_ms).abs());
        report.worst_edge_ms = report.worst_edge_ms.max(edge_ms);
        if edge_ms > EDGE_MS {
            report.problems.push(format!(
                "tone of fragment {} is {edge_ms:.1} ms beside its range",
                fragment.seq
            ));
        } else {
            report.right += 1;
        }
    }
    let inside =
        |tone: &&ToneRange| tone.start_ms > within_ms.0 + MARGIN_MS && tone.end_ms < within_ms.1 - MARGIN_MS;
    let whole = tones.iter().filter(inside).count();
    // The last fragment may have aired after it was told of last.
    if whole > expected.len() + 1 {
        report.problems.push(format!(
            "{whole} tones for {} fragments: something was heard twice, or is no dub",
            expected.len()
        ));
    }
    report
}

fn overlaps(tone: &ToneRange, fragment: &Dubbed) -> bool {
    tone.start_ms < fragment.to_ms && tone.end_ms > fragment.from_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: (f64, f64) = (0.0, 10_000.0);

    fn fragment(seq: u64) -> Dubbed {
        let from_ms = seq as f64 * 1000.0;
        Dubbed {
            seq,
            from_ms,
            to_ms: from_ms + 1000.0,
        }
    }

    fn tone(frequency_hz: f64, start_ms: f64) -> ToneRange {
        ToneRange {
            frequency_hz,
            start_ms,
            end_ms: start_ms + 1000.0,
            amplitude: 0.25,
        }
    }

    #[test]
    fn each_odd_fragment_has_its_tone_once_and_even_ones_have_none() {
        let fragments = [1, 2, 3].map(fragment);
        let right = compare(&fragments, &[tone(400.0, 1001.0), tone(450.0, 3000.0)], WITHIN);
        assert_eq!((right.right, right.problems.len()), (2, 0), "{right:?}");
        assert!((right.worst_edge_ms - 1.0).abs() < 0.01);
        let missing = compare(&fragments, &[tone(400.0, 1000.0)], WITHIN);
        assert_eq!(missing.problems, ["fragment 3 (450 Hz) is heard 0 times"]);
    }

    #[test]
    fn a_tone_beside_its_fragment_or_of_another_fragment_is_a_problem() {
        let late = compare(&[fragment(1)], &[tone(400.0, 1006.0)], WITHIN);
        assert_eq!((late.right, late.problems.len()), (0, 1), "{late:?}");
        let swapped = compare(&[fragment(1)], &[tone(450.0, 1000.0)], WITHIN);
        assert_eq!(swapped.problems.len(), 1, "{swapped:?}");
    }

    #[test]
    fn tones_that_no_fragment_accounts_for_are_a_problem() {
        let stray = [tone(400.0, 1000.0), tone(500.0, 5000.0), tone(600.0, 7000.0)];
        let report = compare(&[fragment(1)], &stray, WITHIN);
        assert_eq!((report.right, report.problems.len()), (1, 1), "{report:?}");
        assert_eq!(compare(&[fragment(1)], &stray[..2], WITHIN).problems, [""; 0]);
    }
}
