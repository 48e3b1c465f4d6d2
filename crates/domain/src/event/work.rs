//! The words in which events tell of work: its stages, how models fail, why the agent is nudged, what becomes of plans.

use serde::{Deserialize, Serialize};

use crate::Side;

/// Pieces of a worker's work that are done again after a crash. Each has a result event of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Mirror the repository and prepare the base tree → `RepositoryReady`.
    Repository,
    /// Make a sandbox → `SandboxReady`.
    Sandbox,
    /// Take the agent's objects out of the sandbox → `ObjectsReceived` or `NothingChanged`.
    Collect,
    /// Examine the change → `Examined`.
    Examine,
    /// Run the tests → `EvidenceRun` or `EvidenceMissing`.
    Evidence {
        /// On which tree.
        side: Side,
    },
    /// Have the change looked at by a fresh session → `SelfReviewed`.
    SelfReview,
    /// Push the branch → `Pushed`.
    Push,
    /// Open the pull request, or bring it up to date → `PullRequestOpened`.
    PullRequest,
    /// Merge the pull request → `PullRequestClosed` or `MergeFailed`.
    Merge,
    /// Close the pull request → `PullRequestClosed` or `MergeFailed`.
    Close,
}

/// Kinds of model failure that call for different next actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFailure {
    /// The prompt does not fit: compact and ask again.
    ContextOverflow,
    /// The provider does not accept the key: a person must act.
    Unauthorised,
    /// The provider does not accept the request, and never will.
    Rejected,
    /// Overloaded, unreachable or broken, after all tries.
    Unavailable,
}

/// Why the agent was nudged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NudgeReason {
    /// The same call with the same result, again and again.
    RepeatedCall,
    /// One error after another.
    RepeatedError,
    /// Two calls in turn, again and again.
    PingPong,
    /// Many steps in which nothing changed.
    NoProgress,
    /// An answer without a tool call and without `finish`.
    Silent,
    /// An answer that was cut at its token limit.
    Truncated,
    /// An answer that was refused.
    Refused,
    /// A limit is near or reached: wrap up.
    WrapUp,
    /// The gate sent the change back.
    GateFindings,
    /// A fresh look at the change found something.
    SelfReview,
    /// Somebody wrote while the change was being delivered: a new turn begins.
    FollowUp,
}

/// What somebody decided about a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum PlanDecision {
    /// The agent may begin.
    Approved {
        /// The plan as that person has changed it; `None` where it stays as it was proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The agent is to make another plan.
    Rejected {
        /// What is wrong with this one.
        text: String,
    },
}
