//! The dialogue family: windows of source speech, each answered by a turn that is sent faster than it plays.

use super::fates::{Fate, piece_samples, word};
use super::manner::{Manner, Sound};
use super::{Ground, Said, pop_due};
use crate::chance::Chance;
use crate::ear::HeardCell;
use crate::scenario;
use crate::voice::{Line, RATE, Spoken, Timbre};
use crate::wire::server::{self, Surface};
use crate::wire::setup::Activity;
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of the first chunk of a turn and of those after it, as samples.
const FIRST_CHUNK: u64 = 4_800;
const CHUNK: u64 = 5_760;
/// A broken-off answer has been heard for so long.
const BROKEN_AFTER: u64 = RATE as u64;
/// The longest pause that an answer keeps of its source.
const PAUSE_S_MAX: f64 = 0.4;
/// From one step of a completion in three steps to the next.
const STEPS_APART: Duration = Duration::from_millis(400);
const TOKENS_PER_S: f64 = 25.0;

/// Source speech between two cuts.
#[derive(Debug, Default)]
struct Window {
    cells: Vec<HeardCell>,
    length: Duration,
}

/// The turn that is being sent or heard.
#[derive(Debug)]
struct Turn {
    line: Line,
    position: u64,
    samples: u64,
    due: Duration,
    generated: bool,
    heard_at: Duration,
    steps_left: u8,
    prompt: u64,
}

/// One session with turns.
#[derive(Debug)]
pub struct Dialogue {
    voice: scenario::Voice,
    pace: scenario::Dialogue,
    chance: Chance,
    surface: Surface,
    activity: Activity,
    interrupts: bool,
    texts: (bool, bool),
    language: String,
    window: Option<Window>,
    /// Windows that wait for their turn, and when they are ready for it.
    waiting: VecDeque<(Duration, Window)>,
    turn: Option<Turn>,
    /// Turns that were finished: the first handle comes after one.
    turns: u32,
}

impl Dialogue {
    /// A session that has heard nothing.
    pub fn new(ground: &Ground, activity: Activity, interrupts: bool, texts: (bool, bool)) -> Self {
        Self {
            voice: ground.voice.clone(),
            pace: ground.dialogue.clone(),
            chance: ground.chance,
            surface: ground.surface,
            activity,
            interrupts,
            texts,
            language: "es".to_owned(),
            window: None,
            waiting: VecDeque::new(),
            turn: None,
            turns: 0,
        }
    }

    /// Turns that were finished.
    pub fn turns(&self) -> u32 {
        self.turns
    }

    /// Whether a turn is being made: no handle is given then.
    pub fn is_generating(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| !turn.generated)
    }

    /// Whether sound that comes now is heard.
    pub fn listens(&self) -> bool {
        self.activity != Activity::Manual || self.window.is_some()
    }

    /// A window opens: by hand, or because speech was heard.
    pub fn open(&mut self, said: &mut Vec<Said>) {
        if self.window.is_some() {
            return;
        }
        self.window = Some(Window::default());
        if self.interrupts && self.turn.is_some() {
            self.break_off(said);
        }
    }

    /// The answer is broken off, and what was not sent of it is forgotten.
    fn break_off(&mut self, said: &mut Vec<Said>) {
        let Some(mut turn) = self.turn.take() else { return };
        if !turn.line.cut(turn.position).is_empty() {
            said.push(Said::Note("broken off"));
        }
        said.push(Said::Message(server::flag("interrupted")));
        said.push(Said::Message(server::turn_complete(None, None)));
        self.turns += 1;
    }

    /// So much sound came in.
    pub fn listen(&mut self, length: Duration) {
        if let Some(window) = &mut self.window {
            window.length += length;
        }
    }

    /// A part of a phrase was understood.
    pub fn hear(&mut self, heard: HeardCell) {
        if let Some(window) = &mut self.window {
            window.cells.push(heard);
        }
    }

    /// Speech is heard, or was last heard `silence` ago: automatic windows open and close.
    pub fn speech(
        &mut self,
        now: Duration,
        silence: Option<Duration>,
        manner: &Manner,
        said: &mut Vec<Said>,
    ) {
        let Activity::Automatic(enough) = self.activity else {
            return;
        };
        match silence {
            Some(silence) if silence < enough => self.open(said),
            Some(_) | None => self.close(now, manner, said),
        }
    }

    /// The window closes; what was heard in it will be answered.
    pub fn close(&mut self, now: Duration, manner: &Manner, said: &mut Vec<Said>) {
        let Some(window) = self.window.take() else { return };
        if self.texts.0 && !manner.no_input_text {
            for cell in window.cells.iter().filter(|it| it.piece.is_none()) {
                let language = if manner.languages {
                    ["en", "de", "ja"][usize::from(cell.cell.part % 3)]
                } else {
                    "en"
                };
                said.push(Said::Text(server::input_text(&word(cell.cell, "en"), language)));
            }
        }
        let number = window.cells.first().map_or(0, |cell| cell.cell.number);
        let jitter = self
            .voice
            .jitter
            .mul_f64(self.chance.even("think", u64::from(number)));
        self.waiting.push_back((now + self.pace.think + jitter, window));
    }

    /// Text asks for an answer.
    pub fn ask(&mut self, now: Duration) {
        let cell = crate::code::Cell {
            number: 0,
            part: 0,
            parts: 1,
        };
        let cells = vec![HeardCell {
            cell,
            piece: None,
            start_s: 0.0,
            end_s: 1.0,
        }];
        let length = Duration::from_secs(1);
        self.waiting
            .push_back((now + self.pace.think, Window { cells, length }));
    }

    /// When there is something to do.
    pub fn due(&self) -> Option<Duration> {
        let turn = self
            .turn
            .as_ref()
            .map(|turn| if turn.generated { turn.heard_at } else { turn.due });
        let waiting = self
            .waiting
            .front()
            .filter(|_| self.turn.as_ref().is_none_or(|turn| turn.generated))
            .map(|it| it.0);
        [turn, waiting].into_iter().flatten().min()
    }

    /// Says what is due.
    pub fn tick(&mut self, now: Duration, manner: &mut Manner, said: &mut Vec<Said>) {
        loop {
            if self
                .turn
                .as_ref()
                .is_some_and(|turn| !turn.generated && turn.due <= now)
            {
                self.chunk(manner, said);
            } else if self
                .turn
                .as_ref()
                .is_some_and(|turn| turn.generated && turn.heard_at <= now)
            {
                self.complete(manner, said);
            } else if self.turn.as_ref().is_none_or(|turn| turn.generated)
                && let Some(window) = pop_due(&mut self.waiting, now)
            {
                // The next answer begins: the one before is over, heard or not.
                while self.turn.is_some() {
                    self.complete(manner, said);
                }
                self.begin(now, window, manner, said);
            } else {
                return;
            }
        }
    }

    fn begin(&mut self, now: Duration, window: Window, manner: &mut Manner, said: &mut Vec<Said>) {
        let prompt = (window.length.as_secs_f64() * TOKENS_PER_S) as u64;
        if manner.rejected > 0 {
            manner.rejected -= 1;
            self.turns += 1;
            said.push(Said::Message(server::turn_complete(
                Some("RESPONSE_REJECTED"),
                None,
            )));
            return;
        }
        let timbre = if manner.other_voice {
            Timbre::High
        } else {
            Timbre::Low
        };
        let (line, samples) = self.speak(&window.cells, timbre, said);
        if self.texts.1 && !manner.no_output_text && manner.sound != Sound::Nothing && !manner.odd {
            for cell in line.beginning(0, samples).filter(|it| it.piece.is_none()) {
                said.push(Said::Text(server::output_text(
                    &word(cell.cell, &self.language),
                    &self.language,
                )));
            }
        }
        self.turn = Some(Turn {
            line,
            position: 0,
            samples,
            due: now,
            generated: false,
            heard_at: now + Duration::from_secs_f64(samples as f64 / f64::from(RATE)),
            steps_left: if manner.extended { 3 } else { 1 },
            prompt,
        });
    }

    /// The answer to a window: its phrases, each with its fate.
    fn speak(&self, cells: &[HeardCell], timbre: Timbre, said: &mut Vec<Said>) -> (Line, u64) {
        let mut line = Line::default();
        let (mut end, mut last_s, mut number) = (0, 0.0, None);
        for heard in cells {
            if heard.piece.is_some() {
                let samples = piece_samples(heard, self.voice.length_ratio);
                line.put(Spoken {
                    cell: heard.cell,
                    piece: heard.piece,
                    start: end,
                    samples,
                    timbre,
                });
                end += samples;
                continue;
            }
            let mut fate = Fate::of(self.chance, &self.voice, heard.cell.number);
            let is_new = number != Some(heard.cell.number);
            number = Some(heard.cell.number);
            if fate.omitted {
                if is_new {
                    said.push(Said::Omitted(heard.cell.number));
                }
                continue;
            }
            let pause_s = match (is_new, fate.split.take()) {
                (true, _) if fate.merged || end == 0 => 0.0,
                (true, _) => (heard.start_s - last_s).clamp(0.12, PAUSE_S_MAX),
                (false, Some(pause)) if heard.cell.part == heard.cell.parts / 2 => pause.as_secs_f64(),
                (false, Some(_) | None) => 0.0,
            };
            last_s = heard.end_s;
            let samples = ((heard.end_s - heard.start_s) * fate.ratio * f64::from(RATE)) as u64;
            let start = end + (pause_s * f64::from(RATE)) as u64;
            line.put(Spoken {
                cell: heard.cell,
                piece: None,
                start,
                samples,
                timbre,
            });
            end = start + samples;
        }
        (line, end)
    }

    fn chunk(&mut self, manner: &mut Manner, said: &mut Vec<Said>) {
        let Some(turn) = &mut self.turn else { return };
        if manner.interrupt_next && turn.position >= BROKEN_AFTER.min(turn.samples / 2) && turn.position > 0 {
            manner.interrupt_next = false;
            self.break_off(said);
            return;
        }
        let wanted = if turn.position == 0 { FIRST_CHUNK } else { CHUNK };
        let count = wanted.min(turn.samples - turn.position);
        if count > 0 && manner.sound != Sound::Nothing {
            let text: String = turn
                .line
                .beginning(turn.position, turn.position + count)
                .filter(|it| it.piece.is_none())
                .map(|it| word(it.cell, &self.language))
                .collect();
            let mut samples = turn.line.render(turn.position, count);
            manner.colour(&mut samples, turn.position);
            let message = if manner.odd {
                server::odd_audio(self.surface, &samples, &text)
            } else {
                server::audio(self.surface, &samples)
            };
            said.push(Said::Message(message));
            said.push(Said::Sound(samples));
        }
        turn.position += count;
        turn.due += Duration::from_secs_f64(count as f64 / f64::from(RATE) / self.pace.speed / manner.rate);
        if turn.position == turn.samples {
            turn.generated = true;
            if manner.sound != Sound::Nothing {
                said.push(Said::Message(server::flag("generationComplete")));
            }
        }
    }

    fn complete(&mut self, manner: &Manner, said: &mut Vec<Said>) {
        let Some(turn) = &mut self.turn else { return };
        turn.steps_left = turn.steps_left.saturating_sub(1);
        turn.heard_at += STEPS_APART;
        let last = turn.steps_left == 0;
        let status = manner
            .extended
            .then_some(if last { "IDLE" } else { "IN_PROGRESS" });
        let silent = manner.no_turn_complete || manner.sound == Sound::Nothing;
        if !silent {
            let mut message = server::turn_complete(None, status);
            let response = (turn.samples as f64 / f64::from(RATE) * TOKENS_PER_S) as u64;
            if let Some(usage) =
                server::usage(self.surface, manner.usage, turn.prompt, response).filter(|_| last)
            {
                message["usageMetadata"] = usage["usageMetadata"].clone();
            }
            said.push(Said::Message(message));
        }
        if last {
            self.turn = None;
            self.turns += 1;
        }
    }
}
