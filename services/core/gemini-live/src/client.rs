//! What the client says. Field order is the order in which the JavaScript SDK writes.
//!
//! `realtimeInput.mediaChunks` is left out on purpose: models since 3 close the connection on it.
use crate::base64_text;
use crate::secret::Handle;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// One client message: exactly one member of the union.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientMessage {
    /// First and once.
    Setup(Box<Setup>),
    /// Turns of text; never in the middle of a session of a 3.1 model.
    ClientContent(ClientContent),
    /// Sound, and the marks around it.
    RealtimeInput(RealtimeInput),
    /// Answers to tool calls.
    ToolResponse(ToolResponse),
    /// A new system instruction in the middle of a session.
    ContextUpdate(ContextUpdate),
}

impl ClientMessage {
    /// Sound at [`crate::INPUT_RATE_HZ`].
    pub fn audio(pcm: Bytes) -> Self {
        Self::RealtimeInput(RealtimeInput::Audio(Blob {
            data: pcm,
            mime_type: format!("audio/pcm;rate={}", crate::INPUT_RATE_HZ),
        }))
    }
}

/// An object without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

macro_rules! wire {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
        }
    };
}

macro_rules! wire_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }
    };
}

/// Everything about a session that is fixed at its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Setup {
    /// Resource name of the model, in the endpoint's own form.
    pub model: String,
    /// How it generates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_config: Option<GenerationConfig>,
    /// What it is told to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content>,
    /// Present: handles are wanted; with a handle: go on with that session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_resumption: Option<SessionResumption>,
    /// Present: words of what it hears are wanted. At this level and at no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_audio_transcription: Option<TranscriptionConfig>,
    /// Present: words of what it says are wanted. At this level and at no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_audio_transcription: Option<TranscriptionConfig>,
    /// Whose ears find the turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime_input_config: Option<RealtimeInputConfig>,
    /// When old context is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window_compression: Option<ContextWindowCompression>,
    /// Whether it may stay silent by itself; 2.5 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proactivity: Option<Proactivity>,
    /// How history is given; 3.1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_config: Option<HistoryConfig>,
    /// Whether the server reports its own ears; Vertex only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explicit_vad_signal: Option<bool>,
    /// What is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_settings: Option<Vec<SafetySetting>>,
    /// Free words on the bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Tools that it may call, as the service describes them. A dubber offers none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<serde_json::Value>>,
}

wire! {
    /// How the model generates.
    GenerationConfig {
        /// What it answers in.
        response_modalities: Vec<Modality>,
        /// Present: it interprets, and nothing else.
        translation_config: TranslationConfig,
        /// Answers asked for.
        candidate_count: u32,
        /// 0 is dull.
        temperature: f64,
        /// Nucleus.
        top_p: f64,
        /// Candidates of a token.
        top_k: f64,
        /// Longest answer.
        max_output_tokens: u32,
        /// Fixes the dice.
        seed: i64,
        /// Detail of pictures.
        media_resolution: String,
        /// Voice and language.
        speech_config: SpeechConfig,
        /// How much it thinks; 3.8 takes none.
        thinking_config: ThinkingConfig,
        /// Answers in the speaker's mood; 2.5 only.
        enable_affective_dialog: bool,
    }
}

wire_words! {
    /// What an answer is made of.
    Modality {
        /// Sound.
        Audio = "AUDIO",
        /// Words.
        Text = "TEXT",
    }
}

wire! {
    /// The interpreter.
    TranslationConfig {
        /// Language to speak. Without it the model is silent for ever and says no word about it.
        target_language_code: String,
        /// Whether speech that is already in the target language is said again.
        echo_target_language: bool,
    }
}

wire! {
    /// Voice and language.
    SpeechConfig {
        /// Language, BCP-47.
        language_code: String,
        /// Voice.
        voice_config: VoiceConfig,
    }
}

wire! {
    /// Voice.
    VoiceConfig {
        /// One of the service's own.
        prebuilt_voice_config: PrebuiltVoice,
    }
}

wire! {
    /// One of the service's own voices.
    PrebuiltVoice {
        /// Its name; an unknown one refuses the session.
        voice_name: String,
    }
}

wire! {
    /// How much the model thinks.
    ThinkingConfig {
        /// Whether thoughts are returned.
        include_thoughts: bool,
        /// Tokens; 2.5.
        thinking_budget: i64,
        /// Word; 3.1.
        thinking_level: String,
    }
}

/// Words of one side.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Its pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<TextPart>,
    /// Who says it: `user` or `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl Content {
    /// One piece, said by the user.
    pub fn user(text: impl Into<String>) -> Self {
        Self {
            parts: vec![TextPart { text: text.into() }],
            role: Some("user".to_owned()),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("parts", &self.parts)
            .field("role", &self.role)
            .finish()
    }
}

/// Words.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextPart {
    /// The words.
    pub text: String,
}

impl fmt::Debug for TextPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes of text]", self.text.len())
    }
}

wire! {
    /// Handles wanted, or a session to go on with.
    SessionResumption {
        /// Session to go on with. Refused while the old connection of that session is open.
        handle: Handle,
        /// Whether the server says what it has consumed; Vertex only.
        transparent: bool,
    }
}

wire! {
    /// How words are made of sound. Empty is the service's default.
    TranscriptionConfig {
        /// Languages to expect.
        language_codes: Vec<String>,
        /// Words to expect.
        custom_vocabulary: Vec<String>,
        /// `VERBATIM` or `SMART`.
        mode: String,
    }
}

wire! {
    /// Whose ears find the turns.
    RealtimeInputConfig {
        /// The server's ears.
        automatic_activity_detection: ActivityDetection,
        /// What new speech does to an answer under way.
        activity_handling: ActivityHandling,
        /// What a turn holds.
        turn_coverage: TurnCoverage,
        /// Whether interim transcripts say when.
        interim_transcript_timestamp_enabled: bool,
    }
}

wire! {
    /// The server's ears.
    ActivityDetection {
        /// True: the client marks the turns.
        disabled: bool,
        /// How soon speech begins.
        start_of_speech_sensitivity: StartSensitivity,
        /// How soon speech ends.
        end_of_speech_sensitivity: EndSensitivity,
        /// Speech that it takes to begin, in ms.
        prefix_padding_ms: u32,
        /// Silence that it takes to end, in ms.
        silence_duration_ms: u32,
    }
}

wire_words! {
    /// How soon speech begins.
    StartSensitivity {
        /// Soon.
        High = "START_SENSITIVITY_HIGH",
        /// Late.
        Low = "START_SENSITIVITY_LOW",
    }
}

wire_words! {
    /// How soon speech ends.
    EndSensitivity {
        /// Soon.
        High = "END_SENSITIVITY_HIGH",
        /// Late.
        Low = "END_SENSITIVITY_LOW",
    }
}

wire_words! {
    /// What new speech does to an answer under way.
    ActivityHandling {
        /// It ends it.
        Interrupts = "START_OF_ACTIVITY_INTERRUPTS",
        /// Nothing.
        NoInterruption = "NO_INTERRUPTION",
    }
}

wire_words! {
    /// What a turn holds.
    TurnCoverage {
        /// What lies between its marks.
        OnlyActivity = "TURN_INCLUDES_ONLY_ACTIVITY",
        /// Everything since the turn before.
        AllInput = "TURN_INCLUDES_ALL_INPUT",
        /// Speech between its marks, and all pictures.
        AudioActivityAndAllVideo = "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    }
}

wire! {
    /// When old context is cut.
    ContextWindowCompression {
        /// Size that makes it cut.
        trigger_tokens: Int64,
        /// How it cuts.
        sliding_window: SlidingWindow,
    }
}

wire! {
    /// Cut at the start of a turn.
    SlidingWindow {
        /// Size after the cut.
        target_tokens: Int64,
    }
}

wire! {
    /// Whether the model may stay silent by itself.
    Proactivity {
        /// It may.
        proactive_audio: bool,
    }
}

wire! {
    /// How history is given.
    HistoryConfig {
        /// As client content before the first sound.
        initial_history_in_client_content: bool,
    }
}

wire! {
    /// One thing that is blocked, or not.
    SafetySetting {
        /// What.
        category: String,
        /// From which likelihood on.
        threshold: String,
    }
}

/// Turns of text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientContent {
    /// The turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Content>,
    /// Whether an answer is wanted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_complete: Option<bool>,
}

/// Sound, and the marks around it: exactly one member of the union.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RealtimeInput {
    /// Sound.
    Audio(Blob),
    /// No sound for a while; only where the server finds the turns.
    AudioStreamEnd(bool),
    /// A turn begins; only where the client marks the turns.
    ActivityStart(Empty),
    /// A turn ends; only where the client marks the turns.
    ActivityEnd(Empty),
    /// Words.
    Text(TextInput),
}

/// Words typed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextInput(pub String);

impl fmt::Debug for TextInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes of text]", self.0.len())
    }
}

/// Bytes of a kind.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blob {
    /// The bytes.
    #[serde(with = "base64_text")]
    pub data: Bytes,
    /// Their kind.
    pub mime_type: String,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes of {}]", self.data.len(), self.mime_type)
    }
}

/// Answers to tool calls. A dubber offers no tools; a model that calls one all the same can be told so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolResponse {
    /// One an asked call.
    pub function_responses: Vec<serde_json::Value>,
}

wire! {
    /// A new system instruction.
    ContextUpdate {
        /// What the model is told to be from now on.
        system_instruction: Content,
    }
}

/// A 64-bit integer, which proto-JSON writes as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Int64(pub i64);

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("no 64-bit integer"))
    }
}
