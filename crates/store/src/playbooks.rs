//! Playbooks that organisations keep for their people: each version by the digest of its text.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, Timestamp};

use crate::StoreError;

/// Playbooks that an organisation may have.
pub const MOST_PLAYBOOKS: usize = 200;
/// Versions that are kept of each: the oldest goes when another comes.
pub(crate) const MOST_VERSIONS: u64 = 20;

/// What a list says of one version of a playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookVersion {
    /// What it is called by.
    pub name: String,
    /// The digest of its text.
    pub digest: Digest,
    /// Its number: the highest is the one that is begun.
    pub version: u64,
    /// What it is for.
    pub description: String,
    /// Who put it there, as text for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What became of a version that was to be put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutPlaybook {
    /// It is the latest now.
    Added,
    /// It was the latest already, and nothing happened.
    Known,
    /// The organisation has [`MOST_PLAYBOOKS`] others.
    Full,
}

/// One version of a playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPlaybook {
    /// What it is called by.
    pub name: String,
    /// The digest of its text.
    pub digest: Digest,
    /// Its number: the highest is the one that is begun. Given by the store.
    pub version: u64,
    /// What it is for, as its text says.
    pub description: String,
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
    /// Puts a version there, above all others of that name; an earlier one that is put there again comes back.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn put_playbook(&self, org: OrgId, playbook: KeptPlaybook) -> Result<PutPlaybook, StoreError>;

    /// Removes all versions with this name. `false` when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn remove_playbook(&self, org: OrgId, name: &str) -> Result<bool, StoreError>;

    /// All versions of all playbooks, by name, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn playbooks(&self, org: OrgId) -> Result<Vec<PlaybookVersion>, StoreError>;

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
