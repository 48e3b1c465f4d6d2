//! What one of the worker's own pieces of work is given, and what comes of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Digest, EventBody, OrgId, Origin, Part, Seq, SessionId, Task, Timestamp, event::Repository,
    policy::Limits,
};
use cofferdam_forge::{Access, Forge, ForgeError, Mirror, RepositoryAddress};
use cofferdam_sandbox::{ReadOnly, WORKSPACE};

use crate::{
    Parts, WorkerError,
    collect::object_id,
    delegate::Family,
    door::{Housed, OpenDoor, SessionDoor},
};

/// The name of the quarantine of one of a session's repositories in the session's directory.
pub(crate) fn quarantine_name(part: Part) -> String {
    match part {
        Part::FIRST => "quarantine.git".to_owned(),
        Part(number) => format!("quarantine-{number}.git"),
    }
}

/// A sandbox that several tool calls share. What is inside can be taken out again when nobody else holds it.
pub(crate) type SharedSandbox = Arc<Housed>;

/// A log that tells of a repository which its task does not have.
const NO_PART: WorkerError = WorkerError::Log("there is no such repository");

/// What a stage knows: the session as its log says at the moment the stage starts.
pub(crate) struct StageContext {
    pub(crate) parts: Arc<Parts>,
    pub(crate) session: SessionId,
    /// Whose session it is.
    pub(crate) org: OrgId,
    /// The session's egress door, for every sandbox in which foreign code runs.
    pub(crate) door: Arc<SessionDoor>,
    /// Which of the session's repositories the stage is about.
    pub(crate) part: Part,
    /// The session as it is seen from there.
    pub(crate) agent: Agent,
    /// The session as it is seen from the task's own repository.
    pub(crate) whole: Agent,
    /// The hash of the last event.
    pub(crate) log_head: Digest,
    /// The last event's place.
    pub(crate) log_length: Seq,
    /// The time of the last event: the stage's own clock, the same whenever it is done again from the same log.
    pub(crate) at: Timestamp,
    /// What it has of the session that it works for, if it does.
    pub(crate) family: Option<Arc<Family>>,
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

    /// The same stage about another one of the session's repositories.
    pub(crate) fn of(&self, part: Part) -> Result<Self, WorkerError> {
        Ok(Self {
            parts: self.parts.clone(),
            session: self.session,
            org: self.org,
            door: self.door.clone(),
            part,
            agent: self.whole.seen_from(part).ok_or(NO_PART)?,
            whole: self.whole.clone(),
            log_head: self.log_head,
            log_length: self.log_length,
            at: self.at,
            family: self.family.clone(),
            sandbox: None,
        })
    }

    /// The repository as the task names it, and the ref to start from.
    pub(crate) fn asked(&self) -> Result<(&str, Option<&str>), WorkerError> {
        self.task()?.at(self.part).ok_or(NO_PART)
    }

    /// The directory of the workspace in which the repository is, where it is not the workspace itself.
    pub(crate) fn directory(&self) -> Option<String> {
        self.agent.task().and_then(|task| task.directory(self.part))
    }

    /// Where the repository is inside the session's sandbox.
    pub(crate) fn workspace(&self) -> String {
        self.directory().map_or_else(|| WORKSPACE.to_owned(), |directory| format!("{WORKSPACE}/{directory}"))
    }

    /// Where the repository is.
    pub(crate) async fn address(&self) -> Result<RepositoryAddress, WorkerError> {
        let (repository, _) = self.asked()?;
        let address = RepositoryAddress::parse(&self.parts.git, repository, Path::new("/")).await;
        Ok(address.map_err(ForgeError::from)?)
    }

    /// The forge that the task's repository is on.
    pub(crate) fn forge(&self, repository: &RepositoryAddress) -> Arc<dyn Forge> {
        self.parts.forges.of(self.org, repository)
    }

    /// How git gets at the task's repository, where that is on a configured forge. What was asked about one repository is not done to another
    /// that has its name now.
    pub(crate) async fn access(&self, repository: &RepositoryAddress) -> Result<Option<Access>, WorkerError> {
        let access = self.parts.forges.access(self.org, repository).await.map_err(ForgeError::from)?;
        if let (Some(access), Some(Origin::Forge(asked))) = (&access, &self.task()?.origin)
            && self.part == Part::FIRST
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
        let mirror = self.parts.mirrors.update_with(&repository, access).await.map_err(ForgeError::from)?;
        if let Some(review) = self.agent.review() {
            mirror
                .bring_offered(&review.reference, &object_id(&review.head)?)
                .await
                .map_err(ForgeError::from)?;
        }
        Ok(mirror)
    }

    /// Where the repository's quarantine is.
    pub(crate) fn quarantine_path(&self) -> PathBuf {
        self.parts.session_directory(self.session).join(quarantine_name(self.part))
    }

    /// A sandbox for foreign code: what it may reach is what the session's policy lets out, whatever it is for.
    pub(crate) async fn sandbox(
        &self,
        lower: Vec<PathBuf>,
        layer: PathBuf,
        extra: Vec<ReadOnly>,
    ) -> Result<Housed, WorkerError> {
        let door = self.open_door().await?;
        self.parts.sandbox(lower, layer, extra, self.limits(), door).await
    }

    /// The session's door; `None` where its policy lets nothing out.
    async fn open_door(&self) -> Result<Option<&OpenDoor>, WorkerError> {
        let Some(policy) = self.agent.fixed().map(|fixed| &fixed.policy.egress) else { return Ok(None) };
        if policy.is_closed() {
            return Ok(None);
        }
        let directory = self.parts.session_directory(self.session);
        // One door serves the sandboxes of all repositories: what is bound to one would be there for the others.
        let task = self.task()?;
        let repository = task.also.is_empty().then_some(task.repository.as_str());
        let open = self.door.open(&*self.parts.doorways, policy, repository, &directory).await?;
        self.door.follow(&self.agent);
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
