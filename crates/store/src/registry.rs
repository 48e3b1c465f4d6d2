//! Skills that organisations give their sessions: kept by the digest of what is in them, and given only once somebody has approved exactly that.

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, Timestamp};

use crate::StoreError;

/// One version of a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSkill {
    /// What it is called by.
    pub name: String,
    /// The digest of its files.
    pub digest: Digest,
    /// Its files: a JSON object of paths and texts, checked by whoever puts it there.
    pub files: String,
    /// Who put it there, as text for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Who has approved it, and when.
    pub approved: Option<(String, Timestamp)>,
}

/// Keeps skills. Implemented by every store.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Puts a version there, not approved. One that is there already stays as it is; `false` then.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn put_skill(&self, org: OrgId, skill: KeptSkill) -> Result<bool, StoreError>;

    /// Approves the version with this digest, in the place of any other of that name. `false` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn approve_skill(
        &self,
        org: OrgId,
        name: &str,
        digest: Digest,
        by: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes all versions with this name: sessions that begin from now on do not have it. `false` when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn revoke_skill(&self, org: OrgId, name: &str) -> Result<bool, StoreError>;

    /// All versions of all skills, by name, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn skills(&self, org: OrgId) -> Result<Vec<KeptSkill>, StoreError>;
}
