//! What the server says. Every field may be absent, several may come at once, and every set of words is open.
use crate::base64_text;
use crate::fields::Fields;
use crate::pcm::OUTPUT_RATE_HZ;
use crate::secret::Handle;
use crate::usage::UsageMetadata;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// One server message. Look at every field: newer models bundle them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerMessage {
    /// The session is set up; sound may be sent.
    pub setup_complete: Option<SetupComplete>,
    /// What the model says and hears.
    pub content: Option<ServerContent>,
    /// Names of the tools that the model wants called.
    pub tool_calls: Vec<String>,
    /// Calls that it wants no more.
    pub tool_calls_cancelled: usize,
    /// The connection ends soon.
    pub go_away: Option<GoAway>,
    /// What would resume this session.
    pub resumption: Option<ResumptionUpdate>,
    /// What the server's own ears found.
    pub voice_activity: Option<VoiceActivity>,
    /// What it cost.
    pub usage: Option<UsageMetadata>,
    /// The server's complaint; this connection is of no more use.
    pub error: Option<ErrorObject>,
}

/// The session is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetupComplete {
    /// Id of the session; Vertex only.
    pub session_id: Option<String>,
}

/// What the model says and hears.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerContent {
    /// What it says, in order.
    pub parts: Vec<Part>,
    /// More words of what it heard.
    pub input_transcription: Option<Transcription>,
    /// More words of what it says.
    pub output_transcription: Option<Transcription>,
    /// Words of what it hears, in place of the interim words before.
    pub interim_input_transcription: Option<Transcription>,
    /// All sound of the turn is sent.
    pub generation_complete: bool,
    /// The turn is over.
    pub turn_complete: bool,
    /// Why, where it is not over by itself.
    pub turn_complete_reason: Option<TurnCompleteReason>,
    /// The turn was cut off.
    pub interrupted: bool,
    /// The model waits for more.
    pub waiting_for_input: bool,
    /// Whether more turns follow without input.
    pub interaction_status: Option<InteractionStatus>,
}

/// One piece of what the model says.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// Sound: bytes of signed 16 bit little endian mono, of which a sample may be cut in two.
    Audio {
        /// The bytes.
        pcm: Bytes,
        /// Their rate.
        rate_hz: u32,
        /// Never to be heard.
        thought: bool,
    },
    /// Words.
    Text {
        /// The words.
        text: String,
        /// Never to be shown.
        thought: bool,
    },
    /// Something else.
    Other,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audio {
                pcm,
                rate_hz,
                thought,
            } => write!(
                f,
                "Audio([{} bytes at {rate_hz} Hz], thought: {thought})",
                pcm.len()
            ),
            Self::Text { text, thought } => {
                write!(f, "Text([{} bytes], thought: {thought})", text.len())
            }
            Self::Other => f.write_str("Other"),
        }
    }
}

/// Words of one side.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transcription {
    /// The words; the space before them belongs to them.
    pub text: String,
    /// Language of the words.
    pub language: Option<String>,
    /// The server takes them for final; not to be relied on.
    pub finished: bool,
}

impl fmt::Debug for Transcription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcription")
            .field("text", &format_args!("[{} bytes]", self.text.len()))
            .field("language", &self.language)
            .field("finished", &self.finished)
            .finish()
    }
}

/// Why a turn is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnCompleteReason {
    /// The model's answer was held back.
    ResponseRejected,
    /// The model needs more input.
    NeedMoreInput,
    /// The input may not be answered.
    ProhibitedInputContent,
    /// A call of a tool went wrong.
    MalformedFunctionCall,
    /// A reason that is new to us.
    Other(String),
}

/// Whether more turns follow without input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InteractionStatus {
    /// More follows.
    InProgress,
    /// Nothing follows.
    Idle,
    /// A word that is new to us.
    Other(String),
}

/// The connection ends soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoAway {
    /// How soon; absent means at once, for all we know.
    pub time_left: Option<Duration>,
}

/// What would resume this session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumptionUpdate {
    /// The handle.
    pub handle: Option<Handle>,
    /// Whether it is good.
    pub resumable: bool,
    /// Messages of ours that the session holds; Vertex only.
    pub last_consumed_client_message: Option<u64>,
}

impl ResumptionUpdate {
    /// The handle, if it is good.
    pub fn usable(&self) -> Option<&Handle> {
        self.handle
            .as_ref()
            .filter(|handle| self.resumable && !handle.expose().is_empty())
    }
}

/// What the server's own ears found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoiceActivity {
    /// `ACTIVITY_START`, `ACTIVITY_END`, or what comes next.
    pub kind: String,
    /// Where in the sound sent.
    pub offset: Option<Duration>,
}

/// The server's complaint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorObject {
    /// Number of the kind of an HTTP status.
    pub code: Option<u64>,
    /// Word of the kind `RESOURCE_EXHAUSTED`.
    pub status: String,
    /// For a person to read.
    pub message: String,
}

impl ServerMessage {
    pub(crate) fn read(mut fields: Fields<'_>) -> Self {
        // Seen nowhere on the wire; one SDK is written for a complaint at this level, another for one in `error`.
        let bare_error = fields.has("code") && (fields.has("message") || fields.has("status"));
        let error = if bare_error {
            Some(ErrorObject::take(&mut fields))
        } else {
            fields.object("error", ErrorObject::read)
        };
        let tool_calls = fields.object("toolCall", |mut call| {
            let names = call.objects("functionCalls", |mut call| {
                let name = call.text("name").unwrap_or_default();
                call.ignore("args");
                call.ignore("id");
                call.finish();
                name
            });
            call.finish();
            names
        });
        let cancelled = fields.object("toolCallCancellation", |mut ids| {
            ids.ignore("ids");
            ids.finish();
        });
        let message = Self {
            setup_complete: fields.object("setupComplete", SetupComplete::read),
            content: fields.object("serverContent", ServerContent::read),
            tool_calls: tool_calls.unwrap_or_default(),
            tool_calls_cancelled: usize::from(cancelled.is_some()),
            go_away: fields.object("goAway", GoAway::read),
            resumption: fields.object("sessionResumptionUpdate", ResumptionUpdate::read),
            voice_activity: fields
                .object("voiceActivity", VoiceActivity::read)
                .or_else(|| fields.object("voiceActivityDetectionSignal", VoiceActivity::read_signal)),
            usage: fields.object("usageMetadata", UsageMetadata::read),
            error,
        };
        fields.finish();
        message
    }

    /// Whether the model itself did something: said or wrote words, or gave sound, be it silence.
    pub fn has_output(&self) -> bool {
        self.content.as_ref().is_some_and(|content| {
            !content.parts.is_empty()
                || content
                    .output_transcription
                    .as_ref()
                    .is_some_and(|words| !words.text.is_empty())
        })
    }
}

impl SetupComplete {
    fn read(mut fields: Fields<'_>) -> Self {
        let session_id = fields.text("sessionId");
        fields.ignore("voiceConsentSignature");
        fields.finish();
        Self { session_id }
    }
}

impl ServerContent {
    fn read(mut fields: Fields<'_>) -> Self {
        let parts = fields.object("modelTurn", |mut turn| {
            turn.ignore("role");
            let parts = turn.objects("parts", Part::read);
            turn.finish();
            parts
        });
        let reason = fields.text("turnCompleteReason").map(|word| match word.as_str() {
            "RESPONSE_REJECTED" => TurnCompleteReason::ResponseRejected,
            "NEED_MORE_INPUT" => TurnCompleteReason::NeedMoreInput,
            "PROHIBITED_INPUT_CONTENT" => TurnCompleteReason::ProhibitedInputContent,
            "MALFORMED_FUNCTION_CALL" => TurnCompleteReason::MalformedFunctionCall,
            _ => TurnCompleteReason::Other(word),
        });
        if let Some(TurnCompleteReason::Other(word)) = &reason {
            fields.new_word("turnCompleteReason", word);
        }
        let status = fields.text("interactionStatus").map(|word| match word.as_str() {
            "IN_PROGRESS" => InteractionStatus::InProgress,
            "IDLE" => InteractionStatus::Idle,
            _ => InteractionStatus::Other(word),
        });
        if let Some(InteractionStatus::Other(word)) = &status {
            fields.new_word("interactionStatus", word);
        }
        let content = Self {
            parts: parts.unwrap_or_default(),
            input_transcription: fields.object("inputTranscription", Transcription::read),
            output_transcription: fields.object("outputTranscription", Transcription::read),
            interim_input_transcription: fields.object("interimInputTranscription", Transcription::read),
            generation_complete: fields.flag("generationComplete"),
            turn_complete: fields.flag("turnComplete"),
            turn_complete_reason: reason,
            interrupted: fields.flag("interrupted"),
            waiting_for_input: fields.flag("waitingForInput"),
            interaction_status: status,
        };
        fields.ignore("groundingMetadata");
        fields.ignore("urlContextMetadata");
        fields.finish();
        content
    }
}

impl Part {
    fn read(mut fields: Fields<'_>) -> Self {
        let thought = fields.flag("thought");
        fields.ignore("thoughtSignature");
        let text = fields.text("text");
        let sound = fields.object("inlineData", |mut data| {
            let mime_type = data.text("mimeType").unwrap_or_default();
            let bytes = data.text("data").and_then(|text| {
                let bytes = base64_text::decode(&text);
                if bytes.is_none() {
                    data.unreadable("data");
                }
                bytes
            });
            let rate_hz = pcm_rate(&mime_type);
            if rate_hz.is_none() {
                data.new_word("mimeType", &mime_type);
            }
            data.finish();
            bytes.zip(rate_hz)
        });
        fields.ignore("executableCode");
        fields.ignore("codeExecutionResult");
        fields.finish();
        match (sound.flatten(), text) {
            (Some((pcm, rate_hz)), _) => Self::Audio {
                pcm,
                rate_hz,
                thought,
            },
            (None, Some(text)) => Self::Text { text, thought },
            (None, None) => Self::Other,
        }
    }
}

/// Rate of a mime type such as `audio/pcm;rate=24000`; nothing for other kinds than PCM.
fn pcm_rate(mime_type: &str) -> Option<u32> {
    let mut words = mime_type.split(';').map(str::trim);
    if !words.next()?.eq_ignore_ascii_case("audio/pcm") {
        return None;
    }
    let said = words.find_map(|word| word.strip_prefix("rate="));
    match said {
        Some(rate) => rate.parse().ok().filter(|rate| *rate > 0),
        None => Some(OUTPUT_RATE_HZ),
    }
}

impl Transcription {
    fn read(mut fields: Fields<'_>) -> Self {
        let words = Self {
            text: fields.text("text").unwrap_or_default(),
            language: fields.text("languageCode"),
            finished: fields.flag("finished"),
        };
        for known in ["speakerLabel", "words", "startOffset", "endOffset"] {
            fields.ignore(known);
        }
        fields.finish();
        words
    }
}

impl GoAway {
    fn read(mut fields: Fields<'_>) -> Self {
        let time_left = fields.duration("timeLeft");
        fields.finish();
        Self { time_left }
    }
}

impl ResumptionUpdate {
    fn read(mut fields: Fields<'_>) -> Self {
        let update = Self {
            handle: fields.text("newHandle").map(Handle::new),
            resumable: fields.flag("resumable"),
            last_consumed_client_message: fields.count("lastConsumedClientMessageIndex"),
        };
        fields.finish();
        update
    }
}

impl VoiceActivity {
    fn read(mut fields: Fields<'_>) -> Self {
        let activity = Self {
            kind: fields.text("type").unwrap_or_default(),
            offset: fields.duration("audioOffset"),
        };
        fields.finish();
        activity
    }

    fn read_signal(mut fields: Fields<'_>) -> Self {
        let kind = fields.text("vadSignalType").unwrap_or_default();
        fields.finish();
        Self { kind, offset: None }
    }
}

impl ErrorObject {
    fn take(fields: &mut Fields<'_>) -> Self {
        let error = Self {
            code: fields.count("code"),
            status: fields.text("status").unwrap_or_default(),
            message: fields.text("message").unwrap_or_default(),
        };
        fields.ignore("details");
        error
    }

    fn read(mut fields: Fields<'_>) -> Self {
        let error = Self::take(&mut fields);
        fields.finish();
        error
    }
}
