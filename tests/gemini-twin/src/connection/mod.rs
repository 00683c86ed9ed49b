//! One connection after its upgrade, as a state machine: what comes in, what is due, what goes out.

mod acts;
mod dialogue;
pub mod fates;
mod intake;
pub mod manner;
mod translate;

use crate::chance::Chance;
use crate::faults::{Act, Step};
use crate::phrases::Hearing;
use crate::scenario;
use crate::twin::commons::Commons;
use crate::wire::Bye;
use crate::wire::client::{self, ClientMessage};
use crate::wire::server::{self, Surface};
use crate::wire::setup::{Family, Setup};
use dialogue::Dialogue;
use manner::{Handles, Manner, Pongs, Presented};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use translate::Interpreter;

/// What the shell is to do on one socket, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// A message.
    Frame {
        /// Its text.
        text: String,
        /// In a binary frame; as a text frame otherwise.
        binary: bool,
        /// In five frames, with a ping between.
        fragmented: bool,
    },
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// A close frame, then the end of the connection.
    Close(Bye),
    /// RST in the middle of a frame.
    Reset,
    /// Neither reads nor writes, and keeps the socket.
    Freeze,
    /// Reads so much slower than sound comes.
    ReadSlowly(f64),
    /// What happened, for the record.
    Note(Value),
}

/// What a session says.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Message(Value),
    /// A transcript: what a replay after a resume repeats.
    Text(Value),
    /// Sound that was sent, for the same purpose.
    Sound(Vec<i16>),
    Note(&'static str),
    /// A phrase that is not answered, by the scenario's will.
    Omitted(u16),
}

/// What every session stands on.
#[derive(Debug, Clone)]
struct Ground {
    voice: scenario::Voice,
    dialogue: scenario::Dialogue,
    chance: Chance,
    surface: Surface,
}

#[derive(Debug)]
enum Brain {
    Translate(Box<Interpreter>),
    Dialogue(Box<Dialogue>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No setup yet.
    Opened,
    /// `setupComplete` is due, or never is.
    SettingUp(Option<Duration>),
    Live,
    Gone,
}

/// What is done when its time has come.
#[derive(Debug)]
enum Todo {
    Act(Act),
    /// A fault of the scenario begins.
    Fire(usize),
}

/// What the opening of a connection has in store for it.
#[derive(Debug, Default)]
struct Attempt {
    at_setup: Option<Bye>,
    setup_after: Option<Duration>,
    setup_never: bool,
    ladder: bool,
}

/// What a resume may repeat.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recent {
    /// The last transcript.
    pub text: Option<Value>,
    /// The last second of sound.
    pub sound: Vec<i16>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Which attempt it was, from 1.
    pub number: u64,
    surface: Surface,
    version: String,
    key: Option<String>,
    phase: Phase,
    attempt: Attempt,
    setup: Option<Setup>,
    session: u64,
    replay: bool,
    manner: Manner,
    hearing: Option<(u32, Hearing)>,
    brain: Option<Brain>,
    heard_sound: bool,
    /// The ordinary end: warning and close.
    life: VecDeque<(Duration, Act)>,
    plan: Vec<(Duration, Todo)>,
    pongs: VecDeque<(Duration, Vec<u8>)>,
    handle_due: Duration,
    handles: u64,
    recent: Recent,
    last_number: u16,
    leaving: Option<Duration>,
    out: VecDeque<Out>,
}

/// Takes what is first in a queue if its time has come.
fn pop_due<T>(queue: &mut VecDeque<(Duration, T)>, now: Duration) -> Option<T> {
    queue.front().filter(|(due, _)| *due <= now)?;
    queue.pop_front().map(|(_, what)| what)
}

/// Sound of one second.
const SECOND: usize = 24_000;
/// A connection with stale frames goes on for so long after the client's close.
const STALE: Duration = Duration::from_secs(2);

impl Connection {
    /// A connection that was just upgraded.
    pub fn new(
        number: u64,
        opened: Duration,
        surface: Surface,
        version: &str,
        key: Option<String>,
        commons: &Commons,
    ) -> Self {
        let life = &commons.scenario.life;
        let left = life.close_after - life.go_away_after;
        let at = |after| opened + commons.scenario.scaled(after);
        Self {
            number,
            surface,
            version: version.to_owned(),
            key,
            phase: Phase::Opened,
            attempt: Attempt::default(),
            setup: None,
            session: number,
            replay: false,
            manner: Manner::default(),
            hearing: None,
            brain: None,
            heard_sound: false,
            life: VecDeque::from([
                (at(life.go_away_after), Act::GoAway(Some(left))),
                (at(life.close_after), Act::Close(Bye::aborted())),
            ]),
            plan: Vec::new(),
            pongs: VecDeque::new(),
            handle_due: Duration::MAX,
            handles: 0,
            recent: Recent::default(),
            last_number: 0,
            leaving: None,
            out: VecDeque::new(),
        }
    }

    /// Whether the socket still counts as open.
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Gone
    }

    /// Whether the session stands.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// The key that it came with.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What the shell has to do.
    pub fn take_out(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// Steps of a fault that begins now; only what a scenario times is scaled.
    pub fn begin(&mut self, now: Duration, steps: Vec<Step>, commons: &mut Commons) {
        for step in steps {
            if step.after.is_zero() {
                self.perform(now, step.act, commons);
            } else {
                self.later(now + commons.scenario.scaled(step.after), Todo::Act(step.act));
            }
        }
    }

    fn later(&mut self, at: Duration, todo: Todo) {
        let place = self.plan.partition_point(|(time, _)| *time <= at);
        self.plan.insert(place, (at, todo));
    }

    /// Notes what happened.
    pub fn note(&mut self, note: Value) {
        self.out.push_back(Out::Note(note));
    }

    fn send(&mut self, message: &Value) {
        self.send_text(server::frame(message));
    }

    fn send_text(&mut self, text: String) {
        if self.phase == Phase::Gone || self.manner.muted {
            return;
        }
        let (binary, fragmented) = (!self.manner.text_frames, self.manner.fragmented);
        self.out.push_back(Out::Frame {
            text,
            binary,
            fragmented,
        });
    }

    fn say(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Message(message) => self.send(&message),
                Said::Text(message) => {
                    self.send(&message);
                    self.recent.text = Some(message);
                }
                Said::Sound(samples) => {
                    self.recent.sound.extend(samples);
                    let spare = self.recent.sound.len().saturating_sub(SECOND);
                    self.recent.sound.drain(..spare);
                }
                Said::Note(note) => self.note(json!({"answer": note})),
                Said::Omitted(number) => self.note(json!({"omitted": number})),
            }
        }
    }

    /// Hangs up.
    fn close(&mut self, now: Duration, bye: Bye, commons: &mut Commons) {
        if self.phase == Phase::Gone {
            return;
        }
        self.out.push_back(Out::Close(bye));
        self.gone(now, commons);
    }

    /// The socket is gone, whoever closed it: its session may be resumed from now on.
    pub fn gone(&mut self, now: Duration, commons: &mut Commons) {
        if self.phase != Phase::Gone {
            self.phase = Phase::Gone;
            commons
                .sessions
                .leave(self.session, self.number, now, std::mem::take(&mut self.recent));
        }
    }

    /// The client sent a close frame.
    pub fn client_closed(&mut self, now: Duration, bye: Bye, commons: &mut Commons) {
        self.note(json!({"client_closed": bye.code}));
        if self.manner.stale && self.leaving.is_none() {
            self.leaving = Some(now + STALE);
        } else {
            self.close(now, bye, commons);
        }
    }

    /// The client sent a ping.
    pub fn ping(&mut self, now: Duration, payload: Vec<u8>, commons: &Commons) {
        match self.manner.pongs {
            Pongs::Prompt => self.out.push_back(Out::Pong(payload)),
            Pongs::After(late) => self
                .pongs
                .push_back((now + commons.scenario.scaled(late), payload)),
            Pongs::Never => {}
        }
    }

    /// The client sent a message.
    pub fn message(&mut self, now: Duration, frame: &[u8], commons: &mut Commons) {
        if self.phase == Phase::Gone {
            return;
        }
        match client::parse(frame) {
            Err(bye) => self.close(now, bye, commons),
            Ok(ClientMessage::Setup(setup)) => self.set_up(now, *setup, commons),
            Ok(message) if self.is_live() => self.hear_message(now, message, commons),
            Ok(_) => self.close(now, Bye::invalid_argument(), commons),
        }
    }

    fn set_up(&mut self, now: Duration, setup: Setup, commons: &mut Commons) {
        if self.phase != Phase::Opened {
            return self.close(now, Bye::invalid_argument(), commons);
        }
        self.note(json!({"setup": {"model": setup.model, "handle": setup.handle}}));
        if let Some(bye) = self.attempt.at_setup.take() {
            return self.close(now, bye, commons);
        }
        if !setup.is_served(&commons.scenario.models) {
            return self.close(now, Bye::model_not_found(&setup.model, &self.version), commons);
        }
        if self.attempt.ladder && (setup.resumption || setup.compression) {
            return self.close(now, Bye::invalid_argument(), commons);
        }
        if let Some(handle) = &setup.handle {
            match commons.present(handle, self.number, now) {
                Ok((session, presented, recent)) => {
                    self.session = session;
                    self.recent = recent;
                    self.replay = presented == Presented::Replayed;
                    if presented == Presented::Poisoned {
                        self.manner.sound = manner::Sound::Nothing;
                    }
                }
                Err(bye) => return self.close(now, bye, commons),
            }
        } else {
            commons.sessions.enter(self.session, self.number);
        }
        let wait = match self.attempt.setup_after {
            Some(late) => commons.scenario.scaled(late),
            None => commons.scenario.life.setup,
        };
        self.phase = Phase::SettingUp((!self.attempt.setup_never).then_some(now + wait));
        self.setup = Some(setup);
    }

    /// The session stands.
    fn go_live(&mut self, now: Duration, commons: &mut Commons) {
        let Some(setup) = self.setup.clone() else { return };
        let scenario = &commons.scenario;
        let ground = Ground {
            voice: scenario.voice.clone(),
            dialogue: scenario.dialogue.clone(),
            chance: commons.chance,
            surface: self.surface,
        };
        let texts = (setup.input_text, setup.output_text);
        self.brain = Some(match setup.family {
            Family::Translate => Brain::Translate(Box::new(Interpreter::new(
                &ground,
                setup.target.as_deref(),
                texts,
            ))),
            Family::Dialogue => Brain::Dialogue(Box::new(Dialogue::new(
                &ground,
                setup.activity,
                setup.interrupts,
                texts,
            ))),
        });
        self.phase = Phase::Live;
        self.handle_due = now + scenario.scaled(scenario.life.handle_every);
        self.send(&server::setup_complete(self.surface, self.session));
        if self.replay {
            let recent = self.recent.clone();
            if let Some(text) = &recent.text {
                self.send(text);
            }
            for chunk in recent.sound.chunks(SECOND / 4) {
                self.send(&server::audio(self.surface, chunk));
            }
        }
        for (after, fault) in commons.triggers(self.number, self.key.as_deref()) {
            if commons.calls_off_life(fault) {
                self.life.clear();
            }
            self.later(now + after, Todo::Fire(fault));
        }
        if now < commons.quota_until {
            let after = commons.scenario.scaled(Duration::from_millis(800));
            self.later(now + after, Todo::Act(Act::Close(Bye::quota())));
        }
    }

    /// The next moment at which something is due.
    pub fn due(&self) -> Option<Duration> {
        let brain = match &self.brain {
            Some(Brain::Translate(interpreter)) => interpreter.due(),
            Some(Brain::Dialogue(dialogue)) => dialogue.due(),
            None => None,
        };
        let setup = match self.phase {
            Phase::SettingUp(due) => due,
            Phase::Gone => return None,
            Phase::Opened | Phase::Live => None,
        };
        let handle = (self.handle_due != Duration::MAX).then_some(self.handle_due);
        let life = self.life.front().map(|it| it.0);
        let plan = self.plan.first().map(|it| it.0);
        let pong = self.pongs.front().map(|it| it.0);
        [brain, setup, handle, life, plan, pong, self.leaving]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration, commons: &mut Commons) {
        if let Phase::SettingUp(Some(due)) = self.phase
            && due <= now
        {
            self.go_live(now, commons);
        }
        while let Some(payload) = pop_due(&mut self.pongs, now) {
            self.out.push_back(Out::Pong(payload));
        }
        while self.plan.first().is_some_and(|it| it.0 <= now) {
            match self.plan.remove(0).1 {
                Todo::Act(act) => self.perform(now, act, commons),
                Todo::Fire(fault) => self.fire(now, fault, commons),
            }
        }
        while let Some(act) = pop_due(&mut self.life, now) {
            self.perform(now, act, commons);
        }
        if self.leaving.is_some_and(|at| at <= now) {
            self.close(now, Bye::new(1000, ""), commons);
        }
        if self.phase == Phase::Live {
            self.speak(now);
            self.give_handle(now, commons);
        }
    }

    fn speak(&mut self, now: Duration) {
        let mut said = Vec::new();
        let source_speaks = self.hearing.as_ref().is_some_and(|(_, hearing)| {
            hearing
                .last_speech_s()
                .is_some_and(|last| hearing.position_s() - last < 0.5)
        });
        match &mut self.brain {
            Some(Brain::Translate(interpreter)) => {
                interpreter.tick(now, &mut self.manner, source_speaks, &mut said);
            }
            Some(Brain::Dialogue(dialogue)) => dialogue.tick(now, &mut self.manner, &mut said),
            None => {}
        }
        self.say(said);
    }

    /// A handle every few seconds. In a dialogue none comes before the first turn is over, and none while one is made.
    fn give_handle(&mut self, now: Duration, commons: &mut Commons) {
        if self.handle_due > now {
            return;
        }
        self.handle_due = now + commons.scenario.scaled(commons.scenario.life.handle_every);
        let (early, busy) = match &self.brain {
            Some(Brain::Dialogue(dialogue)) => (dialogue.turns() == 0, dialogue.is_generating()),
            Some(Brain::Translate(_)) | None => (false, false),
        };
        match self.manner.handles {
            Handles::Never => {}
            Handles::Given if early => {}
            Handles::Given if !busy => {
                self.handles += 1;
                let handle = commons.handle(self.session, self.number * 100_000 + self.handles);
                self.send(&server::resumption(Some(&handle)));
            }
            Handles::Given | Handles::Withheld => self.send(&server::resumption(None)),
        }
    }
}
