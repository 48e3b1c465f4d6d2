//! Tools as the log and the model see them. What a tool does lives in the crate `tools`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{BlobRef, Label, egress::EgressRule, foreign::ForeignCall, message::Image};

/// A tool as it is offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// What the model calls it by.
    pub name: String,
    /// What it does and how to use it, for the model.
    pub description: String,
    /// JSON Schema (2020-12) of its arguments; an object schema.
    pub parameters: serde_json::Value,
    /// Whether calls of it may run beside others of the same answer. Calls of tools that may not run alone,
    /// in order.
    pub parallel: bool,
    /// Whether it leaves the sandbox as it is: only such tools may be called before a plan is approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// The place of a tool call in its session: the step, and the index among the calls of that step's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The step, counted from 1.
    pub step: u32,
    /// The call's index in the answer, counted from 0.
    pub index: u16,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call_{}_{}", self.step, self.index)
    }
}

/// The text is not `call_<step>_<index>`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a call id: expected call_<step>_<index>")]
pub struct InvalidCallId;

impl FromStr for CallId {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, InvalidCallId> {
        let (step, index) =
            text.strip_prefix("call_").and_then(|rest| rest.split_once('_')).ok_or(InvalidCallId)?;
        let id = Self {
            step: step.parse().map_err(|_| InvalidCallId)?,
            index: index.parse().map_err(|_| InvalidCallId)?,
        };
        // One text for each id: no leading zeros or signs.
        if id.to_string() == text { Ok(id) } else { Err(InvalidCallId) }
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It did what was asked. A command that ran and exited with a failure is this too.
    Ok,
    /// It could not be done: bad arguments, no such file, no match. The text says what to do instead.
    Error,
    /// It was stopped by its time limit.
    TimedOut,
    /// Policy does not allow it.
    Refused,
}

/// What a finished tool call leaves in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// How it ended.
    pub status: ToolStatus,
    /// What the model is shown. Bounded by the tool; says where the rest is if it was cut.
    pub text: String,
    /// Pictures for the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// The whole output, where `text` is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<BlobRef>,
    /// Where the content came from.
    pub label: Label,
    /// What the platform should take note of beside the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<ToolEffect>,
}

/// Effects of a tool call on the session rather than on the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum ToolEffect {
    /// The agent says that its work is over.
    Finish(Finish),
    /// The agent asks the requester something.
    Question {
        /// The question.
        text: String,
    },
    /// The agent proposes a plan for people to approve.
    Proposal {
        /// The plan. Prose.
        text: String,
    },
    /// The agent's to-do list as it stands now.
    Plan {
        /// Its items, in order.
        items: Vec<PlanItem>,
    },
    /// Files that the call is known to have changed, relative to the workspace.
    Edited {
        /// Their paths, as text for people.
        paths: Vec<String>,
    },
    /// A tool of another program was called, or was to be.
    Foreign(ForeignCall),
    /// A person is to decide about one exact call.
    Approval {
        /// The call.
        call: ForeignCall,
        /// What they are asked. Arguments in it are the model's words.
        question: String,
    },
    /// The agent asks that something be let out of the sandbox.
    Access {
        /// What should be permitted, exactly.
        rule: Box<EgressRule>,
        /// Why, in the agent's words.
        reason: String,
    },
    /// The agent wants something remembered. It is a proposal.
    Remember(crate::MemoryProposal),
    /// A page was looked at: the picture as it was, larger than what the model is shown.
    Screenshot {
        /// The picture.
        picture: Image,
        /// Where the page is, as text for people. Untrusted.
        page: String,
    },
    /// Another session did it.
    Delegated(Box<crate::Delegated>),
}

/// What the agent says at the end of its work. Prose: never a fact, never trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Whether there is a change to look at.
    pub outcome: FinishOutcome,
    /// A title for the pull request; at most 120 characters.
    pub title: String,
    /// What was done and why, in Markdown.
    pub summary: String,
    /// Answers to what reviewers said about lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<Reply>,
    /// What it has to say about lines of the change that it was to review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<LineRemark>,
}

/// What the agent says about a line of a change that it reviewed. Prose, at a place that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRemark {
    /// The file's path from the root of the repository.
    pub path: String,
    /// The line as the change leaves the file, counted from 1.
    pub line: u64,
    /// What.
    pub text: String,
}

/// The agent's answer to one remark of a reviewer. Prose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The comment's number on the forge.
    pub to: u64,
    /// Whether something was changed for it, as the agent says.
    #[serde(default)]
    pub fixed: bool,
    /// What was done about it, or why nothing was.
    pub text: String,
}

/// The agent's own view of how it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishOutcome {
    /// The task is done; the change is in the workspace.
    Done,
    /// The task needs no change.
    NothingToDo,
    /// The agent could not do it.
    GaveUp,
}

/// One line of the agent's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub state: PlanState,
}

/// How far one line of a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Not begun.
    Pending,
    /// Being worked on.
    InProgress,
    /// Finished.
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_ids_have_one_text_each() {
        let id = CallId { step: 12, index: 3 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["call_012_3", "call_+12_3", "call_12", "12_3", "call_12_3_4", "call_12_99999"] {
            assert_eq!(bad.parse::<CallId>(), Err(InvalidCallId), "{bad}");
        }
    }
}
