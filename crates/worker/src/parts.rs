//! What a worker is made of. Built once by the composition root.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use cofferdam_domain::{
    OrgId, Policy, SandboxId, SessionId,
    policy::{Limits, Narrowing},
};
use cofferdam_forge::{Forges, Git, Identity, Mirrors, SigningKey};
use cofferdam_model::Model;
use cofferdam_sandbox::{Driver, ReadOnly, SandboxSpec, System};
use cofferdam_store::{Ledger, Store};

use crate::{
    Doorways, Entrances, WorkerError,
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
    /// Where branches and pull requests go.
    pub forges: Forges,
    /// Where models come from.
    pub models: Arc<dyn Models>,
    /// What new sessions may do.
    pub policy: Policy,
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

/// Opens models by name.
#[async_trait]
pub trait Models: Send + Sync {
    /// The named model, or the one that the configuration and environment suggest.
    ///
    /// # Errors
    /// When there is none, it is unknown, or it has no key; says how to get one.
    async fn open(&self, name: Option<&str>) -> Result<Box<dyn Model>, WorkerError>;
}

/// What organisations permit their sessions.
#[async_trait]
pub trait Policies: Send + Sync {
    /// The organisation's policy with this name, or the one for all sessions that name none. `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn policy(&self, org: OrgId, name: Option<&str>) -> Result<Option<Narrowing>, WorkerError>;
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
