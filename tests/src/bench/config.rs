//! Settings of the bench.

use service_kit::{ConfigErrors, Env, Program, Reader, Setting};
use std::time::Duration;

/// How many streams at once.
const STREAMS: Setting = Setting {
    key: "BENCH_STREAMS",
    default: "1,4,8",
    allowed: "numbers from 1 to 32, comma separated",
    help: "Numbers of streams that the bench measures, one after the other",
};
/// How long each cell is measured.
const SECONDS: Setting = Setting {
    key: "BENCH_SECONDS",
    default: "20",
    allowed: "5..300",
    help: "Seconds for which the bench measures each variant at each number of streams",
};
/// What our worker holds back.
const HOLD: Setting = Setting {
    key: "BENCH_HOLD",
    default: "2s",
    allowed: "500ms..60s",
    help: "Hold of our worker in the bench; its latency is told without it",
};

/// Every setting of the bench.
pub const SETTINGS: &[Setting] = &[STREAMS, SECONDS, HOLD];

/// What the command line shows.
pub const PROGRAM: Program = Program {
    name: "bench",
    about: "Measures CPU, memory and added latency of our worker beside ffmpeg and gst-launch",
    settings: &[SETTINGS],
    commands: &[],
};

const STREAMS_MAX: usize = 32;

/// The settings as read.
#[derive(Debug, Clone)]
pub struct Config {
    /// Numbers of streams.
    pub streams: Vec<usize>,
    /// Time for which a cell is measured.
    pub measured: Duration,
    /// Hold of our worker.
    pub hold: Duration,
}

impl Config {
    /// Reads and checks everything.
    pub fn read(env: &Env) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(env);
        let text = reader.text(&STREAMS);
        let numbers: Option<Vec<usize>> = text
            .split(',')
            .map(|number| {
                number
                    .trim()
                    .parse()
                    .ok()
                    .filter(|n| (1..=STREAMS_MAX).contains(n))
            })
            .collect();
        if numbers.is_none() {
            reader.reject(&STREAMS, &text, "is no list of such numbers");
        }
        let config = Self {
            streams: numbers.unwrap_or_default(),
            measured: Duration::from_secs(reader.number(&SECONDS, 5..=300)),
            hold: reader.duration(&HOLD, Duration::from_millis(500)..=Duration::from_secs(60)),
        };
        reader.finish().map(|()| config)
    }

    /// The hold as a setting says it.
    pub fn hold_text(&self) -> String {
        format!("{}ms", self.hold.as_millis())
    }

    /// A length of fragments whose dub is back well within the hold.
    pub fn fragment(&self) -> Duration {
        (self.hold / 4).clamp(Duration::from_millis(250), Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_are_one_four_and_eight_streams() {
        let config = Config::read(&Env::default()).unwrap();
        assert_eq!(
            (&config.streams, config.hold_text()),
            (&vec![1, 4, 8], "2000ms".to_owned())
        );
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let env = Env::from_pairs([
            ("BENCH_STREAMS", "1,zero"),
            ("BENCH_SECONDS", "1"),
            ("BENCH_HOLD", "0s"),
        ]);
        let said = Config::read(&env).unwrap_err().to_string();
        assert!(
            ["BENCH_STREAMS", "BENCH_SECONDS", "BENCH_HOLD"]
                .iter()
                .all(|key| said.contains(key)),
            "{said}"
        );
    }
}
