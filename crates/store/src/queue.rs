//! The queue: which session is worked on next, and by whom.
//!
//! There is no queue beside the sessions: a session waits when it was made for the queue ([`Placement::Queued`]) and its log says that
//! somebody should work on it. A worker is present for as long as it renews its presence; the sessions of one that no longer does are given to
//! others. Nothing is kept or renewed for each session that waits or runs.

use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{Owner, Seq, SessionId, SessionState, Timestamp, WorkerId};
use futures_util::stream::BoxStream;

use crate::{Claim, StoreError, log::line::Line};

/// So many workers that died with a session in a row, or failed with it, are enough: it is given up.
pub const MOST_CRASHES: u32 = 5;

/// Where a new session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// To whoever claims it by its id: the command that made it. No worker takes it by itself.
    Direct,
    /// To the queue.
    Queued {
        /// Higher goes first. 0 is usual.
        priority: i16,
    },
}

/// Whose a new session is and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Whose.
    pub owner: Owner,
    /// Where to.
    pub placement: Placement,
}

impl Ticket {
    /// What the command line makes without a server.
    pub const LOCAL: Self = Self { owner: Owner::LOCAL, placement: Placement::Direct };
}

/// How many sessions may be worked on at once, whichever workers have them. The next one is taken from the owner who has the fewest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Of one owner's (organisation and user).
    pub per_user: NonZeroU32,
    /// Of one organisation's.
    pub per_org: NonZeroU32,
    /// On one repository.
    pub per_repository: NonZeroU32,
}

/// A worker that is present. Its presence is renewed in the background until it is dropped or [`Queue::leave`] is called.
#[derive(Debug)]
pub struct Presence {
    /// Which worker.
    pub worker: WorkerId,
    /// Its name, as text for people.
    pub name: String,
    /// Turns true when others have taken its sessions over, because its presence was not renewed in time: whatever it still does will be
    /// refused. While the store cannot be reached it stays false, for the others cannot reach it either, or may: then it turns true
    /// afterwards.
    pub lost: tokio::sync::watch::Receiver<bool>,
    /// Whatever the store needs to hold on to.
    pub(crate) _hold: Box<dyn std::any::Any + Send + Sync>,
}

/// A session taken from the queue.
#[derive(Debug)]
pub struct Taken {
    /// The right to append.
    pub claim: Claim,
    /// Whose it is.
    pub owner: Owner,
    /// How often in a row a worker died with it, or asked that it be tried again. From some number on it should be given up.
    pub crashes: u32,
}

impl Taken {
    /// What a row that was taken stands for.
    pub(crate) fn new(line: Line, worker: &str) -> Self {
        let Line { id, owner, fence, crashes, .. } = line;
        Self { claim: Claim::new(id, fence, worker.to_owned(), ()), owner, crashes }
    }

    /// The same, to be given back once more where that failed. What is taken from the queue holds nothing of the machine.
    #[must_use]
    pub fn once_more(&self) -> Self {
        let Self { claim, owner, crashes } = self;
        let claim = Claim::new(claim.session, claim.fence, claim.worker.clone(), ());
        Self { claim, owner: *owner, crashes: *crashes }
    }
}

/// How a worker gives a session back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// There is nothing more to do for now: it has ended, or waits for a person.
    Done {
        /// The last event that the worker knows. If there are later ones, the log says whether somebody should go on; of all up to here the
        /// worker knows better.
        seen: Seq,
    },
    /// Somebody else should go on at once: the worker is shutting down.
    HandOver,
    /// The machine failed (disk full, the model's provider down), not the task: it is tried again after a while, at most so often in a row.
    TryAgain {
        /// Not before this time.
        not_before: Timestamp,
        /// What failed, for people.
        reason: String,
    },
}

/// What waits and what runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Sessions that wait to be worked on; a large number may stand for that many or more.
    pub waiting: u64,
    /// Sessions that are worked on.
    pub running: u64,
    /// Workers that are present.
    pub workers: u64,
}

/// How all sessions stand, for whoever watches over the service. Takes longer to find out than [`Depth`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the last event was written of the session that waits for a worker since the longest time.
    pub oldest: Option<Timestamp>,
    /// How many sessions there are in each state; a large number may stand for that many or more.
    pub states: Vec<(SessionState, u64)>,
}

/// Hands sessions to workers. Implemented by every store.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes a worker known. `patience` is how long it may be silent before others take over its sessions; it renews its presence
    /// three times as often.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn enter(&self, name: &str, patience: Duration) -> Result<Presence, StoreError>;

    /// The session that is next, claimed under a new fence; `None` when there is none that may be taken now. Sessions of workers that are gone
    /// come first.
    ///
    /// # Errors
    /// When the presence is lost, or the store fails.
    async fn next(&self, presence: &Presence, shares: Shares) -> Result<Option<Taken>, StoreError>;

    /// Gives a session back. Its claim cannot be used any more, whether this succeeds or not.
    ///
    /// # Errors
    /// When the store cannot be written: then it is given to others once the worker is gone.
    async fn release(&self, taken: Taken, release: Release) -> Result<(), StoreError>;

    /// Has an item each time that [`Self::next`] may find something that it did not find before: a session was queued, woken, released or
    /// abandoned, by whatever process, or its time has come. May have more.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    async fn stirred(&self) -> Result<BoxStream<'static, ()>, StoreError>;

    /// Ends a presence. Sessions that it still has are given to others at once.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn leave(&self, presence: Presence) -> Result<(), StoreError>;

    /// Who has the session, as text for people.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn holder(&self, session: SessionId) -> Result<Option<String>, StoreError>;

    /// What waits and what runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn depth(&self) -> Result<Depth, StoreError>;

    /// How all sessions stand.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn standing(&self) -> Result<Standing, StoreError>;
}
