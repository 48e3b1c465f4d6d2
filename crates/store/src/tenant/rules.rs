//! What an organisation has fixed for itself: policies, secrets, budgets; what was spent; what is accounted for.

use cofferdam_domain::{AuditId, Digest, Rank, Seq, StoredSecretId, Timestamp};

use super::{Tenant, TenantError};
use crate::{
    AuditEntry, CheckpointError, CheckpointKey, DayBudget, ExportedEntry, Purse, Repeat, Sealed, Spending,
    StoreError,
};

/// The longest detail of an entry that is kept, in bytes.
const MAX_DETAIL: usize = 64 << 10;

impl Tenant {
    /// Takes an idempotency key. Keys of different people are different keys.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn begin_once(&self, key: &str, request: Digest, at: Timestamp) -> Result<Repeat, TenantError> {
        Ok(self.store.begin_once(self.actor.org, &self.own(key), request, at).await?)
    }

    /// Keeps the answer for it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn end_once(&self, key: &str, status: u16, body: &[u8]) -> Result<(), TenantError> {
        Ok(self.store.end_once(self.actor.org, &self.own(key), status, body).await?)
    }

    /// Gives it back: the request failed without having done anything.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn abandon_once(&self, key: &str) -> Result<(), TenantError> {
        Ok(self.store.abandon_once(self.actor.org, &self.own(key)).await?)
    }

    fn own(&self, key: &str) -> String {
        format!("{}/{key}", self.actor.user)
    }

    /// The organisation's policies: names and texts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn policies(&self) -> Result<Vec<(String, String)>, TenantError> {
        self.may(Rank::Viewer)?;
        Ok(self.store.policies(self.actor.org).await?)
    }

    /// Keeps a named policy (its text, checked by the caller), or removes it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_policy(&self, name: &str, text: Option<&str>, at: Timestamp) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.put_policy(self.actor.org, name, text, at).await?)
    }

    /// The organisation's secrets, without what they hold.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secrets(&self) -> Result<Vec<Sealed>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        let secrets = self.store.secrets(self.actor.org).await?;
        Ok(secrets.into_iter().map(|secret| Sealed { bytes: Vec::new(), ..secret }).collect())
    }

    /// Puts a secret there, encrypted by the caller.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_secret(
        &self,
        name: &str,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<StoredSecretId, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.put_secret(self.actor.org, name, bytes, at).await?)
    }

    /// Removes a secret. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove_secret(&self, name: &str) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.remove_secret(self.actor.org, name).await?)
    }

    /// Sets a budget for each day.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] for a project or user that is not theirs, or when the store cannot be written.
    pub async fn set_budget(&self, purse: Purse, budget: DayBudget) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        self.ours(purse).await?;
        Ok(self.store.set_budget(self.actor.org, purse, budget).await?)
    }

    /// A budget.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] for a project or user that is not theirs, or when the store cannot be read.
    pub async fn budget(&self, purse: Purse) -> Result<DayBudget, TenantError> {
        self.may(Rank::Viewer)?;
        self.ours(purse).await?;
        Ok(self.store.budget(self.actor.org, purse).await?)
    }

    /// What was spent on the day (UTC) of `at`.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] for a project or user that is not theirs, or when the store cannot be read.
    pub async fn spent(&self, purse: Purse, at: Timestamp) -> Result<Spending, TenantError> {
        self.may(Rank::Viewer)?;
        self.ours(purse).await?;
        Ok(self.store.spent(self.actor.org, purse, at).await?)
    }

    async fn ours(&self, purse: Purse) -> Result<(), TenantError> {
        match purse {
            Purse::Org if self.actor.project.is_none() => Ok(()),
            Purse::Org => Err(TenantError::Forbidden { needs: self.actor.rank }),
            Purse::Project(project) => {
                if self.projects().await?.iter().any(|known| known.id == project) {
                    Ok(())
                } else {
                    Err(self.not_found("project", &project.to_string()).await?)
                }
            }
            Purse::User(user) => self.member(user).await,
        }
    }

    /// Writes something down that this person did. `detail` is JSON, cut where it is too long to keep.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn audit(
        &self,
        action: &str,
        subject: &str,
        detail: &str,
        at: Timestamp,
    ) -> Result<(), TenantError> {
        let detail = if detail.len() <= MAX_DETAIL { detail } else { r#"{"cut":true}"# };
        Ok(self.write_down(action, subject, detail, at).await?)
    }

    /// What was written down, newest first.
    ///
    /// # Errors
    /// As [`crate::Directory::audited`].
    pub async fn audited(&self, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditEntry>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.audited(self.actor.org, before, limit).await?)
    }

    /// What was written down, as it is kept, from the beginning: see [`crate::Export::exported_audit`].
    ///
    /// # Errors
    /// As [`crate::Export::exported_audit`].
    pub async fn exported_audit(&self, after: Seq, limit: u32) -> Result<Vec<ExportedEntry>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.exported_audit(self.actor.org, after, limit).await?)
    }

    /// Signs where that ends now: see [`crate::audit_checkpoint`].
    ///
    /// # Errors
    /// When the chain does not hold, or the store cannot be read.
    pub async fn audit_checkpoint(&self, key: &CheckpointKey, at: Timestamp) -> Result<String, TenantError> {
        self.may_for_all(Rank::Admin)?;
        match crate::audit_checkpoint(&*self.store, self.actor.org, key, at).await {
            Ok(text) => Ok(text),
            Err(CheckpointError::Store(error)) => Err(error.into()),
            // Nothing else goes wrong where nothing is read from a checkpoint.
            Err(other) => Err(StoreError::Corrupt { what: other.to_string() }.into()),
        }
    }
}
