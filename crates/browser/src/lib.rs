//! A browser, driven over the Chrome DevTools Protocol: pages are gone to, looked at as a screen reader sees them, clicked through and
//! pictured.
//!
//! What this crate is for: [`Browser`] is one running Chromium at the other end of two streams of bytes. [`program`] says how it is started.
//!
//! What it never does: start a process, open a connection, or believe what comes from the other end. The browser runs in a sandbox among
//! programs that may pose as it, and shows pages of anybody: messages are bounded before they are parsed, in length and in how much
//! they say, strings before they are kept, and every string of a page's is quoted, with characters that cannot be seen written out, before it stands in a text ([`quoted()`]).
//!
//! Where to start reading: `wire.rs` (what comes in), `link.rs` (questions and answers), `seen.rs` (what pages do of themselves), then
//! `browser.rs` (what can be asked).

#![forbid(unsafe_code)]

mod act;
mod address;
mod browser;
mod element;
mod error;
mod id;
mod keys;
mod link;
mod look;
#[cfg(test)]
mod poser;
pub mod program;
mod quoted;
mod seen;
mod snapshot;
mod wire;

pub use act::{Answer, Deed, Tab, Target, Way};
pub use address::{Address, InvalidAddress};
pub use browser::{Browser, State};
pub use error::BrowserError;
use id::Id;
pub use look::{Part, Picture, Text};
pub use quoted::{quoted, shown};
pub use snapshot::Snapshot;
pub use wire::{Inbound, Messages, WireError};
