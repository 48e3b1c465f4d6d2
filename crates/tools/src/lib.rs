//! What the model may call: each tool's schema and its execution in one place, over a sandbox.
//!
//! What this crate is for: [`Toolbox`] offers the tools and carries out calls.
//!
//! What it never does: touch the host's files or processes, or trust an argument. It knows nothing of agents
//! or models. Whatever a call does, its outcome's text is at most [`MAX_TEXT`] bytes, and says how to go on:
//! where the rest is, what was wrong, what to try.
//!
//! Where to start reading: `tool.rs` (what a tool is), `toolbox.rs` (how a call becomes an outcome), then any
//! tool: one file each.

#![forbid(unsafe_code)]

mod access;
mod apply_patch;
mod ask;
mod background;
mod browser;
mod call;
mod delegate;
mod display;
mod edit;
mod files;
mod finish;
mod finish_review;
mod finish_subagent;
mod foreign;
mod glob;
mod grep;
mod list;
mod patch;
mod picture;
mod place;
mod plan;
mod process;
mod propose_plan;
mod read;
mod remember;
mod replace;
mod shell;
mod skill;
mod text;
mod tool;
mod toolbox;
mod whole;
mod write;

pub use delegate::{Delegates, Order, Report};
pub use display::{Display, Size};
pub use skill::Skills;
pub use text::MAX_TEXT;
pub use tool::{Blobs, Context, Foreign, ForeignReply, Notes};
pub use toolbox::Toolbox;
