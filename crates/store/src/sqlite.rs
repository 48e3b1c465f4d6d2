//! The store on one machine: a directory with an SQLite database, blobs, and the files by which processes
//! share it.
//!
//! ```text
//! cofferdam.db     events and sessions (migrations/sqlite/*.sql), in WAL mode
//! blobs/           content by its digest
//! claims/          a lock for each session: who works on it
//! bells/           an empty file for each session: rings when events were appended
//! ```
//!
//! Any number of processes may have it open. What they agree on is in the database and in the kernel's locks;
//! nothing that matters is kept in the memory of one of them.

mod claims;
mod column;
mod follow;
mod line;
mod listing;
mod news;
mod pages;
mod schema;
mod verify;
mod writer;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, Event, EventBody, Seq, SessionId, Timestamp};
use futures_util::stream::BoxStream;
use rustix::fs::{FlockOperation, flock};
use sqlx::SqlitePool;

use self::{
    claims::Claims,
    line::Guard,
    listing::Listed,
    news::News,
    pages::Pages,
    writer::{Write, WriterHandle},
};
use crate::{
    Claim, SessionFilter, SessionRow, Store, StoreError, Verified, Writer,
    blobs::{Blobs, make_folder, sync_folder},
    chain::Entry,
    summary::Summary,
};

/// A store in a directory, shared by any number of processes on one machine. See the crate's documentation.
#[derive(Debug)]
pub struct SqliteStore {
    writer: WriterHandle,
    readers: SqlitePool,
    news: Arc<News>,
    claims: Claims,
    blobs: Arc<Blobs>,
}

impl SqliteStore {
    /// Opens the store in `dir`, which is made (for this user alone) if it is not there. Needs a Tokio
    /// runtime with I/O and time enabled.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer version of Cofferdam has written it, [`StoreError::Corrupt`] when
    /// it is no database, [`StoreError::Full`], or a failure to make or open its files.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
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
        let news = Arc::new(News::new(dir.join("bells")));
        let writer = WriterHandle::start(connection, options, Arc::clone(&news));
        let claims = Claims { root: dir.join("claims") };
        Ok(Self { writer, readers: schema::readers(&path), news, claims, blobs: Arc::new(blobs) })
    }

    /// Finishes what is being written and closes the database. A store that is dropped instead loses nothing,
    /// but the database keeps a longer write-ahead log for whoever opens it next.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the writing task has died.
    pub async fn close(self) -> Result<(), StoreError> {
        self.readers.close().await;
        self.writer.close().await
    }

    async fn write(
        &self,
        session: SessionId,
        write: Write,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        let written = self.writer.write(session, write).await?;
        Ok(written.stamps.into_iter().zip(bodies).map(|(stamp, body)| stamp.event(session, body)).collect())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create(
        &self,
        session: SessionId,
        at: Timestamp,
        first: EventBody,
        rest: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        let bodies: Vec<EventBody> = std::iter::once(first).chain(rest).collect();
        let entries = bodies.iter().map(Entry::new).collect::<Result<_, _>>()?;
        self.write(session, Write::Create { at, entries }, bodies).await
    }

    async fn append(
        &self,
        session: SessionId,
        writer: Writer<'_>,
        at: Timestamp,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, StoreError> {
        let guard = match writer {
            // A claim of another session is no claim of this one: no fence ever gets that high.
            Writer::Worker { claim, after } => {
                let fence = if claim.session == session { claim.fence } else { u64::MAX };
                Some(Guard { fence, after })
            }
            Writer::Anybody => None,
        };
        let entries = bodies.iter().map(Entry::new).collect::<Result<_, _>>()?;
        self.write(session, Write::Append { guard, at, entries }, bodies).await
    }

    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        let events = Pages::after(session, after).next(&self.readers, limit).await?;
        if events.is_empty() {
            listing::find(&self.readers, session).await?;
        }
        Ok(events)
    }

    async fn follow(
        &self,
        session: SessionId,
        after: Seq,
    ) -> Result<BoxStream<'static, Result<Event, StoreError>>, StoreError> {
        listing::find(&self.readers, session).await?;
        follow::follow(self.readers.clone(), &self.news, session, after)
    }

    async fn claim(&self, session: SessionId, worker: &str) -> Result<Claim, StoreError> {
        listing::find(&self.readers, session).await?;
        let (claims, name) = (self.claims.clone(), worker.to_owned());
        let lock = blocking(move || claims.take(session, &name)).await?;
        let written = self.writer.write(session, Write::Claim).await?;
        Ok(Claim::new(session, written.fence, worker.to_owned(), lock))
    }

    async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRow>, StoreError> {
        let rows = listing::list(&self.readers, filter).await?;
        let claims = self.claims.clone();
        blocking(move || rows.into_iter().map(|row| Ok(shown(claims.taken(row.id)?, row))).collect()).await
    }

    async fn put_blob(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        let (blobs, content) = (Arc::clone(&self.blobs), content.to_vec());
        blocking(move || blobs.put(&content)).await
    }

    async fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.get(digest)).await
    }

    async fn verify(&self, session: SessionId) -> Result<Verified, StoreError> {
        verify::verify(&self.readers, &self.blobs, session).await
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

fn shown(claimed: bool, row: Listed) -> SessionRow {
    let Listed { id, summary, created, updated, last, fence: _ } = row;
    let Summary { state, repository, title, outcome } = summary;
    SessionRow { id, state, repository, title, created, updated, last, outcome, claimed }
}

/// Does what blocks on a thread where that is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // It is only cancelled when the runtime shuts down.
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
}
