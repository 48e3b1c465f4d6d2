//! The pull request of a session.

use serde::{Deserialize, Serialize};

use crate::{SessionId, Timestamp};

/// A pull request as the forge keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The forge's number for it, counted from 1 in each repository.
    pub number: u64,
    /// The session that made it; also the key under which a forge is asked whether it exists.
    pub session: SessionId,
    /// The repository, as in the task.
    pub repository: String,
    /// The branch that holds the change.
    pub branch: String,
    /// The branch it is meant for.
    pub base_branch: String,
    /// The commit it starts from, object id in hexadecimal. Empty where only a forge was asked that does not keep it.
    pub base_commit: String,
    /// The commit to review, object id in hexadecimal.
    pub head_commit: String,
    /// Its title.
    pub title: String,
    /// Its description in Markdown: the platform's facts first, the agent's prose apart from them.
    pub body: String,
    /// Whether it is only an offer to go on from.
    pub draft: bool,
    /// Where it stands.
    pub state: PullRequestState,
    /// When it was opened.
    pub opened: Timestamp,
}

/// Where a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PullRequestState {
    /// Waits for a reviewer.
    Open,
    /// Merged by a person.
    Merged {
        /// The commit that the base branch has now, object id in hexadecimal.
        commit: String,
    },
    /// Closed by a person without merging.
    Closed,
}
