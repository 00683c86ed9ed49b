//! The provider `gemini-live`: speech by Gemini Live over WebSocket.
pub mod auth;
pub mod dial;
pub(crate) mod proxy;
pub mod record;
pub(crate) mod route;
pub(crate) mod tls;
