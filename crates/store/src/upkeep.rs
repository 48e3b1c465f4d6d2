//! What expires, and removing it: sessions some time after their end, files of sessions some time after theirs, content that nobody refers to.
//!
//! Any process may do this at any time; a duty in the database lets one at a time do it. What is removed is told by tables and times alone, so
//! that a round that was cut short is simply done again. Nothing is polled: a round says when the next one has something to do.

use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{AuditId, OrgId, SessionId, Timestamp, WorkerId};

use crate::{AuditEntry, Everything, StoreError};

/// A day, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Content that was stored this long ago and that nobody refers to is nobody's: whoever stores content refers to it within seconds, and a
/// worker that was silent for so long may not write any more.
pub const GRACE: Duration = Duration::from_millis(DAY);

/// How long a round may be silent before another process does the work.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Things removed in one transaction, or between two renewals of the duty.
const AT_ONCE: u32 = 100;

/// What one process at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Removing what has expired.
    Expiry,
    /// Removing content that nobody refers to.
    Sweep,
}

impl Duty {
    /// Its name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Sweep => "sweep",
        }
    }
}

/// For how many days something is kept; `None` for as long as nobody deletes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keeping {
    /// A session, after its last event once it has ended.
    pub sessions: Option<NonZeroU32>,
    /// Its layers and checkpoints, counted in the same way. Its log, its diff and its evidence stay.
    pub files: Option<NonZeroU32>,
}

impl Keeping {
    /// The same, or less where this says less.
    #[must_use]
    pub fn narrowed(self, other: Self) -> Self {
        let less = |one: Option<NonZeroU32>, other: Option<NonZeroU32>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { sessions: less(self.sessions, other.sessions), files: less(self.files, other.files) }
    }

    /// Whether this keeps nothing longer than that.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.narrowed(other) == self
    }
}

/// When what has ended at `ended` expires.
#[must_use]
pub fn expiry(ended: Timestamp, days: NonZeroU32) -> Timestamp {
    Timestamp(ended.0.saturating_add(u64::from(days.get()).saturating_mul(DAY)))
}

/// What is configured for all organisations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The most that any of them keeps.
    pub keeping: Keeping,
    /// Whether sessions that somebody archived stay.
    pub archived_stay: bool,
}

/// What a round has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Sessions that expired.
    pub sessions: u64,
    /// Contents that were removed beside those of these sessions.
    pub contents: u64,
    /// When there is something to do again, at the latest.
    pub next: Timestamp,
}

/// Keeps a store from growing for ever. Implemented by every store.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Takes a duty for a time, or longer if it is this holder's already. `false` when another has it.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn take_duty(&self, duty: Duty, holder: &str, time: Duration) -> Result<bool, StoreError>;
    /// Gives a duty back.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn leave_duty(&self, duty: Duty, holder: &str) -> Result<(), StoreError>;

    /// For how long an organisation keeps things, where it says less than is configured for all.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn keeping(&self, org: OrgId) -> Result<Keeping, StoreError>;
    /// Sets that.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn set_keeping(&self, org: OrgId, keeping: Keeping) -> Result<(), StoreError>;

    /// Sessions that have ended and that nobody is to work on, with the time of their last event: those that ended first, with those that
    /// were archived or without.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn ended(
        &self,
        org: OrgId,
        archived: bool,
        most: u32,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError>;
    /// Sessions that were forgotten after a time of the store's clock, and when.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn forgotten(&self, after: Timestamp) -> Result<Vec<(SessionId, Timestamp)>, StoreError>;

    /// Lets go of content that may expire (archives of checkpoints) of sessions that ended at `ended` or before: how much of it there was, at
    /// most so much.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn let_go(&self, org: OrgId, ended: Timestamp, most: u32) -> Result<u64, StoreError>;
    /// When the session that ended first of those with such content did so.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn first_to_let_go(&self, org: OrgId) -> Result<Option<Timestamp>, StoreError>;

    /// Makes the index of what sessions are searched by of all that is not in it yet, but for the last few.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn index(&self, org: OrgId) -> Result<(), StoreError>;

    /// Removes content that nobody refers to and that was last stored so long ago. Returns how much.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    async fn sweep(&self, grace: Duration) -> Result<u64, StoreError>;
    /// Drops the bodies of arrivals that were dealt with seven days before `now`, and the ids of those thirty days before. Says when there is
    /// something to drop next.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    async fn expire_arrivals(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Removes objects from a bucket that are wanted no more, and says when there will be others.
    ///
    /// # Errors
    /// When the bucket cannot be reached, or the store cannot be written.
    async fn clear(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// Removes what has expired at `now`, unless another process is about to.
///
/// # Errors
/// When the store or its bucket cannot be reached. What was done is done; the next round goes on.
pub async fn upkeep(
    store: &dyn Everything,
    retention: Retention,
    now: Timestamp,
) -> Result<Kept, StoreError> {
    // Not the process: two rounds of one process are two.
    let holder = WorkerId::generate().to_string();
    let mut round = Round {
        store,
        retention,
        now,
        holder: &holder,
        kept: Kept { sessions: 0, contents: 0, next: Timestamp(now.0.saturating_add(DAY)) },
    };
    if store.take_duty(Duty::Expiry, &holder, PATIENCE).await? {
        let done = round.expire().await;
        store.leave_duty(Duty::Expiry, &holder).await?;
        done?;
    }
    // It is not given back: once a day is enough, whoever does it.
    if store.take_duty(Duty::Sweep, &holder, Duration::from_millis(DAY)).await? {
        round.kept.contents += store.sweep(GRACE).await?;
    }
    if let Some(due) = store.clear().await? {
        round.look_again(due);
    }
    Ok(round.kept)
}

struct Round<'s> {
    store: &'s dyn Everything,
    retention: Retention,
    now: Timestamp,
    holder: &'s str,
    kept: Kept,
}

impl Round<'_> {
    async fn expire(&mut self) -> Result<(), StoreError> {
        for org in self.store.orgs().await? {
            let keeping = self.retention.keeping.narrowed(self.store.keeping(org.id).await?);
            if let Some(days) = keeping.sessions {
                self.expire_sessions(org.id, days).await?;
            }
            if let Some(days) = keeping.files {
                self.expire_files(org.id, days).await?;
            }
            self.store.index(org.id).await?;
        }
        if let Some(due) = self.store.expire_arrivals(self.now).await? {
            self.look_again(due);
        }
        Ok(())
    }

    /// Deletes sessions, those that ended first before the others.
    async fn expire_sessions(&mut self, org: OrgId, days: NonZeroU32) -> Result<(), StoreError> {
        loop {
            let ended = self.store.ended(org, !self.retention.archived_stay, AT_ONCE).await?;
            let whole = ended.len() < AT_ONCE as usize;
            for (session, at) in ended {
                let due = expiry(at, days);
                if due > self.now {
                    self.look_again(due);
                    return Ok(());
                }
                self.expire_session(org, session).await?;
            }
            if whole || !self.store.take_duty(Duty::Expiry, self.holder, PATIENCE).await? {
                return Ok(());
            }
        }
    }

    async fn expire_session(&mut self, org: OrgId, session: SessionId) -> Result<(), StoreError> {
        let entry = AuditEntry {
            id: AuditId::generate(),
            at: self.now,
            by: "retention".to_owned(),
            action: "session.expired".to_owned(),
            subject: session.to_string(),
            detail: "{}".to_owned(),
        };
        // Before, so that nothing disappears without a trace.
        self.store.audit(org, entry).await?;
        match self.store.forget(session).await {
            Ok(()) => self.kept.sessions += 1,
            // Somebody was quicker.
            Err(StoreError::UnknownSession(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn expire_files(&mut self, org: OrgId, days: NonZeroU32) -> Result<(), StoreError> {
        let days_ago = self.now.0.checked_sub(u64::from(days.get()).saturating_mul(DAY));
        if let Some(ended) = days_ago.map(Timestamp) {
            loop {
                let gone = self.store.let_go(org, ended, AT_ONCE).await?;
                self.kept.contents += gone;
                if gone < u64::from(AT_ONCE)
                    || !self.store.take_duty(Duty::Expiry, self.holder, PATIENCE).await?
                {
                    break;
                }
            }
        }
        if let Some(first) = self.store.first_to_let_go(org).await? {
            self.look_again(expiry(first, days));
        }
        Ok(())
    }

    /// There is something to do then: but never at once, or what cannot be done would be tried again and again.
    fn look_again(&mut self, due: Timestamp) {
        const SOON: u64 = 60 * 1000;
        self.kept.next = self.kept.next.min(due.max(Timestamp(self.now.0.saturating_add(SOON))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(sessions: u32, files: u32) -> Keeping {
        Keeping { sessions: NonZeroU32::new(sessions), files: NonZeroU32::new(files) }
    }

    #[test]
    fn an_organisation_can_only_keep_less() {
        for (configured, own, expected) in [
            (keeping(0, 0), keeping(0, 0), keeping(0, 0)),
            (keeping(0, 30), keeping(7, 0), keeping(7, 30)),
            (keeping(90, 30), keeping(365, 7), keeping(90, 7)),
        ] {
            assert_eq!(configured.narrowed(own), expected);
        }
        assert!(keeping(7, 30).is_within(keeping(0, 30)));
        assert!(!keeping(0, 30).is_within(keeping(7, 30)));
        assert!(!keeping(8, 30).is_within(keeping(7, 30)));
    }
}
