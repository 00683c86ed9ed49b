//! A session without a model behind it: the test says what comes.
#![allow(dead_code, clippy::expect_used)]
use bytes::Bytes;
use gemini_live::{
    ClientMessage, Handle, Part, ResumptionUpdate, ServerContent, ServerMessage, SetupComplete,
};
use gemini_session::{Cause, Config, ConnectionId, Event, Input, Output, Session};
use media_types::{MediaTime, Tick};
use std::time::Duration;

pub const ONE: ConnectionId = ConnectionId(1);
pub const TWO: ConnectionId = ConnectionId(2);

pub fn at(millis: u64) -> Tick {
    Tick::from_nanos(millis * 1_000_000)
}

pub fn config() -> Config {
    let mut config = Config::translate("models/translate", "es", Duration::from_secs(10));
    config.lifetimes.age_jitter = Duration::ZERO;
    config
}

/// A session, and the world around it at an instant.
pub struct Bench {
    pub session: Session,
    pub now: u64,
    pub out: Vec<Output>,
}

impl Bench {
    pub fn new(config: Config) -> Self {
        let mut bench = Self {
            session: Session::new(at(0), config).expect("a good config"),
            now: 0,
            out: Vec::new(),
        };
        bench.drain();
        bench
    }

    /// A session whose first connection is set up.
    pub fn ready(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.set_up(ONE);
        bench
    }

    pub fn set_up(&mut self, connection: ConnectionId) {
        self.input(Input::ConnectionOpened { connection });
        self.say(connection, |it| {
            it.setup_complete = Some(SetupComplete::default())
        });
    }

    pub fn input(&mut self, input: Input) {
        self.session.handle_input(at(self.now), input);
        self.drain();
    }

    pub fn say(&mut self, connection: ConnectionId, fill: impl FnOnce(&mut ServerMessage)) {
        let mut message = Box::<ServerMessage>::default();
        fill(&mut message);
        self.input(Input::MessageReceived { connection, message });
    }

    /// A quarter of a second of voice.
    pub fn speak(&mut self, connection: ConnectionId) {
        let voice = |n: i16| if n % 40 < 4 { 6_000 } else { -600 };
        let samples: Vec<i16> = (0..6_000).map(voice).collect();
        self.utter(connection, &samples);
    }

    /// A quarter of a second of silence.
    pub fn hush(&mut self, connection: ConnectionId) {
        self.utter(connection, &[0; 6_000]);
    }

    fn utter(&mut self, connection: ConnectionId, samples: &[i16]) {
        let pcm: Vec<u8> = samples.iter().copied().flat_map(i16::to_le_bytes).collect();
        self.say(connection, |it| {
            it.content = Some(ServerContent {
                parts: vec![Part::Audio {
                    pcm: Bytes::from(pcm),
                    rate_hz: 24_000,
                    thought: false,
                }],
                ..ServerContent::default()
            });
        });
    }

    /// Lets time pass; the source speaks all the while, or not.
    pub fn pass(&mut self, millis: u64, speech: bool) {
        let until = self.now + millis;
        while self.now < until {
            self.now += 20;
            let start = MediaTime::from_millis(self.now.cast_signed() - 20);
            self.input(Input::AudioArrived {
                start,
                pcm: vec![900; 320],
                speech_probability: Some(if speech { 0.9 } else { 0.1 }),
            });
            self.session.handle_timeout(at(self.now));
            self.drain();
        }
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            if let Output::Send { connection, .. } = &output {
                let connection = *connection;
                self.session
                    .handle_input(at(self.now), Input::MessageWritten { connection });
            }
            self.out.push(output);
        }
    }

    pub fn opened(&self) -> usize {
        self.out
            .iter()
            .filter(|it| matches!(it, Output::Open { .. }))
            .count()
    }

    pub fn failures(&self) -> Vec<Cause> {
        let failed = |output: &Output| match output {
            Output::Report(Event::Failed { cause, .. }) => Some(*cause),
            Output::Report(_)
            | Output::Open { .. }
            | Output::Send { .. }
            | Output::Ping { .. }
            | Output::Close { .. }
            | Output::Speak(_)
            | Output::Write(_)
            | Output::Settle(_)
            | Output::Supersede(_) => None,
        };
        self.out.iter().filter_map(failed).collect()
    }

    pub fn speeches(&self) -> usize {
        self.out
            .iter()
            .filter(|it| matches!(it, Output::Speak(_)))
            .count()
    }

    pub fn handles(&self) -> Vec<Option<Handle>> {
        let sent = self.out.iter().filter_map(|output| match output {
            Output::Send { message, .. } => Some(message.as_ref()),
            Output::Open { .. }
            | Output::Ping { .. }
            | Output::Close { .. }
            | Output::Speak(_)
            | Output::Write(_)
            | Output::Settle(_)
            | Output::Supersede(_)
            | Output::Report(_) => None,
        });
        let setups = sent.filter_map(|message| match message {
            ClientMessage::Setup(setup) => Some(setup.session_resumption.clone()),
            ClientMessage::ClientContent(_)
            | ClientMessage::RealtimeInput(_)
            | ClientMessage::ToolResponse(_)
            | ClientMessage::ContextUpdate(_) => None,
        });
        setups
            .map(|resumption| resumption.and_then(|it| it.handle))
            .collect()
    }
}

pub fn handle() -> ResumptionUpdate {
    ResumptionUpdate {
        handle: Some(Handle::new("h-1")),
        resumable: true,
        last_consumed_client_message: None,
    }
}
