//! The apps of forges that an organisation's admins make from the pages.

use cofferdam_domain::{Access, Rank, SignInId, Timestamp};

use super::{Tenant, TenantError};
use crate::{AppAttempt, KeptApp, Proof};

impl Tenant {
    /// Refuses whoever may not make apps. Gives the stay of their browser; `None` where none asks.
    ///
    /// # Errors
    /// [`TenantError::Forbidden`] for all but admins of the whole organisation.
    pub fn makes_apps(&self) -> Result<Option<SignInId>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(match self.actor.access {
            Access::Browser(sign_in) => Some(sign_in),
            Access::Token(_) => None,
        })
    }

    /// Remembers that an app was begun, under an organisation and a stay of their own.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn begin_app(&self, attempt: AppAttempt, at: Timestamp) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.begin_app(AppAttempt { org: self.actor.org, ..attempt }, at).await?)
    }

    /// Takes what was begun in this stay, once.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn take_app_attempt(
        &self,
        sign_in: SignInId,
        proof: Proof,
        at: Timestamp,
    ) -> Result<Option<AppAttempt>, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.take_app_attempt(self.actor.org, sign_in, proof, at).await?)
    }

    /// Keeps an app, which is the organisation's.
    ///
    /// # Errors
    /// When its name is taken, or the store cannot be written.
    pub async fn keep_app(&self, app: KeptApp) -> Result<(), TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.keep_app(KeptApp { org: self.actor.org, ..app }).await?)
    }

    /// Changes how one is worked with. `false` when the organisation has none of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn set_app(&self, name: &str, settings: String) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.set_app(self.actor.org, name, settings).await?)
    }

    /// Forgets one. `false` when the organisation has none of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove_app(&self, name: &str) -> Result<bool, TenantError> {
        self.may_for_all(Rank::Admin)?;
        Ok(self.store.remove_app(self.actor.org, name).await?)
    }
}
