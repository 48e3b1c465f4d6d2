//! What is offered to a repository and on none of its branches: the heads of pull requests, which may come from other repositories. They are
//! fetched by themselves, so that one with a dangerous object in it stands in nobody else's way.

use super::{LOCK_PATIENCE, Lock, Mirror, MirrorError, ObjectId};

impl Mirror {
    /// Brings the head of a pull request that the source keeps under `reference`. Nothing is fetched where the commit is there already.
    ///
    /// # Errors
    /// [`MirrorError::Gone`] when the source does not have the commit any more.
    pub async fn bring_offered(&self, reference: &str, commit: &ObjectId) -> Result<(), MirrorError> {
        let gone = || MirrorError::Gone { address: self.address.to_string(), commit: commit.to_string() };
        let name = reference.strip_prefix("refs/").filter(|name| cofferdam_domain::task::is_base(name));
        let name = name.ok_or_else(gone)?;
        if self.has(commit).await? {
            return Ok(());
        }
        let lock = Lock::take(&self.holder.join("lock"), LOCK_PATIENCE).await?;
        self.clear_leftovers()?;
        let refspec = format!("+{reference}:refs/cofferdam/{name}");
        self.fetch_one(&refspec, &lock).await?;
        if self.has(commit).await? {
            return Ok(());
        }
        // It was replaced since. Some forges keep it all the same.
        self.fetch_by_name(commit, &lock).await
    }

    /// Brings a commit that the source has and that is on none of its branches.
    pub(crate) async fn bring_by_name(&self, commit: &ObjectId) -> Result<(), MirrorError> {
        let lock = Lock::take(&self.holder.join("lock"), LOCK_PATIENCE).await?;
        self.clear_leftovers()?;
        self.fetch_by_name(commit, &lock).await
    }

    async fn fetch_by_name(&self, commit: &ObjectId, lock: &Lock) -> Result<(), MirrorError> {
        let gone = || MirrorError::Gone { address: self.address.to_string(), commit: commit.to_string() };
        let refspec = format!("{commit}:refs/cofferdam/commits/{commit}");
        self.fetch_one(&refspec, lock)
            .await
            .map_err(|error| if matches!(error, MirrorError::Fetch { .. }) { gone() } else { error })?;
        if self.has(commit).await? { Ok(()) } else { Err(gone()) }
    }

    /// Where two commits went apart.
    ///
    /// # Errors
    /// [`MirrorError::Unrelated`] when they have nothing in common.
    pub async fn fork_of(&self, one: &ObjectId, other: &ObjectId) -> Result<ObjectId, MirrorError> {
        let repository = self.repository();
        let call = self.git.at(&repository, "merge-base").args([one.as_str(), other.as_str()]);
        let output = call.run_to_any_end().await?;
        match output.code {
            Some(0) => {
                let first = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
                Ok(ObjectId::from_bytes(first).map_err(|_| output.unexpected(&output.stdout))?)
            }
            Some(1) => Err(MirrorError::Unrelated { address: self.address.to_string() }),
            Some(_) | None => Err(output.into_error().into()),
        }
    }

    async fn fetch_one(&self, refspec: &str, lock: &Lock) -> Result<(), MirrorError> {
        let repository = self.repository();
        self.transfer(|| Ok(self.with_source(self.fetching(&repository, lock)?).arg(refspec))).await?;
        Ok(())
    }
}
