//! Faults that the dubber tells of, each said once.
use media_types::Tick;
use std::{collections::VecDeque, time::Duration};

/// A fault that is told again within this is the same one.
const SPELL: Duration = Duration::from_secs(60);
/// Different faults that are said in that time; more of them say nothing new.
const SPELL_MAX: usize = 16;

/// What has been said of late.
#[derive(Debug, Default)]
pub struct Faults {
    said: VecDeque<(String, Tick)>,
}

impl Faults {
    /// Whether a fault is to be said.
    pub fn is_news(&mut self, now: Tick, fault: &str) -> bool {
        self.said.retain(|(_, at)| now.since(*at) < SPELL);
        if self.said.len() >= SPELL_MAX || self.said.iter().any(|(said, _)| said == fault) {
            return false;
        }
        self.said.push_back((fault.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_once_in_a_spell_and_a_flood_of_them_is_bounded() {
        let mut faults = Faults::default();
        let at = |seconds: u64| Tick::default().after(Duration::from_secs(seconds));
        assert!(faults.is_news(at(0), "quota"));
        assert!(!faults.is_news(at(1), "quota"));
        assert!(faults.is_news(at(2), "closed"));
        assert!(!faults.is_news(at(59), "quota"));
        assert!(faults.is_news(at(60), "quota"));
        let said = (0..1_000)
            .filter(|n| faults.is_news(at(61), &n.to_string()))
            .count();
        assert_eq!(said, SPELL_MAX - 2);
    }
}
