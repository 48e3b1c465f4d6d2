//! What organisations have noted for later sessions, and what their sessions propose that be noted.
//!
//! A proposal is written in the transaction that appends the event in which a session makes it, as letters are: it is there if and only if its
//! event is. It is no memory: only a person makes it one, who names the digest of its exact bytes. What is decided about leaves no proposal, so
//! it is decided once. When a session is forgotten, what it proposed and nobody decided about goes with it; what was approved stays.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cofferdam_domain::{
    Digest, Memory, MemoryId, OrgId, ProjectId, SessionId, Timestamp,
    memory::{MOST_WAITING, MOST_WAITING_OF_PROJECT},
};

use crate::StoreError;

/// What a session wants remembered, until a person decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// Which: the memory's own id, if it becomes one.
    pub id: MemoryId,
    /// The session.
    pub session: SessionId,
    /// Its project.
    pub project: ProjectId,
    /// The repository that it is about; `None` for all of the organisation's.
    pub repository: Option<String>,
    /// The text, byte for byte. Never to be believed.
    pub text: String,
    /// When it was proposed.
    pub at: Timestamp,
    /// Whether the session held what not everybody may see who may read its repository.
    pub private: bool,
}

impl Proposed {
    /// What its exact text is known by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

/// Whether what an organisation's sessions propose is dropped, of one project at least, until somebody has decided about some of what waits.
#[must_use]
pub fn is_crowded(waiting: &[Proposed]) -> bool {
    let mut of_project: BTreeMap<ProjectId, usize> = BTreeMap::new();
    for proposed in waiting {
        *of_project.entry(proposed.project).or_default() += 1;
    }
    waiting.len() >= MOST_WAITING || of_project.values().any(|count| *count >= MOST_WAITING_OF_PROJECT)
}

/// What became of something that was to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// It is noted.
    Done(Memory),
    /// There is no such thing, or not with this digest.
    Missing,
    /// The organisation has as many as it may have.
    Full,
}

/// Keeps memories. Implemented by every store.
#[async_trait]
pub trait Notebook: Send + Sync {
    /// An organisation's memories, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn memories(&self, org: OrgId) -> Result<Vec<Memory>, StoreError>;

    /// Those about these repositories, and about all, the newest first; at most `most`, and how many more there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn memories_about(
        &self,
        org: OrgId,
        places: &[String],
        most: u32,
    ) -> Result<(Vec<Memory>, u32), StoreError>;

    /// Notes what a person wrote.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn note(&self, org: OrgId, memory: Memory) -> Result<Noted, StoreError>;

    /// Puts what a person wrote in the place of the memory with its id, or of what was proposed under it. What stays in a model's words stays the
    /// session's, approved by that person; what may be of something private stays so, however it is worded.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn amend(&self, org: OrgId, memory: Memory) -> Result<Noted, StoreError>;

    /// Removes a memory: sessions that begin from now on are not told of it. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn unlearn(&self, org: OrgId, memory: MemoryId) -> Result<bool, StoreError>;

    /// What an organisation's sessions have proposed, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn proposals(&self, org: OrgId) -> Result<Vec<Proposed>, StoreError>;

    /// What one session has proposed, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn proposals_of(&self, session: SessionId) -> Result<Vec<Proposed>, StoreError>;

    /// Makes a proposal with exactly this text a memory.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn approve_memory(
        &self,
        org: OrgId,
        proposal: MemoryId,
        digest: Digest,
        by: &str,
    ) -> Result<Noted, StoreError>;

    /// Drops a proposal, and says what it was. `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn reject_memory(&self, org: OrgId, proposal: MemoryId) -> Result<Option<Proposed>, StoreError>;
}
