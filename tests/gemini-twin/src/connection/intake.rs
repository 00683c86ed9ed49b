//! What a connection makes of what it is sent.

use super::{Brain, Connection};
use crate::ear::HeardCell;
use crate::phrases::Hearing;
use crate::twin::commons::Commons;
use crate::wire::Bye;
use crate::wire::client::ClientMessage;
use crate::wire::setup::Activity;
use serde_json::json;
use std::time::Duration;

impl Connection {
    /// A message of a client whose session stands.
    pub(super) fn hear_message(&mut self, now: Duration, message: ClientMessage, commons: &mut Commons) {
        let newest = self
            .setup
            .as_ref()
            .is_some_and(|it| it.model_name().starts_with("gemini-3"));
        let manual = self
            .setup
            .as_ref()
            .is_some_and(|it| it.activity == Activity::Manual);
        match message {
            ClientMessage::Audio { legacy: true, .. } if newest => {
                self.close(now, Bye::invalid_argument(), commons)
            }
            ClientMessage::Audio { samples, rate, .. } => self.hear(now, &samples, rate, commons),
            ClientMessage::AudioStreamEnd if manual => self.close(now, Bye::invalid_argument(), commons),
            ClientMessage::ActivityStart | ClientMessage::ActivityEnd if !manual => {
                self.close(now, Bye::invalid_argument(), commons);
            }
            ClientMessage::AudioStreamEnd => self.cut(now, commons),
            ClientMessage::ActivityEnd => {
                self.cut(now, commons);
                if let Some((_, hearing)) = &mut self.hearing {
                    hearing.forget();
                }
            }
            ClientMessage::ActivityStart => {
                let mut said = Vec::new();
                if let Some(Brain::Dialogue(dialogue)) = &mut self.brain {
                    dialogue.open(&mut said);
                }
                self.say(said);
            }
            ClientMessage::Content { turn_complete } => self.content(now, turn_complete, commons),
            ClientMessage::Text => self.ask(now),
            ClientMessage::Setup(_) | ClientMessage::Other => {}
        }
    }

    /// Content of a conversation: 3.1 takes it before the first sound only, and only if that was announced.
    fn content(&mut self, now: Duration, turn_complete: bool, commons: &mut Commons) {
        let Some(setup) = &self.setup else { return };
        let early = setup.history && !self.heard_sound;
        if setup.model_name().starts_with("gemini-3.1") && !early {
            self.close(now, Bye::invalid_argument(), commons);
        } else if turn_complete && !early {
            self.ask(now);
        }
    }

    fn ask(&mut self, now: Duration) {
        if let Some(Brain::Dialogue(dialogue)) = &mut self.brain {
            dialogue.ask(now);
        }
    }

    /// Sound of the source.
    fn hear(&mut self, now: Duration, samples: &[i16], rate: u32, commons: &mut Commons) {
        if let Some(Brain::Dialogue(dialogue)) = &self.brain
            && !dialogue.listens()
        {
            return;
        }
        self.heard_sound = true;
        let hears = commons.scenario.hears;
        if self.hearing.as_ref().is_none_or(|(known, _)| *known != rate) {
            self.hearing = Some((rate, Hearing::new(hears, rate, commons.coded)));
        }
        let Some((_, hearing)) = &mut self.hearing else {
            return;
        };
        let parts = hearing.hear(samples);
        commons.coded |= hearing.is_coded();
        let position_s = hearing.position_s();
        let silence = hearing
            .last_speech_s()
            .map(|last| Duration::from_secs_f64((position_s - last).max(0.0)));
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(rate));
        let mut said = Vec::new();
        match &mut self.brain {
            Some(Brain::Translate(interpreter)) => interpreter.listen(now, length),
            Some(Brain::Dialogue(dialogue)) => {
                if !parts.is_empty() {
                    dialogue.open(&mut said);
                }
                dialogue.listen(length);
            }
            None => {}
        }
        self.say(said);
        self.understand(now, parts, position_s, commons);
        let mut said = Vec::new();
        if let Some(Brain::Dialogue(dialogue)) = &mut self.brain {
            dialogue.speech(now, silence, &self.manner, &mut said);
        }
        self.say(said);
    }

    /// Parts of phrases that were understood, in sound that is `position_s` long by now.
    fn understand(&mut self, now: Duration, parts: Vec<HeardCell>, position_s: f64, commons: &mut Commons) {
        for part in parts {
            let age = Duration::from_secs_f64((position_s - part.start_s).max(0.0));
            let mut omitted = None;
            match &mut self.brain {
                Some(Brain::Translate(interpreter)) => {
                    omitted = interpreter.hear(now, &part, age, self.manner.other_voice);
                }
                Some(Brain::Dialogue(dialogue)) => dialogue.hear(part),
                None => {}
            }
            if let Some(number) = omitted {
                self.note(json!({"omitted": number}));
            }
            if let Some(piece) = part.piece {
                self.note(json!({"piece": piece.symbols().count()}));
                continue;
            }
            let number = part.cell.number;
            self.note(json!({"heard": number, "part": part.cell.part, "parts": part.cell.parts}));
            if number != 0 && number != self.last_number {
                self.last_number = number;
                for fault in commons.at_phrase(number, self.number, self.key.as_deref()) {
                    self.fire(now, fault, commons);
                }
            }
        }
    }

    /// The source says that its sound ends here.
    fn cut(&mut self, now: Duration, commons: &mut Commons) {
        if let Some((_, hearing)) = &mut self.hearing {
            let (parts, position_s) = (hearing.cut(), hearing.position_s());
            self.understand(now, parts, position_s, commons);
        }
        let mut said = Vec::new();
        if let Some(Brain::Dialogue(dialogue)) = &mut self.brain {
            dialogue.close(now, &self.manner, &mut said);
        }
        self.say(said);
    }
}
