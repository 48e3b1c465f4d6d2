//! A store and a forge that end their own process, by SIGKILL, at one exact moment: before or after one of their writes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, Event, EventBody, OrgId, PullRequest, Seq, SessionId, Timestamp};
use cofferdam_forge::{Authorship, Forge, ForgeError, NewPullRequest, ObjectId, Push, RepositoryAddress};
use cofferdam_store::{Claim, SessionFilter, SessionRow, Store, StoreError, Ticket, Verified, Writer};
use futures_util::stream::BoxStream;
use rustix::process::{Signal, getpid, kill_process};

/// Counts the moments at which a process may die, and dies at one of them.
pub(crate) struct Fate {
    moment: AtomicU32,
    last: u32,
}

impl Fate {
    /// Death at the `last`th moment, counted from 1; 0 for never.
    pub(crate) fn new(last: u32) -> Arc<Self> {
        Arc::new(Self { moment: AtomicU32::new(0), last })
    }

    /// How many moments there have been.
    pub(crate) fn lived(&self) -> u32 {
        self.moment.load(Ordering::SeqCst)
    }

    fn moment(&self) {
        if self.moment.fetch_add(1, Ordering::SeqCst) + 1 == self.last {
            kill_process(getpid(), Signal::KILL).unwrap();
            // The signal ends the process before this returns; in case of doubt nothing more is done.
            std::thread::park();
        }
    }
}

/// A store with a fate: a moment before each append and one after it.
pub(crate) struct FatalStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) fate: Arc<Fate>,
    /// Somebody has every session pause once, while a command runs.
    pub(crate) pauses: bool,
}

impl FatalStore {
    async fn pause_once(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        let events = self.inner.read(session, Seq::START, 1000).await?;
        if events.iter().any(|event| matches!(event.body, EventBody::PauseAsked { .. })) {
            return Ok(());
        }
        let pause = EventBody::PauseAsked { by: "ann".to_owned() };
        self.inner.append(session, Writer::Anybody, at, vec![pause]).await.map(drop)
    }
}

#[async_trait]
impl Store for FatalStore {
    async fn enqueue(
        &self,
        ticket: Ticket,
        session: SessionId,
        at: Timestamp,
        first: EventBody,
        rest: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        self.inner.enqueue(ticket, session, at, first, rest).await
    }

    async fn append(
        &self,
        session: SessionId,
        writer: Writer<'_>,
        at: Timestamp,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        self.fate.moment();
        let events = self.inner.append(session, writer, at, bodies).await?;
        let runs =
            |event: &Event| matches!(&event.body, EventBody::ToolStarted { tool, .. } if tool == "shell");
        if self.pauses && events.iter().any(runs) {
            self.pause_once(session, at).await?;
        }
        self.fate.moment();
        Ok(events)
    }

    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.inner.read(session, after, limit).await
    }

    async fn follow(
        &self,
        session: SessionId,
        after: Seq,
    ) -> Result<BoxStream<'static, Result<Event, StoreError>>, StoreError> {
        self.inner.follow(session, after).await
    }

    async fn claim(&self, session: SessionId, worker: &str) -> Result<Claim, StoreError> {
        self.inner.claim(session, worker).await
    }

    async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRow>, StoreError> {
        self.inner.sessions(filter).await
    }

    async fn search(
        &self,
        filter: SessionFilter,
    ) -> Result<(Vec<SessionRow>, Option<SessionId>), StoreError> {
        self.inner.search(filter).await
    }

    async fn session(
        &self,
        org: Option<OrgId>,
        session: SessionId,
    ) -> Result<Option<SessionRow>, StoreError> {
        self.inner.session(org, session).await
    }

    async fn changes(&self, org: OrgId) -> Result<BoxStream<'static, SessionId>, StoreError> {
        self.inner.changes(org).await
    }

    async fn set_archived(&self, session: SessionId, archived: bool) -> Result<(), StoreError> {
        self.inner.set_archived(session, archived).await
    }

    async fn is_blob_of(&self, session: SessionId, digest: Digest) -> Result<bool, StoreError> {
        self.inner.is_blob_of(session, digest).await
    }

    async fn forget(&self, session: SessionId) -> Result<(), StoreError> {
        self.inner.forget(session).await
    }

    async fn was_forgotten(&self, session: SessionId) -> Result<bool, StoreError> {
        self.inner.was_forgotten(session).await
    }

    async fn put_blob(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        self.inner.put_blob(content).await
    }

    async fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.inner.blob(digest).await
    }

    async fn verify(&self, session: SessionId) -> Result<Verified, StoreError> {
        self.inner.verify(session).await
    }
}

/// A forge with a fate: a moment after each push and after each opening, when the log does not know of them yet.
pub(crate) struct FatalForge {
    pub(crate) inner: Arc<dyn Forge>,
    pub(crate) fate: Arc<Fate>,
}

#[async_trait]
impl Forge for FatalForge {
    async fn find(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<PullRequest>, ForgeError> {
        self.inner.find(repository, session).await
    }

    async fn get(
        &self,
        repository: &RepositoryAddress,
        number: u64,
    ) -> Result<Option<PullRequest>, ForgeError> {
        self.inner.get(repository, number).await
    }

    async fn branch(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<ObjectId>, ForgeError> {
        self.inner.branch(repository, session).await
    }

    async fn push(&self, push: &Push<'_>) -> Result<String, ForgeError> {
        let branch = self.inner.push(push).await?;
        self.fate.moment();
        Ok(branch)
    }

    async fn open(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let pull_request = self.inner.open(new).await?;
        self.fate.moment();
        Ok(pull_request)
    }

    async fn merge(
        &self,
        repository: &RepositoryAddress,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<PullRequest, ForgeError> {
        let merged = self.inner.merge(repository, head, authorship).await?;
        self.fate.moment();
        Ok(merged)
    }

    async fn close(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, ForgeError> {
        self.inner.close(repository, session).await
    }
}
