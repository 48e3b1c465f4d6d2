//! What somebody who watches a session is told while it runs.

use std::time::Duration;

use cofferdam_domain::{CallId, Event};
use cofferdam_model::Progress;

/// Somebody who watches. Called from the worker's own task: must not block.
pub trait Watch: Send + Sync {
    /// An event is in the log.
    fn event(&self, event: &Event);

    /// An event was written in a session that works for the one that is watched.
    fn below(&self, _: &Event) {}

    /// Something is under way that is not an event yet, and may never become one.
    fn live(&self, live: Live<'_>);

    /// The store has what was to be written, after so long.
    fn written(&self, _: Duration) {}
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live<'a> {
    /// More of the model's answer.
    Model(Progress),
    /// More output of a running command.
    Output {
        /// Of which call.
        call: CallId,
        /// The bytes, as untrusted as ever.
        bytes: &'a [u8],
    },
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Watch for Nobody {
    fn event(&self, _: &Event) {}
    fn live(&self, _: Live<'_>) {}
}
