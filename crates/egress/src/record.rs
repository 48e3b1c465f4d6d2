//! Where a door writes down what it does.

use async_trait::async_trait;
use cofferdam_domain::{
    SandboxId,
    egress::{Fetched, Passed, Refusal, Refused},
};

/// Writes down what a door does; the worker does it in the session's log.
#[async_trait]
pub trait Record: Send + Sync {
    /// A request is about to be sent. Returns when that is durable: only then does it leave.
    ///
    /// # Errors
    /// When it cannot be written down. Then it is not sent.
    async fn passed(&self, passed: Passed) -> Result<(), NotRecorded>;

    /// Something is refused: said at once for each time, before [`Self::refused`] is told of some of it and of the rest
    /// together. For rules that count; nothing need be written down.
    fn tried(&self, _sandbox: SandboxId, _code: Refusal) {}

    /// Something was refused. Does not wait.
    fn refused(&self, refused: Refused);

    /// A package came through. Does not wait.
    fn fetched(&self, fetched: Fetched);
}

/// What would have passed could not be written down, and so did not pass.
#[derive(Debug, thiserror::Error)]
#[error("the session's log could not be written, so the request was not sent")]
pub struct NotRecorded;
