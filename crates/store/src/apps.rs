//! Apps of forges that were made from the pages: kept with their secrets encrypted, and made in two steps, between which a person is at the forge.

use async_trait::async_trait;
use cofferdam_domain::{OrgId, SignInId, Timestamp};
use futures_util::stream::BoxStream;

use crate::{Proof, StoreError};

/// An app of a forge that was made from the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptApp {
    /// Names the forge here: unique in the store, as what is posted to `/hooks/` is told apart by it.
    pub name: String,
    /// Whose it is.
    pub org: OrgId,
    /// The forge, by the address that people know.
    pub web: String,
    /// The app's number there.
    pub number: u64,
    /// The app's page there, below which it is installed on repositories.
    pub page: String,
    /// Whether the forge was told to post what happens.
    pub hears: bool,
    /// How it is worked with other than by the defaults, in the words of whoever put it there; empty where nothing was said.
    pub settings: String,
    /// Its key and what proves its webhooks, encrypted by whoever put it there.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub at: Timestamp,
    /// By whom, as text for people.
    pub by: String,
}

/// An app that somebody has begun to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppAttempt {
    /// What proves that an answer belongs to it.
    pub proof: Proof,
    /// Whose it is to be.
    pub org: OrgId,
    /// The stay of the browser in which it was begun: nobody ends it in another.
    pub sign_in: SignInId,
    /// What it is to be called here.
    pub name: String,
    /// The forge.
    pub web: String,
    /// Whether the forge is told to post what happens.
    pub hears: bool,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// Keeps apps. Implemented by every store.
#[async_trait]
pub trait Apps: Send + Sync {
    /// Remembers that somebody has begun to make one. What is too old at `at` is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another organisation's has or had its name; when the store cannot be written.
    async fn begin_app(&self, attempt: AppAttempt, at: Timestamp) -> Result<(), StoreError>;

    /// Takes what somebody has begun in this stay of their browser's, once. `None` where there is no such thing, or it is too old.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn take_app_attempt(
        &self,
        org: OrgId,
        sign_in: SignInId,
        proof: Proof,
        at: Timestamp,
    ) -> Result<Option<AppAttempt>, StoreError>;

    /// Keeps an app.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another has its name, or one of another organisation had it.
    async fn keep_app(&self, app: KeptApp) -> Result<(), StoreError>;

    /// Forgets one, but for its name, which stays the organisation's: what is told to and heard from a forge goes by it. `false` when the organisation has none of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn remove_app(&self, org: OrgId, name: &str) -> Result<bool, StoreError>;

    /// Changes how one is worked with. `false` when the organisation has none of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn set_app(&self, org: OrgId, name: &str, settings: String) -> Result<bool, StoreError>;

    /// Those of all organisations, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn apps(&self) -> Result<Vec<KeptApp>, StoreError>;

    /// Has an item each time that there may be another app, one fewer, or another setting; the first at once. May have more. Ends when nothing can be heard any more.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    fn apps_changed(&self) -> Result<BoxStream<'static, ()>, StoreError>;
}
