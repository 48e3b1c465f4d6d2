//! A running sandbox of the docker driver.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cofferdam_domain::SandboxId;
use cofferdam_sandbox::{
    Command, Console, DoorListeners, FileData, Listing, MountedLayer, Process, RemoteHand, Sandbox,
    SandboxError, Search, SearchResult, Version,
};
use tokio::task::JoinHandle;

use crate::{
    engine::{ContainerId, Engine},
    place::Place,
};

/// A sandbox. Dropping it kills it as well, but does not wait for that.
#[derive(Debug)]
pub(crate) struct DockerSandbox {
    id: SandboxId,
    level: String,
    hand: RemoteHand,
    engine: Engine,
    container: ContainerId,
    freezing: tokio::sync::Mutex<()>,
    removal: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl DockerSandbox {
    /// Takes a container over. What it needs on this host is kept until it has been removed.
    pub(crate) fn new(
        id: SandboxId,
        level: String,
        hand: RemoteHand,
        (engine, container): (Engine, ContainerId),
        needed: (MountedLayer, Arc<Place>),
    ) -> Self {
        let (ended, remover, removed) = (hand.ended(), engine.clone(), container.clone());
        // For whatever reason it is to end: nobody else removes what a hand that broke the protocol runs in.
        let removal = tokio::spawn(async move {
            ended.await;
            let gone = remover.remove(&removed).await;
            drop(needed);
            gone
        });
        let (freezing, removal) = (tokio::sync::Mutex::default(), Mutex::new(Some(removal)));
        Self { id, level, hand, engine, container, freezing, removal }
    }

    pub(crate) const fn hand(&self) -> &RemoteHand {
        &self.hand
    }

    /// The same, saying what its self-test has found.
    pub(crate) fn with_probes(mut self, passed: u32) -> Self {
        self.level = format!("{}; {passed} probes passed", self.level);
        self
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn id(&self) -> SandboxId {
        self.id
    }

    fn level(&self) -> &str {
        &self.level
    }

    fn take_listeners(&self) -> Option<DoorListeners> {
        self.hand.take_listeners()
    }

    async fn start(&self, command: Command) -> Result<Box<dyn Process>, SandboxError> {
        self.hand.start(command, None).await
    }

    async fn start_at(&self, command: Command, console: Console) -> Result<Box<dyn Process>, SandboxError> {
        self.hand.start(command, Some(console)).await
    }

    async fn read(&self, path: &str, offset: u64, limit: u64) -> Result<FileData, SandboxError> {
        self.hand.read(path, offset, limit).await
    }

    async fn write(
        &self,
        path: &str,
        content: &[u8],
        expected: Option<Version>,
    ) -> Result<Version, SandboxError> {
        self.hand.write(path, content, expected).await
    }

    async fn remove(&self, path: &str) -> Result<(), SandboxError> {
        self.hand.remove(path).await
    }

    async fn list(&self, path: &str, limit: usize) -> Result<Listing, SandboxError> {
        self.hand.list(path, limit).await
    }

    async fn search(&self, search: Search) -> Result<SearchResult, SandboxError> {
        self.hand.search(search).await
    }

    async fn freeze(&self) -> Result<(), SandboxError> {
        let _one_at_a_time = self.freezing.lock().await;
        if self.hand.is_frozen() {
            return Ok(());
        }
        // Before it is: requests that come now must not wait for a hand that is being stopped.
        self.hand.set_frozen(true)?;
        let paused = self.engine.pause(&self.container).await;
        if paused.is_err() {
            // One that has ended meanwhile is gone anyway.
            self.hand.set_frozen(false).ok();
        }
        paused
    }

    async fn thaw(&self) -> Result<(), SandboxError> {
        let _one_at_a_time = self.freezing.lock().await;
        if self.hand.is_frozen() {
            self.engine.unpause(&self.container).await?;
        }
        self.hand.set_frozen(false)
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        self.hand.end("it was destroyed");
        let removal = self.removal.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(removal) = removal else { return Ok(()) };
        let removed = removal.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        removed.map_err(|source| SandboxError::Cleanup { what: "its container".to_owned(), source })
    }
}
