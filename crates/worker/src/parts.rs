//! What a worker is made of. Built once by the composition root.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use cofferdam_domain::{Policy, SandboxId, SessionId};
use cofferdam_forge::{Forge, Git, Identity, Mirrors};
use cofferdam_model::Model;
use cofferdam_sandbox::{Driver, ReadOnly, Sandbox, SandboxSpec};
use cofferdam_store::Store;

use crate::WorkerError;

/// What a worker is made of.
pub struct Parts {
    /// Where sessions are kept.
    pub store: Arc<dyn Store>,
    /// What makes sandboxes.
    pub driver: Arc<dyn Driver>,
    /// The git program.
    pub git: Git,
    /// Copies of repositories.
    pub mirrors: Mirrors,
    /// Where branches and pull requests go.
    pub forge: Arc<dyn Forge>,
    /// Where models come from.
    pub models: Arc<dyn Models>,
    /// What new sessions may do.
    pub policy: Policy,
    /// Host directories that every sandbox may read.
    pub read_only: Vec<ReadOnly>,
    /// Under whose name commits are made.
    pub identity: Identity,
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

impl Parts {
    /// Where a session's own things are kept.
    pub(crate) fn session_directory(&self, session: SessionId) -> PathBuf {
        self.data.join("sessions").join(session.to_string())
    }

    /// Makes a sandbox over these workspace layers, writing to `layer`, with `extra` to read beside what is configured.
    pub(crate) async fn sandbox(
        &self,
        lower: Vec<PathBuf>,
        layer: PathBuf,
        extra: Vec<ReadOnly>,
        limits: cofferdam_domain::policy::Limits,
    ) -> Result<Box<dyn Sandbox>, WorkerError> {
        let mut read_only = self.read_only.clone();
        read_only.extend(extra);
        let spec = SandboxSpec { id: SandboxId::generate(), lower, layer, read_only, limits };
        Ok(self.driver.create(spec).await?)
    }
}
