//! Upkeep and exports, on either database.

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{Digest, OrgId, Seq, SessionId, Timestamp};

use super::{arrivals, audit, contents, keeping};
use crate::{
    Duty, Export, ExportedEntry, ExportedEvent, Keeping, StoreError, Upkeep,
    log::{listing, pages::Pages},
    search::fill,
    sql::{Backend, Database as _, work},
};

#[async_trait]
impl<B: Backend> Export for B {
    async fn exported(
        &self,
        session: SessionId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<ExportedEvent>, StoreError> {
        let readers = self.base().readers();
        listing::find(readers, session).await?;
        Pages::after(session, after).next_exported(readers, limit).await
    }

    async fn exported_audit(
        &self,
        org: OrgId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<ExportedEntry>, StoreError> {
        audit::exported(self.base().readers(), org, after, limit).await
    }
}

#[async_trait]
impl<B: Backend> Upkeep for B {
    async fn take_duty(&self, duty: Duty, holder: &str, time: Duration) -> Result<bool, StoreError> {
        let holder = holder.to_owned();
        let take = work(move |sql| Box::pin(async move { keeping::take(sql, duty, &holder, time).await }));
        self.base().transact(take).await
    }

    async fn leave_duty(&self, duty: Duty, holder: &str) -> Result<(), StoreError> {
        let holder = holder.to_owned();
        let leave = work(move |sql| Box::pin(async move { keeping::leave(sql, duty, &holder).await }));
        self.base().transact(leave).await
    }

    async fn keeping(&self, org: OrgId) -> Result<Keeping, StoreError> {
        keeping::get(self.base().readers(), org).await
    }

    async fn set_keeping(&self, org: OrgId, keeping: Keeping) -> Result<(), StoreError> {
        self.base().transact(work(move |sql| Box::pin(keeping::set(sql, org, keeping)))).await
    }

    async fn ended(
        &self,
        org: OrgId,
        archived: bool,
        most: u32,
    ) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        keeping::ended(self.base().readers(), org, archived, most).await
    }

    async fn forgotten(&self, after: Timestamp) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        keeping::forgotten(self.base().readers(), after).await
    }

    async fn let_go(&self, org: OrgId, ended: Timestamp, most: u32) -> Result<u64, StoreError> {
        let contents: Vec<(Digest, Timestamp)> =
            self.base().transact(work(move |sql| Box::pin(keeping::let_go(sql, org, ended, most)))).await?;
        let count = contents.len() as u64;
        self.let_contents_go(contents).await?;
        Ok(count)
    }

    async fn first_to_let_go(&self, org: OrgId) -> Result<Option<Timestamp>, StoreError> {
        keeping::first_to_let_go(self.base().readers(), org).await
    }

    async fn index(&self, org: OrgId) -> Result<(), StoreError> {
        fill::all(self.base(), org, fill::Turn::Next).await
    }

    async fn sweep(&self, grace: Duration) -> Result<u64, StoreError> {
        let now = self.base().transact(work(|sql| Box::pin(sql.now()))).await?;
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.sweep_content(Timestamp(now.0.saturating_sub(grace))).await
    }

    async fn expire_arrivals(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        arrivals::expire(self.base(), now).await
    }

    async fn clear(&self) -> Result<Option<Timestamp>, StoreError> {
        if !self.clear_content().await? {
            return Ok(None);
        }
        contents::next_due(self.base().readers()).await
    }
}
