//! Model providers behind one interface.
//!
//! What this crate is for: turning a [`cofferdam_domain::ModelRequest`] into the bytes that one provider
//! wants and its stream of events into an [`cofferdam_domain::Answer`]; trying again when that helps; knowing
//! what an answer costs.
//!
//! What it never does: decide what is asked, run a tool, or show a key, a prompt or an answer to a log.
//!
//! Where to start reading: `provider.rs` (the interface), `wire.rs` (what a wire format has to say), then one
//! format, say `anthropic`; `body.rs` is why a prompt's prefix never changes, `remote.rs` tries again and
//! falls back, [`Transcript`] needs no network at all.

#![forbid(unsafe_code)]

mod answer;
mod anthropic;
mod blob;
mod body;
mod catalog;
mod chat;
mod config;
mod failure;
mod gemini;
mod http;
mod local;
mod open;
mod provider;
mod providers;
mod remote;
mod responses;
mod retry;
mod scripted;
mod sse;
mod text_calls;
mod wire;

pub use blob::{BlobSource, NoBlobs};
pub use config::{DollarPrices, Effort, ModelConfig, ModelsConfig, ProviderConfig, RetryConfig};
pub use http::{EndpointError, http_client};
pub use open::{EnvLookup, KeyState, ModelRow, OpenError, list, open, open_one_of};
pub use provider::{Model, ModelError, Progress};
pub use scripted::{Fault, FaultKind, Mismatch, Played, Scripted, Transcript, TranscriptError};
