//! What a model provider is, whichever wire format it speaks.

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{
    Answer, ModelRequest,
    event::{ModelFailure, ModelInfo},
};

/// A model that can be asked.
///
/// Notes for implementors: one value serves one session, so it may keep the encoded bytes of the messages it
/// has sent (see [`ModelRequest`]) and its connection. It never logs or prints a key, a prompt or an answer.
#[async_trait]
pub trait Model: Send {
    /// What the agent needs to know about it.
    fn info(&self) -> &ModelInfo;

    /// Asks, and waits for the whole answer. What arrives meanwhile is told to `progress`. Retries and
    /// fallbacks happen inside.
    ///
    /// # Errors
    /// After all tries and fallbacks, or at once where trying again is useless.
    async fn ask(
        &mut self,
        request: &ModelRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Answer, ModelError>;
}

/// What is heard of an answer before it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More text.
    Text(String),
    /// More reasoning.
    Reasoning(String),
    /// The model has begun to ask for this tool.
    Tool(String),
    /// A try failed; the next follows after this time. What was heard of the answer before is void.
    Retry {
        /// Why.
        reason: String,
        /// How long until the next try.
        after: Duration,
        /// Which provider is asked next, if another.
        fallback: Option<String>,
    },
}

/// Why a model could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What kind of failure it is, for the agent.
    pub kind: ModelFailure,
    /// What happened and what to do, for people. Contains no key.
    pub message: String,
}
