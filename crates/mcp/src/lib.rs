//! Tools of servers that speak the Model Context Protocol, as a client that believes none of them.
//!
//! What this crate is for: [`Client`] speaks to one server over a stream of bytes: it asks which tools, resources and prompts there are, calls
//! tools, reads resources and gets prompts. [`Catalogue`] is what a server says of itself in a form that can be pinned by digest; [`ServerSettings`] is what the operator
//! says of it.
//!
//! What it never does: start a process or open a connection (it is given streams), offer a server anything of the client's side (sampling,
//! elicitation and roots are not among its capabilities, and refused when asked for all the same), or take an answer whose size or form is
//! not bounded. The official SDK does the protocol and is known to this crate only.
//!
//! Where to start reading: `client.rs`, then `wire.rs` (what may come in at all), then `catalogue.rs`.

#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod catalogue;
mod client;
mod error;
mod handler;
mod http;
mod prompt;
mod settings;
mod uri;
mod wire;

pub use answer::{Answer, MAX_TEXT, Picture};
pub use arguments::{exact, permits};
pub use catalogue::{Beside, Catalogue, LeftOut, MAX_TOOLS, Tool, differences};
pub use client::{Client, Progress, Resource, Resources};
pub use error::McpError;
pub use prompt::{Prompt, PromptArgument};
pub use settings::{CallLimits, Directory, InvalidServerName, Ruling, ServerName, ServerSettings, ToolRule};
pub use uri::plain_uri;
