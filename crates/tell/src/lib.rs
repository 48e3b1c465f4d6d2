//! Telling people what happens to sessions while they look elsewhere: that one was frozen, waits for them, has ended.
//!
//! What this crate is for: [`Teller`] takes letters from the store's outbox and delivers them by [`Channel`]s, at least once each and under the
//! same id, again after failures, until it gives up and the audit log says so. Channels are a signed webhook, a program of the
//! operator's, a forge, where one comment below the issue is kept up to date ([`ForgeChannel`]), and Slack, where that is a message in
//! the thread ([`SlackChannel`]).
//!
//! What it never does: believe what a model, a sandbox or a receiver says. What they have to say is bounded, made visible and kept under
//! `untrusted`; answers are not read, redirections not followed, and names lead to no address that the operator has not permitted.
//!
//! Where to start reading: `teller` (who is told when), then `webhook`; `forge` and `slack` for what is said there, and `report` for how.

#![forbid(unsafe_code)]

mod channel;
mod choice;
mod command;
mod forge;
mod message;
mod report;
mod settings;
mod signature;
mod slack;
mod story;
mod teller;
mod turns;
mod wait;
mod webhook;

pub use channel::{Channel, Failed};
pub use forge::ForgeChannel;
pub use message::{Message, Names};
pub use settings::{CommandSettings, SecretPlace, TellError, TellSettings, WebhookSettings};
pub use signature::{InvalidSecret, SigningSecret};
pub use slack::{Me, Note, Person, SLACK, Slack, SlackChannel, SlackError};
pub use teller::{Route, Teller};
pub use wait::Patience;
