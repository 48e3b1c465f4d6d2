//! The skills that an organisation gives its sessions.

use cofferdam_domain::{Digest, Rank, Timestamp};

use super::{Tenant, TenantError};
use crate::KeptSkill;

impl Tenant {
    /// All versions of the organisation's skills.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn skills(&self) -> Result<Vec<KeptSkill>, TenantError> {
        self.may(Rank::Viewer)?;
        Ok(self.store.skills(self.actor.org).await?)
    }

    /// Puts a version there, not approved. `false` where it is there already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_skill(&self, skill: KeptSkill) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.put_skill(self.actor.org, skill).await?)
    }

    /// Approves the version with this digest. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn approve_skill(
        &self,
        name: &str,
        digest: Digest,
        by: &str,
        at: Timestamp,
    ) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.approve_skill(self.actor.org, name, digest, by, at).await?)
    }

    /// Removes all versions of a skill. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn revoke_skill(&self, name: &str) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.revoke_skill(self.actor.org, name).await?)
    }
}
