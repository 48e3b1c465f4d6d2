//! Model providers behind one interface.
//!
//! What this crate is for: turning a [`cofferdam_domain::ModelRequest`] into the bytes that one provider wants and its stream of events into an
//! [`cofferdam_domain::Answer`]; trying again when that helps; knowing what an answer costs.
//!
//! What it never does: decide what is asked, run a tool, or show a key, a prompt or an answer to a log.
//!
//! Where to start reading: `provider.rs` (the interface).

#![forbid(unsafe_code)]

mod provider;

pub use provider::{Model, ModelError, Progress};
