//! One connection: how far it has come, what it was sent and when, and what it owes.
use crate::config::Config;
use crate::ears::Ears;
use crate::types::{ConnectionId, Speech, Watchdog};
use media_types::{MediaRange, MediaTime, Tick};
use std::collections::VecDeque;
use std::time::Duration;

/// Silence of the speaker after which nothing is owed of what was said before.
const SILENCE_FORGETS: Duration = Duration::from_secs(10);
/// How long it is remembered when something was sent. Longer than any lag that is believed.
const SENT_KEPT: Duration = Duration::from_secs(30);

/// What the answer may be shorter than the speech by, besides a tenth of it.
const VOLUME_SLACK: MediaTime = MediaTime::from_millis(250);
/// Who was silent for less when he was heard last was in the middle of something, and owes at least the rest of it.
const MID_SPEECH: Duration = Duration::from_millis(300);
const REST: MediaTime = MediaTime::from_millis(300);
/// How far behind a model is believed to be. What it left out looks like it, too.
const BEHIND_MAX: Duration = Duration::from_secs(4);
/// How much sound a server's buffers are taken to hold that it has not read, before the first message waits here: 200 KB
/// of it in base64.
const SOCKETS_HOLD: Duration = Duration::from_millis(4_500);

/// Speech that deserves an answer. Less may be a cough, or a phrase that the model left out.
const ANSWERED_SPEECH: MediaTime = MediaTime::from_millis(3000);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Ordered, no WebSocket yet.
    Opening,
    /// Setup sent.
    SettingUp,
    /// Set up.
    Ready,
}

/// What a connection owes, each with the instant from which it owes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debts {
    /// Speech out, for speech in.
    pub(crate) answer: Option<Tick>,
    /// The newest speech in.
    pub(crate) spoken_at: Tick,
    /// The model was silent for a while when that speech came: its answer tells the lag.
    pub(crate) clean: bool,
    /// How much speech went in since the last answer.
    pub(crate) speech: MediaTime,
    /// Words of the source came since.
    pub(crate) heard: bool,
    /// The newest words of the source.
    pub(crate) heard_at: Tick,
    /// The newest words of the dub.
    pub(crate) said_at: Tick,
    /// Words out, for words in.
    pub(crate) words: Option<Tick>,
    /// Sound, for words out.
    pub(crate) voice: Option<Tick>,
    /// Turns without an answer in a row.
    pub(crate) empty_turns: u32,
    /// Turn-complete marks that belong to turns that are over already.
    pub(crate) completes: u32,
}

/// Something that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    end: MediaTime,
    at: Tick,
    /// Speech sent up to there.
    speech: MediaTime,
}

/// How much went in and came out.
#[derive(Clone, Copy, Debug, Default)]
struct Volume {
    speech: MediaTime,
    loud: MediaTime,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) id: ConnectionId,
    pub(crate) phase: Phase,
    pub(crate) ordered_at: Tick,
    pub(crate) phase_since: Tick,
    pub(crate) resumed: bool,
    pub(crate) proven: bool,
    pub(crate) warned_at: Option<Tick>,
    /// When its successor is to be opened.
    pub(crate) soft_at: Tick,
    /// When the server closes it, less the margin.
    pub(crate) hard_at: Tick,
    /// First source that it hears; absent until it takes any.
    pub(crate) first: Option<MediaTime>,
    /// When it took it.
    pub(crate) begun_at: Tick,
    /// Source before this was sent.
    pub(crate) cursor: MediaTime,
    /// Source from here on goes to its successor.
    pub(crate) end: Option<MediaTime>,
    pub(crate) ended_at: Option<Tick>,
    pub(crate) tail: MediaTime,
    pub(crate) ears: Ears,
    /// Sound that may be the beginning of a tone, until something else comes: at most a second, and once it is the same
    /// tone at most as much as its watchdog waits.
    pub(crate) unsure: Vec<Speech>,
    pub(crate) debts: Debts,
    pub(crate) language: Option<String>,
    /// Longest time from speech after a silence to its answer.
    pub(crate) lag: Option<Duration>,
    pub(crate) last_message: Tick,
    pub(crate) last_frame: Tick,
    pub(crate) pinged_at: Tick,
    /// Everything before this is answered for certain.
    pub(crate) anchor: MediaTime,
    pub(crate) written_to: MediaTime,
    /// When the newest sound left.
    pub(crate) sound_at: Tick,
    unwritten: VecDeque<(Tick, MediaTime)>,
    sent: VecDeque<Sent>,
    /// Speech sent and loud sound received, and both at the last moment at which nothing was owed.
    volume: Volume,
    settled: Volume,
    credit: MediaTime,
    credit_at: Tick,
}

impl Leg {
    pub(crate) fn new(now: Tick, id: ConnectionId, resumed: bool) -> Self {
        let never = MediaTime::from_frames(i64::MIN);
        Self {
            id,
            phase: Phase::Opening,
            ordered_at: now,
            phase_since: now,
            resumed,
            proven: false,
            warned_at: None,
            soft_at: Tick::from_nanos(u64::MAX),
            hard_at: Tick::from_nanos(u64::MAX),
            first: None,
            begun_at: now,
            cursor: never,
            end: None,
            ended_at: None,
            tail: MediaTime::ZERO,
            ears: Ears::default(),
            unsure: Vec::new(),
            debts: Debts::default(),
            language: None,
            lag: None,
            last_message: now,
            last_frame: now,
            pinged_at: now,
            anchor: never,
            written_to: never,
            sound_at: now,
            unwritten: VecDeque::new(),
            sent: VecDeque::new(),
            volume: Volume::default(),
            settled: Volume::default(),
            credit: MediaTime::ZERO,
            credit_at: now,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.end.is_some()
    }

    /// Set up, and not yet given any source.
    pub(crate) fn is_standby(&self) -> bool {
        self.phase == Phase::Ready && self.first.is_none()
    }

    /// Takes source from an instant on.
    pub(crate) fn begin(&mut self, now: Tick, at: MediaTime) {
        self.first = Some(at);
        self.begun_at = now;
        self.cursor = at;
        self.credit = MediaTime::ZERO;
        self.credit_at = now;
        self.last_message = now;
    }

    /// Fills up what may be sent: `speed` times real time, and never more than three chunks at once.
    pub(crate) fn refill(&mut self, now: Tick, speed: u32, chunk: MediaTime) {
        let passed = MediaTime::from_duration(now.since(self.credit_at).saturating_mul(speed));
        self.credit_at = now;
        let most = MediaTime::from_frames(chunk.frames() * 3);
        self.credit = (self.credit + passed).min(most);
    }

    pub(crate) fn may_send(&self, length: MediaTime, unwritten_max: usize) -> bool {
        length <= self.credit && self.unwritten.len() < unwritten_max
    }

    pub(crate) fn has_room(&self, unwritten_max: usize) -> bool {
        self.unwritten.len() < unwritten_max
    }

    /// A message without source left.
    pub(crate) fn note_message(&mut self, now: Tick) {
        self.unwritten.push_back((now, self.cursor));
    }

    /// Silence left, which is no source but takes its time.
    pub(crate) fn note_silence(&mut self, now: Tick, length: MediaTime) {
        self.credit = self.credit - length;
        self.tail = self.tail + length;
        self.sound_at = now;
        self.note_message(now);
    }

    /// Source left.
    pub(crate) fn note_source(
        &mut self,
        now: Tick,
        range: MediaRange,
        speech: MediaTime,
        quiet_for: Duration,
    ) {
        self.credit = self.credit - range.length();
        self.cursor = range.end;
        self.sound_at = now;
        self.tail = MediaTime::ZERO;
        self.debts.speech = self.debts.speech + speech;
        self.volume.speech = self.volume.speech + speech;
        self.sent.push_back(Sent {
            end: range.end,
            at: now,
            speech: self.volume.speech,
        });
        while self
            .sent
            .front()
            .is_some_and(|sent| now.since(sent.at) > SENT_KEPT)
        {
            self.sent.pop_front();
        }
        // What was owed when the speaker fell silent for long was left out: a speaker who begins again is owed anew.
        if MediaTime::ZERO < speech && now.since(self.debts.spoken_at) >= SILENCE_FORGETS {
            self.debts.answer = None;
            self.debts.words = None;
        }
        if MediaTime::ZERO < speech {
            self.debts.spoken_at = now;
        }
        if MediaTime::ZERO < speech && self.debts.answer.is_none() {
            self.debts.answer = Some(now);
            self.debts.clean = quiet_for >= Duration::from_secs(1);
            self.debts.heard = false;
            self.debts.speech = speech;
        }
        self.note_message(now);
    }

    /// The socket took a message.
    pub(crate) fn written(&mut self) {
        if let Some((_, to)) = self.unwritten.pop_front() {
            self.written_to = to;
        }
    }

    /// Whether the socket took all that was sent.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    pub(crate) fn stalled_for(&self, now: Tick) -> Duration {
        self.unwritten
            .front()
            .map_or(Duration::ZERO, |(at, _)| now.since(*at))
    }

    /// How much of its sound may be a tone.
    pub(crate) fn unsure_for(&self) -> Duration {
        let length = |speech: &Speech| {
            let samples = i64::try_from(speech.pcm.len()).unwrap_or(i64::MAX);
            MediaTime::from_ticks(samples, speech.rate_hz).unwrap_or_default()
        };
        self.unsure
            .iter()
            .map(length)
            .fold(MediaTime::ZERO, |sum, length| sum + length)
            .to_duration()
    }

    /// The model said something.
    pub(crate) fn note_loud(&mut self, length: MediaTime) {
        self.volume.loud = self.volume.loud + length;
    }

    /// The model has been silent for a while: it owes nothing of what was sent longer than `bound` ago.
    pub(crate) fn note_quiet(&mut self, now: Tick, bound: Duration) {
        let old = self.sent.iter().rev().find(|sent| sent.at.after(bound) <= now);
        if let Some(old) = old {
            self.settled.speech = self.settled.speech.max(old.speech);
            self.settled.loud = self.volume.loud;
        }
    }

    /// Whether source before an instant is answered, when the model was last known to work at `alive_until` and answers
    /// within `bound`: it was sent that long ago, and about as much was said as was heard. A model that was sent a
    /// replay is behind by its length until it falls silent.
    fn is_answered(&self, at: MediaTime, alive_until: Tick, bound: Duration, slack: MediaTime) -> bool {
        let Some(sent) = self.sent.iter().find(|sent| at <= sent.end) else {
            return false;
        };
        let asked = (sent.speech - self.settled.speech).frames();
        let told = (self.volume.loud - self.settled.loud + slack).frames();
        let told_enough = asked.saturating_mul(9) <= told.saturating_mul(10);
        let waited = |wait: Duration| sent.at.after(wait) <= alive_until;
        waited(bound) && (told_enough || waited(bound + BEHIND_MAX))
    }

    /// Where the first phrase begins that may not be answered to its end; nothing when all that was sent is answered.
    pub(crate) fn first_unanswered(
        &self,
        phrases: &[MediaRange],
        alive_until: Tick,
        bound: Duration,
    ) -> Option<MediaTime> {
        self.first_open(phrases, |end| {
            self.is_answered(end, alive_until, bound, VOLUME_SLACK)
        })
    }

    /// The same of a connection that is lost. One that broke off while it spoke has not said all that it seems to.
    pub(crate) fn first_lost(
        &self,
        phrases: &[MediaRange],
        alive_until: Tick,
        bound: Duration,
    ) -> Option<MediaTime> {
        let slack = if self.broke_off(alive_until) {
            MediaTime::ZERO - REST
        } else {
            VOLUME_SLACK
        };
        self.first_open(phrases, |end| self.is_answered(end, alive_until, bound, slack))
    }

    /// Whether it was in the middle of something when it was last known to work.
    pub(crate) fn broke_off(&self, alive_until: Tick) -> bool {
        let silent = self.ears.quiet_for(alive_until);
        silent.is_some_and(|silent| silent < MID_SPEECH)
    }

    fn first_open(
        &self,
        phrases: &[MediaRange],
        is_answered: impl Fn(MediaTime) -> bool,
    ) -> Option<MediaTime> {
        let first = self.first?;
        let open = |phrase: &&MediaRange| {
            let mine = first.max(self.anchor) < phrase.end && self.end.is_none_or(|end| phrase.start < end);
            let end = self.end.map_or(phrase.end, |end| phrase.end.min(end));
            mine && !is_answered(end)
        };
        phrases.iter().find(open).map(|phrase| phrase.start.max(first))
    }

    /// What is wrong with a connection that says nothing of it. `owed` is since when a window waits for its answer;
    /// `spoken` says whether the source has spoken lately.
    pub(crate) fn watchdog(
        &self,
        now: Tick,
        config: &Config,
        owed: Option<Tick>,
        spoken: bool,
        own_language: bool,
    ) -> Option<Watchdog> {
        let dogs = &config.watchdogs;
        let over = |since: Tick, limit: Duration| now.since(since) >= limit;
        match self.phase {
            Phase::Opening => return over(self.phase_since, dogs.upgrade).then_some(Watchdog::Upgrade),
            Phase::SettingUp => return over(self.phase_since, dogs.setup).then_some(Watchdog::Setup),
            Phase::Ready => {}
        }
        if over(self.last_frame, dogs.frame) {
            return Some(Watchdog::Frame);
        }
        if self.stalled_for(now) >= dogs.send_stall {
            return Some(Watchdog::SendStall);
        }
        self.first?;
        if self.debts.empty_turns >= dogs.empty_turns {
            return Some(Watchdog::EmptyTurns);
        }
        if self.ears.tone_for() >= dogs.tone {
            return Some(Watchdog::Tone);
        }
        // One word without a sound is no fault; words that go on are.
        let goes_on =
            |since: Tick| now.since(since) >= dogs.voice && since.after(dogs.voice / 4) <= self.debts.said_at;
        if self.debts.voice.is_some_and(goes_on) {
            return Some(Watchdog::Voice);
        }
        if config.is_translate() {
            self.translate_watchdog(now, config, spoken, own_language)
        } else {
            let owed = owed?;
            let last = self.last_message.max(owed);
            if self
                .warned_at
                .is_some_and(|warned| over(warned.max(last), dogs.after_go_away_dialogue))
            {
                return Some(Watchdog::AfterGoAway);
            }
            if over(last, dogs.message_dialogue) {
                return Some(Watchdog::Message);
            }
            over(owed, dogs.message_dialogue).then_some(Watchdog::Answer)
        }
    }

    fn translate_watchdog(
        &self,
        now: Tick,
        config: &Config,
        spoken: bool,
        own_language: bool,
    ) -> Option<Watchdog> {
        let dogs = &config.watchdogs;
        let over = |since: Tick, limit: Duration| now.since(since) >= limit;
        let silent_after = |since: Tick| over(self.last_message.max(since), dogs.after_go_away_translate);
        if self.warned_at.is_some_and(silent_after) {
            return Some(Watchdog::AfterGoAway);
        }
        // Who is silent may be told nothing: it is owed from the first word on.
        let since = self.debts.answer.unwrap_or_default().max(self.last_message);
        if spoken && over(since, dogs.message_translate) {
            return Some(Watchdog::Message);
        }
        // Who speaks the target language already is not said again: silence is the right answer.
        if own_language {
            return None;
        }
        let owes = self.debts.answer.filter(|_| ANSWERED_SPEECH <= self.debts.speech);
        if owes.is_some_and(|since| self.debts.heard && over(since, dogs.answer)) {
            return Some(Watchdog::Answer);
        }
        if owes.is_some_and(|since| over(since, dogs.deaf)) {
            return Some(Watchdog::Deaf);
        }
        let goes_on = |since: Tick| {
            over(since, dogs.translation) && since.after(dogs.translation / 2) <= self.debts.heard_at
        };
        self.debts
            .words
            .is_some_and(goes_on)
            .then_some(Watchdog::Translation)
    }

    /// When the model was last known to work, as far as a fault of this kind tells.
    pub(crate) fn alive_until(&self, watchdog: Watchdog) -> Tick {
        let answered = self.ears.last_loud().unwrap_or(self.phase_since);
        match watchdog {
            Watchdog::Upgrade
            | Watchdog::Setup
            | Watchdog::Message
            | Watchdog::AfterGoAway
            | Watchdog::Frame
            | Watchdog::EmptyTurns => self.last_message,
            // It spoke on, of what sockets held; what it had read by then nobody knows.
            Watchdog::SendStall => self
                .unwritten
                .front()
                .map_or(self.last_message, |(since, _)| since.before(SOCKETS_HOLD))
                .min(self.last_message),
            Watchdog::Answer | Watchdog::Deaf => {
                self.debts.answer.map_or(answered, |since| since.min(answered))
            }
            Watchdog::Translation => self.debts.words.map_or(answered, |since| since.min(answered)),
            Watchdog::Voice => self.debts.voice.map_or(answered, |since| since.min(answered)),
            // What sounded since was the tone.
            Watchdog::Tone => self.ears.tone_since().unwrap_or(answered),
        }
    }
}
