//! What the gate saw in a change.

use serde::{Deserialize, Serialize};

/// One thing the gate saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's stable name: `secret`, `protected-path`, …
    pub rule: String,
    /// What it means for the change.
    pub severity: Severity,
    /// Where: a path as text for people; empty for the change as a whole.
    pub path: String,
    /// The line in the new file, counted from 1, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What was seen and why it matters, written by the platform. Quotes nothing secret and nothing
    /// invisible.
    pub why: String,
}

/// What a finding means for the change, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a reviewer's eye.
    Note,
    /// A reviewer must look here first.
    Warning,
    /// Not published without a person: sent back to the agent, then held.
    Blocking,
}

/// What the gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May be published, with its findings shown.
    Publish,
    /// Goes back to the agent with its findings.
    SendBack,
    /// Waits for a person.
    Hold,
}
