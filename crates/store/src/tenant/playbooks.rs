//! The playbooks that an organisation keeps for its people, and the MCP servers that it has approved.

use cofferdam_domain::{Digest, Rank};

use super::{Tenant, TenantError};
use crate::{ApprovedServer, KeptPlaybook, PlaybookVersion, PutPlaybook};

impl Tenant {
    /// All versions of the organisation's playbooks, the latest of each first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn playbooks(&self) -> Result<Vec<PlaybookVersion>, TenantError> {
        self.may(Rank::Viewer)?;
        Ok(self.store.playbooks(self.actor.org).await?)
    }

    /// The version of a playbook with this digest, or the latest.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be read.
    pub async fn playbook(&self, name: &str, digest: Option<Digest>) -> Result<KeptPlaybook, TenantError> {
        self.may(Rank::Viewer)?;
        match self.store.playbook(self.actor.org, name, digest).await? {
            Some(playbook) => Ok(playbook),
            None => Err(TenantError::NotFound("playbook")),
        }
    }

    /// Puts a version there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_playbook(&self, playbook: KeptPlaybook) -> Result<PutPlaybook, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.put_playbook(self.actor.org, playbook).await?)
    }

    /// Removes all versions of a playbook. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove_playbook(&self, name: &str) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.remove_playbook(self.actor.org, name).await?)
    }

    /// The MCP servers that the organisation has approved.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn approved_servers(&self) -> Result<Vec<ApprovedServer>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.approved_servers(self.actor.org).await?)
    }
}
