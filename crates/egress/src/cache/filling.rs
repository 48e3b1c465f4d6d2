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
    CacheKey, run,
    shelf::{Entry, Shelf},
};

/// An artefact that is being downloaded. What has been written of it is gone when this is dropped, and the next who
/// waits for it downloads it.
pub struct Filling {
    shelf: Arc<Shelf>,
    key: CacheKey,
    file: NamedTempFile,
    hasher: Sha256,
    size: u64,
    /// Released when this is finished or dropped.
    _turn: OwnedMutexGuard<()>,
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
    pub(super) fn new(shelf: Arc<Shelf>, key: CacheKey, turn: OwnedMutexGuard<()>) -> io::Result<Self> {
        let file = shelf.temporary()?;
        Ok(Self { shelf, key, file, hasher: Sha256::new(), size: 0, _turn: turn })
    }

    /// Takes the next bytes of the answer's body, decoded from any transfer coding.
    ///
    /// # Errors
    /// When they cannot be written, as on a full disk. The download may go on without the cache.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.hasher.update(chunk);
        self.size += chunk.len() as u64;
        self.file.write_all(chunk)
    }

    /// What has been written so far hashes to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Keeps nothing of it; the next who waits for it downloads it.
    #[must_use]
    pub fn give_up(self) -> Filled {
        Filled { digest: self.digest(), size: self.size }
    }

    /// Keeps it. Only for an answer with status 200 whose body came to its proper end.
    ///
    /// # Errors
    /// When it cannot be put in its place.
    pub async fn finish(
        self,
        content_type: Option<&str>,
        published: Option<Timestamp>,
    ) -> io::Result<Filled> {
        let Self { shelf, key, file, hasher, size, _turn: turn } = self;
        let digest = Digest::from_bytes(hasher.finalize().into());
        let content_type = content_type.filter(|text| text.len() <= 256).map(str::to_owned);
        run(move || {
            let entry = Entry { digest, content_type, published };
            let kept = shelf.put(key, file, size, &entry);
            drop(turn);
            kept
        })
        .await?;
        Ok(Filled { digest, size })
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").field("key", &self.key).field("size", &self.size).finish_non_exhaustive()
    }
}
