//! What became of the phrases that were not heard dubbed: the original was heard instead, or the worker left them out and
//! counted that.

use super::air::Heard;
use super::figures::Series;

/// What was left out of a phrase is counted so long before it airs at the earliest, and behind it at the latest.
const COUNTED_BEFORE_S: f64 = 2.0;
const COUNTED_BEHIND_S: f64 = 5.0;
/// Share of a phrase up to which it is heard though that is missing: the crossfades at both ends of the original.
const HEARD: f64 = 0.2;
/// Share of a phrase from which on it is gone.
const GONE: f64 = 0.5;
/// Share of a phrase from which on it is heard in the original.
const ORIGINAL: f64 = 0.5;

/// Share of phrases that may be heard in the original of which nothing is counted.
const UNTOLD_MAX: f64 = 0.005;
/// Share of phrases that the worker may leave out.
const LEFT_OUT_MAX: f64 = 0.005;
/// Share of phrases that may be heard in the original but for some words.
const IN_PART_MAX: f64 = 0.01;

/// A phrase that was not heard dubbed as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Missed {
    /// Its number.
    pub number: u16,
    /// When it began and ended to air, in seconds.
    pub airs_s: (f64, f64),
    /// Share of it that was heard neither dubbed nor in the original.
    pub lost: f64,
    /// Share of it that was heard in the original.
    pub original: f64,
}

impl Missed {
    /// A phrase and when it airs, from when it is said in the programme.
    pub fn of(heard: &Heard, airs_s: impl Fn(f64) -> f64) -> Self {
        Self {
            number: heard.spoken.number,
            airs_s: (airs_s(heard.spoken.start_s), airs_s(heard.spoken.end_s)),
            lost: heard.lost(),
            original: heard.original,
        }
    }
}

/// A bar and the phrases that count against it.
#[derive(Clone, Copy, Debug)]
pub struct Bar<'a> {
    /// What they are.
    pub what: &'static str,
    /// Their numbers.
    pub phrases: &'a [u16],
    /// How many there may be, in words.
    pub most: &'static str,
    /// There are no more.
    pub holds: bool,
}

/// What became of them, by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Heard in the original, or partly so.
    pub original: Vec<u16>,
    /// Those of them that were mostly heard in the original, and of which the worker told nothing as they aired.
    pub untold: Vec<u16>,
    /// Heard in the original but for some words.
    pub in_part: Vec<u16>,
    /// Left out, and counted as they aired.
    pub left_out: Vec<u16>,
    /// Neither heard nor counted.
    pub unheard: Vec<u16>,
}

impl Accounts {
    /// Phrases in the order in which they aired, against when the worker counted what it left out, and what fell back.
    /// What is counted once as left out excuses one phrase; what fell back once may be several, that the worker took for one.
    pub fn of(missed: &[Missed], mut counted_s: Vec<f64>, fell_back_s: &[f64]) -> Self {
        counted_s.sort_by(f64::total_cmp);
        let mut accounts = Self::default();
        for phrase in missed {
            let window = phrase.airs_s.0 - COUNTED_BEFORE_S..=phrase.airs_s.1 + COUNTED_BEHIND_S;
            let list = if phrase.lost <= HEARD {
                let is_told = fell_back_s.iter().any(|at_s| window.contains(at_s));
                if ORIGINAL <= phrase.original && !is_told {
                    accounts.untold.push(phrase.number);
                }
                &mut accounts.original
            } else if phrase.lost <= GONE {
                &mut accounts.in_part
            } else if let Some(found) = counted_s.iter().position(|at_s| window.contains(at_s)) {
                counted_s.remove(found);
                &mut accounts.left_out
            } else {
                &mut accounts.unheard
            };
            list.push(phrase.number);
        }
        accounts
    }

    /// What there may be how many of, among so many phrases.
    pub fn bars(&self, spoken: usize) -> [Bar<'_>; 4] {
        let bar = |what, phrases, most, share: f64| Bar {
            what,
            phrases,
            most,
            holds: <[u16]>::len(phrases) as f64 <= share * spoken as f64,
        };
        [
            bar(
                "in the original but for some words",
                &self.in_part,
                "1 of 100",
                IN_PART_MAX,
            ),
            bar(
                "in the original and not counted",
                &self.untold,
                "1 of 200",
                UNTOLD_MAX,
            ),
            bar(
                "left out by the worker, counted as they air",
                &self.left_out,
                "1 of 200",
                LEFT_OUT_MAX,
            ),
            bar("unheard and not counted", &self.unheard, "0", 0.0),
        ]
    }
}

/// When counters rose, once for each that they rose by.
pub fn rises<'a>(counters: impl Iterator<Item = &'a Series>) -> Vec<f64> {
    let of = |series: &'a Series| {
        let before = [0.0]
            .into_iter()
            .chain(series.values().iter().map(|(_, value)| *value));
        series
            .values()
            .iter()
            .zip(before)
            .flat_map(|((at_s, value), before)| {
                let by = (value - before).max(0.0) as usize;
                std::iter::repeat_n(*at_s, by)
            })
    };
    counters.flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(number: u16, from_s: f64, lost: f64) -> Missed {
        Missed {
            number,
            airs_s: (from_s, from_s + 3.0),
            lost,
            original: 1.0 - lost,
        }
    }

    #[test]
    fn a_phrase_that_is_gone_has_to_be_counted_as_it_airs() {
        let phrases = [
            missed(1, 10.0, 0.1),
            missed(2, 20.0, 0.4),
            missed(3, 30.0, 0.9),
            missed(4, 60.0, 0.9),
        ];
        let accounts = Accounts::of(&phrases, vec![24.0, 31.0, 90.0], &[13.5]);
        assert_eq!(
            accounts,
            Accounts {
                original: vec![1],
                untold: Vec::new(),
                in_part: vec![2],
                left_out: vec![3],
                unheard: vec![4],
            }
        );
    }

    #[test]
    fn what_is_counted_once_excuses_one_phrase() {
        let phrases = [missed(1, 10.0, 1.0), missed(2, 13.0, 1.0), missed(3, 16.0, 1.0)];
        let accounts = Accounts::of(&phrases, vec![18.5, 12.0], &[]);
        assert_eq!((accounts.left_out, accounts.unheard), (vec![1, 2], vec![3]));
    }

    #[test]
    fn what_is_heard_in_the_original_has_to_be_told_as_it_airs() {
        let dubbed = Missed {
            original: 0.2,
            ..missed(4, 40.0, 0.1)
        };
        let phrases = [
            missed(1, 10.0, 0.0),
            missed(2, 13.0, 0.0),
            missed(3, 30.0, 0.1),
            dubbed,
        ];
        let accounts = Accounts::of(&phrases, Vec::new(), &[14.0, 50.0]);
        assert_eq!((accounts.original, accounts.untold), (vec![1, 2, 3, 4], vec![3]));
    }

    #[test]
    fn a_counter_tells_when_it_rose_and_by_how_much() {
        let mut one = Series::default();
        for (at_s, value) in [(10.0, 0.0), (20.0, 2.0), (30.0, 2.0)] {
            one.push(at_s, value);
        }
        let mut two = Series::default();
        two.push(40.0, 1.0);
        assert_eq!(rises([&one, &two].into_iter()), [20.0, 20.0, 40.0]);
    }

    #[test]
    fn a_bar_is_a_share_of_what_was_spoken() {
        let accounts = Accounts {
            in_part: vec![1, 2],
            left_out: vec![3, 4],
            unheard: vec![5],
            ..Accounts::default()
        };
        let hold = |spoken| accounts.bars(spoken).map(|bar| bar.holds);
        assert_eq!(hold(200), [true, true, false, false]);
        assert_eq!(hold(199), [false, true, false, false]);
        assert_eq!(hold(400), [true, true, true, false]);
    }
}
