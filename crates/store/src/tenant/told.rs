//! What people outside are told of an organisation's sessions.

use cofferdam_domain::{LetterId, Rank};

use super::{Tenant, TenantError};
use crate::Posted;

impl Tenant {
    /// Letters, newest first, before `before`; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn letters(&self, before: Option<LetterId>, limit: u32) -> Result<Vec<Posted>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.letters(self.actor.org, before, limit).await?)
    }
}
