//! dubber: speech in, dubbed speech out. One gRPC stream is one session; a session has one task and one provider.
//!
//! The way of a fragment: [`grpc`] reads it, [`session::input`] checks it, [`session::intake`] puts it together,
//! [`provider`] answers it, [`repair`] makes the answer fit, [`session::ledger`] keeps the order.
#![deny(missing_docs)]

pub mod app;
pub mod check;
pub mod config;
pub mod directory;
pub mod gemini;
pub mod grpc;
pub mod metrics;
pub mod pcm;
pub mod provider;
pub mod repair;
pub mod resample;
pub mod session;
