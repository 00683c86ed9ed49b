//! The machine of one session: inputs, and the step that follows each.
mod connecting;
mod losing;
mod receiving;
mod rotating;
mod sending;
mod view;

use crate::breaker::Breaker;
use crate::config::{Config, ConfigError, Family};
use crate::feed::Feed;
use crate::fragments::{Fragments, Progress};
use crate::leg::Leg;
use crate::setup::Step;
use crate::types::{Cause, ConnectionId, Event, FragmentError, Input, Output};
use crate::usage::Usage;
use crate::windows::Windows;
use gemini_live::{Fault, Handle};
use media_types::{ErrorClass, MediaRange, MediaTime, Tick};
use std::collections::VecDeque;
use std::time::Duration;

/// How often a session looks at itself while it has a connection. A beat instead of a dozen deadlines: none of them can
/// be forgotten, and the finest of them, the wait between two messages of a replay, is as long.
const BEAT: Duration = Duration::from_millis(50);

/// Before everything.
const NEVER: MediaTime = MediaTime::from_frames(i64::MIN / 4);

/// One dub session over as many connections as it takes.
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    feed: Feed,
    windows: Option<Windows>,
    fragments: Fragments,
    breaker: Breaker,
    usage: Usage,
    /// In the order of their numbers.
    legs: Vec<Leg>,
    /// The connection that takes the newest source.
    live: Option<ConnectionId>,
    next_connection: u64,
    next_speech: u64,
    /// Where the next connection begins, while none is live.
    resume_from: MediaTime,
    /// The connection that was lost was in the middle of something.
    broke_off: bool,
    /// What the connection that was lost said last may be of another phrase than it seems, or no speech.
    doubtful: bool,
    /// Source before this was sent to some connection.
    sent_to: MediaTime,
    delivered_to: MediaTime,
    delivered_by: Option<ConnectionId>,
    retry_at: Tick,
    attempts: u32,
    quota_waits: u32,
    few: Option<(Fault, u8)>,
    handle: Option<Handle>,
    step: Step,
    halted: Option<Fault>,
    last_cause: Option<Cause>,
    ended_at: Option<Tick>,
    closed: bool,
    playhead: MediaTime,
    /// Longest lag of the connection that told its lag last.
    lag: Duration,
    spoke_at: Option<Tick>,
    came_at: Option<Tick>,
    /// The setup that asks for least was refused too.
    bare_refused: bool,
    beat_at: Tick,
    dice: u64,
    /// What later connections said while an earlier one still speaks.
    held: VecDeque<(ConnectionId, Output)>,
    out: VecDeque<Output>,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    rotations: u64,
    replays: u64,
    failures: u64,
    strays: u64,
    dropped: MediaTime,
}

impl Session {
    /// A session that opens its first connection at once.
    pub fn new(now: Tick, config: Config) -> Result<Self, Vec<ConfigError>> {
        config.validate()?;
        let ring = MediaTime::from_duration(config.ring);
        let windows = match &config.family {
            Family::Translate(_) => None,
            Family::Dialogue(dialogue) => Some(Windows::new(dialogue.clone())),
        };
        let mut session = Self {
            feed: Feed::new(ring, config.speech_threshold, config.speech_level),
            windows,
            fragments: Fragments::default(),
            breaker: Breaker::new(config.breaker.clone()),
            usage: Usage::default(),
            legs: Vec::new(),
            live: None,
            next_connection: 1,
            next_speech: 1,
            resume_from: NEVER,
            broke_off: false,
            doubtful: false,
            sent_to: NEVER,
            delivered_to: NEVER,
            delivered_by: None,
            retry_at: now,
            attempts: 0,
            quota_waits: 0,
            few: None,
            handle: None,
            step: Step::Full,
            halted: None,
            last_cause: None,
            ended_at: None,
            closed: false,
            playhead: NEVER,
            lag: Duration::from_millis(500),
            spoke_at: None,
            came_at: None,
            bare_refused: false,
            beat_at: now,
            dice: config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            held: VecDeque::new(),
            out: VecDeque::new(),
            counts: Counts::default(),
            config,
        };
        session.step(now);
        Ok(session)
    }

    /// Takes a fact.
    pub fn handle_input(&mut self, now: Tick, input: Input) {
        match input {
            Input::FragmentStarted { fragment, start } => self.fragments.start(now, fragment, start),
            Input::AudioArrived {
                start,
                pcm,
                speech_probability,
            } => self.source_came(now, start, pcm, speech_probability),
            Input::FragmentEnded { fragment, end } => self.fragments.end(fragment, end),
            Input::PlayheadMoved { position } => self.playhead = self.playhead.max(position),
            Input::FragmentsAbandoned { up_to } => self.fragments.abandon(up_to, &ABANDONED),
            Input::SourceEnded => self.source_ended(now),
            Input::ConnectionOpened { connection } => self.opened(now, connection),
            Input::MessageWritten { connection } => {
                if let Some(leg) = self.leg_mut(connection) {
                    leg.written();
                }
            }
            Input::MessageReceived { connection, message } => self.received(now, connection, *message),
            Input::FrameReceived { connection } => {
                if let Some(leg) = self.leg_mut(connection) {
                    leg.last_frame = now;
                }
            }
            Input::ConnectionEnded { connection, ending } => self.ended(now, connection, &ending),
        }
        self.step(now);
    }

    /// The instant of [`Self::poll_timeout`] is reached.
    pub fn handle_timeout(&mut self, now: Tick) {
        self.beat_at = now.after(BEAT);
        self.step(now);
    }

    /// The next order; drain to nothing after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Tick> {
        if self.closed {
            return None;
        }
        if !self.legs.is_empty() || !self.fragments.is_empty() || self.ended_at.is_some() {
            return Some(self.beat_at);
        }
        if self.halted.is_some() {
            return None;
        }
        Some(
            self.breaker
                .half_open_at()
                .map_or(self.retry_at, |at| at.max(self.retry_at)),
        )
    }

    fn source_came(&mut self, now: Tick, start: MediaTime, pcm: Vec<i16>, probability: Option<f32>) {
        if self.ended_at.is_some() || self.closed {
            return;
        }
        self.came_at = Some(now);
        let before = self.feed.end();
        if let Some(windows) = self.windows.as_mut().filter(|_| before < start) {
            // A hole of the source is longer than any pause.
            windows.close(before);
        }
        let speech = self.feed.push(start, pcm, probability);
        if speech {
            self.spoke_at = Some(now);
        }
        let block = MediaRange::new(before.max(start), self.feed.end());
        if let Some(windows) = self.windows.as_mut().filter(|_| !block.is_empty()) {
            windows.push(&self.feed, block, speech);
        }
    }

    fn source_ended(&mut self, now: Tick) {
        if self.ended_at.is_some() || self.closed {
            return;
        }
        self.ended_at = Some(now);
        let end = self.feed.end();
        if let Some(windows) = &mut self.windows {
            windows.close(end);
        }
        // Nothing follows: whatever is not complete is as long as it is.
        self.flush_live(now, end);
    }

    /// Everything that follows from the facts so far and the time.
    fn step(&mut self, now: Tick) {
        if self.closed {
            return;
        }
        self.hand_over_vowels(now);
        self.check_legs(now);
        self.check_load(now);
        self.prove_by_age(now);
        self.give_up_source();
        self.ensure_connections(now);
        self.take_over_if_vacant(now);
        self.close_stalled_window(now);
        self.split_if_due(now);
        self.pump(now);
        self.finish_drained(now);
        self.settle(now);
        self.close_if_done(now);
    }

    /// What sockets took by now is delivered.
    fn note_delivered(&mut self) {
        for leg in &self.legs {
            if leg.first.is_some() && self.delivered_to < leg.written_to {
                self.delivered_to = leg.written_to;
                self.delivered_by = Some(leg.id);
            }
        }
    }

    fn settle(&mut self, now: Tick) {
        self.note_delivered();
        let done_to = self
            .windows
            .as_ref()
            .map_or(self.delivered_to, |windows| windows.done_to(self.feed.end()));
        let progress = Progress {
            // Where there are windows, what lies between them is never sent, and nobody waits for it.
            sent_to: self
                .windows
                .as_ref()
                .map_or(self.delivered_to, |windows| windows.sent_to(self.feed.end())),
            done_to,
            connection: self.delivered_by,
        };
        let late = FragmentError {
            class: self.last_cause.map_or(ErrorClass::Timeout, Cause::class),
            retryable: self.halted.is_none(),
            message: "past its hard budget",
        };
        // A window is answered when it has ended, so its beginning waits for all of it.
        let window = match &self.config.family {
            Family::Translate(_) => Duration::ZERO,
            Family::Dialogue(dialogue) => dialogue.window_max,
        };
        let budgets = (self.config.budget_soft + window, self.config.budget_hard + window);
        let settled = self.fragments.settle(now, progress, budgets, &late);
        self.out
            .extend(settled.settlements.into_iter().map(Output::Settle));
        if let Some(fragment) = settled.slow {
            self.report(Event::Slow { fragment });
        }
    }

    fn close_if_done(&mut self, now: Tick) {
        let Some(ended_at) = self.ended_at else {
            return;
        };
        let unanswered = self.live.is_none() && self.resume_from < self.feed.end() && self.halted.is_none();
        let waiting = unanswered || self.windows.as_ref().is_some_and(|windows| !windows.is_empty());
        let feeding = self.windows.is_none() && self.legs.iter().any(|leg| leg.first.is_some());
        let limit = self.config.lifetimes.drain_max + self.config.pace.replay_max;
        if (waiting || feeding) && now.since(ended_at) < limit {
            return;
        }
        for leg in std::mem::take(&mut self.legs) {
            self.out.push_back(Output::Close { connection: leg.id });
        }
        self.live = None;
        self.release_held();
        let end = self.feed.end();
        self.fragments.lose(
            MediaRange::new(NEVER, end + MediaTime::from_frames(1)),
            &UNANSWERED,
        );
        // The fragment that was open when the source ended is as long as its sound.
        self.fragments.end_open(end);
        self.settle(now);
        self.closed = true;
    }

    fn report(&mut self, event: Event) {
        self.out.push_back(Output::Report(event));
    }

    fn leg(&self, id: ConnectionId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    fn leg_mut(&mut self, id: ConnectionId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    fn live_leg(&self) -> Option<&Leg> {
        self.live.and_then(|id| self.leg(id))
    }

    /// Source that is counted as dropped, and fails its fragments.
    fn drop_source(&mut self, range: MediaRange, error: &FragmentError) {
        if range.is_empty() {
            return;
        }
        self.fragments.lose(range, error);
        self.counts.dropped = self.counts.dropped + range.length();
        self.report(Event::Dropped { range });
    }

    /// A number of 64 bits from the seed.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }
}

const ABANDONED: FragmentError = FragmentError {
    class: ErrorClass::Timeout,
    retryable: false,
    message: "nobody waits for it any more",
};

const UNANSWERED: FragmentError = FragmentError {
    class: ErrorClass::Closed,
    retryable: false,
    message: "the session ended before it was answered",
};
