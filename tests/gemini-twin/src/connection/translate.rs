//! The translate family: no turns, sound all the time, paced as it plays.

use super::fates::{Fate, piece_samples, word};
use super::manner::{Manner, Sound};
use super::{Ground, Said};
use crate::chance::Chance;
use crate::ear::HeardCell;
use crate::scenario::Voice;
use crate::voice::{Line, RATE, Spoken, Timbre};
use crate::wire::server::{self, Surface};
use std::time::Duration;

/// Sound of one message.
const CHUNK: u64 = RATE as u64 / 4;
const CHUNK_TIME: Duration = Duration::from_millis(250);
/// Chunks of a burst.
const BURST: u64 = 16;
/// From one delta of a transcript to the next.
const TEXT_EVERY: Duration = Duration::from_millis(1_000);
/// From one usage message to the next.
const USAGE_EVERY: Duration = Duration::from_millis(700);
/// The pause between answers that are not merged.
const PAUSE: u64 = RATE as u64 * 3 / 25;
/// An answer that would begin so soon after the one before can be merged with it.
const MERGE_WITHIN: u64 = RATE as u64 * 4 / 5;
/// Tokens of a second of sound.
const TOKENS_PER_S: f64 = 25.0;

/// The phrase that is being answered.
#[derive(Debug, Clone, Copy)]
struct Answering {
    number: u16,
    fate: Fate,
    /// Where its answer goes on.
    next: u64,
}

/// One interpreting session.
#[derive(Debug)]
pub struct Interpreter {
    voice: Voice,
    chance: Chance,
    surface: Surface,
    language: String,
    texts: (bool, bool),
    line: Line,
    /// The next sample to be sent, and when.
    position: u64,
    due: Option<Duration>,
    /// How long what is due is held back.
    held: Duration,
    began: Duration,
    answering: Option<Answering>,
    end: u64,
    heard: String,
    said: String,
    heard_due: Duration,
    said_due: Duration,
    usage_due: Duration,
    prompt: f64,
    response: f64,
}

impl Interpreter {
    /// A session that has heard nothing; without a language it says nothing.
    pub fn new(ground: &Ground, language: Option<&str>, texts: (bool, bool)) -> Self {
        Self {
            voice: ground.voice.clone(),
            chance: ground.chance,
            surface: ground.surface,
            language: language.unwrap_or_default().to_owned(),
            texts,
            line: Line::default(),
            position: 0,
            due: None,
            held: Duration::ZERO,
            began: Duration::ZERO,
            answering: None,
            end: 0,
            heard: String::new(),
            said: String::new(),
            heard_due: Duration::ZERO,
            said_due: Duration::ZERO,
            usage_due: Duration::ZERO,
            prompt: 0.0,
            response: 0.0,
        }
    }

    /// So much sound came in. With the first of it the output begins.
    pub fn listen(&mut self, now: Duration, length: Duration) {
        self.prompt += length.as_secs_f64() * TOKENS_PER_S;
        if self.due.is_none() {
            self.due = Some(now + CHUNK_TIME);
            self.began = now;
            self.usage_due = now + USAGE_EVERY;
        }
    }

    /// When there is something to do.
    pub fn due(&self) -> Option<Duration> {
        Some(self.due? + self.held)
    }

    /// Where on the line the moment `at` is played, if the line is kept at its pace.
    fn place(&self, at: Duration) -> u64 {
        let due = self.due.unwrap_or(at);
        let ahead = (at.as_secs_f64() - due.as_secs_f64()) * f64::from(RATE);
        self.position.saturating_add_signed(ahead as i64)
    }

    /// A part of a phrase was understood; it began `age` ago. Says whether the phrase is new and left out.
    pub fn hear(
        &mut self,
        now: Duration,
        heard: &HeardCell,
        age: Duration,
        other_voice: bool,
    ) -> Option<u16> {
        let began = now.saturating_sub(age);
        let timbre = if other_voice { Timbre::High } else { Timbre::Low };
        if heard.piece.is_some() {
            self.repeat(heard, began, timbre);
            return None;
        }
        if self.language.is_empty() {
            self.heard.push_str(&word(heard.cell, "en"));
            return None;
        }
        let number = heard.cell.number;
        let is_new = self
            .answering
            .is_none_or(|it| it.number != number || (number == 0 && heard.cell.part == 0));
        let mut answering = match self.answering.filter(|_| !is_new) {
            Some(answering) => answering,
            None => self.begin(number, began),
        };
        self.heard.push_str(&word(heard.cell, "en"));
        if answering.fate.omitted {
            self.answering = Some(answering);
            return is_new.then_some(number);
        }
        let is_middle = heard.cell.part > 0 && heard.cell.part == heard.cell.parts / 2 && !is_new;
        if let Some(pause) = answering.fate.split.take_if(|_| is_middle) {
            answering.next += (pause.as_secs_f64() * f64::from(RATE)) as u64;
        }
        let length_s = (heard.end_s - heard.start_s) * answering.fate.ratio;
        let spoken = Spoken {
            cell: heard.cell,
            piece: None,
            start: answering.next.max(self.position).max(self.end),
            samples: (length_s * f64::from(RATE)) as u64,
            timbre,
        };
        self.end = spoken.end();
        answering.next = self.end;
        self.line.put(spoken);
        self.answering = Some(answering);
        None
    }

    /// A piece of a cell: its phrase is not known, so it is said after its lag or as soon as there is room.
    fn repeat(&mut self, heard: &HeardCell, began: Duration, timbre: Timbre) {
        if self.language.is_empty() {
            return;
        }
        let wanted = self.place(began + self.voice.lag);
        let spoken = Spoken {
            cell: heard.cell,
            piece: heard.piece,
            start: wanted.max(self.position).max(self.end),
            samples: piece_samples(heard, self.voice.length_ratio),
            timbre,
        };
        self.end = spoken.end();
        self.line.put(spoken);
    }

    fn begin(&self, number: u16, began: Duration) -> Answering {
        let fate = Fate::of(self.chance, &self.voice, number);
        let age_min = began.saturating_sub(self.began).as_secs_f64() / 60.0;
        let growth = self.voice.lag_growth_per_minute.mul_f64(age_min);
        let wanted = self.place(began + fate.lag + growth);
        let next = if fate.merged && self.end > 0 && wanted < self.end + MERGE_WITHIN {
            self.end
        } else if self.end > 0 {
            wanted.max(self.end + PAUSE)
        } else {
            wanted
        };
        Answering { number, fate, next }
    }

    /// Says what is due.
    pub fn tick(&mut self, now: Duration, manner: &mut Manner, source_speaks: bool, said: &mut Vec<Said>) {
        let chunks = if manner.bursts { BURST } else { 1 };
        // A burst is what was due since the one before, the last of it now.
        self.held = CHUNK_TIME.mul_f64((chunks - 1) as f64 / manner.rate);
        while let Some(due) = self.due.filter(|due| *due + self.held <= now) {
            for _ in 0..chunks {
                self.chunk(manner, source_speaks, said);
            }
            let step = CHUNK_TIME.mul_f64(chunks as f64 / manner.rate);
            self.due = Some(due + step);
            self.texts(due, manner, said);
            if due >= self.usage_due {
                self.usage_due += USAGE_EVERY;
                self.usage(manner, said);
            }
        }
    }

    fn chunk(&mut self, manner: &Manner, source_speaks: bool, said: &mut Vec<Said>) {
        let (from, to) = (self.position, self.position + CHUNK);
        if manner.sound != Sound::Nothing {
            for cell in self.line.beginning(from, to).filter(|it| it.piece.is_none()) {
                self.said.push_str(&word(cell.cell, &self.language));
            }
        }
        let sounds = self.line.sounds(from, to);
        let mut samples = self.line.render(from, CHUNK);
        self.position = to;
        let quiet = manner.quiet_in_silence && !sounds && !source_speaks;
        if manner.sound == Sound::Nothing || quiet {
            return;
        }
        manner.colour(&mut samples, from);
        self.response += CHUNK_TIME.as_secs_f64() * TOKENS_PER_S;
        if manner.odd && sounds {
            let text = if self.texts.1 {
                std::mem::take(&mut self.said)
            } else {
                String::new()
            };
            said.push(Said::Message(server::odd_audio(self.surface, &samples, &text)));
        } else {
            said.push(Said::Message(server::audio(self.surface, &samples)));
        }
        said.push(Said::Sound(samples));
    }

    fn texts(&mut self, now: Duration, manner: &Manner, said: &mut Vec<Said>) {
        if now >= self.heard_due && !self.heard.is_empty() {
            self.heard_due = now + TEXT_EVERY;
            let text = std::mem::take(&mut self.heard);
            if self.texts.0 && !manner.no_input_text {
                let language = if manner.languages {
                    ["en", "de", "ja"][text.len() % 3]
                } else {
                    "en"
                };
                said.push(Said::Text(server::input_text(&text, language)));
            }
        }
        if now >= self.said_due && !self.said.is_empty() {
            self.said_due = now + TEXT_EVERY;
            let text = std::mem::take(&mut self.said);
            if self.texts.1 && !manner.no_output_text {
                said.push(Said::Text(server::output_text(&text, &self.language)));
            }
        }
    }

    fn usage(&mut self, manner: &Manner, said: &mut Vec<Said>) {
        let (prompt, response) = (self.prompt.floor(), self.response.floor());
        self.prompt -= prompt;
        self.response -= response;
        said.extend(
            server::usage(self.surface, manner.usage, prompt as u64, response as u64).map(Said::Message),
        );
    }
}
