//! What one of the worker's own pieces of work is given, and what comes of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Digest, EventBody, OrgId, Origin, Seq, SessionId, Task, Timestamp, event::Repository, policy::Limits,
};
use cofferdam_forge::{Access, Forge, ForgeError, Mirror, RepositoryAddress};
use cofferdam_sandbox::ReadOnly;

use crate::{
    Parts, WorkerError,
    door::{Housed, OpenDoor, SessionDoor},
};

/// The name of a session's quarantine in the session's directory.
pub(crate) const QUARANTINE: &str = "quarantine.git";

/// A sandbox that several tool calls share. What is inside can be taken out again when nobody else holds it.
pub(crate) type SharedSandbox = Arc<Housed>;

/// What a stage knows: the session as its log says at the moment the stage starts.
pub(crate) struct StageContext {
    pub(crate) parts: Arc<Parts>,
    pub(crate) session: SessionId,
    /// Whose session it is.
    pub(crate) org: OrgId,
    /// The session's egress door, for every sandbox in which foreign code runs.
    pub(crate) door: Arc<SessionDoor>,
    pub(crate) agent: Agent,
    /// The hash of the last event.
    pub(crate) log_head: Digest,
    /// The last event's place.
    pub(crate) log_length: Seq,
    /// The time of the last event: the stage's own clock, the same whenever it is done again from the same log.
    pub(crate) at: Timestamp,
    /// The session's sandbox, for the stage that ends it.
    pub(crate) sandbox: Option<SharedSandbox>,
}

impl StageContext {
    /// The task; a log without one has no stages.
    pub(crate) fn task(&self) -> Result<&Task, WorkerError> {
        self.agent.task().ok_or(WorkerError::Log("there is no task"))
    }

    /// The repository as it was found.
    pub(crate) fn repository(&self) -> Result<&Repository, WorkerError> {
        self.agent.repository().ok_or(WorkerError::Log("the base is not known"))
    }

    /// Where the task's repository is.
    pub(crate) async fn address(&self) -> Result<RepositoryAddress, WorkerError> {
        let address =
            RepositoryAddress::parse(&self.parts.git, &self.task()?.repository, Path::new("/")).await;
        Ok(address.map_err(ForgeError::from)?)
    }

    /// The forge that the task's repository is on.
    pub(crate) fn forge(&self, repository: &RepositoryAddress) -> &dyn Forge {
        self.parts.forges.of(self.org, repository)
    }

    /// How git gets at the task's repository, where that is on a configured forge. What was asked about one repository is not done to another
    /// that has its name now.
    pub(crate) async fn access(&self, repository: &RepositoryAddress) -> Result<Option<Access>, WorkerError> {
        let access = self.parts.forges.access(self.org, repository).await.map_err(ForgeError::from)?;
        if let (Some(access), Some(Origin::Forge(asked))) = (&access, &self.task()?.origin)
            && asked.thread.forge == access.forge()
            && asked.thread.repository != access.at().id
        {
            return Err(WorkerError::OtherRepository(repository.to_string()));
        }
        Ok(access)
    }

    /// The mirror of the task's repository, up to date.
    pub(crate) async fn mirror(&self) -> Result<Mirror, WorkerError> {
        let repository = self.address().await?;
        let access = self.access(&repository).await?;
        Ok(self.parts.mirrors.update_with(&repository, access).await.map_err(ForgeError::from)?)
    }

    /// Where the session's quarantine is.
    pub(crate) fn quarantine_path(&self) -> PathBuf {
        self.parts.session_directory(self.session).join(QUARANTINE)
    }

    /// A sandbox for foreign code: what it may reach is what the session's policy lets out, whatever it is for.
    pub(crate) async fn sandbox(
        &self,
        lower: PathBuf,
        layer: PathBuf,
        extra: Vec<ReadOnly>,
    ) -> Result<Housed, WorkerError> {
        let door = self.open_door().await?;
        self.parts.sandbox(vec![lower], layer, extra, self.limits(), door).await
    }

    /// The session's door; `None` where its policy lets nothing out.
    async fn open_door(&self) -> Result<Option<&OpenDoor>, WorkerError> {
        let Some(policy) = self.agent.fixed().map(|fixed| &fixed.policy.egress) else { return Ok(None) };
        if policy.is_closed() {
            return Ok(None);
        }
        let directory = self.parts.session_directory(self.session);
        let repository = &self.task()?.repository;
        let open = self.door.open(&*self.parts.doorways, policy, repository, &directory).await?;
        self.door.grant(&self.agent);
        Ok(Some(open))
    }

    /// The limits of the session's sandboxes.
    pub(crate) fn limits(&self) -> Limits {
        self.agent.fixed().map(|fixed| fixed.policy.limits).unwrap_or_default()
    }
}

/// What came of a stage.
pub(crate) enum Done {
    /// These became known.
    Facts(Vec<EventBody>),
    /// A sandbox is up; the events that say so.
    Sandbox(Housed, Vec<EventBody>),
    /// It cannot be done, and doing it again would not help: why, and what to do about it.
    Impossible(String),
}

impl Done {
    /// One thing became known.
    pub(crate) fn fact(body: EventBody) -> Self {
        Self::Facts(vec![body])
    }
}
