//! Content by its digest, one file each: `blobs/<first two hexadecimal digits>/<the other 62>`.
//!
//! A file appears under its name only when its content is on the disk (write, fsync, rename, fsync of the
//! directory), so that a name that exists stands for whole content, and an event may refer to it as soon as
//! [`Blobs::put`] has returned.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cofferdam_domain::{BlobRef, Digest, EventId, Timestamp};
use rustix::fs::{FlockOperation, flock};

use crate::{
    StoreError,
    content::{Local, blocking},
    records::contents::{Removal, is_held},
};

/// The longest content, in bytes: what a reader must be ready to hold in memory.
pub(crate) const MAX_BLOB: usize = 64 << 20;

/// A file that is still unfinished after this time was left by a process that is gone.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The permissions of content that was stored once.
const ONCE: u32 = 0o600;
/// And more than once: a file's sticky bit says nothing to anybody else.
const AGAIN: u32 = 0o1000;

/// Where content is kept. All methods block.
#[derive(Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
    /// Folders that this process has seen to be on the disk themselves.
    settled: Mutex<HashSet<PathBuf>>,
}

impl Blobs {
    /// Makes the folders and clears away what crashed processes left unfinished.
    pub(crate) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let unfinished = root.join("unfinished");
        make_folder(&unfinished)?;
        let blobs = Self { root, settled: Mutex::default() };
        let entries =
            fs::read_dir(&unfinished).map_err(|source| StoreError::file("list", &unfinished, source))?;
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| at.elapsed());
            if matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                // Another process may have been quicker, and what cannot be removed does no harm.
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(blobs)
    }

    /// Stores content; it is on the disk when this returns.
    pub(crate) fn put(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        if content.len() > MAX_BLOB {
            return Err(StoreError::TooLarge { what: "content", size: content.len(), limit: MAX_BLOB });
        }
        let blob = BlobRef { digest: Digest::of(content), size: content.len() as u64 };
        let (folder, path) = self.place(blob.digest);
        self.settle(&folder)?;
        let _not_removed_meanwhile = self.lock(FlockOperation::LockShared)?;
        // Whoever stored it may not have got to the folder's fsync: that is made up for below in either case.
        let stored = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == blob.size);
        if stored {
            touch(&path)?;
        } else {
            self.write(content, &path)?;
        }
        sync_folder(&folder)?;
        Ok(blob)
    }

    /// The content, if it is what its name says.
    pub(crate) fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let (mut file, path) = self.find(digest)?;
        let mut content = Vec::new();
        let limit = MAX_BLOB as u64 + 1;
        (&mut file)
            .take(limit)
            .read_to_end(&mut content)
            .map_err(|source| StoreError::file("read", &path, source))?;
        if Digest::of(&content) == digest { Ok(content) } else { Err(damaged(digest)) }
    }

    /// Removes content that nobody refers to. It stays if somebody has stored it again since it was last referred to, and may be about to
    /// refer to it, and if it was stored more than once and is held for that long: whoever was first may be about to do so too.
    pub(crate) fn remove(
        &self,
        digest: Digest,
        referred: Timestamp,
        held: Duration,
    ) -> Result<Removal, StoreError> {
        let (_, path) = self.place(digest);
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        let looked = fs::metadata(&path).and_then(|metadata| {
            let again = metadata.permissions().mode() & AGAIN != 0;
            metadata.modified().map(|stored| (stored, again))
        });
        let (stored, again) = match looked {
            Ok(looked) => looked,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Needless),
            Err(source) => return Err(StoreError::file("look at", &path, source)),
        };
        let stored = milliseconds(stored);
        if stored > referred {
            return Ok(Removal::Needless);
        }
        if again && is_held(stored, milliseconds(SystemTime::now()), held) {
            return Ok(Removal::Later);
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::file("remove", &path, error))
            }
            Ok(()) | Err(_) => Ok(Removal::Done),
        }
    }

    /// Digests of content that was last stored before `stored`.
    pub(crate) fn stored_before(&self, stored: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let before = SystemTime::UNIX_EPOCH + Duration::from_millis(stored.0);
        let mut found = Vec::new();
        let list =
            |folder: &Path| fs::read_dir(folder).map_err(|source| StoreError::file("list", folder, source));
        for folder in list(&self.root)?.flatten() {
            let first = folder.file_name();
            let Some(first) = first.to_str().filter(|name| name.len() == 2) else { continue };
            for entry in list(&folder.path())?.flatten() {
                let rest = entry.file_name();
                let digest = rest.to_str().and_then(|rest| format!("sha256:{first}{rest}").parse().ok());
                let at = entry.metadata().and_then(|metadata| metadata.modified());
                if let (Some(digest), Ok(at)) = (digest, at)
                    && at <= before
                {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }

    /// Keeps those who store content and those who remove it apart.
    fn lock(&self, operation: FlockOperation) -> Result<File, StoreError> {
        File::open(&self.root)
            .and_then(|file| flock(&file, operation).map(|()| file).map_err(io::Error::from))
            .map_err(|source| StoreError::file("lock the folder", &self.root, source))
    }

    fn place(&self, digest: Digest) -> (PathBuf, PathBuf) {
        let digits = digest.hex();
        let (first, rest) = digits.split_at(2);
        let folder = self.root.join(first);
        let path = folder.join(rest);
        (folder, path)
    }

    fn find(&self, digest: Digest) -> Result<(File, PathBuf), StoreError> {
        let (_, path) = self.place(digest);
        match File::open(&path) {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::UnknownBlob(digest)),
            Err(source) => Err(StoreError::file("open", &path, source)),
        }
    }

    fn write(&self, content: &[u8], path: &Path) -> Result<(), StoreError> {
        let unfinished = Unfinished(self.root.join("unfinished").join(EventId::generate().to_string()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(ONCE)
            .open(&unfinished.0)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished.0, path));
        written.map_err(|source| StoreError::file("store content at", path, source))
    }

    /// Makes sure that the folder exists and will after a loss of power.
    fn settle(&self, folder: &Path) -> Result<(), StoreError> {
        let lock = || self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().contains(folder) {
            return Ok(());
        }
        make_folder(folder)?;
        sync_folder(&self.root)?;
        lock().insert(folder.to_owned());
        Ok(())
    }
}

#[async_trait]
impl Local for Arc<Blobs> {
    async fn put(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
        let (blobs, content) = (Self::clone(self), content.to_vec());
        blocking(move || Blobs::put(&blobs, &content)).await
    }

    async fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let blobs = Self::clone(self);
        blocking(move || Blobs::get(&blobs, digest)).await
    }

    async fn remove(&self, digest: Digest, stored: Timestamp, held: Duration) -> Result<Removal, StoreError> {
        let blobs = Self::clone(self);
        blocking(move || Blobs::remove(&blobs, digest, stored, held)).await
    }

    async fn untabled(&self, stored: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let blobs = Self::clone(self);
        blocking(move || blobs.stored_before(stored)).await
    }
}

/// A file that is removed again unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Normally it is gone by now; if not, the next start clears it away.
        drop(fs::remove_file(&self.0));
    }
}

/// A time as the database has it.
fn milliseconds(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Says that the content was stored again.
fn touch(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| {
            file.set_permissions(Permissions::from_mode(ONCE | AGAIN))?;
            file.set_modified(SystemTime::now())
        })
        .map_err(|source| StoreError::file("touch", path, source))
}

pub(crate) fn damaged(digest: Digest) -> StoreError {
    StoreError::Corrupt { what: format!("the content stored as {digest} is not what was stored") }
}

/// Makes a folder for this user alone, with those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StoreError::file("make the folder", folder, source))
}

/// Makes the names in a folder survive a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| StoreError::file("write the folder", folder, source))
}
