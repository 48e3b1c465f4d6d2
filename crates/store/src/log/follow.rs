//! Following a log: what is there, then what is appended. And hearing which sessions of an organisation change.

use std::collections::VecDeque;

use cofferdam_domain::{Event, OrgId, Seq, SessionId, Timestamp};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{
    listing,
    pages::Pages,
    rings::{Listener, Rings},
};
use crate::{
    StoreError,
    sql::{Origin, Readers, values},
};

/// Events read at once.
const PAGE: u32 = 64;

struct Follower {
    readers: Readers,
    listener: Listener,
    session: SessionId,
    pages: Pages,
    ready: VecDeque<Event>,
}

/// Starts to follow. Listening has begun before anything is read, and every ring is noted before the read that it may be about: an event is
/// either found by that read, or its ring comes after it.
pub(crate) fn follow(
    readers: Readers,
    listener: Listener,
    session: SessionId,
    after: Seq,
) -> BoxStream<'static, Result<Event, StoreError>> {
    let follower =
        Follower { readers, listener, session, pages: Pages::after(session, after), ready: VecDeque::new() };
    let events = stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        // After an error there is nothing to go on from: the stream ends.
        match follower.next().await {
            Ok(event) => Some((Ok(event), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    });
    events.boxed()
}

impl Follower {
    async fn next(&mut self) -> Result<Event, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let rung = self.listener.mark();
            match self.pages.next(&self.readers, PAGE).await {
                Ok(events) => self.ready = events.into(),
                // There will be a ring once it is back.
                Err(StoreError::Unavailable { .. }) => {}
                Err(error) => return Err(error),
            }
            if self.ready.is_empty() {
                // A ring without an event may be that of its deletion.
                if rung && self.is_forgotten().await {
                    return Err(StoreError::UnknownSession(self.session));
                }
                self.listener.rung().await?;
            }
        }
    }

    async fn is_forgotten(&self) -> bool {
        // A store that cannot be asked rings again when it is back.
        listing::was_forgotten(&self.readers, self.session).await.unwrap_or_default()
    }
}

struct Changes {
    readers: Readers,
    rings: Rings,
    heard: broadcast::Receiver<SessionId>,
    org: OrgId,
    /// Sessions that changed while nobody could say which.
    missed: VecDeque<SessionId>,
    /// When the last change was seen.
    until: Timestamp,
    _hold: Box<dyn std::any::Any + Send + Sync>,
}

/// The most sessions that are looked at again after some were missed.
const MAX_MISSED: u32 = 1000;

/// Which sessions of an organisation have new events, from now on. Ends when nobody can say any more.
pub(crate) async fn changes(
    readers: Readers,
    rings: Rings,
    hold: impl std::any::Any + Send + Sync,
    org: OrgId,
) -> Result<BoxStream<'static, SessionId>, StoreError> {
    let heard = rings.changes().ok_or(StoreError::Deaf)?;
    let until = last_change(&readers, org).await?;
    let missed = VecDeque::new();
    let changes = Changes { readers, rings, heard, org, missed, until, _hold: Box::new(hold) };
    Ok(stream::unfold(changes, |mut changes| async {
        let session = changes.next().await?;
        Some((session, changes))
    })
    .boxed())
}

async fn last_change(readers: &Readers, org: OrgId) -> Result<Timestamp, StoreError> {
    let row = readers
        .first("SELECT coalesce(MAX(updated), 0) AS last FROM sessions WHERE org = $1", values![org])
        .await?;
    row.map_or(Ok(Timestamp(0)), |row| row.time("last")).map_err(decoded)
}

impl Changes {
    async fn next(&mut self) -> Option<SessionId> {
        loop {
            if let Some(session) = self.missed.pop_front() {
                return Some(session);
            }
            match self.heard.recv().await {
                // One that cannot be looked at now is not shown now.
                Ok(session) if self.is_ours(session).await.unwrap_or_default() => return Some(session),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => {
                    self.heard = self.rings.changes()?;
                    self.catch_up().await;
                }
            }
        }
    }

    async fn is_ours(&mut self, session: SessionId) -> Result<bool, StoreError> {
        let row = self
            .readers
            .first("SELECT updated FROM sessions WHERE id = $1 AND org = $2", values![session, self.org])
            .await?;
        if let Some(row) = &row {
            self.until = self.until.max(row.time("updated").map_err(decoded)?);
        }
        Ok(row.is_some())
    }

    async fn catch_up(&mut self) {
        let rows = self
            .readers
            .all(
                "SELECT id FROM sessions WHERE org = $1 AND updated >= $2 ORDER BY updated DESC LIMIT $3",
                values![self.org, self.until, MAX_MISSED],
            )
            .await;
        // Should this fail, the next change is heard of all the same.
        self.missed
            .extend(rows.unwrap_or_default().iter().filter_map(|row| row.parsed::<SessionId>("id").ok()));
    }
}

fn decoded(error: sqlx::Error) -> StoreError {
    Origin::unreadable(error)
}
