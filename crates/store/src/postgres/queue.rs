//! The queue that many machines share.

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{SessionId, WorkerId};
use futures_util::stream::BoxStream;

use super::{PostgresStore, claims::Elsewhere};
use crate::{
    Claim, Depth, Presence, Queue, Release, Shares, Standing, StoreError, Taken,
    log::rings::Matter,
    records::{
        presence, queue, sessions,
        stirred::{Due, Hearing as _, stirred},
    },
    sql::{self, Database as _},
};

#[async_trait]
impl Queue for PostgresStore {
    async fn enter(&self, name: &str, patience: Duration) -> Result<Presence, StoreError> {
        presence::enter(self.base.clone(), WorkerId::generate(), name, patience, ()).await
    }

    async fn next(&self, presence: &Presence, shares: Shares) -> Result<Option<Taken>, StoreError> {
        let (worker, name) = (presence.worker, presence.name.clone());
        let next = sql::work(move |sql| {
            Box::pin(async move { queue::next(sql, &Elsewhere, worker, &name, shares).await })
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
        sessions::holder(&self.base.readers, session).await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        sessions::depth(&self.base.readers).await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        sessions::standing(&self.base.readers).await
    }
}
