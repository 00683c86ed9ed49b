//! The deterministic provider: needs no key, answers by a seeded schedule, never surprises a test.
use super::fixtures::Fixtures;
use super::schedule::{Arrival, Schedule};
use super::{Answer, Fragment, Output, Provider};
use crate::pcm;
use crate::repair::FADE_FRAMES;
use bytes::Bytes;
use media_types::{FragmentSeq, SAMPLE_RATE_HZ};
use std::collections::BTreeMap;
use std::future;
use tokio::time::{Instant, sleep_until};

/// Name on the wire.
pub const NAME: &str = "mock";
/// Frequency of the `tone` mode.
pub const TONE_HZ: f64 = 440.0;
/// Peak amplitude of every tone, full scale 1.0.
pub const TONE_AMPLITUDE: f64 = 0.25;

/// What the mock answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// The original, to the bit.
    Passthrough,
    /// A tone of [`TONE_HZ`].
    Tone,
    /// Odd fragments: a tone that tells the number; even ones: the original, to the bit.
    Coded,
    /// Recordings by number.
    Fixtures(Fixtures),
}

/// What the mock does, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What it answers.
    pub mode: Mode,
    /// When it answers.
    pub schedule: Schedule,
}

/// Frequency that an odd fragment carries in coded mode.
pub fn coded_frequency_hz(seq: u64) -> f64 {
    (400 + 50 * ((seq / 2) % 32)) as f64
}

/// One session of the mock.
#[derive(Debug)]
pub struct Mock {
    config: Config,
    // Ordered by the instant of the answer; the number only tells answers of one instant apart.
    due: BTreeMap<(Instant, FragmentSeq), Answer>,
}

impl Mock {
    /// A session that has heard nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            due: BTreeMap::new(),
        }
    }

    fn answer(&self, fragment: &Fragment) -> Answer {
        let frames = pcm::frames(fragment.pcm.len());
        let pcm = match &self.config.mode {
            Mode::Passthrough => fragment.pcm.clone(),
            Mode::Tone => tone(TONE_HZ, frames),
            Mode::Coded if fragment.seq.0 % 2 == 1 => tone(coded_frequency_hz(fragment.seq.0), frames),
            Mode::Coded => fragment.pcm.clone(),
            Mode::Fixtures(fixtures) => fixtures.recording(fragment.seq),
        };
        Answer::contract(pcm)
    }
}

impl Provider for Mock {
    fn name(&self) -> &'static str {
        NAME
    }

    fn offer(&mut self, fragment: Fragment) {
        let length = fragment.range.length().to_duration();
        match self.config.schedule.arrival(fragment.seq, length) {
            Arrival::Never => {}
            Arrival::After(wait) => {
                let answer = self.answer(&fragment);
                self.due.insert((Instant::now() + wait, fragment.seq), answer);
            }
        }
    }

    async fn next(&mut self) -> Output {
        if let Some(((at, _), _)) = self.due.first_key_value() {
            sleep_until(*at).await;
        }
        // Nothing is awaited behind this point, so an answer that left the queue is always handed over.
        match self.due.pop_first() {
            Some(((_, seq), answer)) => Output::Answered { seq, answer },
            None => future::pending().await,
        }
    }
}

/// A sine on both channels with a fade at either end, inside the `frames`.
fn tone(frequency_hz: f64, frames: usize) -> Bytes {
    let step = std::f64::consts::TAU * frequency_hz / f64::from(SAMPLE_RATE_HZ);
    let mut samples: Vec<i16> = (0..frames)
        .map(|n| (TONE_AMPLITUDE * f64::from(i16::MAX) * (step * n as f64).sin()).round() as i16)
        .flat_map(|sample| [sample, sample])
        .collect();
    pcm::fade_in(&mut samples, FADE_FRAMES);
    pcm::fade_out(&mut samples, FADE_FRAMES);
    pcm::encode(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_types::{MediaRange, MediaTime};
    use std::time::Duration;

    fn mock(mode: Mode) -> Mock {
        let schedule = Schedule {
            delay: Duration::from_millis(200),
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            seed: 1,
        };
        Mock::new(Config { mode, schedule })
    }

    fn fragment(seq: u64) -> Fragment {
        let pcm = pcm::encode((0..9600).map(|n| (n * 7 + seq as usize) as i16));
        let range = MediaRange::new(MediaTime::ZERO, MediaTime::from_frames(4800));
        Fragment {
            seq: FragmentSeq(seq),
            range,
            pcm,
            speech_probability: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pass_through_gives_the_original_back_to_the_bit_and_on_time() {
        let mut mock = mock(Mode::Passthrough);
        let began = Instant::now();
        mock.offer(fragment(4));
        let output = mock.next().await;
        assert_eq!(began.elapsed(), Duration::from_millis(200));
        assert_eq!(
            output,
            Output::Answered {
                seq: FragmentSeq(4),
                answer: Answer::contract(fragment(4).pcm)
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_not_lost_when_waiting_for_it_is_given_up() {
        let mut mock = mock(Mode::Passthrough);
        mock.offer(fragment(1));
        for _ in 0..3 {
            assert!(
                tokio::time::timeout(Duration::from_millis(50), mock.next())
                    .await
                    .is_err()
            );
        }
        assert!(
            tokio::time::timeout(Duration::from_millis(51), mock.next())
                .await
                .is_ok()
        );
    }

    #[test]
    fn odd_fragments_carry_their_number_and_even_ones_the_original() {
        assert_eq!(
            [1, 3, 5, 63, 65].map(coded_frequency_hz),
            [400.0, 450.0, 500.0, 1950.0, 400.0]
        );
        let mock = mock(Mode::Coded);
        assert_eq!(mock.answer(&fragment(2)), Answer::contract(fragment(2).pcm));
        assert_eq!(mock.answer(&fragment(3)), Answer::contract(tone(450.0, 4800)));
    }

    #[test]
    fn a_tone_has_its_level_and_fades_inside_the_fragment() {
        let samples: Vec<i16> = pcm::decode(&tone(TONE_HZ, 48_000)).step_by(2).collect();
        assert_eq!((samples.len(), samples[0], samples[47_999]), (48_000, 0, 0));
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max();
        assert_eq!(peak, Some(8192));
        let crossings = samples.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((438..=440).contains(&crossings), "{crossings}");
    }
}
