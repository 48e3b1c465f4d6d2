//! The interface that every store implements, and what goes in and out of it.

use std::path::Path;

use async_trait::async_trait;
use cofferdam_domain::{
    BlobRef, Digest, Event, EventBody, OrgId, Owner, ProjectId, PullRequestState, Seq, SessionId,
    SessionState, Timestamp, UserId, WaitingFor,
};
use futures_util::stream::BoxStream;

use crate::{Placement, StoreError, Ticket};

/// Keeps sessions. All methods may be called from many tasks at once.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes a session with its first event and those that must not be missing beside it, in one transaction: for whoever claims it by its
    /// id, without a server.
    ///
    /// # Errors
    /// As [`Store::enqueue`].
    async fn create(
        &self,
        session: SessionId,
        at: Timestamp,
        first: EventBody,
        rest: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        self.enqueue(Ticket::LOCAL, session, at, first, rest).await
    }

    /// Makes a session of somebody's, for the queue or for whoever claims it by its id.
    ///
    /// # Errors
    /// When the session exists already, also if it was forgotten, or the store cannot be written.
    async fn enqueue(
        &self,
        ticket: Ticket,
        session: SessionId,
        at: Timestamp,
        first: EventBody,
        rest: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError>;

    /// Appends events in order, in one transaction, durable on return. `at` is taken for each of them unless
    /// the log's last event is later (time never goes back within a log).
    ///
    /// # Errors
    /// [`StoreError::Fenced`] under an old claim, [`StoreError::Behind`] when the log has moved on,
    /// [`StoreError::UnknownSession`], or a failure to write. Nothing is written then.
    async fn append(
        &self,
        session: SessionId,
        writer: Writer<'_>,
        at: Timestamp,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError>;

    /// Events after `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the session is unknown, or an event cannot be read or its hash does not fit the chain.
    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// All events, in order.
    ///
    /// # Errors
    /// As [`Store::read`].
    async fn log(&self, session: SessionId) -> Result<Vec<Event>, StoreError> {
        const PAGE: u32 = 1000;
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(Seq::START, |event| event.seq);
            let page = self.read(session, after, PAGE).await?;
            let whole = page.len() < PAGE as usize;
            events.extend(page);
            if whole {
                return Ok(events);
            }
        }
    }

    /// Events after `after`, first those that exist, then each new one as it is appended, by whatever
    /// process. Ends by itself only when the session is forgotten, with [`StoreError::UnknownSession`].
    async fn follow(
        &self,
        session: SessionId,
        after: Seq,
    ) -> Result<BoxStream<'static, Result<Event, StoreError>>, StoreError>;

    /// Takes a session for this process, until the claim is dropped or the process ends; both may show a little later.
    ///
    /// # Errors
    /// [`StoreError::Claimed`] when another living process has it, or a worker that is present.
    async fn claim(&self, session: SessionId, worker: &str) -> Result<Claim, StoreError>;

    /// Sessions, newest first. Where a text is looked for, those of the first page: see [`Store::search`].
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRow>, StoreError>;

    /// A page of the sessions that have the filter's text, newest first, and where the next one begins, if there may be one. What matches is the
    /// text anywhere in the title or the repository's name, in whatever case. A page of one organisation's is read from an index; where many
    /// sessions have the text and few of them pass the rest of the filter it may have fewer than there are, after at least
    /// [`LOOKED_THROUGH`](crate::LOOKED_THROUGH) were looked at.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn search(&self, filter: SessionFilter)
    -> Result<(Vec<SessionRow>, Option<SessionId>), StoreError>;

    /// One session; of this organisation if one is named. `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn session(&self, org: Option<OrgId>, session: SessionId)
    -> Result<Option<SessionRow>, StoreError>;

    /// Has an item each time that a session of the organisation got new events, by whatever process. May have more. Ends when nothing can
    /// be heard any more.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    async fn changes(&self, org: OrgId) -> Result<BoxStream<'static, SessionId>, StoreError>;

    /// Puts a session out of sight, or back.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], or when the store cannot be written.
    async fn set_archived(&self, session: SessionId, archived: bool) -> Result<(), StoreError>;

    /// Whether one of the session's events refers to this content.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn is_blob_of(&self, session: SessionId, digest: Digest) -> Result<bool, StoreError>;

    /// Deletes a session's events and the content that no other session refers to. Its id is never used again, and what it spent stays
    /// counted. Whoever works on it can write no more.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], or when the store cannot be written.
    async fn forget(&self, session: SessionId) -> Result<(), StoreError>;

    /// Whether there was a session with this id that was forgotten.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn was_forgotten(&self, session: SessionId) -> Result<bool, StoreError>;

    /// Stores content under its digest. Storing it again costs nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn put_blob(&self, content: &[u8]) -> Result<BlobRef, StoreError>;

    /// Whether files' content can be stored where other machines can have it: see [`Store::put_file`].
    fn keeps_files(&self) -> bool {
        false
    }

    /// Stores a file's content, of whatever length, where other machines can have it; `None` where there is no such place: without a bucket.
    ///
    /// # Errors
    /// When it cannot be read or stored.
    async fn put_file(&self, _: &Path) -> Result<Option<BlobRef>, StoreError> {
        Ok(None)
    }

    /// Writes content to a file, which is made only if it is whole.
    ///
    /// # Errors
    /// As [`Store::blob`], and when it cannot be written.
    async fn fetch_file(&self, digest: Digest, to: &Path) -> Result<(), StoreError> {
        let content = self.blob(digest).await?;
        std::fs::write(to, content).map_err(|source| StoreError::file("write", to, source))
    }

    /// Writes, reads and removes an object where content is kept in a bucket, so that what is wrong with it is heard at the start.
    ///
    /// # Errors
    /// [`StoreError::BucketRefuses`] or [`StoreError::BucketAway`].
    async fn try_bucket(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Content by its digest, checked against it.
    ///
    /// # Errors
    /// [`StoreError::UnknownBlob`], [`StoreError::Corrupt`] when the content does not hash to its name, or a
    /// failure to read.
    async fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError>;

    /// Checks every event's hash and its link to the one before, and that every blob that is referred to is
    /// there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming the first event that does not fit.
    async fn verify(&self, session: SessionId) -> Result<Verified, StoreError>;
}

/// Who appends.
#[derive(Debug, Clone, Copy)]
pub enum Writer<'a> {
    /// The worker that has the session. It has folded the log up to `after` and decided on that ground: if
    /// anything was appended since, the write is refused, so that the log always shows decisions after all
    /// that they were based on.
    Worker {
        /// Its claim.
        claim: &'a Claim,
        /// The last event that it knows.
        after: Seq,
    },
    /// Somebody else who decides on the ground of what they have read: refused like a worker's write if anything was appended since.
    Reader {
        /// The last event that they have read.
        after: Seq,
    },
    /// Anybody else, with news that stands on no other event: a message, a cancellation.
    Anybody,
}

/// The right to append a session's events. Its holder is alone with it until it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// Whose.
    pub session: SessionId,
    /// Rises with every claim of the session.
    pub fence: u64,
    /// Who, as text for people.
    pub worker: String,
    /// Whatever the store needs to hold on to until the claim ends.
    _hold: Box<dyn std::any::Any + Send + Sync>,
}

impl Claim {
    /// A claim that ends when `hold` is dropped.
    pub fn new(
        session: SessionId,
        fence: u64,
        worker: String,
        hold: impl std::any::Any + Send + Sync,
    ) -> Self {
        Self { session, fence, worker, _hold: Box::new(hold) }
    }
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Only those of this organisation.
    pub org: Option<OrgId>,
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Only those of this user.
    pub user: Option<UserId>,
    /// Only those that are archived, or only the others.
    pub archived: Option<bool>,
    /// Only those with this text in the title or the repository's name, in whatever case.
    pub text: Option<String>,
    /// Only those that have pushed this commit last.
    pub pushed: Option<String>,
    /// Only those that work for this one.
    pub parent: Option<SessionId>,
    /// Also those that work for others.
    pub subagents: bool,
    /// Only the attempts of which this one is the first.
    pub attempt_of: Option<SessionId>,
    /// Only those in this state.
    pub state: Option<SessionState>,
    /// Only those made before this one.
    pub before: Option<SessionId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// A session in a list. Kept up to date by the store from the events that it appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Which.
    pub id: SessionId,
    /// Where it stands.
    pub state: SessionState,
    /// Its repository, as asked.
    pub repository: String,
    /// The first line of its prompt.
    pub title: String,
    /// When it was made.
    pub created: Timestamp,
    /// When its last event was written.
    pub updated: Timestamp,
    /// The place of its last event.
    pub last: Seq,
    /// How it ended, in one word, if it did.
    pub outcome: Option<String>,
    /// Whether a living process has claimed it.
    pub claimed: bool,
    /// Whose it is.
    pub owner: Owner,
    /// Where it went when it was made.
    pub placement: Placement,
    /// What it waits for, if it does.
    pub waiting: Option<WaitingFor>,
    /// How many requests for access wait for a decision. It goes on meanwhile.
    pub accesses: u32,
    /// The worker that has it, as text for people, if one took it from the queue.
    pub holder: Option<String>,
    /// How many workers in a row died with it.
    pub crashes: u32,
    /// What its model calls cost, in millionths of a dollar.
    pub cost: u64,
    /// Their tokens, in and out.
    pub tokens: u64,
    /// Steps so far.
    pub steps: u32,
    /// The number of its pull request and where that stands.
    pub pull_request: Option<(u64, PullRequestState)>,
    /// The session that it works for.
    pub parent: Option<SessionId>,
    /// The first of the attempts that it is one of.
    pub attempt_of: Option<SessionId>,
    /// Whether somebody put it out of sight.
    pub archived: bool,
}

/// What [`Store::verify`] checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Events in the chain.
    pub events: u64,
    /// Blobs that they refer to.
    pub blobs: u64,
    /// The hash of the last event.
    pub head: Digest,
}
