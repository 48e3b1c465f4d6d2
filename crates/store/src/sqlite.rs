//! The store on one machine: a directory with an SQLite database, blobs, and the files by which processes
//! share it.
//!
//! ```text
//! cofferdam.db     events, sessions and all else (migrations/sqlite/*.sql), in WAL mode
//! blobs/           content by its digest, unless a bucket is configured for it
//! claims/          a lock for each session that a process took by its id, and for each worker that is present
//! bells/           an empty file for each session: rings when events were appended; one each for the queue, the outbox, the intake, the apps
//! ```
//!
//! Any number of processes may have it open. What they agree on is in the database and in the kernel's locks;
//! nothing that matters is kept in the memory of one of them.

mod claims;
mod line;
mod news;
mod queue;
mod schema;
mod writer;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, Event, EventBody, OrgId, Seq, SessionId, Timestamp};
use futures_util::stream::BoxStream;
use rustix::fs::{FlockOperation, flock};

#[cfg(test)]
pub(crate) use self::schema::plan;
use self::{
    claims::Claims,
    news::News,
    writer::{Door, WriterHandle},
};
use crate::{
    BucketOptions, Claim, SessionFilter, SessionRow, Store, StoreError, Ticket, Verified, Writer,
    blobs::{Blobs, make_folder, sync_folder},
    bucket::Bucket,
    chain::Entry,
    content::{Contents, blocking},
    log::{
        follow,
        line::Guard,
        listing::{self, Listed},
        pages::Pages,
        rings::{Listener, Matter},
        verify::{self, Check},
    },
    records::{self, stirred::Hearing},
    search::Filling,
    sql::{self, Backend, Database, Origin, Readers, Work},
    write::{Kind, Write},
};

/// A store in a directory, shared by any number of processes on one machine. See the crate's documentation.
#[derive(Debug)]
pub struct SqliteStore {
    writer: WriterHandle,
    base: SqliteBase,
    news: Arc<News>,
    claims: Claims,
    filling: Filling<SqliteBase>,
    contents: Contents<SqliteBase, Arc<Blobs>>,
    path: PathBuf,
}

/// The database alone.
#[derive(Debug, Clone)]
pub(crate) struct SqliteBase {
    door: Door,
    readers: Readers,
}

#[async_trait]
impl Database for SqliteBase {
    fn readers(&self) -> &Readers {
        &self.readers
    }

    async fn transact<T: Send + 'static>(&self, work: Work<T>) -> Result<T, StoreError> {
        self.door.work(work).await
    }
}

#[async_trait]
impl Backend for SqliteStore {
    type Base = SqliteBase;

    fn base(&self) -> &SqliteBase {
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

impl SqliteStore {
    /// Opens the store in `dir`, which is made (for this user alone) if it is not there. Needs a Tokio
    /// runtime with I/O and time enabled.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer version of Cofferdam has written it, [`StoreError::Corrupt`] when
    /// it is no database, [`StoreError::Full`], or a failure to make or open its files.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, None).await
    }

    /// The same, with new content in a bucket.
    ///
    /// # Errors
    /// As [`Self::open`]. Nothing is asked of the bucket yet.
    pub async fn open_with(dir: &Path, bucket: Option<&BucketOptions>) -> Result<Self, StoreError> {
        let root = dir.to_owned();
        // One process at a time makes files and migrates: changing to WAL mode cannot wait for others in
        // SQLite itself.
        let (alone, blobs) = blocking(move || prepare_folders(&root)).await?;
        let path = dir.join("cofferdam.db");
        let options = schema::writing(&path);
        let connection = schema::prepare(&options).await?;
        let synced = dir.to_owned();
        blocking(move || sync_folder(&synced)).await?;
        drop(alone);
        let news = Arc::new(News::new(dir));
        let writer = WriterHandle::start(connection, options, Arc::clone(&news));
        let claims = Claims { root: dir.join("claims") };
        let readers = Readers::sqlite(schema::readers(&path), Origin::Sqlite(path.clone()));
        let base = SqliteBase { door: writer.door(), readers };
        let bucket = bucket.map(|bucket| Bucket::new(bucket).map(Arc::new)).transpose()?;
        let contents = Contents { base: base.clone(), local: Arc::new(blobs), bucket };
        let filling = Filling::new(base.clone());
        Ok(Self { writer, base, news, claims, filling, contents, path })
    }

    /// Finishes what is being written and closes the database. A store that is dropped instead loses nothing,
    /// but the database keeps a longer write-ahead log for whoever opens it next.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the writing task has died.
    pub async fn close(self) -> Result<(), StoreError> {
        self.base.readers.close().await;
        self.writer.close().await
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

    /// As they are shown: with what the kernel knows of who has them.
    async fn shown(&self, rows: Vec<Listed>) -> Result<Vec<SessionRow>, StoreError> {
        let claims = self.claims.clone();
        blocking(move || {
            rows.into_iter()
                .map(|mut row| {
                    let worker = row.line.worker.filter(|_| row.claimed);
                    row.claimed = claims.taken(row.line.id)?
                        || worker.map_or(Ok(false), |worker| claims.taken(worker))?;
                    Ok(listing::shown(row))
                })
                .collect()
        })
        .await
    }
}

#[async_trait]
impl Store for SqliteStore {
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
        listing::find(&self.base.readers, session).await?;
        let listener = self.news.listen(session)?;
        Ok(follow::follow(self.base.readers.clone(), listener, session, after))
    }

    async fn claim(&self, session: SessionId, worker: &str) -> Result<Claim, StoreError> {
        listing::find(&self.base.readers, session).await?;
        let (claims, name) = (self.claims.clone(), worker.to_owned());
        let lock = blocking(move || claims.take(session, &name)).await?;
        let claims = self.claims.clone();
        let claim = sql::work(move |sql| {
            Box::pin(async move { records::queue::claim(sql, &claims, session, None).await })
        });
        let fence = self.base.transact(claim).await?;
        Ok(Claim::new(session, fence, worker.to_owned(), lock))
    }

    async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRow>, StoreError> {
        if filter.text.is_some() {
            return self.search(filter).await.map(|(rows, _)| rows);
        }
        self.shown(listing::list(&self.base.readers, &filter).await?).await
    }

    async fn search(
        &self,
        filter: SessionFilter,
    ) -> Result<(Vec<SessionRow>, Option<SessionId>), StoreError> {
        let (rows, found) = listing::search(&self.base.readers, &filter).await?;
        if let Some(org) = filter.org.filter(|_| found.is_loose) {
            self.filling.start(org);
        }
        Ok((self.shown(rows).await?, found.next))
    }

    async fn session(
        &self,
        org: Option<OrgId>,
        session: SessionId,
    ) -> Result<Option<SessionRow>, StoreError> {
        let row = listing::session(&self.base.readers, org, session).await?;
        Ok(self.shown(row.into_iter().collect()).await?.pop())
    }

    async fn changes(&self, org: OrgId) -> Result<BoxStream<'static, SessionId>, StoreError> {
        let (rings, watcher) = self.news.rings()?;
        follow::changes(self.base.readers.clone(), rings, watcher, org).await
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
        schema::empty_journal(&self.path).await;
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

impl Hearing for SqliteStore {
    fn listen(&self, matter: Matter) -> Result<Listener, StoreError> {
        self.news.listen_to(matter)
    }
}

#[async_trait]
impl Check for SqliteStore {
    async fn check(&self, blob: BlobRef) -> Result<(), StoreError> {
        self.contents.check(blob).await
    }
}

/// Makes the folders, and locks the directory against others who open the store until the file is closed.
fn prepare_folders(root: &Path) -> Result<(File, Blobs), StoreError> {
    let is_new = !root.exists();
    make_folder(root)?;
    if is_new && let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_folder(parent)?;
    }
    let alone = File::open(root)
        .and_then(|file| flock(&file, FlockOperation::LockExclusive).map(|()| file).map_err(Into::into))
        .map_err(|source| StoreError::file("lock the folder", root, source))?;
    let folder = |name: &str| -> Result<PathBuf, StoreError> {
        let path = root.join(name);
        make_folder(&path).map(|()| path)
    };
    folder("claims")?;
    folder("bells")?;
    let blobs = Blobs::open(folder("blobs")?)?;
    Ok((alone, blobs))
}
