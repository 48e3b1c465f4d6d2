//! Content by its digest, wherever it is kept: beside the database, or as objects in a bucket.
//!
//! What is in a bucket stands in the table `blobs`, with a key that is used once (see [`contents`]). Content that was stored before a bucket was
//! configured stays where it is, and is found there.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam_domain::{BlobRef, Digest, Timestamp};
use futures_util::TryStreamExt as _;

use crate::{
    StoreError,
    blobs::{MAX_BLOB, damaged},
    bucket::{Bucket, Part, Sha256},
    records::contents::{self, HELD, Kept, Removal},
    sql::{Database, work},
};

/// How long an upload may take. What was not finished by then is removed.
const UPLOAD_TIME: Duration = Duration::from_secs(6 * 60 * 60);

/// How often content is read that is not what it should be: what was damaged on the way is whole the next time.
const TRIES: u32 = 2;

/// Digests looked up at once.
const PAGE: u32 = 256;

/// Keeps content beside a database.
#[async_trait]
pub(crate) trait Local: Send + Sync {
    /// Stores content; it is on the disk when this returns.
    async fn put(&self, content: &[u8]) -> Result<BlobRef, StoreError>;
    /// The content, if it is what its name says.
    async fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError>;
    /// Removes content that nobody refers to, unless it was stored again after `stored`, or several have stored it and it is held for that long.
    async fn remove(&self, digest: Digest, stored: Timestamp, held: Duration) -> Result<Removal, StoreError>;
    /// Digests of content that was last stored before `stored` and is in no table of the database.
    async fn untabled(&self, stored: Timestamp) -> Result<Vec<Digest>, StoreError>;
}

/// Where a store keeps its content.
#[derive(Debug, Clone)]
pub(crate) struct Contents<B, L> {
    pub(crate) base: B,
    pub(crate) local: L,
    pub(crate) bucket: Option<Arc<Bucket>>,
}

/// What is to be uploaded.
enum Source<'s> {
    Memory(&'s [u8]),
    File(Arc<File>),
}

impl Source<'_> {
    async fn part(&self, from: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Memory(content) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                Ok(content.get(from..).unwrap_or_default().iter().take(length).copied().collect())
            }
            Self::File(file) => {
                let file = Arc::clone(file);
                blocking(move || {
                    let mut part = vec![0; length];
                    let read = file.read_exact_at(&mut part, from).map(|()| part);
                    read.map_err(|source| StoreError::file("read", Path::new("content to be stored"), source))
                })
                .await
            }
        }
    }
}

impl<B: Database, L: Local + Clone + 'static> Contents<B, L> {
    /// Stores content; it is durable when this returns.
    pub(crate) async fn put(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        let Some(bucket) = &self.bucket else { return self.local.put(content).await };
        if content.len() > MAX_BLOB {
            return Err(StoreError::TooLarge { what: "content", size: content.len(), limit: MAX_BLOB });
        }
        let blob = BlobRef { digest: Digest::of(content), size: content.len() as u64 };
        self.upload(bucket, blob, &Source::Memory(content)).await?;
        Ok(blob)
    }

    /// Stores a file's content; `None` where only what fits into memory can be kept.
    pub(crate) async fn put_file(&self, path: &Path) -> Result<Option<BlobRef>, StoreError> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let owned = path.to_owned();
        let (file, blob) = blocking(move || look(&owned)).await?;
        self.upload(bucket, blob, &Source::File(Arc::new(file))).await?;
        Ok(Some(blob))
    }

    async fn upload(&self, bucket: &Bucket, blob: BlobRef, source: &Source<'_>) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let digest = blob.digest;
            let there = work(move |sql| Box::pin(async move { contents::again(sql, digest).await }));
            if self.base.transact(there).await? {
                return Ok(());
            }
            let key = bucket.new_key(digest);
            let begun = key.clone();
            let begin =
                work(move |sql| Box::pin(async move { contents::begin(sql, &begun, UPLOAD_TIME).await }));
            self.base.transact(begin).await?;
            self.send(bucket, &key, blob, source).await?;
            let finish = work(move |sql| Box::pin(async move { contents::finish(sql, &key, blob).await }));
            if self.base.transact(finish).await? {
                return Ok(());
            }
        }
        Err(StoreError::Corrupt {
            what: format!("the content {} is removed whenever it is stored", blob.digest),
        })
    }

    /// Uploads content in parts, and makes sure that it was that content.
    async fn send(
        &self,
        bucket: &Bucket,
        key: &str,
        blob: BlobRef,
        source: &Source<'_>,
    ) -> Result<(), StoreError> {
        let mut upload = bucket.begin(key, blob.size).await?;
        let mut digest = Sha256::new();
        for Part { from, length } in Part::all(blob.size) {
            let part = source.part(from, length).await?;
            digest.add(&part);
            if let Err(error) = upload.part(part).await {
                upload.abort().await;
                return Err(error);
            }
        }
        if digest.finish() != blob.digest {
            upload.abort().await;
            return Err(StoreError::Corrupt {
                what: "a file was changed while it was being stored".to_owned(),
            });
        }
        upload.finish().await
    }

    /// Writes, reads and removes an object, if there is a bucket.
    pub(crate) async fn try_bucket(&self) -> Result<(), StoreError> {
        match &self.bucket {
            Some(bucket) => bucket.try_out().await,
            None => Ok(()),
        }
    }

    /// The content, if it is what its name says.
    pub(crate) async fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let Some(bucket) = &self.bucket else { return self.get_local(digest).await };
        match contents::find(self.base.readers(), digest).await? {
            Some(Kept { key: Some(key), size, damaged }) if size <= MAX_BLOB as u64 => {
                let mut sink = Sink::Memory(Vec::new());
                self.receive(bucket, BlobRef { digest, size }, (&key, damaged), &mut sink).await?;
                Ok(sink.into_memory())
            }
            Some(Kept { key: Some(_), size, damaged: _ }) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                Err(StoreError::TooLarge { what: "content", size, limit: MAX_BLOB })
            }
            Some(Kept { key: None, .. }) | None => self.local.get(digest).await,
        }
    }

    async fn get_local(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        match self.local.get(digest).await {
            Err(StoreError::UnknownBlob(_)) => match contents::find(self.base.readers(), digest).await? {
                Some(Kept { key: Some(_), .. }) => Err(StoreError::NoBucket(digest)),
                Some(Kept { key: None, .. }) | None => Err(StoreError::UnknownBlob(digest)),
            },
            got => got,
        }
    }

    /// Writes content of any length to a file, which is there only if it is whole.
    pub(crate) async fn fetch(&self, digest: Digest, to: &Path) -> Result<(), StoreError> {
        let found = contents::find(self.base.readers(), digest).await?;
        let failed = |source| StoreError::file("write", to, source);
        let unfinished = to.with_extension("unfinished");
        let file = Arc::new(File::create(&unfinished).map_err(failed)?);
        let written = match (&self.bucket, found) {
            (Some(bucket), Some(Kept { key: Some(key), size, damaged })) => {
                let whole = BlobRef { digest, size };
                let mut sink = Sink::File(Arc::clone(&file), to.to_owned());
                self.receive(bucket, whole, (&key, damaged), &mut sink).await
            }
            (_, _) => {
                self.get(digest).await.and_then(|content| file.write_all_at(&content, 0).map_err(failed))
            }
        };
        let done = written.and_then(|()| std::fs::rename(&unfinished, to).map_err(failed));
        if done.is_err() {
            std::fs::remove_file(&unfinished).ok();
        }
        done
    }

    /// Reads an object part by part; what is not what it should be is read again, and then never used any more.
    async fn receive(
        &self,
        bucket: &Bucket,
        blob: BlobRef,
        (key, known_damaged): (&str, bool),
        sink: &mut Sink,
    ) -> Result<(), StoreError> {
        let mut tries = if known_damaged { 0 } else { TRIES };
        while tries > 0 {
            tries -= 1;
            let mut digest = Sha256::new();
            let chunks = match bucket.read(key, blob.size).await {
                Ok(chunks) => chunks,
                Err(StoreError::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            };
            let mut chunks = pin!(chunks);
            let mut from = 0;
            loop {
                let bytes = match chunks.try_next().await {
                    Ok(Some(bytes)) if from + bytes.len() as u64 <= blob.size => bytes,
                    Ok(_) | Err(StoreError::Corrupt { .. }) => break,
                    Err(error) => return Err(error),
                };
                digest.add(&bytes);
                let length = bytes.len() as u64;
                sink.take(from, bytes).await?;
                from += length;
            }
            if digest.finish() == blob.digest {
                return Ok(());
            }
        }
        let (digest, condemned) = (blob.digest, key.to_owned());
        let condemn =
            work(move |sql| Box::pin(async move { contents::condemn(sql, digest, &condemned).await }));
        self.base.transact(condemn).await?;
        Err(StoreError::DamagedObject { digest, object: bucket.shown(key) })
    }

    /// Whether content is there and what its name says.
    pub(crate) async fn check(&self, blob: BlobRef) -> Result<(), StoreError> {
        if let Some(bucket) = &self.bucket
            && let Some(Kept { key: Some(key), size, damaged: known }) =
                contents::find(self.base.readers(), blob.digest).await?
        {
            if size != blob.size {
                return Err(damaged(blob.digest));
            }
            return self.receive(bucket, blob, (&key, known), &mut Sink::Nowhere).await;
        }
        let content = self.get(blob.digest).await?;
        if content.len() as u64 == blob.size { Ok(()) } else { Err(damaged(blob.digest)) }
    }

    /// Removes of these what nobody refers to, unless it was stored again after it was last referred to, which is the time beside it. What others may
    /// be about to refer to is looked at once more later; if this process ends before that, a sweep comes to it.
    pub(crate) async fn let_go(&self, contents: Vec<(Digest, Timestamp)>) -> Result<(), StoreError> {
        let mut later = Vec::new();
        for (digest, referred) in contents {
            if self.remove(digest, referred).await? == Removal::Later {
                later.push((digest, referred));
            }
        }
        if !later.is_empty() {
            let contents = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(HELD + Duration::from_secs(1)).await;
                for (digest, referred) in later {
                    contents.remove(digest, referred).await.ok();
                }
                contents.clear().await.ok();
            });
        }
        Ok(())
    }

    /// Removes content that nobody refers to, unless it was stored again after `stored`.
    async fn remove(&self, digest: Digest, stored: Timestamp) -> Result<Removal, StoreError> {
        let remove =
            work(move |sql| Box::pin(async move { contents::remove(sql, digest, stored, HELD).await }));
        let removed = self.base.transact(remove).await?;
        // What is a file is in no table: nobody has looked yet whether somebody refers to it. Whoever does so from now on has stored it again before.
        if contents::referred(self.base.readers(), &[digest]).await?.is_empty() {
            return Ok(removed.max(self.local.remove(digest, stored, HELD).await?));
        }
        Ok(removed)
    }

    /// Removes what nobody refers to and was last stored before `stored`. Returns how much.
    pub(crate) async fn sweep(&self, stored: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut after = Vec::new();
        loop {
            let page = contents::unreferred(self.base.readers(), stored, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.as_bytes().to_vec();
            for digest in page {
                let held = Duration::ZERO;
                let remove = work(move |sql| {
                    Box::pin(async move { contents::remove(sql, digest, stored, held).await })
                });
                removed += u64::from(self.base.transact(remove).await? == Removal::Done);
            }
        }
        for page in self.local.untabled(stored).await?.chunks(PAGE as usize) {
            let referred = contents::referred(self.base.readers(), page).await?;
            for digest in page.iter().filter(|digest| !referred.contains(digest)) {
                self.local.remove(*digest, stored, Duration::ZERO).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes objects that are wanted no more. Returns how many.
    pub(crate) async fn clear(&self) -> Result<u64, StoreError> {
        let Some(bucket) = &self.bucket else { return Ok(0) };
        let mut removed = 0;
        loop {
            let keys = self.base.transact(work(|sql| Box::pin(contents::due(sql)))).await?;
            if keys.is_empty() {
                return Ok(removed);
            }
            for key in keys {
                bucket.remove(&key).await?;
                removed += 1;
                let gone = work(move |sql| Box::pin(async move { contents::gone(sql, &key).await }));
                self.base.transact(gone).await?;
            }
        }
    }
}

/// Where what is read goes.
enum Sink {
    Memory(Vec<u8>),
    File(Arc<File>, PathBuf),
    Nowhere,
}

impl Sink {
    /// Takes a part. One that begins anew replaces what was there.
    async fn take(&mut self, from: u64, bytes: Bytes) -> Result<(), StoreError> {
        match self {
            Self::Memory(content) => {
                if from == 0 {
                    content.clear();
                }
                content.extend_from_slice(&bytes);
                Ok(())
            }
            Self::File(file, path) => {
                let (file, path) = (Arc::clone(file), path.clone());
                blocking(move || {
                    let written = file.write_all_at(&bytes, from);
                    written.map_err(|source| StoreError::file("write", &path, source))
                })
                .await
            }
            Self::Nowhere => Ok(()),
        }
    }

    fn into_memory(self) -> Vec<u8> {
        match self {
            Self::Memory(content) => content,
            Self::File(..) | Self::Nowhere => Vec::new(),
        }
    }
}

/// Opens a file and computes its digest.
fn look(path: &Path) -> Result<(File, BlobRef), StoreError> {
    let failed = |source| StoreError::file("read", path, source);
    let mut file = File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let size = io::copy(&mut file, &mut digest).map_err(failed)?;
    Ok((file, BlobRef { digest: digest.finish(), size }))
}

/// Does what blocks on a thread where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // It is only cancelled when the runtime shuts down.
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
}
