//! The wire of Gemini Live (`BidiGenerateContent`): messages, codec, endpoints, and what the ends of a connection mean.
//!
//! Promises:
//! - what is sent is spelled as Google's JavaScript SDK spells it: text frames of one JSON object, camelCase, standard
//!   base64, 64-bit integers as strings; byte for byte where that SDK sends the same fields;
//! - what comes is taken from text and binary frames alike; a field that is unknown, or known with another type, never
//!   costs the rest of its message and is named once per [`Decoder`];
//! - a key, a handle, words and sound never appear in `Debug` or `Display` of anything here.
//!
//! It knows nothing of dubbing, sockets or time: see `gemini-session` for those who have to act.
#![deny(missing_docs)]

mod base64_text;
mod classify;
mod client;
mod codec;
mod endpoint;
mod fields;
mod languages;
mod pcm;
mod secret;
mod server;
mod usage;

pub use classify::{Class, Context, Ending, Fault, Phase, Recovery, Verdict, classify};
pub use client::{
    ActivityDetection, ActivityHandling, Blob, ClientContent, ClientMessage, Content, ContextUpdate,
    ContextWindowCompression, Empty, EndSensitivity, GenerationConfig, HistoryConfig, Int64, Modality,
    PrebuiltVoice, Proactivity, RealtimeInput, RealtimeInputConfig, SafetySetting, SessionResumption, Setup,
    SlidingWindow, SpeechConfig, StartSensitivity, TextInput, TextPart, ThinkingConfig, ToolResponse,
    TranscriptionConfig, TranslationConfig, TurnCoverage, VoiceConfig,
};
pub use codec::{DecodeError, Decoded, Decoder, EncodeError, FRAME_BYTES_MAX, Frame, encode};
pub use endpoint::{Credential, Endpoint, EndpointError};
pub use languages::{TRANSLATE_LANGUAGES, UnknownLanguage, translate_language};
pub use pcm::{INPUT_RATE_HZ, OUTPUT_RATE_HZ, PcmReader};
pub use secret::{Handle, Secret};
pub use server::{
    ErrorObject, GoAway, InteractionStatus, Part, ResumptionUpdate, ServerContent, ServerMessage,
    SetupComplete, Transcription, TurnCompleteReason, VoiceActivity,
};
pub use usage::{ModalityTokens, TokenModality, UsageMetadata};
