//! What an organisation has noted for later sessions: short texts about a repository, or about all of them.
//!
//! A text that a model has put forward is a proposal until a person has approved it; whatever is recalled advises and permits nothing.

use serde::{Deserialize, Serialize};

use crate::{MemoryId, SessionId, Timestamp};

/// The longest text of one memory, in bytes.
pub const LONGEST: usize = 2_000;
/// So many are recalled in one session at the most.
pub const MOST_RECALLED: usize = 50;

/// One text, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Which.
    pub id: MemoryId,
    /// The repository that it is about, as the organisation's tasks name it; `None` for all of the organisation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What is to be remembered. Whoever wrote it, it is advice.
    pub text: String,
    /// Where it comes from.
    pub source: MemorySource,
    /// When it was written.
    pub at: Timestamp,
}

/// Where a memory comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum MemorySource {
    /// A person wrote it.
    Person {
        /// Who, as text for people.
        by: String,
    },
    /// A model proposed it, and a person approved it.
    Session {
        /// In which session.
        session: SessionId,
        /// Who approved it, as text for people.
        approved_by: String,
    },
}

/// What a session is told of what was noted before it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memories {
    /// The memories, in the order in which they are shown.
    pub memories: Vec<Memory>,
    /// How many more there are that found no room.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_none(left_out: &u32) -> bool {
    *left_out == 0
}

/// What a model wants remembered. Nobody is shown it as a memory before a person has approved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryProposal {
    /// The text.
    pub text: String,
    /// Whether it is about all of the organisation's repositories.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everywhere: bool,
}
