//! What the platform itself ran and saw.

use serde::{Deserialize, Serialize};

use crate::BlobRef;

/// Which tree a command ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The tree before the change.
    Base,
    /// The pushed tree.
    Head,
}

/// One run of the repository's test command, in a fresh sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRun {
    /// On which tree.
    pub side: Side,
    /// That tree's git object id in hexadecimal.
    pub tree: String,
    /// The command, as given to `sh -c`.
    pub command: String,
    /// How it ended.
    pub exit: Exit,
    /// Everything it printed, standard output and error together, up to the output limit.
    pub output: BlobRef,
    /// Milliseconds it took.
    pub millis: u64,
    /// What the tests' own report says, where its format is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestReport>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Stopped by the time limit.
    TimedOut,
}

impl Exit {
    /// Whether it ended by itself with status zero.
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

/// Single tests as a runner reported them. Names are untrusted text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// Tests that passed.
    pub passed: Vec<String>,
    /// Tests that failed.
    pub failed: Vec<String>,
    /// Tests that were skipped.
    pub skipped: Vec<String>,
}
