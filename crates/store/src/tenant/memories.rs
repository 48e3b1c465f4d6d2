//! What the organisation has noted for later sessions.

use cofferdam_domain::{Digest, Memory, MemoryId, Rank, SessionId};

use super::{Tenant, TenantError};
use crate::{Noted, Proposed};

/// What is not there, in words.
const MEMORY: &str = "memory";

impl Tenant {
    /// The organisation's memories, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn memories(&self) -> Result<Vec<Memory>, TenantError> {
        self.may_for_all(Rank::Viewer)?;
        Ok(self.store.memories(self.actor.org).await?)
    }

    /// What its sessions have proposed, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn proposals(&self) -> Result<Vec<Proposed>, TenantError> {
        self.may_for_all(Rank::Viewer)?;
        Ok(self.store.proposals(self.actor.org).await?)
    }

    /// What one of its sessions has proposed.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be read.
    pub async fn proposals_of(&self, session: SessionId) -> Result<Vec<Proposed>, TenantError> {
        self.may(Rank::Viewer)?;
        self.seen(session).await?;
        Ok(self.store.proposals_of(session).await?)
    }

    /// Notes what they wrote.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note(&self, memory: Memory) -> Result<Noted, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.note(self.actor.org, memory).await?)
    }

    /// Puts what they wrote in the place of a memory or a proposal.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be written.
    pub async fn amend(&self, memory: Memory) -> Result<Noted, TenantError> {
        self.may_for_all(Rank::Admin)?;
        let id = memory.id;
        self.found(id, self.store.amend(self.actor.org, memory).await?).await
    }

    /// Removes a memory.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be written.
    pub async fn unlearn(&self, memory: MemoryId) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        if self.store.unlearn(self.actor.org, memory).await? {
            Ok(())
        } else {
            Err(self.not_found(MEMORY, &memory.to_string()).await?)
        }
    }

    /// What is noted; what is not there is written down.
    async fn found(&self, memory: MemoryId, noted: Noted) -> Result<Noted, TenantError> {
        match noted {
            Noted::Missing => Err(self.not_found(MEMORY, &memory.to_string()).await?),
            Noted::Done(_) | Noted::Full => Ok(noted),
        }
    }

    /// Makes a proposal with exactly this text a memory.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be written.
    pub async fn approve_memory(
        &self,
        proposal: MemoryId,
        digest: Digest,
        by: &str,
    ) -> Result<Noted, TenantError> {
        self.may_for_all(Rank::Admin)?;
        let noted = self.store.approve_memory(self.actor.org, proposal, digest, by).await?;
        self.found(proposal, noted).await
    }

    /// Drops a proposal, and says what it was.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be written.
    pub async fn reject_memory(&self, proposal: MemoryId) -> Result<Proposed, TenantError> {
        self.may_for_all(Rank::Admin)?;
        match self.store.reject_memory(self.actor.org, proposal).await? {
            Some(proposed) => Ok(proposed),
            None => Err(self.not_found(MEMORY, &proposal.to_string()).await?),
        }
    }
}
