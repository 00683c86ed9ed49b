//! What goes in and out of the machine.
use gemini_live::{Class, ClientMessage, Ending, Fault, ServerMessage};
use media_types::{ErrorClass, FragmentSeq, MediaRange, MediaTime};
use std::fmt;
use std::time::Duration;

/// Number of a connection; rises for ever in a session. What a connection that is gone still says is told by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A fragment of the source began.
    FragmentStarted {
        /// Its number.
        fragment: FragmentSeq,
        /// Its first instant.
        start: MediaTime,
    },
    /// Source sound came: mono, [`gemini_live::INPUT_RATE_HZ`].
    AudioArrived {
        /// Its first instant.
        start: MediaTime,
        /// Its samples.
        pcm: Vec<i16>,
        /// Probability of speech in it, where a detector runs.
        speech_probability: Option<f32>,
    },
    /// The open fragment is complete.
    FragmentEnded {
        /// Its number.
        fragment: FragmentSeq,
        /// First instant behind it.
        end: MediaTime,
    },
    /// The air moved on.
    PlayheadMoved {
        /// Instant that leaves the hold now.
        position: MediaTime,
    },
    /// Fragments up to this one need no answer any more.
    FragmentsAbandoned {
        /// Last of them.
        up_to: FragmentSeq,
    },
    /// No more source follows.
    SourceEnded,
    /// The WebSocket is open.
    ConnectionOpened {
        /// Which.
        connection: ConnectionId,
    },
    /// The socket took one message.
    MessageWritten {
        /// Which.
        connection: ConnectionId,
    },
    /// The server said something.
    MessageReceived {
        /// Which.
        connection: ConnectionId,
        /// What. Boxed, because every other input is small.
        message: Box<ServerMessage>,
    },
    /// A frame came that holds no message: a pong, or nonsense.
    FrameReceived {
        /// Which.
        connection: ConnectionId,
    },
    /// The connection is gone, or never came to be.
    ConnectionEnded {
        /// Which.
        connection: ConnectionId,
        /// How.
        ending: Ending,
    },
}

/// An order, or something for the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a connection.
    Open {
        /// Its number.
        connection: ConnectionId,
    },
    /// Send a message.
    Send {
        /// Over which.
        connection: ConnectionId,
        /// What.
        message: Box<ClientMessage>,
    },
    /// Send a ping.
    Ping {
        /// Over which.
        connection: ConnectionId,
    },
    /// Close it with 1000, or give it up while it opens. Its end need not be told.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Hand dubbed speech to the worker.
    Speak(Speech),
    /// Hand words to the worker.
    Write(Text),
    /// Say what became of a fragment.
    Settle(Settlement),
    /// Say that source is answered anew.
    Supersede(Supersession),
    /// Say that something happened.
    Report(Event),
}

/// Dubbed speech with its evidence. Silence between pieces is not handed over: `at` tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct Speech {
    /// Number of the piece in the session; rises.
    pub id: u64,
    /// Connection that it came from.
    pub connection: ConnectionId,
    /// Where it lies in the sound of its connection.
    pub at: MediaTime,
    /// Mono samples.
    pub pcm: Vec<i16>,
    /// Their rate.
    pub rate_hz: u32,
    /// Earliest source instant that it can answer.
    pub earliest: MediaTime,
    /// Latest source instant that it can answer.
    pub latest: MediaTime,
    /// Number of the window that it answers, where the model answers windows.
    pub turn: Option<u64>,
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech")
            .field("id", &self.id)
            .field("connection", &self.connection)
            .field("at", &self.at)
            .field(
                "pcm",
                &format_args!("[{} samples at {} Hz]", self.pcm.len(), self.rate_hz),
            )
            .field("earliest", &self.earliest)
            .field("latest", &self.latest)
            .field("turn", &self.turn)
            .finish()
    }
}

/// Which side words belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the speaker said.
    Source,
    /// What the dub says.
    Target,
}

/// More words of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// Connection that they came from.
    pub connection: ConnectionId,
    /// Side that they belong to.
    pub side: Side,
    /// The words, with the space before them.
    pub text: String,
    /// Their language, where the server says it.
    pub language: Option<String>,
    /// Source that they can belong to.
    pub range: MediaRange,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("connection", &self.connection)
            .field("side", &self.side)
            .field("text", &format_args!("[{} bytes]", self.text.len()))
            .field("language", &self.language)
            .field("range", &self.range)
            .finish()
    }
}

/// What became of a fragment at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Number of the fragment.
    pub fragment: FragmentSeq,
    /// How it ended.
    pub outcome: Outcome,
    /// From its first sound to the sending of its last, as far as it got.
    pub queued: Duration,
    /// From the sending of its last sound to its complete answer, where the model marks its answers.
    pub provider_round_trip: Duration,
    /// Connection that heard its end.
    pub connection: Option<ConnectionId>,
}

/// How a fragment ended at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has it, and answered it where it marks its answers.
    Delivered,
    /// The provider does not have it, or did not answer it.
    Failed(FragmentError),
}

/// Why a fragment failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentError {
    /// Kind of the error.
    pub class: ErrorClass,
    /// Whether a later fragment may fare better.
    pub retryable: bool,
    /// What happened, in words of ours.
    pub message: &'static str,
}

/// Source from `from` on is answered anew, by this connection and later ones. For each phrase the newest answer counts
/// that has come when the phrase begins to air; the others are void. So a phrase whose first answer was complete after
/// all airs even if the second one comes too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supersession {
    /// First connection whose answers count.
    pub connection: ConnectionId,
    /// First source instant that is answered anew; a pause of the source, where there was one.
    pub from: MediaTime,
    /// First source instant that is asked anew: what lies before it was too old, and is answered by nobody.
    pub asked: MediaTime,
}

/// What can be wrong with a connection that says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watchdog {
    /// The WebSocket does not open.
    Upgrade,
    /// Setup is not confirmed.
    Setup,
    /// The socket takes nothing.
    SendStall,
    /// No message comes.
    Message,
    /// No message comes after a go-away.
    AfterGoAway,
    /// Speech goes in, words of it are heard, and none comes out.
    Answer,
    /// Speech goes in, and not a word of it is heard. It may be a song, so it is nobody's failure.
    Deaf,
    /// Words are heard, and none said.
    Translation,
    /// Words are said, and no sound comes.
    Voice,
    /// A tone comes, and no words.
    Tone,
    /// Turns come back empty.
    EmptyTurns,
    /// Not a frame comes.
    Frame,
}

impl Watchdog {
    /// One word, for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Setup => "setup",
            Self::SendStall => "send_stall",
            Self::Message => "message",
            Self::AfterGoAway => "after_go_away",
            Self::Answer => "answer",
            Self::Deaf => "deaf",
            Self::Translation => "translation",
            Self::Voice => "voice",
            Self::Tone => "tone",
            Self::EmptyTurns => "empty_turns",
            Self::Frame => "frame",
        }
    }
}

/// Why a connection, or the provider, is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It ended.
    Ended(Fault),
    /// It was silent in some way.
    Silent(Watchdog),
    /// Its answers took too long.
    Slow,
    /// Too much speech waited for an answer.
    InFlight,
}

impl Cause {
    /// One word, for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended(fault) => fault.as_str(),
            Self::Silent(watchdog) => watchdog.as_str(),
            Self::Slow => "slow",
            Self::InFlight => "in_flight",
        }
    }

    /// Its kind.
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::Ended(fault) => match fault.class() {
                Class::Timeout => ErrorClass::Timeout,
                Class::RateLimit => ErrorClass::RateLimit,
                Class::Auth => ErrorClass::Auth,
                Class::InvalidInput => ErrorClass::InvalidInput,
                Class::Overloaded => ErrorClass::Overloaded,
                Class::Closed => ErrorClass::Closed,
            },
            Self::Silent(_) => ErrorClass::Timeout,
            Self::Slow | Self::InFlight => ErrorClass::Overloaded,
        }
    }
}

/// Whether the provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// One connection is tried.
    HalfOpen,
    /// It is not.
    Open,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection is set up.
    Ready {
        /// Which.
        connection: ConnectionId,
        /// How long it took from the order to open it.
        after: Duration,
    },
    /// The server announced the end of a connection.
    Warned {
        /// Which.
        connection: ConnectionId,
        /// How long it has, by its own word.
        time_left: Option<Duration>,
    },
    /// The input was split: the source from `at` on goes to the successor.
    Rotated {
        /// Connection that drains.
        from: ConnectionId,
        /// Connection that takes over.
        to: ConnectionId,
        /// Where.
        at: MediaTime,
        /// Whether it is a pause of the source.
        in_pause: bool,
    },
    /// A drained connection has said everything, or had its time.
    Drained {
        /// Which.
        connection: ConnectionId,
        /// Whether it came to its end by itself.
        complete: bool,
    },
    /// A connection failed.
    Failed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        cause: Cause,
        /// Wait before the next try.
        retry_in: Duration,
    },
    /// Source is sent again, from `from` on.
    Replayed {
        /// To which connection.
        connection: ConnectionId,
        /// First instant.
        from: MediaTime,
        /// How much.
        length: Duration,
    },
    /// Source never reaches the provider.
    Dropped {
        /// Which.
        range: MediaRange,
    },
    /// The breaker changed its state.
    Breaker {
        /// To this.
        state: BreakerState,
        /// Why.
        cause: Option<Cause>,
    },
    /// The provider is not tried any more.
    Halted {
        /// Why; [`Fault::remedy`] says what a person can do.
        fault: Fault,
    },
    /// The setup was refused without a reason; the next one asks for less.
    Simplified {
        /// Steps taken so far.
        step: u8,
    },
    /// A fragment is past its soft budget, the first of this spell.
    Slow {
        /// Which.
        fragment: FragmentSeq,
    },
    /// A window is answered to its end.
    TurnEnded {
        /// Number of the window.
        turn: u64,
    },
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No connection takes source, one is being opened.
    Connecting,
    /// No connection takes source, and none is opened for a while.
    Waiting,
    /// Source is taken.
    Streaming,
    /// Source is taken, and another connection is opened or drains.
    Rotating,
    /// No more source follows; what is under way is answered.
    Draining,
    /// Over.
    Closed,
    /// The provider is not tried any more.
    Halted,
}

/// A session as an operator sees it. No words and no sound.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Where it stands.
    pub state: State,
    /// Breaker.
    pub breaker: BreakerState,
    /// Source speech not yet answered.
    pub in_flight: Duration,
    /// Source not yet sent.
    pub backlog: Duration,
    /// 95th percentile of the latency over the last half minute.
    pub latency_p95: Option<Duration>,
    /// Connections that are open or being opened.
    pub connections: usize,
    /// Connections opened so far.
    pub connections_total: u64,
    /// Splits so far.
    pub rotations_total: u64,
    /// Replays so far.
    pub replays_total: u64,
    /// Failures so far, expected ends aside.
    pub failures_total: u64,
    /// Source that never reached the provider.
    pub dropped: Duration,
    /// Messages that answered nothing: they came before any source was sent on their connection.
    pub stray_total: u64,
    /// Why the provider is not tried any more.
    pub halted: Option<Fault>,
}
