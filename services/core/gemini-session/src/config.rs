//! What a session goes by. The defaults are the figures of the field.
use crate::usage::PriceTable;
use gemini_live::{TRANSLATE_LANGUAGES, translate_language};
use media_types::MediaTime;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What a session goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Resource name of the model, in the endpoint's own form.
    pub model: String,
    /// How it is spoken to.
    pub family: Family,
    /// What the worker holds back.
    pub hold: Duration,
    /// Words of both sides are wanted. The watchdogs see more with them.
    pub transcription: bool,
    /// Whether a lost session is gone on with by its handle. Neither family gains from it: the translate family's
    /// resumption is unproven, and the dialogue family repeats the turn before.
    pub resume: bool,
    /// Context size that makes the server cut, and the size after the cut, in tokens; absent leaves it to grow.
    pub compression_tokens: Option<(u32, u32)>,
    /// Probability from which on a block counts as speech.
    pub speech_threshold: f32,
    /// Level from which on a block without a probability counts as speech, in steps of 16 bit, RMS.
    pub speech_level: f32,
    /// Source that is kept for replay.
    pub ring: Duration,
    /// How fast source is sent.
    pub pace: Pace,
    /// How long connections live.
    pub lifetimes: Lifetimes,
    /// How soon a failed connection is tried again.
    pub backoff: Backoff,
    /// When the provider is left alone for a while.
    pub breaker: BreakerConfig,
    /// When silence means a fault.
    pub watchdogs: Watchdogs,
    /// Time from the arrival of a fragment after which it has failed.
    pub budget_hard: Duration,
    /// Time from the arrival of a fragment after which it is slow.
    pub budget_soft: Duration,
    /// What tokens cost.
    pub prices: PriceTable,
    /// Fixes jitter: another number for every session.
    pub seed: u64,
}

/// How a model is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub enum Family {
    /// A continuous interpreter without turns.
    Translate(Translate),
    /// A model that answers turns, told to interpret.
    Dialogue(Dialogue),
}

/// Settings of the translate family.
#[derive(Clone, Debug, PartialEq)]
pub struct Translate {
    /// Language to speak, BCP-47.
    pub target_language: String,
    /// Whether speech that is already in it is said again.
    pub echo_target_language: bool,
}

/// Settings of the dialogue family.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialogue {
    /// What the model is told to be.
    pub instruction: String,
    /// One of the service's voices; absent means its own choice.
    pub voice: Option<String>,
    /// Language of the voice, BCP-47; absent means its own choice.
    pub language: Option<String>,
    /// Shortest window that a short pause closes.
    pub window_min: Duration,
    /// Longest window. At most the hold less [`Dialogue::ANSWER_RESERVE`].
    pub window_max: Duration,
    /// Sound before the speech: a server takes some to hear that it begins.
    pub pre_roll: Duration,
    /// Pause that closes a window of at least `window_min`.
    pub pause_short: Duration,
    /// Pause that closes any window.
    pub pause_long: Duration,
}

impl Dialogue {
    /// What the model has to answer a window and the worker to place the answer.
    pub const ANSWER_RESERVE: Duration = Duration::from_secs(5);

    /// Longest window under any hold: one that is lost with its connection is noticed after 4 s, sent again at twice real
    /// time and answered within a hold of 20 s.
    pub const WINDOW_MAX: Duration = Duration::from_secs(8);

    /// The usual windows under a hold.
    pub fn new(instruction: impl Into<String>, hold: Duration) -> Self {
        let window_max = hold.saturating_sub(Self::ANSWER_RESERVE).min(Self::WINDOW_MAX);
        Self {
            instruction: instruction.into(),
            voice: None,
            language: None,
            window_min: (SECOND * 3).min(window_max),
            window_max,
            pre_roll: Duration::from_millis(500),
            pause_short: Duration::from_millis(300),
            pause_long: Duration::from_millis(800),
        }
    }
}

/// How fast source is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Length of one message.
    pub chunk: Duration,
    /// How many times real time a backlog is sent.
    pub replay_speed: u32,
    /// Longest backlog that is sent at all; older source is dropped and counted.
    pub replay_max: Duration,
    /// Silence that follows when the source stops coming, so that the model finishes.
    pub tail_silence: Duration,
    /// Messages that a socket may have taken on and not written.
    pub unwritten_max: usize,
}

/// How long connections live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Age at which a successor is opened, whether or not a go-away came.
    pub age_soft: Duration,
    /// Largest deviation of `age_soft`, so that streams do not rotate together.
    pub age_jitter: Duration,
    /// Age at which the server closes.
    pub age_hard: Duration,
    /// Safety before the announced end.
    pub end_margin: Duration,
    /// What draining takes before the end.
    pub drain_reserve: Duration,
    /// Longest draining.
    pub drain_max: Duration,
    /// Silence of the model after which a drained connection has said everything.
    pub drain_quiet: Duration,
    /// Pause of the source at which the input is split.
    pub split_pause: Duration,
    /// Source is taken for answered this long after it was sent, while a connection's own lag is not known. It has to be
    /// longer than the provider's lag.
    pub answer_bound: Duration,
    /// What is added to a connection's own lag.
    pub lag_margin: Duration,
    /// No piece answers source that was sent longer ago than this.
    pub lag_max: Duration,
}

/// How soon a failed connection is tried again. The first try after a loss may be immediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First wait; each later one is twice as long.
    pub min: Duration,
    /// Longest wait.
    pub max: Duration,
    /// Largest deviation of a wait, in percent.
    pub jitter_percent: u32,
    /// First wait for a spent quota.
    pub quota_min: Duration,
    /// Later waits for a spent quota.
    pub quota_max: Duration,
    /// Life after which a connection without output has proven itself.
    pub proof_age: Duration,
}

/// When the provider is left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Consecutive failures that open it.
    pub failures_max: u32,
    /// 95th percentile of the latency that opens it.
    pub latency_max: Duration,
    /// How long the latency has to be above.
    pub latency_for: Duration,
    /// Source speech in flight that opens it.
    pub in_flight_max: Duration,
    /// How long it stays open before one is let through.
    pub open_for: Duration,
}

/// When silence means a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdogs {
    /// Until the WebSocket is open.
    pub upgrade: Duration,
    /// Until setup is confirmed.
    pub setup: Duration,
    /// Until the socket takes a message.
    pub send_stall: Duration,
    /// Until any message, translate family, while the source has spoken lately.
    pub message_translate: Duration,
    /// How lately the source must have spoken for that.
    pub spoken_lately: Duration,
    /// Until any message, dialogue family, while a window waits for its answer.
    pub message_dialogue: Duration,
    /// Until any message after a go-away, translate family.
    pub after_go_away_translate: Duration,
    /// Until any message after a go-away, dialogue family, while a window waits for its answer.
    pub after_go_away_dialogue: Duration,
    /// Speech in and words of it heard, and no speech out.
    pub answer: Duration,
    /// Speech in, and neither words of it nor speech out.
    pub deaf: Duration,
    /// Words heard, and none said.
    pub translation: Duration,
    /// Words said, and no sound.
    pub voice: Duration,
    /// A tone, and no words.
    pub tone: Duration,
    /// Turns in a row without an answer.
    pub empty_turns: u32,
    /// A ping is sent after this long without a frame, and again.
    pub ping: Duration,
    /// Until any frame at all.
    pub frame: Duration,
}

/// A setting that cannot be gone by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed is {allowed}")]
pub struct ConfigError {
    /// Field to blame.
    pub field: &'static str,
    /// What it says.
    pub value: String,
    /// What it may say.
    pub allowed: String,
}

impl Config {
    /// The usual session of the translate family.
    pub fn translate(model: impl Into<String>, target_language: impl Into<String>, hold: Duration) -> Self {
        let family = Family::Translate(Translate {
            target_language: target_language.into(),
            echo_target_language: false,
        });
        Self::of(model.into(), family, hold, None)
    }

    /// The usual session of the dialogue family.
    pub fn dialogue(model: impl Into<String>, instruction: impl Into<String>, hold: Duration) -> Self {
        let dialogue = Dialogue::new(instruction, hold);
        // The whole context is billed again with every turn: a small window, not the sound, makes the price.
        let mut config = Self::of(
            model.into(),
            Family::Dialogue(dialogue),
            hold,
            Some((25_000, 8_000)),
        );
        config.breaker.in_flight_max = SECOND * 30;
        // A window is sent again whole, and while it waits for its answer the next one is spoken.
        config.ring = SECOND * 30;
        config.pace.replay_max = SECOND * 20;
        config
    }

    fn of(model: String, family: Family, hold: Duration, compression_tokens: Option<(u32, u32)>) -> Self {
        Self {
            model,
            family,
            hold,
            transcription: true,
            resume: false,
            compression_tokens,
            speech_threshold: 0.5,
            speech_level: 200.0,
            ring: SECOND * 12,
            pace: Pace::default(),
            lifetimes: Lifetimes::default(),
            backoff: Backoff::default(),
            breaker: BreakerConfig::default(),
            watchdogs: Watchdogs::default(),
            budget_hard: SECOND * 12,
            budget_soft: SECOND * 8,
            prices: PriceTable::default(),
            seed: 0,
        }
    }

    /// Checks what depends on each other, and names all that is wrong.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let lifetimes = &self.lifetimes;
        let soft_max = lifetimes
            .age_hard
            .saturating_sub(lifetimes.end_margin + lifetimes.drain_reserve + lifetimes.age_jitter);
        let soft_ok = lifetimes.age_soft > lifetimes.age_jitter && lifetimes.age_soft <= soft_max;
        let ring_ok = self.ring >= SECOND * 8 && self.pace.replay_max <= self.ring;
        let speed_ok = (1..=2).contains(&self.pace.replay_speed);
        let chunk_ok = (20..=100).contains(&self.pace.chunk.as_millis());
        let mut checks = vec![
            Check::new(!self.model.is_empty(), "model", "empty", "a model's name"),
            Check::new(
                soft_ok,
                "age_soft",
                format!("{:?}", lifetimes.age_soft),
                format!("up to {soft_max:?}"),
            ),
            Check::new(
                ring_ok,
                "ring",
                format!("{:?}", self.ring),
                "8 s and more, and no less than replay_max",
            ),
            Check::new(
                speed_ok,
                "replay_speed",
                self.pace.replay_speed.to_string(),
                "1 or 2",
            ),
            Check::new(
                chunk_ok,
                "chunk",
                format!("{:?}", self.pace.chunk),
                "20ms to 100ms",
            ),
        ];
        match &self.family {
            Family::Translate(translate) => checks.push(translate.check()),
            Family::Dialogue(dialogue) => checks.extend(dialogue.checks(self.hold)),
        }
        let wrong: Vec<ConfigError> = checks.into_iter().filter_map(|check| check.0.err()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    pub(crate) fn chunk(&self) -> MediaTime {
        MediaTime::from_duration(self.pace.chunk)
    }

    pub(crate) fn is_translate(&self) -> bool {
        matches!(self.family, Family::Translate(_))
    }

    /// How long a connection may owe an answer.
    pub(crate) fn answer_watchdog(&self) -> Duration {
        if self.is_translate() {
            self.watchdogs.answer
        } else {
            self.watchdogs.message_dialogue
        }
    }
}

/// One thing that has to hold.
struct Check(Result<(), ConfigError>);

impl Check {
    fn new(ok: bool, field: &'static str, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        let error = || ConfigError {
            field,
            value: value.into(),
            allowed: allowed.into(),
        };
        Self(if ok { Ok(()) } else { Err(error()) })
    }
}

impl Translate {
    fn check(&self) -> Check {
        let target = &self.target_language;
        let known = translate_language(target).is_ok();
        Check::new(
            known,
            "target_language",
            format!("{target:?}"),
            TRANSLATE_LANGUAGES.join(" "),
        )
    }
}

impl Dialogue {
    fn checks(&self, hold: Duration) -> [Check; 3] {
        let longest = hold.saturating_sub(Self::ANSWER_RESERVE);
        let fits = self.window_max >= SECOND && self.window_max <= longest;
        let ordered = self.window_min <= self.window_max;
        [
            Check::new(
                fits,
                "window_max",
                format!("{:?}", self.window_max),
                format!("1s to the hold less 5s, here {longest:?}"),
            ),
            Check::new(
                ordered,
                "window_min",
                format!("{:?}", self.window_min),
                "up to window_max",
            ),
            Check::new(!self.instruction.is_empty(), "instruction", "empty", "some words"),
        ]
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            chunk: Duration::from_millis(100),
            replay_speed: 2,
            replay_max: SECOND * 8,
            tail_silence: SECOND * 5,
            unwritten_max: 30,
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            age_soft: SECOND * 510,
            age_jitter: SECOND * 45,
            age_hard: SECOND * 590,
            end_margin: SECOND * 3,
            drain_reserve: SECOND * 6,
            drain_max: SECOND * 8,
            drain_quiet: Duration::from_millis(600),
            split_pause: Duration::from_millis(250),
            answer_bound: SECOND * 4,
            lag_margin: Duration::from_millis(1500),
            lag_max: SECOND * 12,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(200),
            max: SECOND * 15,
            jitter_percent: 20,
            quota_min: SECOND * 65,
            quota_max: SECOND * 300,
            proof_age: SECOND * 60,
        }
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures_max: 5,
            latency_max: SECOND * 6,
            latency_for: SECOND * 30,
            in_flight_max: SECOND * 10,
            open_for: SECOND * 30,
        }
    }
}

impl Default for Watchdogs {
    fn default() -> Self {
        Self {
            upgrade: SECOND * 10,
            setup: SECOND * 8,
            send_stall: SECOND * 5,
            message_translate: SECOND * 5,
            spoken_lately: SECOND * 10,
            message_dialogue: SECOND * 15,
            after_go_away_translate: SECOND,
            after_go_away_dialogue: SECOND * 4,
            answer: SECOND * 8,
            deaf: SECOND * 30,
            translation: SECOND * 10,
            voice: SECOND * 4,
            tone: SECOND * 5,
            empty_turns: 3,
            ping: SECOND * 20,
            frame: SECOND * 60,
        }
    }
}
