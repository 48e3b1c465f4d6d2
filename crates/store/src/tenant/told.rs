//! What people outside are told of an organisation's sessions, and what was sent to it.

use cofferdam_domain::{LetterId, Rank};

use super::{Tenant, TenantError};
use crate::{Arrived, Posted};

impl Tenant {
    /// Letters, newest first, before `before`; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn letters(&self, before: Option<LetterId>, limit: u32) -> Result<Vec<Posted>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.letters(self.actor.org, before, limit).await?)
    }

    /// What arrived, newest first, before the one with the number `before`; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn arrived(&self, before: Option<u64>, limit: u32) -> Result<Vec<Arrived>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.arrived(self.actor.org, before, limit).await?)
    }
}
