//! What the model may call: each tool's schema and its execution in one place, over a sandbox.
//!
//! What this crate is for: [`Toolbox`] offers the tools and carries out calls.
//!
//! What it never does: touch the host's files or processes, or trust an argument. It knows nothing of agents or models.
//!
//! Where to start reading: `tool.rs` (what a tool is).

#![forbid(unsafe_code)]

mod tool;

pub use tool::{Blobs, Context, Tool};
