//! What a pull request is written from. Every field is computed by the platform, except [`Facts::finish`] and [`Facts::fresh_look`].

use cofferdam_domain::{
    Digest, EvidenceRun, Finding, SelfReview, Seq, SessionId, Spent, Task, change::DiffStat,
    policy::LimitKind, tool::Finish,
};

use crate::{EgressFacts, attempts::Group};

/// All that a pull request says, before it is put into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The session.
    pub session: SessionId,
    /// What was asked.
    pub task: Task,
    /// Where the change starts.
    pub base: TreeFact,
    /// What there is to review: the commit as pushed, not as the agent made it.
    pub head: TreeFact,
    /// The pull requests that the session has in other repositories.
    pub beside: Vec<BesideFact>,
    /// All attempts at the task, where there were several.
    pub attempts: Option<Group>,
    /// How much it touches.
    pub stat: DiffStat,
    /// The paths that differ, as text for people.
    pub paths: Vec<String>,
    /// Things worth knowing about the repository.
    pub repository_notes: Vec<String>,
    /// What the gate saw.
    pub findings: Vec<Finding>,
    /// How often findings were sent back to the agent.
    pub rounds: u32,
    /// The tests before the change.
    pub base_run: Option<EvidenceRun>,
    /// The tests with the change.
    pub head_run: Option<EvidenceRun>,
    /// Why there is no run, where there is none.
    pub evidence_missing: Option<String>,
    /// What left the sandboxes and what was refused; `None` where they had no network at all.
    pub egress: Option<EgressFacts>,
    /// Tool calls and network requests that policy refused.
    pub refused: u64,
    /// The model that the agent ran on.
    pub model: ModelFact,
    /// What the session used.
    pub spent: Spent,
    /// The limit that ended the work, if one did.
    pub limit: Option<LimitKind>,
    /// How many events the session's log has at this point.
    pub log_length: Seq,
    /// The hash of the last of them.
    pub log_head: Digest,
    /// The version of Cofferdam.
    pub version: String,
    /// What a fresh look at the change has found. Prose: never a fact.
    pub fresh_look: Option<SelfReview>,
    /// What the agent says. Prose: never a fact.
    pub finish: Finish,
}

/// A pull request of the same session in another repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BesideFact {
    /// The repository, as in the task.
    pub repository: String,
    /// Its number there.
    pub number: u64,
    /// Where people read it, if that is known.
    pub page: Option<String>,
}

/// One side of the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFact {
    /// The branch.
    pub branch: String,
    /// The commit, object id in hexadecimal.
    pub commit: String,
    /// Its tree, object id in hexadecimal.
    pub tree: String,
}

/// The model that the agent ran on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFact {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name at the provider.
    pub name: String,
    /// Whether it is a recording that is played back.
    pub recording: bool,
}
