//! The outbox: what people outside are told of sessions, until they were, or it was given up.
//!
//! What is to be told is written in the transaction that appends the event which says so. A reader of the log that remembers how far it has come
//! would need an order over all sessions' events in which nothing ever turns up late, and there is none: transactions that began earlier are
//! committed later. So a letter is there if and only if its event is, and nobody has to look for it.
//!
//! A letter is made without knowing who is to be told. Some process that has the configuration addresses it ([`Outbox::address`]) to as many
//! channels as there are for it, and then some process that has such a channel takes each ([`Outbox::take`]) for a while, tells, and says so. One
//! that dies in between did not say so: the letter is told again, under the same id. Letters may overtake one another after a failure; each says which
//! event of its session it is about, so that who keeps one place up to date knows the later.

use async_trait::async_trait;
use cofferdam_domain::{LetterId, NoticeKind, OrgId, Owner, Seq, SessionId, Timestamp};
use futures_util::stream::BoxStream;

use crate::StoreError;

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Which. The same for every channel and every try.
    pub id: LetterId,
    /// Of what kind.
    pub kind: NoticeKind,
    /// Whose session.
    pub owner: Owner,
    /// The session; none where it is about no session.
    pub session: Option<SessionId>,
    /// The event that says so.
    pub seq: Seq,
    /// When that was.
    pub at: Timestamp,
    /// The first line of the session's prompt: a person's words.
    pub title: String,
    /// What a model, a sandbox or a forge has to say about it. Never to be believed.
    pub text: Option<String>,
    /// The number of the session's pull request.
    pub pull_request: Option<u64>,
}

/// A letter that was taken, to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What.
    pub letter: Letter,
    /// By which channel; `None` when it is to be addressed.
    pub channel: Option<String>,
    /// Which try this is, counted from 1.
    pub tries: u32,
    /// Who took it.
    pub holder: String,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was told.
    Told,
    /// It was not, for this reason: again at that time.
    Again {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It was not, for this reason, and is not tried again. The organisation's audit log says so.
    GivenUp {
        /// Why.
        reason: String,
    },
}

/// A letter and where it stands, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// What.
    pub letter: Letter,
    /// By which channel; `None` while it is not addressed.
    pub channel: Option<String>,
    /// How often it was tried.
    pub tries: u32,
    /// When it was told, or given up.
    pub done: Option<Timestamp>,
    /// Whether it was told.
    pub told: bool,
    /// Why the last try failed.
    pub reason: Option<String>,
}

/// Keeps what is to be told. Implemented by every store.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Has something told by these channels, beside what events say.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn post(&self, letter: Letter, channels: &[String]) -> Result<(), StoreError>;

    /// Takes a letter that is due by one of these channels, or is to be addressed, for `lease_ms` milliseconds: nobody else gets it in that
    /// time, nor another one of its session for that channel. `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn take(
        &self,
        holder: &str,
        channels: &[String],
        lease_ms: u64,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Holds it for `lease_ms` milliseconds from now, for whoever needs longer. `false` when somebody else has taken it since: leave it to them.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn hold(&self, delivery: &Delivery, lease_ms: u64) -> Result<bool, StoreError>;

    /// Addresses a letter that was taken without a channel. Addressing it twice is harmless.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn address(&self, delivery: &Delivery, channels: &[String]) -> Result<(), StoreError>;

    /// Says what became of a try. Without effect when somebody else has taken the letter since.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn sent(&self, delivery: &Delivery, sent: Sent) -> Result<(), StoreError>;

    /// Has an item each time that there may be a letter to take by one of these channels, or to be addressed; the first at once. May have more.
    /// Ends when nothing can be heard any more.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    async fn posted(&self, channels: &[String]) -> Result<BoxStream<'static, ()>, StoreError>;

    /// Letters of an organisation, newest first, before `before`; at most `limit`. Those that were told, or given up, are kept for thirty days.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn letters(
        &self,
        org: OrgId,
        before: Option<LetterId>,
        limit: u32,
    ) -> Result<Vec<Posted>, StoreError>;
}
