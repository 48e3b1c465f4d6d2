//! The life of a session.

use serde::{Deserialize, Serialize};

/// Where a session stands. Derived from its log, never stored as a truth of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Accepted; nobody works on it yet.
    Queued,
    /// A worker has claimed it and the agent is at work.
    Working,
    /// The agent has finished; gate, evidence and publication are under way.
    Delivering,
    /// It ended; see its [`Outcome`].
    Ended,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// There is a pull request to review.
    Succeeded,
    /// The agent found nothing to change.
    NothingToDo,
    /// It could not be done.
    Failed {
        /// Why, and what to do about it.
        reason: String,
    },
    /// A limit was reached before the work was done. Partial work, if any, is in a draft pull request.
    Stopped {
        /// Which one, in words.
        limit: String,
    },
    /// The gate holds the change back for a person.
    Held {
        /// Why, in one line.
        reason: String,
    },
    /// Somebody cancelled it.
    Cancelled,
}
