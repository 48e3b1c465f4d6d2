//! Deliveries: what forges, chats and other programs posted, kept until it was dealt with.
//!
//! A delivery is acknowledged when it is here, and not before. Each id is kept once for a source, also after it was dealt with, for as long as a
//! sender may send it again. Deliveries of one line (a repository, a conversation) are dealt with one after another in the order in which they came;
//! of different lines side by side, by as many processes as there are.

use async_trait::async_trait;
use cofferdam_domain::{OrgId, SessionId, Timestamp};
use futures_util::stream::BoxStream;

use crate::StoreError;

/// Something that arrived, proved but not dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The name in the configuration of where it came from.
    pub source: String,
    /// What the sender calls it.
    pub id: String,
    /// What kind of thing it is, in the sender's words.
    pub event: String,
    /// What must be dealt with in order. Different sources never share one.
    pub line: String,
    /// Whose it is.
    pub org: OrgId,
    /// When it arrived.
    pub at: Timestamp,
    /// As it was sent.
    pub body: Vec<u8>,
}

/// An arrival that was taken, to be dealt with now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenArrival {
    /// What.
    pub arrival: Arrival,
    /// Which try this is, counted from 1.
    pub tries: u32,
    /// Who took it.
    pub holder: String,
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dealt {
    /// It was dealt with.
    Done {
        /// The session that was begun, or that it was for.
        session: Option<SessionId>,
        /// What was made of it, for people: `begins`, `no right`, `of no interest`…
        what: String,
    },
    /// It could not be for now: again at that time. What came after it in its line waits.
    Again {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It cannot be. The organisation's audit log says so.
    GivenUp {
        /// Why.
        reason: String,
    },
}

/// An arrival and where it stands, for a list. Without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its place among all that arrived.
    pub number: u64,
    /// What; its body is empty.
    pub arrival: Arrival,
    /// How often it was tried.
    pub tries: u32,
    /// When it was dealt with, or given up.
    pub done: Option<Timestamp>,
    /// Whether it was given up.
    pub given_up: bool,
    /// The session that was begun, or that it was for.
    pub session: Option<SessionId>,
    /// What was made of it, or why it was not.
    pub what: Option<String>,
}

/// Keeps what arrives. Implemented by every store.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Keeps it, durably. `false` when it was here before.
    ///
    /// # Errors
    /// When the store cannot be written: then it must not be acknowledged.
    async fn arrive(&self, arrival: Arrival) -> Result<bool, StoreError>;

    /// Takes the arrival of these sources that has been due for longest and is the first of its line, for `lease_ms` milliseconds: nobody else
    /// gets it, or anything of its line, in that time. `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn take_arrival(
        &self,
        holder: &str,
        sources: &[String],
        lease_ms: u64,
    ) -> Result<Option<TakenArrival>, StoreError>;

    /// Holds it for `lease_ms` milliseconds from now, for whoever needs longer. `false` when somebody else has taken it since: leave it to them.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn hold_arrival(&self, taken: &TakenArrival, lease_ms: u64) -> Result<bool, StoreError>;

    /// Says what became of it. Without effect when somebody else has taken it since.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn dealt(&self, taken: &TakenArrival, dealt: Dealt) -> Result<(), StoreError>;

    /// Has an item each time that there may be an arrival to take of these sources; the first at once. May have more. Ends when nothing can be
    /// heard any more.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    async fn arrivals(&self, sources: &[String]) -> Result<BoxStream<'static, ()>, StoreError>;

    /// When something with this id arrived from this source, if it is still remembered.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn seen(&self, source: &str, id: &str) -> Result<Option<Timestamp>, StoreError>;

    /// What arrived for an organisation, newest first, before the one with the number `before`; at most `limit`. What was dealt with is kept for
    /// thirty days, its body for seven.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn arrived(&self, org: OrgId, before: Option<u64>, limit: u32) -> Result<Vec<Arrived>, StoreError>;

    /// The session that was begun last for a thread, which is the key of an [`Asked`](cofferdam_domain::Asked) or of a conversation.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn session_of(&self, thread: &str) -> Result<Option<SessionId>, StoreError>;

    /// Makes a session the one of a thread, unless another one is in the meantime: gives back which one it is.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn bind(
        &self,
        thread: &str,
        session: SessionId,
        instead_of: Option<SessionId>,
    ) -> Result<SessionId, StoreError>;

    /// Until when it is known what happened at a source that is asked, for each line of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn watched(&self, source: &str) -> Result<Vec<(String, Timestamp)>, StoreError>;

    /// Writes that down. A time before the one that is known has no effect.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn note_watched(&self, source: &str, line: &str, at: Timestamp) -> Result<(), StoreError>;
}
