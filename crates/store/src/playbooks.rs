//! Playbooks that organisations keep for their people: each version by the digest of its text.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, Timestamp};

use crate::StoreError;

/// One version of a playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPlaybook {
    /// What it is called by.
    pub name: String,
    /// The digest of its text.
    pub digest: Digest,
    /// Its number: the highest is the one that is begun. Given by the store.
    pub version: u64,
    /// Its text, checked by whoever puts it there.
    pub text: String,
    /// Who put it there, as text for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Keeps playbooks. Implemented by every store.
#[async_trait]
pub trait Playbooks: Send + Sync {
    /// Puts a version there, above all others of that name; an earlier one that is put there again comes back. `false`, and nothing happens, where it
    /// is the latest already.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn put_playbook(&self, org: OrgId, playbook: KeptPlaybook) -> Result<bool, StoreError>;

    /// Removes all versions with this name. `false` when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn remove_playbook(&self, org: OrgId, name: &str) -> Result<bool, StoreError>;

    /// All versions of all playbooks, by name, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn playbooks(&self, org: OrgId) -> Result<Vec<KeptPlaybook>, StoreError>;

    /// The version with this digest, or the latest.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn playbook(
        &self,
        org: OrgId,
        name: &str,
        digest: Option<Digest>,
    ) -> Result<Option<KeptPlaybook>, StoreError>;
}
