//! One download on its way into the cache.

use std::{
    fmt,
    io::{self, Write as _},
    sync::Arc,
};

use cofferdam_domain::{Digest, Timestamp};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::OwnedMutexGuard;

use super::{
    CacheKey, Checked, run,
    shelf::{Entry, Shelf},
};

/// An artefact that is being downloaded. What has been written of it is gone when this is dropped, and the next who
/// waits for it downloads it.
pub struct Filling {
    shelf: Arc<Shelf>,
    key: CacheKey,
    hasher: Sha256,
    size: u64,
    /// Nothing once it is clear that it will not be kept.
    draft: Option<Draft>,
}

/// What will be kept.
struct Draft {
    /// There is none before the first byte, so that whoever only asks costs no descriptor.
    file: Option<NamedTempFile>,
    /// Those who wait for this download go on when it is released.
    turn: Option<OwnedMutexGuard<()>>,
}

/// What was downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// What it hashes to.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

impl Filling {
    pub(super) fn new(shelf: Arc<Shelf>, key: CacheKey, turn: Option<OwnedMutexGuard<()>>) -> Self {
        Self { shelf, key, hasher: Sha256::new(), size: 0, draft: Some(Draft { file: None, turn }) }
    }

    /// Takes the next bytes of the answer's body, decoded from any transfer coding.
    ///
    /// # Errors
    /// When they cannot be written, as on a full disk, or are more than the cache holds: what has been written is removed,
    /// and whoever waits goes on. The download may go on too, only to be hashed.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.hasher.update(chunk);
        self.size += chunk.len() as u64;
        let Some(draft) = &mut self.draft else { return Ok(()) };
        let written = if self.size > self.shelf.limit() {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            draft.write(&self.shelf, chunk)
        };
        if written.is_err() {
            self.draft = None;
        }
        written
    }

    /// What has been written so far hashes to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Keeps it, and how far it was held against its index, unless something of it could not be written. Only for an answer with status 200
    /// whose body came to its proper end; an empty one is no artefact.
    ///
    /// # Errors
    /// When it cannot be put in its place.
    pub async fn finish(
        self,
        content_type: Option<&str>,
        published: Option<Timestamp>,
        checked: Checked,
    ) -> io::Result<Filled> {
        let Self { shelf, key, hasher, size, draft } = self;
        let digest = Digest::from_bytes(hasher.finalize().into());
        let filled = Filled { digest, size };
        let Some(Draft { file: Some(file), turn }) = draft else { return Ok(filled) };
        let content_type = content_type.filter(|text| text.len() <= 256).map(str::to_owned);
        run(move || {
            let entry = Entry { digest, content_type, published, checked };
            let kept = shelf.put(key, file, size, &entry);
            drop(turn);
            kept
        })
        .await?;
        Ok(filled)
    }
}

impl Draft {
    fn write(&mut self, shelf: &Shelf, chunk: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(shelf.temporary()?),
        };
        file.write_all(chunk)
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").field("key", &self.key).field("size", &self.size).finish_non_exhaustive()
    }
}
