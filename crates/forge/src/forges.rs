//! All forges of a worker: those that are configured for an organisation, and the built-in one for everything
//! else.

use std::sync::Arc;

use cofferdam_domain::{OrgId, Origin, Task};

use crate::{Access, Forge, Identity, RemoteForge, RepositoryAddress, remote::TalkError};

/// All forges of a worker. Cheap to clone.
///
/// A configured forge is there for one organisation. For another one's session its repositories are like any
/// other behind a URL: they are read without a credential, and branches go to the built-in forge.
#[derive(Clone)]
pub struct Forges {
    local: Arc<dyn Forge>,
    remote: Arc<[RemoteForge]>,
}

impl Forges {
    /// The built-in forge and those that are configured. Of several that own the same address the first is taken.
    #[must_use]
    pub fn new(local: Arc<dyn Forge>, remote: Vec<RemoteForge>) -> Self {
        Self { local, remote: remote.into() }
    }

    /// The forge on which an organisation's sessions on this repository have their branches.
    #[must_use]
    pub fn of(&self, org: OrgId, repository: &RepositoryAddress) -> &dyn Forge {
        self.configured(org, repository).map_or(&*self.local, |forge| forge as &dyn Forge)
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
        match self.configured(org, repository) {
            Some(forge) => forge.access(repository).await.map(Some),
            None => Ok(None),
        }
    }

    /// Who asked for a task, as commits name people on the forge where it was asked: from what that forge has told of the account, never from
    /// what somebody wrote.
    #[must_use]
    pub fn co_author(&self, org: OrgId, task: &Task) -> Option<Identity> {
        let Some(Origin::Forge(asked)) = &task.origin else { return None };
        let forge = self.remote.iter().find(|forge| forge.is(org, &asked.thread.forge))?;
        forge.person(asked.account, &task.requester)
    }

    fn configured(&self, org: OrgId, repository: &RepositoryAddress) -> Option<&RemoteForge> {
        self.remote.iter().find(|forge| forge.owns(org, repository))
    }
}
