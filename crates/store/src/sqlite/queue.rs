//! The queue on one machine. What is special to it: the kernel says at once when a worker's process is gone, and which sessions a process has
//! taken by their id.

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{SessionId, WorkerId};
use futures_util::stream::BoxStream;

use super::{SqliteStore, blocking, claims::Claims};
use crate::{
    Claim, Depth, Presence, Queue, Release, Shares, Standing, StoreError, Taken,
    log::rings::Matter,
    records::{
        presence,
        queue::{self, Ground},
        sessions,
        stirred::{Due, Hearing as _, stirred},
    },
    sql::{self, Database as _},
};

impl Ground for Claims {
    fn is_held(&self, session: SessionId) -> bool {
        // What cannot be looked at is left alone.
        self.taken(session).unwrap_or(true)
    }

    fn is_dead(&self, worker: WorkerId) -> bool {
        !self.taken(worker).unwrap_or(true)
    }
}

#[async_trait]
impl Queue for SqliteStore {
    async fn enter(&self, name: &str, patience: Duration) -> Result<Presence, StoreError> {
        let worker = WorkerId::generate();
        let (claims, shown) = (self.claims.clone(), name.to_owned());
        let lock = blocking(move || claims.stay(worker, &shown)).await?;
        presence::enter(self.base.clone(), worker, name, patience, lock).await
    }

    async fn next(&self, presence: &Presence, shares: Shares) -> Result<Option<Taken>, StoreError> {
        let (worker, name, claims) = (presence.worker, presence.name.clone(), self.claims.clone());
        let next = sql::work(move |sql| {
            Box::pin(async move { queue::next(sql, &claims, worker, &name, shares).await })
        });
        let line = self.base.transact(next).await?;
        Ok(line.map(|line| Taken::new(line, &presence.name)))
    }

    async fn release(&self, taken: Taken, release: Release) -> Result<(), StoreError> {
        let Claim { session, fence, .. } = taken.claim;
        let give_back = sql::work(move |sql| {
            Box::pin(async move { queue::release(sql, session, fence, &release).await })
        });
        self.base.transact(give_back).await
    }

    async fn stirred(&self) -> Result<BoxStream<'static, ()>, StoreError> {
        Ok(stirred(self.base.readers.clone(), self.listen(Matter::Queue)?, Due::of_queue()))
    }

    async fn leave(&self, presence: Presence) -> Result<(), StoreError> {
        presence::leave(&self.base, presence.worker).await
    }

    async fn holder(&self, session: SessionId) -> Result<Option<String>, StoreError> {
        let claims = self.claims.clone();
        let direct = blocking(move || claims.holder(session)).await?;
        Ok(direct.or(sessions::holder(&self.base.readers, session).await?))
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        sessions::depth(&self.base.readers).await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        sessions::standing(&self.base.readers).await
    }
}
