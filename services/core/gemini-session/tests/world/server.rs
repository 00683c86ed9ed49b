//! A model that answers what it hears: continuously, or a turn at a time.
use super::{MAGIC, Rng};
use bytes::Bytes;
use gemini_live::{
    ClientMessage, Ending, GoAway, Handle, Part, RealtimeInput, ResumptionUpdate, ServerContent,
    ServerMessage, SetupComplete, Transcription, UsageMetadata,
};
use std::collections::VecDeque;
use std::time::Duration;

/// Length of one message of sound.
const CHUNK_MS: u64 = 240;
/// Messages of 40 ms that the sockets of a slow reader hold.
const SOCKETS_HOLD: usize = 75;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Translate,
    Dialogue,
}

/// What happens to one connection; all times count from its opening.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// It is never opened.
    pub refused: Option<Ending>,
    /// The upgrade is never answered.
    pub never_opens: bool,
    /// Setup is confirmed after this long.
    pub setup_ms: Option<u64>,
    /// Setup is never confirmed.
    pub never_set_up: bool,
    pub go_away_at: Option<u64>,
    pub time_left_s: Option<u64>,
    pub ends_at: Option<u64>,
    pub ending: Option<Ending>,
    /// From here on nothing is said any more, and pings are not answered.
    pub silent_from: Option<u64>,
    /// From here on nothing is read any more.
    pub deaf_from: Option<u64>,
    /// From here on sound is read at half its pace; sockets hold some of it.
    pub slow_from: Option<u64>,
    /// From here on words of the source come, and nothing else.
    pub asr_only_from: Option<u64>,
    /// From here on words come, and the sound is zeros.
    pub voiceless_from: Option<u64>,
    /// From here on a tone comes, and no words.
    pub tone_from: Option<u64>,
    /// The tone ends here.
    pub tone_until: Option<u64>,
    /// The tone is now louder, now softer.
    pub tone_wavers: bool,
    /// The tone comes with words.
    pub tone_speaks: bool,
    /// Turns end in so much of a tone.
    pub tone_ends_turns_ms: u64,
    /// No words ever come.
    pub wordless: bool,
    /// Language of the words of the source.
    pub language: Option<&'static str>,
    /// No answer: the speaker speaks the target language already.
    pub mute: bool,
    /// Every turn comes back empty.
    pub empty_turns: bool,
    /// Turns end with generationComplete alone.
    pub no_turn_complete: bool,
    /// How long after its onset a phrase is answered.
    pub lag_ms: Option<u64>,
    /// Handles are given.
    pub handles: bool,
    /// Answers are a third shorter than what they answer.
    pub terse: bool,
    /// One phrase in 25 is left out.
    pub omits: bool,
}

pub enum Said {
    Message(Box<ServerMessage>),
    End(Ending),
}

#[derive(Clone, Copy, Debug)]
struct Block {
    phrase: i16,
    number: i16,
    heard_at: u64,
}

pub struct Server {
    family: Family,
    script: Script,
    opened_at: u64,
    setup_at: Option<u64>,
    confirmed: bool,
    over: bool,
    warned: bool,
    rng: Rng,
    lag_ms: u64,
    /// Answered by no one yet.
    blocks: VecDeque<Block>,
    /// Turns of the dialogue family that wait for their answer, and when it begins.
    turns: VecDeque<(u64, Vec<Block>)>,
    open_turn: Option<Vec<Block>>,
    marks: VecDeque<(u64, ServerContent)>,
    next_chunk: u64,
    phrase_due: Option<(i16, u64)>,
    chunks: u64,
    /// Sound of the last second: when it came, and how much.
    pace: VecDeque<(u64, u64)>,
    /// What sockets hold of who reads slowly.
    unread: VecDeque<ClientMessage>,
    reads_on_at: u64,
}

impl Server {
    pub fn new(family: Family, script: Script, rng: &mut Rng, opened_at: u64) -> Self {
        let lag_ms = script.lag_ms.unwrap_or_else(|| rng.range(900..2_600));
        Self {
            family,
            script,
            opened_at,
            setup_at: None,
            confirmed: false,
            over: false,
            warned: false,
            rng: Rng::new(rng.below(u64::MAX)),
            lag_ms,
            blocks: VecDeque::new(),
            turns: VecDeque::new(),
            open_turn: None,
            marks: VecDeque::new(),
            next_chunk: 0,
            phrase_due: None,
            chunks: 0,
            pace: VecDeque::new(),
            unread: VecDeque::new(),
            reads_on_at: 0,
        }
    }

    fn past(&self, now: u64, at: Option<u64>) -> bool {
        at.is_some_and(|at| self.opened_at + at <= now)
    }

    pub fn never_opens(&self) -> bool {
        self.script.never_opens
    }

    pub fn is_dead(&self, now: u64) -> bool {
        self.past(now, self.script.silent_from)
    }

    pub fn reads_nothing(&self, now: u64) -> bool {
        self.past(now, self.script.deaf_from)
    }

    /// Messages behind what sockets hold: nobody has taken them.
    pub fn untaken(&self) -> usize {
        self.unread.len().saturating_sub(SOCKETS_HOLD)
    }

    pub fn hear(&mut self, now: u64, message: &ClientMessage) {
        if self.reads_nothing(now) || self.over {
            return;
        }
        if self.past(now, self.script.slow_from) {
            self.unread.push_back(message.clone());
        } else {
            self.take(now, message);
        }
    }

    fn read_slowly(&mut self, now: u64) {
        while self.reads_on_at <= now
            && let Some(message) = self.unread.pop_front()
        {
            let length = if let ClientMessage::RealtimeInput(RealtimeInput::Audio(blob)) = &message {
                blob.data.len() as u64 / 32
            } else {
                0
            };
            self.reads_on_at = now.max(self.reads_on_at) + 2 * length;
            self.take(now, &message);
        }
    }

    fn take(&mut self, now: u64, message: &ClientMessage) {
        match message {
            ClientMessage::Setup(_) => {
                assert!(self.setup_at.is_none(), "a second setup");
                self.setup_at = Some(now);
            }
            ClientMessage::RealtimeInput(input) => {
                assert!(self.confirmed, "input before setup is confirmed");
                self.input(now, input);
            }
            ClientMessage::ClientContent(_)
            | ClientMessage::ToolResponse(_)
            | ClientMessage::ContextUpdate(_) => {
                panic!("nobody asked for that")
            }
        }
    }

    fn input(&mut self, now: u64, input: &RealtimeInput) {
        match input {
            RealtimeInput::Audio(blob) => {
                assert_eq!(blob.mime_type, "audio/pcm;rate=16000");
                let samples: Vec<i16> = blob
                    .data
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                self.expect_pace(now, u64::try_from(samples.len()).unwrap());
                for block in samples.chunks(320).filter(|block| block[0] == MAGIC) {
                    let block = Block {
                        phrase: block[1],
                        number: block[2],
                        heard_at: now,
                    };
                    match self.family {
                        Family::Translate => self.blocks.push_back(block),
                        // Sound outside of a window is thrown away.
                        Family::Dialogue => {
                            if let Some(turn) = &mut self.open_turn {
                                turn.push(block);
                            }
                        }
                    }
                }
            }
            RealtimeInput::ActivityStart(_) => {
                assert!(self.open_turn.is_none(), "a window in a window");
                self.open_turn = Some(Vec::new());
            }
            RealtimeInput::ActivityEnd(_) => {
                let turn = self.open_turn.take().expect("no window is open");
                let begins = now + self.rng.range(600..1_800);
                self.turns.push_back((begins, turn));
            }
            RealtimeInput::AudioStreamEnd(_) | RealtimeInput::Text(_) => panic!("nobody asked for that"),
        }
    }

    /// No more than twice real time, and a few messages at once.
    fn expect_pace(&mut self, now: u64, samples: u64) {
        self.pace.push_back((now, samples));
        while self.pace.front().is_some_and(|(at, _)| at + 1_000 <= now) {
            self.pace.pop_front();
        }
        let heard: u64 = self.pace.iter().map(|(_, samples)| samples).sum();
        assert!(heard <= 16_000 * 2 + 16 * 300, "{heard} samples in a second");
    }

    /// What it says until now.
    pub fn run(&mut self, now: u64) -> Vec<Said> {
        let mut said = Vec::new();
        if self.over {
            return said;
        }
        if self.past(now, self.script.ends_at) {
            self.over = true;
            let ending = self.script.ending.clone().unwrap_or(Ending::Dropped);
            said.push(Said::End(ending));
            return said;
        }
        if self.is_dead(now) || self.script.never_opens {
            return said;
        }
        self.read_slowly(now);
        let setup_ms = self.script.setup_ms.unwrap_or(200);
        if !self.confirmed {
            let due = self.setup_at.is_some_and(|at| at + setup_ms <= now);
            if due && !self.script.never_set_up {
                self.confirmed = true;
                self.next_chunk = now;
                said.push(message(|it| it.setup_complete = Some(SetupComplete::default())));
            }
            return said;
        }
        if !self.warned && self.past(now, self.script.go_away_at) {
            self.warned = true;
            let time_left = self.script.time_left_s.map(Duration::from_secs);
            said.push(message(|it| it.go_away = Some(GoAway { time_left })));
        }
        if self.script.handles && now % 3_000 < 20 {
            said.push(message(|it| {
                it.resumption = Some(ResumptionUpdate {
                    handle: Some(Handle::new("h")),
                    resumable: true,
                    last_consumed_client_message: None,
                });
            }));
        }
        while self.next_chunk <= now {
            match self.family {
                Family::Translate => self.translate_chunk(now, &mut said),
                Family::Dialogue => self.dialogue_chunk(now, &mut said),
            }
        }
        while self.marks.front().is_some_and(|(at, _)| *at <= now) {
            let content = self.marks.pop_front().unwrap().1;
            said.push(message(|it| it.content = Some(content)));
        }
        said
    }

    /// The next 20 ms of an answer: what it answers, or silence.
    fn answer(&mut self, at: u64) -> Option<(i16, i16, i16)> {
        while self.script.omits && self.blocks.front().is_some_and(|block| is_omitted(block.phrase)) {
            self.blocks.pop_front();
        }
        let first = *self.blocks.front()?;
        let begins = match self.phrase_due {
            Some((phrase, due)) if phrase == first.phrase => due,
            _ => {
                let due = first.heard_at + self.lag_ms;
                self.phrase_due = Some((first.phrase, due));
                due
            }
        };
        // Nothing is said before it has been understood.
        let understood = |block: &Block| block.heard_at + 300 <= at;
        if at < begins || !understood(&first) {
            return None;
        }
        self.blocks.pop_front();
        // Now and then two blocks in one: the answer is a little shorter than the phrase.
        let mut last = first.number;
        let shorter = if self.script.terse { 2 } else { 8 };
        if self.rng.below(shorter) == 0
            && let Some(next) = self.blocks.front()
            && next.phrase == first.phrase
            && next.number == first.number + 1
            && understood(next)
        {
            last = next.number;
            self.blocks.pop_front();
        }
        Some((first.phrase, first.number, last))
    }

    fn translate_chunk(&mut self, now: u64, said: &mut Vec<Said>) {
        let asr_only = self.past(now, self.script.asr_only_from);
        let voiceless = self.past(now, self.script.voiceless_from);
        let tone = self.past(now, self.script.tone_from) && !self.past(now, self.script.tone_until);
        let wordless = self.script.wordless || tone && !self.script.tone_speaks;
        let hears = !self.blocks.is_empty();
        let at = self.next_chunk;
        self.next_chunk += CHUNK_MS;
        self.chunks += 1;
        let mut pcm = Vec::new();
        let mut speaks = false;
        for block in 0..CHUNK_MS / 20 {
            let answer = self.answer(at + block * 20).filter(|_| !self.script.mute);
            speaks |= answer.is_some();
            pcm.extend(coded(answer.filter(|_| !voiceless && !tone)));
        }
        if tone {
            let softer = self.script.tone_wavers && self.chunks.is_multiple_of(2);
            pcm = hum(self.chunks, if softer { 6_000.0 } else { 8_000.0 });
        }
        let words = |text: &str| Transcription {
            text: text.to_owned(),
            language: self.script.language.map(str::to_owned),
            finished: false,
        };
        let content = ServerContent {
            parts: if asr_only { Vec::new() } else { vec![sound(&pcm)] },
            input_transcription: (hears && self.chunks.is_multiple_of(4) && !wordless)
                .then(|| words(" heard")),
            output_transcription: (speaks && self.chunks % 4 == 1 && !asr_only && !wordless)
                .then(|| words(" said")),
            ..ServerContent::default()
        };
        let usage = (self.chunks.is_multiple_of(3)).then(|| UsageMetadata {
            prompt: Some(18),
            response: Some(18),
            ..UsageMetadata::default()
        });
        if content != ServerContent::default() {
            said.push(message(|it| {
                it.content = Some(content);
                it.usage = usage;
            }));
        }
    }

    /// Twice as fast as it is heard, from the instant on at which the answer begins.
    fn dialogue_chunk(&mut self, now: u64, said: &mut Vec<Said>) {
        self.next_chunk += CHUNK_MS / 2;
        if self.blocks.is_empty() {
            let begins = self.turns.front().is_some_and(|(begins, _)| *begins <= now);
            if begins {
                let (_, turn) = self.turns.pop_front().unwrap();
                let length = u64::try_from(turn.len()).unwrap() * 20;
                self.blocks = if self.script.empty_turns {
                    VecDeque::new()
                } else {
                    turn.into()
                };
                if self.blocks.is_empty() {
                    self.end_turn(now, 0);
                } else {
                    // The end of the turn comes when it could have been heard to its end.
                    self.phrase_due = Some((0, length));
                }
            }
            return;
        }
        let voiceless = self.past(now, self.script.voiceless_from);
        let left_ms = self.blocks.len() as u64 * 20;
        let tone = left_ms <= self.script.tone_ends_turns_ms;
        self.chunks += 1;
        let mut pcm = Vec::new();
        for _ in 0..CHUNK_MS / 20 {
            let block = self.blocks.pop_front().filter(|_| !voiceless);
            pcm.extend(coded(
                block.map(|block| (block.phrase, block.number, block.number)),
            ));
        }
        if tone {
            pcm = hum(self.chunks, 8_000.0);
        }
        let words = || Transcription {
            text: " said".to_owned(),
            ..Transcription::default()
        };
        let content = ServerContent {
            parts: vec![sound(&pcm)],
            output_transcription: (!self.script.wordless).then(words),
            ..ServerContent::default()
        };
        said.push(message(|it| it.content = Some(content)));
        if self.blocks.is_empty() {
            let length = self.phrase_due.map_or(0, |(_, length)| length);
            self.end_turn(now, length / 2);
        }
    }

    fn end_turn(&mut self, now: u64, heard_after: u64) {
        let generated = ServerContent {
            generation_complete: true,
            ..ServerContent::default()
        };
        self.marks.push_back((now, generated));
        if !self.script.no_turn_complete {
            let over = ServerContent {
                turn_complete: true,
                ..ServerContent::default()
            };
            self.marks.push_back((now + heard_after, over));
        }
        self.marks.make_contiguous().sort_by_key(|(at, _)| *at);
    }
}

/// Whether a phrase is one of those that a model leaves out.
pub fn is_omitted(phrase: i16) -> bool {
    phrase % 25 == 7
}

fn message(fill: impl FnOnce(&mut ServerMessage)) -> Said {
    let mut message = ServerMessage::default();
    fill(&mut message);
    Said::Message(Box::new(message))
}

/// The part of a tone that is the sound of this chunk.
fn hum(chunk: u64, level: f64) -> Vec<i16> {
    let step = std::f64::consts::TAU * 440.0 / 24_000.0;
    let from = chunk * 5_760;
    (0..5_760)
        .map(|n| ((from + n) as f64 * step).sin() * level)
        .map(|sample| sample as i16)
        .collect()
}

fn sound(pcm: &[i16]) -> Part {
    Part::Audio {
        pcm: Bytes::from(
            pcm.iter()
                .flat_map(|sample| sample.to_le_bytes())
                .collect::<Vec<u8>>(),
        ),
        rate_hz: 24_000,
        thought: false,
    }
}

/// 20 ms of answer, peaked as speech is, or of silence.
fn coded(answer: Option<(i16, i16, i16)>) -> Vec<i16> {
    let Some((phrase, first, last)) = answer else {
        return vec![0; 480];
    };
    let mut pcm: Vec<i16> = (0..480).map(|n| if n % 40 < 4 { 6_000 } else { -600 }).collect();
    pcm[..4].copy_from_slice(&[MAGIC, phrase, first, last]);
    pcm
}
