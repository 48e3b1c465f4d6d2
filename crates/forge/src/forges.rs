//! All forges of a worker: those that are configured for an organisation, those whose apps its admins have made, and the built-in one for
//! everything else.

use std::sync::{Arc, PoisonError, RwLock};

use cofferdam_domain::{OrgId, Origin, Task};

use crate::{Access, Forge, Identity, RemoteForge, RepositoryAddress, remote::TalkError};

/// All forges of a worker. Cheap to clone; clones learn of the same apps.
///
/// A configured forge is there for one organisation. For another one's session its repositories are like any
/// other behind a URL: they are read without a credential, and branches go to the built-in forge.
#[derive(Clone)]
pub struct Forges {
    local: Arc<dyn Forge>,
    configured: Arc<[RemoteForge]>,
    /// Those that come and go while this process runs.
    kept: Arc<RwLock<Vec<RemoteForge>>>,
}

impl Forges {
    /// The built-in forge and those that are configured. Of several that own the same address the first is taken.
    #[must_use]
    pub fn new(local: Arc<dyn Forge>, configured: Vec<RemoteForge>) -> Self {
        Self { local, configured: configured.into(), kept: Arc::default() }
    }

    /// The forges whose apps were made from the pages, from now on: all that there are. One that is configured goes before them.
    pub fn learn(&self, kept: Vec<RemoteForge>) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// The forge on which an organisation's sessions on this repository have their branches.
    #[must_use]
    pub fn of(&self, org: OrgId, repository: &RepositoryAddress) -> Arc<dyn Forge> {
        match self.find(|forge| forge.owns(org, repository)) {
            Some(forge) => Arc::new(forge),
            None => Arc::clone(&self.local),
        }
    }

    /// How git gets at the repository; `None` where that takes no credential of a configured forge. Asks the forge where the repository is now.
    ///
    /// # Errors
    /// When the forge cannot be asked, or does not know the repository.
    pub async fn access(
        &self,
        org: OrgId,
        repository: &RepositoryAddress,
    ) -> Result<Option<Access>, TalkError> {
        match self.find(|forge| forge.owns(org, repository)) {
            Some(forge) => forge.access(repository).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether another repository is on the same configured forge as this one and of the same owner, as their addresses say; `None` where this
    /// one is on none. An address may be out of date: who owns it now, [`Access::at`] says.
    #[must_use]
    pub fn are_kin(&self, org: OrgId, one: &RepositoryAddress, other: &RepositoryAddress) -> Option<bool> {
        let forge = self.find(|forge| forge.owns(org, one))?;
        Some(forge.are_kin(one, other))
    }

    /// Who asked for a task, as commits name people on the forge where it was asked: from what that forge has told of the account, never from
    /// what somebody wrote.
    #[must_use]
    pub fn co_author(&self, org: OrgId, task: &Task) -> Option<Identity> {
        let Some(Origin::Forge(asked)) = &task.origin else { return None };
        let forge = self.find(|forge| forge.is(org, &asked.thread.forge))?;
        forge.person(asked.account, &task.requester)
    }

    /// Where people read a pull request of a repository on a configured forge.
    #[must_use]
    pub fn page(&self, org: OrgId, repository: &RepositoryAddress, number: u64) -> Option<String> {
        self.find(|forge| forge.owns(org, repository))?.page(repository, number)
    }

    fn find(&self, is_it: impl Fn(&RemoteForge) -> bool) -> Option<RemoteForge> {
        let configured = self.configured.iter().find(|forge| is_it(forge)).cloned();
        configured.or_else(|| {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            kept.iter().find(|forge| is_it(forge)).cloned()
        })
    }
}
