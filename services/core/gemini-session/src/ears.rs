//! What a connection's sound is: speech, silence, or a tone.
use crate::feed::level;
use bytes::Bytes;
use gemini_live::PcmReader;
use media_types::{MediaTime, Tick};
use std::time::Duration;

/// Level above which sound may be speech, in steps of 16 bit, RMS. The silence of the service is zeros or nearly so.
const LOUD_LEVEL: f32 = 50.0;
/// Steps of a second in which it is told what is loud.
const TOLD_STEPS: u32 = 50;
/// Loud sound in a row from which on it is speech and no click.
const SPEECH_MIN: MediaTime = MediaTime::from_millis(500);
/// Silence behind speech that is handed over with it.
const TAIL: MediaTime = MediaTime::from_millis(500);
/// Peak over level of a sine is 1.41; of speech it is 3 and more.
const TONE_CREST: std::ops::Range<f32> = 1.2..1.7;
/// Most that level and pitch of a tone change from one chunk to the next.
const TONE_CHANGE: f32 = 0.15;

/// A piece of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) at: MediaTime,
    pub(crate) pcm: Vec<i16>,
    pub(crate) rate_hz: u32,
}

/// What one chunk was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What to hand over: speech, the silence right before it and some behind it.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) loud: bool,
    pub(crate) speech: bool,
    /// How much of it is loud.
    pub(crate) told: MediaTime,
}

/// The sound of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ears {
    reader: PcmReader,
    position: MediaTime,
    lead_in: Option<Piece>,
    loud_run: MediaTime,
    quiet_run: Option<MediaTime>,
    tone: Option<(f32, f32)>,
    tone_since: Option<Tick>,
    tone_run: MediaTime,
    last_loud: Option<Tick>,
}

impl Ears {
    /// Hears a chunk.
    pub(crate) fn hear(&mut self, now: Tick, bytes: &Bytes, rate_hz: u32) -> Heard {
        let pcm = self.reader.read(bytes);
        let samples = i64::try_from(pcm.len()).unwrap_or(i64::MAX);
        let length = MediaTime::from_ticks(samples, rate_hz).unwrap_or_default();
        if pcm.is_empty() {
            return Heard::default();
        }
        let level = level(&pcm);
        let loud = level > LOUD_LEVEL;
        self.follow_tone(now, &pcm, rate_hz, level, loud, length);
        // A tone answers nothing.
        let told = if self.tone_since.is_some() {
            MediaTime::ZERO
        } else {
            told(&pcm, rate_hz)
        };
        let piece = Piece {
            at: self.position,
            pcm,
            rate_hz,
        };
        self.position = self.position + length;
        let mut pieces = Vec::new();
        if loud {
            pieces.extend(self.lead_in.take());
            pieces.push(piece);
            self.loud_run = self.loud_run + length;
            self.quiet_run = Some(MediaTime::ZERO);
            self.last_loud = Some(now);
        } else {
            let quiet = self.quiet_run.map(|run| run + length);
            self.loud_run = MediaTime::ZERO;
            self.quiet_run = quiet.filter(|run| *run <= TAIL);
            if self.quiet_run.is_some() {
                pieces.push(piece);
            } else {
                self.lead_in = Some(piece);
            }
        }
        Heard {
            pieces,
            loud,
            speech: loud && SPEECH_MIN <= self.loud_run,
            told,
        }
    }

    /// Since when it has been silent; nothing while it never spoke.
    pub(crate) fn quiet_for(&self, now: Tick) -> Option<Duration> {
        self.last_loud.map(|at| now.since(at))
    }

    pub(crate) fn last_loud(&self) -> Option<Tick> {
        self.last_loud
    }

    /// Whether what it heard last may be a tone.
    pub(crate) fn may_be_tone(&self) -> bool {
        self.tone.is_some()
    }

    /// How much sound in a row has been one tone. The time that it took tells nothing: a vowel may end a turn, and
    /// nothing come for long.
    pub(crate) fn tone_for(&self) -> Duration {
        self.tone_since
            .map_or(Duration::ZERO, |_| self.tone_run.to_duration())
    }

    /// Since when it has been one tone.
    pub(crate) fn tone_since(&self) -> Option<Tick> {
        self.tone_since
    }

    /// Words came: whatever it sounds like, it is speech.
    pub(crate) fn words(&mut self) {
        self.tone_since = None;
    }

    fn follow_tone(
        &mut self,
        now: Tick,
        pcm: &[i16],
        rate_hz: u32,
        level: f32,
        loud: bool,
        length: MediaTime,
    ) {
        let peak = pcm
            .iter()
            .map(|sample| f32::from(*sample).abs())
            .fold(0.0, f32::max);
        let signs = pcm.windows(2);
        let crossings = signs.filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        let pitch = crossings as f32 * rate_hz as f32 / pcm.len() as f32;
        let near = |a: f32, b: f32| (a - b).abs() <= TONE_CHANGE * b;
        let pure = loud && TONE_CREST.contains(&(peak / level));
        let same = self
            .tone
            .is_some_and(|(was_level, was_pitch)| near(level, was_level) && near(pitch, was_pitch));
        self.tone = pure.then_some((level, pitch));
        if !(pure && same) {
            self.tone_since = None;
        } else if self.tone_since.is_none() {
            self.tone_since = Some(now);
            self.tone_run = length;
        } else {
            self.tone_run = self.tone_run + length;
        }
    }
}

/// How much of some sound is loud, without the pauses in it.
fn told(pcm: &[i16], rate_hz: u32) -> MediaTime {
    let step = (rate_hz / TOLD_STEPS).max(1);
    let loud = |part: &&[i16]| level(part) > LOUD_LEVEL;
    let samples: usize = pcm.chunks(step as usize).filter(loud).map(<[i16]>::len).sum();
    MediaTime::from_ticks(i64::try_from(samples).unwrap_or(0), rate_hz).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(sample: impl Fn(u32) -> f64) -> Bytes {
        (0..6000)
            .flat_map(|n| (sample(n) as i16).to_le_bytes())
            .collect::<Vec<u8>>()
            .into()
    }

    fn noise(n: u32) -> f64 {
        let hash = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let sample = (hash % 2000) as f64 - 1000.0;
        // Spikes make it as peaked as speech.
        if n.is_multiple_of(97) {
            sample * 8.0
        } else {
            sample
        }
    }

    fn at(quarter: u64) -> Tick {
        Tick::from_nanos(1_000_000_000 + quarter * 250_000_000)
    }

    #[test]
    fn silence_is_left_out_but_for_what_lies_around_speech() {
        let mut ears = Ears::default();
        let mut handed = Vec::new();
        for quarter in 0..12 {
            let speaks = (4..6).contains(&quarter);
            let bytes = chunk(|n| if speaks { noise(n) } else { 3.0 });
            let heard = ears.hear(at(quarter), &bytes, 24_000);
            assert_eq!(heard.loud, speaks, "{quarter}");
            handed.extend(heard.pieces.into_iter().map(|piece| piece.at.millis()));
        }
        assert_eq!(handed, [750, 1000, 1250, 1500, 1750]);
        assert_eq!(ears.quiet_for(at(11)), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_pause_inside_of_a_loud_chunk_is_not_told() {
        let mut ears = Ears::default();
        let heard = ears.hear(at(0), &chunk(|n| if n < 2_400 { noise(n) } else { 3.0 }), 24_000);
        assert!(heard.loud);
        assert_eq!(heard.told.millis(), 100);
    }

    #[test]
    fn half_a_second_of_loud_sound_is_speech_and_a_click_is_not() {
        let mut ears = Ears::default();
        assert!(!ears.hear(at(0), &chunk(noise), 24_000).speech);
        assert!(ears.hear(at(1), &chunk(noise), 24_000).speech);
    }

    #[test]
    fn a_tone_is_told_from_speech_and_words_end_the_suspicion() {
        let sine = |n: u32| 8000.0 * (f64::from(n) * 440.0 / 24_000.0 * std::f64::consts::TAU).sin();
        let mut ears = Ears::default();
        let mut told = MediaTime::ZERO;
        for quarter in 0..21 {
            told = told + ears.hear(at(quarter), &chunk(sine), 24_000).told;
        }
        assert!(ears.tone_for() >= Duration::from_millis(4700));
        assert!(told.millis() <= 250, "{told:?}");
        ears.words();
        assert_eq!(ears.tone_for(), Duration::ZERO);
        let mut ears = Ears::default();
        for quarter in 0..21 {
            ears.hear(at(quarter), &chunk(noise), 24_000);
        }
        assert_eq!(ears.tone_for(), Duration::ZERO);
    }
}
