//! What a fresh look at a change has to say before it is delivered: by a model that has seen only the task, the change and the evidence.

use serde::{Deserialize, Serialize};

use crate::{SessionId, Spent, tool::LineRemark};

/// One round of it. Prose of a model's: advice, and no word of the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfReview {
    /// Which round, counted from 1 in each turn.
    pub round: u32,
    /// The session in which it was done.
    pub session: SessionId,
    /// The commit that was looked at, object id in hexadecimal.
    pub commit: String,
    /// Whether something was found for which the agent should go back to work.
    pub refuted: bool,
    /// What was found, in Markdown.
    pub summary: String,
    /// What was found about lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<LineRemark>,
    /// Why it could not be done, where it could not. Then nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What it used.
    pub spent: Spent,
}
