//! The cache's directory: `objects` by digest, `entries` by key, `new` for what is being written.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use cofferdam_domain::{Digest, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::{CacheKey, Cached, Checked, entry, object};

/// The most bytes of an entry.
const MAX_ENTRY: u64 = 4096;

pub(super) struct Shelf {
    directory: PathBuf,
    limit: u64,
    size: AtomicU64,
}

/// What an entry says.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<Timestamp>,
    #[serde(default)]
    pub(super) checked: Checked,
}

impl Shelf {
    pub(super) fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        for folder in ["objects", "entries", "new"] {
            fs::create_dir_all(directory.join(folder))?;
        }
        for left in fs::read_dir(directory.join("new"))? {
            fs::remove_file(left?.path())?;
        }
        let size = files(&directory.join("objects")).iter().map(|(_, _, size)| size).sum();
        Ok(Self { directory: directory.to_owned(), limit, size: AtomicU64::new(size) })
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// The most bytes that it holds.
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// A file to write to, which nobody finds until it is put in its place.
    pub(super) fn temporary(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.directory.join("new"))
    }

    /// What the key finds, hashed again. Damage is removed.
    pub(super) fn take(&self, key: CacheKey) -> Option<Cached> {
        let place = entry(&self.directory, key);
        let mut text = Vec::new();
        File::open(&place).ok()?.take(MAX_ENTRY).read_to_end(&mut text).ok()?;
        let Some(entry) = serde_json::from_slice::<Entry>(&text).ok() else {
            drop(fs::remove_file(&place));
            return None;
        };
        let path = object(&self.directory, entry.digest);
        let mut file = File::open(&path).ok()?;
        let (digest, size) = hash(&mut file).ok()?;
        if digest != entry.digest {
            self.remove(&path);
            return None;
        }
        // Being used is what keeps it; that this is not written down does no harm.
        drop(file.set_modified(SystemTime::now()));
        file.seek(SeekFrom::Start(0)).ok()?;
        let Entry { content_type, published, checked, .. } = entry;
        Some(Cached { file, digest, size, content_type, published, checked })
    }

    /// Puts a whole artefact in its place, and makes room for it. What is larger than the cache is not kept.
    pub(super) fn put(
        &self,
        key: CacheKey,
        content: NamedTempFile,
        size: u64,
        entry_says: &Entry,
    ) -> io::Result<()> {
        if size > self.limit {
            return Ok(());
        }
        self.make_room(size);
        let path = object(&self.directory, entry_says.digest);
        let new = !path.exists();
        place(content, &path)?;
        if new {
            self.size.fetch_add(size, Ordering::Relaxed);
        }
        let mut file = self.temporary()?;
        file.write_all(&serde_json::to_vec(entry_says)?)?;
        place(file, &entry(&self.directory, key))
    }

    /// Removes what was used longest ago until this much fits, and a tenth more, so that not every artefact does it.
    fn make_room(&self, size: u64) {
        if self.size() + size <= self.limit {
            return;
        }
        let aim = (self.limit - self.limit / 10).saturating_sub(size);
        let mut kept = files(&self.directory.join("objects"));
        kept.sort();
        for (_, path, _) in kept {
            if self.size() <= aim {
                return;
            }
            self.remove(&path);
        }
    }

    /// Entries that lead nowhere find nothing, and are written over when the artefact comes again.
    fn remove(&self, path: &Path) {
        let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if fs::remove_file(path).is_ok() {
            self.size.update(Ordering::Relaxed, Ordering::Relaxed, |before| before.saturating_sub(size));
        }
    }
}

/// Gives a file its name: readable to all who may enter, writable to nobody.
fn place(file: NamedTempFile, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut permissions = file.as_file().metadata()?.permissions();
    permissions.set_readonly(true);
    file.as_file().set_permissions(permissions)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// All files two folders deep, with the time of their last use and their size.
fn files(folder: &Path) -> Vec<(SystemTime, PathBuf, u64)> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    below(folder)
        .flat_map(|folder| below(&folder.path()))
        .filter_map(|file| {
            let metadata = file.metadata().ok()?;
            Some((metadata.modified().ok()?, file.path(), metadata.len()))
        })
        .collect()
}

fn hash(file: &mut File) -> io::Result<(Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((Digest::from_bytes(hasher.finalize().into()), size)),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}
