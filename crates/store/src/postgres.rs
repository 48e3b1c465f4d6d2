//! The store that many machines share: a PostgreSQL database (14 or later).
//!
//! Everything is in the database, content included, unless a bucket is configured for that. What differs from the store in a directory: a claim is a column (who has the session) and
//! stands for as long as its worker renews its presence; rings are notifications (`LISTEN`, `NOTIFY`), sent by the transaction that they are
//! about, so that what is committed is always heard of; time is the database's. After a lost connection everybody who listens reads again from
//! where they were.

mod blobs;
mod claims;
mod news;
mod queue;
mod schema;
mod writer;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, Event, EventBody, OrgId, Seq, SessionId, Timestamp};
use futures_util::stream::BoxStream;
use sqlx::{Connection as _, PgPool};

use self::{blobs::Parts, claims::Direct, news::News, writer::WriterHandle};
use crate::{
    BucketOptions, Claim, SessionFilter, SessionRow, Store, StoreError, Ticket, Verified, Writer,
    bucket::Bucket,
    chain::Entry,
    content::Contents,
    log::{
        follow,
        line::Guard,
        listing,
        pages::Pages,
        rings::{Listener, Matter},
        verify::{self, Check},
    },
    records::{self, stirred::Hearing},
    search::Filling,
    sql::{Backend, Database, Origin, Readers, Sql, Work},
    write::{Kind, Write},
};

/// A store in a PostgreSQL database, shared by any number of processes on any number of machines.
#[derive(Debug)]
pub struct PostgresStore {
    base: PostgresBase,
    writer: WriterHandle,
    news: News,
    direct: Direct,
    filling: Filling<PostgresBase>,
    contents: Contents<PostgresBase, Parts>,
}

/// The database alone.
#[derive(Debug, Clone)]
pub(crate) struct PostgresBase {
    pool: PgPool,
    readers: Readers,
    origin: Origin,
}

#[async_trait]
impl Database for PostgresBase {
    fn readers(&self) -> &Readers {
        &self.readers
    }

    async fn transact<T: Send + 'static>(&self, work: Work<T>) -> Result<T, StoreError> {
        let base = self.clone();
        // On a task of its own: it is carried out whether or not its caller still waits for it.
        tokio::spawn(async move { base.transact_here(work).await }).await.map_err(|_| StoreError::Closed)?
    }
}

impl PostgresBase {
    async fn transact_here<T>(&self, work: Work<T>) -> Result<T, StoreError> {
        let failed = |error| self.origin.failure(error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let mut sql = Sql::postgres(&mut transaction, &self.origin);
        // A transaction that is dropped is undone.
        let made = work(&mut sql).await?;
        let news = sql.news().to_vec();
        news::announce(&mut transaction, &news).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(made)
    }
}

#[async_trait]
impl Backend for PostgresStore {
    type Base = PostgresBase;

    fn base(&self) -> &PostgresBase {
        &self.base
    }

    async fn let_contents_go(&self, contents: Vec<(Digest, Timestamp)>) -> Result<(), StoreError> {
        self.contents.let_go(contents).await
    }

    async fn sweep_content(&self, stored: Timestamp) -> Result<u64, StoreError> {
        self.contents.sweep(stored).await
    }

    async fn clear_content(&self) -> Result<bool, StoreError> {
        self.contents.clear().await.map(|_| self.contents.bucket.is_some())
    }
}

impl PostgresStore {
    /// Opens the store in the database with this URL (`postgres://user:password@host:port/database`, with the parameters of libpq that
    /// sqlx knows) and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Address`] when it is no such URL, [`StoreError::Unavailable`] when the database cannot be reached,
    /// [`StoreError::Newer`] when a newer version of Cofferdam has written it.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, None).await
    }

    /// The same, with new content in a bucket.
    ///
    /// # Errors
    /// As [`Self::open`]. Nothing is asked of the bucket yet.
    pub async fn open_with(url: &str, bucket: Option<&BucketOptions>) -> Result<Self, StoreError> {
        let (options, origin) = schema::options(url)?;
        let pool = schema::pool(options.clone());
        schema::migrate(&pool, &origin).await?;
        let readers = Readers::postgres(pool.clone(), origin.clone());
        let base = PostgresBase { pool: pool.clone(), readers, origin: origin.clone() };
        let writer = WriterHandle::start(options, origin);
        let direct = Direct::new(base.clone());
        let bucket = bucket.map(|bucket| Bucket::new(bucket).map(Arc::new)).transpose()?;
        let contents = Contents { base: base.clone(), local: Parts(base.clone()), bucket };
        let filling = Filling::new(base.clone());
        Ok(Self { news: News::start(pool), base, writer, direct, filling, contents })
    }

    /// Finishes what is being written and closes all connections.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the writing task has died.
    pub async fn close(self) -> Result<(), StoreError> {
        let Self { base, writer, news, direct, filling: _, contents: _ } = self;
        writer.close().await?;
        drop((news, direct));
        base.pool.close().await;
        Ok(())
    }

    async fn write(
        &self,
        session: SessionId,
        at: Timestamp,
        kind: Kind,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        let entries = bodies.iter().map(Entry::new).collect::<Result<_, _>>()?;
        let stamps = self.writer.write(Write { session, at, entries, kind }).await?;
        Ok(stamps.into_iter().zip(bodies).map(|(stamp, body)| stamp.event(session, body)).collect())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn enqueue(
        &self,
        ticket: Ticket,
        session: SessionId,
        at: Timestamp,
        first: EventBody,
        rest: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        let bodies: Vec<EventBody> = std::iter::once(first).chain(rest).collect();
        let events = self.write(session, at, Kind::Create(ticket), bodies).await?;
        self.filling.made(ticket.owner.org);
        Ok(events)
    }

    async fn append(
        &self,
        session: SessionId,
        writer: Writer<'_>,
        at: Timestamp,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        self.write(session, at, Kind::Append(Guard::of(session, writer)), bodies).await
    }

    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        let events = Pages::after(session, after).next(&self.base.readers, limit).await?;
        if events.is_empty() {
            listing::find(&self.base.readers, session).await?;
        }
        Ok(events)
    }

    async fn follow(
        &self,
        session: SessionId,
        after: Seq,
    ) -> Result<BoxStream<'static, Result<Event, StoreError>>, StoreError> {
        let listener = self.news.rings().session(session, self.news.hold()).ok_or(StoreError::Deaf)?;
        listing::find(&self.base.readers, session).await?;
        Ok(follow::follow(self.base.readers.clone(), listener, session, after))
    }

    async fn claim(&self, session: SessionId, worker: &str) -> Result<Claim, StoreError> {
        self.direct.claim(session, worker).await
    }

    async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRow>, StoreError> {
        if filter.text.is_some() {
            return self.search(filter).await.map(|(rows, _)| rows);
        }
        let rows = listing::list(&self.base.readers, &filter).await?;
        Ok(rows.into_iter().map(listing::shown).collect())
    }

    async fn search(
        &self,
        filter: SessionFilter,
    ) -> Result<(Vec<SessionRow>, Option<SessionId>), StoreError> {
        let (rows, found) = listing::search(&self.base.readers, &filter).await?;
        if let Some(org) = filter.org.filter(|_| found.is_loose) {
            self.filling.start(org);
        }
        Ok((rows.into_iter().map(listing::shown).collect(), found.next))
    }

    async fn session(
        &self,
        org: Option<OrgId>,
        session: SessionId,
    ) -> Result<Option<SessionRow>, StoreError> {
        Ok(listing::session(&self.base.readers, org, session).await?.map(listing::shown))
    }

    async fn changes(&self, org: OrgId) -> Result<BoxStream<'static, SessionId>, StoreError> {
        let rings = self.news.rings().clone();
        follow::changes(self.base.readers.clone(), rings, self.news.hold(), org).await
    }

    async fn set_archived(&self, session: SessionId, archived: bool) -> Result<(), StoreError> {
        records::sessions::set_archived(&self.base, session, archived).await
    }

    async fn is_blob_of(&self, session: SessionId, digest: Digest) -> Result<bool, StoreError> {
        records::sessions::is_blob_of(&self.base.readers, session, digest).await
    }

    async fn forget(&self, session: SessionId) -> Result<(), StoreError> {
        self.contents.let_go(records::sessions::forget(&self.base, session).await?).await?;
        // What a bucket does not remove now stands in the database, to be removed by the next round of upkeep.
        self.contents.clear().await.ok();
        Ok(())
    }

    async fn was_forgotten(&self, session: SessionId) -> Result<bool, StoreError> {
        listing::was_forgotten(&self.base.readers, session).await
    }

    async fn put_blob(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        self.contents.put(content).await
    }

    fn keeps_files(&self) -> bool {
        self.contents.bucket.is_some()
    }

    async fn put_file(&self, path: &Path) -> Result<Option<BlobRef>, StoreError> {
        self.contents.put_file(path).await
    }

    async fn fetch_file(&self, digest: Digest, to: &Path) -> Result<(), StoreError> {
        self.contents.fetch(digest, to).await
    }

    async fn try_bucket(&self) -> Result<(), StoreError> {
        self.contents.try_bucket().await
    }

    async fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.contents.get(digest).await
    }

    async fn verify(&self, session: SessionId) -> Result<Verified, StoreError> {
        verify::verify(&self.base.readers, self, session).await
    }
}

impl Hearing for PostgresStore {
    fn listen(&self, matter: Matter) -> Result<Listener, StoreError> {
        self.news.rings().matter(matter, self.news.hold()).ok_or(StoreError::Deaf)
    }
}

#[async_trait]
impl Check for PostgresStore {
    async fn check(&self, blob: BlobRef) -> Result<(), StoreError> {
        self.contents.check(blob).await
    }
}
