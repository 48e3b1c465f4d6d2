//! What a worker is made of. Built once by the composition root.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use cofferdam_domain::{
    Memory, OrgId, Policy, SandboxId, SessionId,
    event::{ModelRole, Routes},
    policy::{Limits, Narrowing},
};
use cofferdam_forge::{Forges, Git, Identity, Mirrors, SigningKey};
use cofferdam_model::{Model, OpenError};
use cofferdam_sandbox::{Driver, ReadOnly, SandboxSpec, System};
use cofferdam_store::{KeptSkill, Ledger, Store};
use cofferdam_tools::Display;

use crate::{
    Doorways, Entrances, Mcp, WorkerError,
    door::{Housed, OpenDoor},
    layers,
};

/// What a worker is made of.
pub struct Parts {
    /// Where sessions are kept.
    pub store: Arc<dyn Store>,
    /// What makes sandboxes.
    pub driver: Arc<dyn Driver>,
    /// Where the egress doors of sessions come from.
    pub doorways: Arc<dyn Doorways>,
    /// The git program.
    pub git: Git,
    /// Copies of repositories.
    pub mirrors: Mirrors,
    /// Which directories sessions have of repositories, where a task does not say.
    pub sparse: Vec<Sparse>,
    /// With which commands repositories are tested, where that is not found out from their files.
    pub tests: Vec<Tests>,
    /// The repositories that may be worked on beside those which more people may read, as tasks would name them.
    pub beside_public: Vec<String>,
    /// Where branches and pull requests go.
    pub forges: Forges,
    /// Where models come from.
    pub models: Arc<dyn Models>,
    /// What new sessions may do.
    pub policy: Policy,
    /// Other programs whose tools sessions may call.
    pub mcp: Mcp,
    /// Where the browser of sessions is in their sandboxes, if they have one.
    pub browser: Option<String>,
    /// The display of sessions, if they have one.
    pub display: Option<Display>,
    /// What organisations permit less than that.
    pub policies: Arc<dyn Policies>,
    /// What owners may spend in a day; `None` where nobody keeps count.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Where people come in who want to work in a sandbox themselves.
    pub entrances: Arc<dyn Entrances>,
    /// Host directories that every sandbox may read.
    pub read_only: Vec<ReadOnly>,
    /// Whether sandboxes have a root who can change their system.
    pub system: System,
    /// Under whose name commits are made.
    pub identity: Identity,
    /// What signs them.
    pub signing: Option<SigningKey>,
    /// Where layers and quarantines are kept.
    pub data: PathBuf,
    /// The worker's name, for people.
    pub name: String,
}

/// What sessions have to look at programs with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Screens {
    /// A browser.
    pub browser: bool,
    /// A display with pointer and keyboard.
    pub display: bool,
}

/// The directories of one repository that its sessions have in their workspaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// Where the repository is, as a task would name it.
    pub repository: String,
    /// The directories ([`cofferdam_domain::cone`]).
    pub directories: Vec<String>,
}

/// How one repository is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tests {
    /// Where the repository is, as a task would name it.
    pub repository: String,
    /// The command, for a shell in its directory.
    pub command: String,
}

/// Opens models by name.
#[async_trait]
pub trait Models: Send + Sync {
    /// The named model, or the one that the configuration and environment suggest. Where `only` says which models may be asked
    /// ([`Policy::models`]), it is one of those, and so are all that stand in for it.
    ///
    /// # Errors
    /// When there is none, it is unknown, it has no key, or it may not be asked; says what to do.
    async fn open(&self, name: Option<&str>, only: Option<&[String]>) -> Result<Box<dyn Model>, WorkerError>;

    /// The name of the model that is to do this kind of work, where that is not the session's own.
    fn route(&self, _: ModelRole) -> Option<String> {
        None
    }
}

/// What organisations permit their sessions.
#[async_trait]
pub trait Policies: Send + Sync {
    /// The organisation's policy with this name, or the one for all sessions that name none. `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn policy(&self, org: OrgId, name: Option<&str>) -> Result<Option<Narrowing>, WorkerError>;

    /// The skills that the organisation gives its sessions, in the versions that were approved.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn skills(&self, _: OrgId) -> Result<Vec<KeptSkill>, WorkerError> {
        Ok(Vec::new())
    }

    /// What the organisation has noted about these repositories, and about all: the newest, and how many more there are.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn memories(&self, _: OrgId, _places: &[String]) -> Result<(Vec<Memory>, u32), WorkerError> {
        Ok((Vec::new(), 0))
    }
}

/// No organisation has a policy of its own.
#[derive(Debug, Clone, Copy)]
pub struct OwnPolicy;

#[async_trait]
impl Policies for OwnPolicy {
    async fn policy(&self, _: OrgId, _: Option<&str>) -> Result<Option<Narrowing>, WorkerError> {
        Ok(None)
    }
}

impl Parts {
    /// The models that do a part of a new session's work. One that cannot be asked now, for want of a key or since its server does not run, is
    /// left out; so is one that its policy does not permit.
    ///
    /// # Errors
    /// When a name that is configured means nothing.
    pub async fn routes(&self, policy: &Policy) -> Result<Routes, WorkerError> {
        let mut models = Vec::new();
        for role in ModelRole::ALL {
            let Some(name) = self.models.route(role) else { continue };
            match self.models.open(Some(&name), policy.models.as_deref()).await {
                Ok(model) => models.push((role, model.info().clone())),
                Err(WorkerError::Model(
                    OpenError::NoKey { .. } | OpenError::LocalDown { .. } | OpenError::NotPermitted { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(models.into_iter().collect())
    }

    /// What new sessions have to look at programs with.
    #[must_use]
    pub const fn screens(&self) -> Screens {
        Screens { browser: self.browser.is_some(), display: self.display.is_some() }
    }

    /// Where a session's own things are kept.
    pub(crate) fn session_directory(&self, session: SessionId) -> PathBuf {
        layers::session_directory(&self.data, session)
    }

    /// Makes a sandbox over these workspace layers, writing to `layer`, with `extra` to read beside what is configured. Its network is what
    /// `door` lets out; without one it has none.
    pub(crate) async fn sandbox(
        &self,
        lower: Vec<PathBuf>,
        layer: PathBuf,
        extra: Vec<ReadOnly>,
        limits: Limits,
        door: Option<&OpenDoor>,
    ) -> Result<Housed, WorkerError> {
        let mut read_only = self.read_only.clone();
        read_only.extend(extra);
        let mut spec =
            SandboxSpec { lower, read_only, ..SandboxSpec::new(SandboxId::generate(), layer, limits) };
        spec.system = self.system;
        let Some(door) = door else { return Ok(Housed::new(self.driver.create(spec).await?, None)) };
        door.fit(&mut spec);
        let sandbox = self.driver.create(spec).await?;
        door.plant(&*sandbox).await;
        let serving = door.serve(&*sandbox)?;
        Ok(Housed::new(sandbox, Some(serving)))
    }
}
