//! A cache of package artefacts that all sessions of a worker share and none can write: the second download is free.
//!
//! What is kept are artefacts that never change: one version of a package, whole. Where it was read from is what it is
//! found by, and what it hashes to is what it is stored as. Every time before it is given out it is hashed again, so that a
//! damaged file is a file that is not there. Indexes are not kept: they change. Nothing is kept that was read with a
//! credential: who may read that is the registry's to say, each time.
//!
//! Writing is by a temporary file that gets its name when it is whole, so that a worker may die at any instant.
//! Sessions that want the same artefact at the same time share one download, as long as that is quick: how fast a session
//! reads is its own affair, and no other waits for it longer than a moment.

mod filling;
mod shelf;

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use cofferdam_domain::{Digest, Timestamp, egress::RequestPath};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    task::spawn_blocking,
    time::timeout,
};

use crate::registry::{Reading, Registry, RegistryKind};

pub use filling::{Filled, Filling};
use shelf::Shelf;

/// How long somebody waits for what somebody else is downloading. Longer is no gain: downloading it twice is quicker.
const WAIT: Duration = Duration::from_secs(3);

/// A cache in a directory of its own. Cheap to clone.
#[derive(Clone)]
pub struct PackageCache {
    shelf: Arc<Shelf>,
    /// Whose turn it is to download what. Entries of downloads that are over are dead.
    turns: Arc<Mutex<HashMap<CacheKey, Weak<Turn<()>>>>>,
    wait: Duration,
}

/// What an artefact is found by: the place it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey(Digest);

/// An artefact that is there, whole and unharmed.
#[derive(Debug)]
pub struct Cached {
    /// Its bytes, from the first. Later changes to the directory do not change them.
    pub file: File,
    /// What they hash to.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// The `content-type` that it came with.
    pub content_type: Option<String>,
    /// When the version was published, where that was known.
    pub published: Option<Timestamp>,
    /// How far it was held against its registry's index.
    pub checked: Checked,
}

/// How far an artefact was held against its registry's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// Not at all.
    #[default]
    Not,
    /// There was nothing there to compare it with.
    Nothing,
    /// It is what that names, by its digest.
    Compared,
}

/// What somebody who wants an artefact is to do.
#[derive(Debug)]
pub enum Claim {
    /// Take it.
    Here(Cached),
    /// Download it, and write it down on the way. Whoever else wants it waits a moment for this to be finished or dropped.
    Missing(Filling),
}

impl fmt::Debug for PackageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackageCache").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl CacheKey {
    /// The key of what a request reads, if that may be kept: a whole version that never changes, read without a
    /// credential.
    #[must_use]
    pub fn of(registry: &Registry, path: &RequestPath, reading: &Reading) -> Option<Self> {
        let Reading::Artefact { kind, version, whole: true, .. } = reading else { return None };
        let changes = *kind == RegistryKind::Maven && version.ends_with("SNAPSHOT");
        if changes || registry.credential.is_some() {
            return None;
        }
        Some(Self(Digest::of(format!("{kind} {}{}", registry.origin(), path.as_str()).as_bytes())))
    }
}

impl PackageCache {
    /// Opens the cache in this directory, makes it if it is not there, and removes what a dead worker left half-written.
    /// It holds so many bytes at most; what was used longest ago goes first.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { shelf: Arc::new(Shelf::open(directory, limit)?), turns: Arc::default(), wait: WAIT })
    }

    /// The artefact, or the task of downloading it. Waits while somebody else does that, but only for a moment: then both
    /// do it, and whoever comes next waits for the one who came last.
    ///
    /// # Errors
    /// When the cache cannot be read, so that the artefact must pass without being kept.
    pub async fn claim(&self, key: CacheKey) -> io::Result<Claim> {
        if let Some(cached) = self.look(key).await? {
            return Ok(Claim::Here(cached));
        }
        let turn = match timeout(self.wait, self.turn(key).lock_owned()).await {
            Ok(turn) => Some(turn),
            Err(_) => self.take_over(key),
        };
        // Whoever had the turn before may have finished it.
        if let Some(cached) = self.look(key).await? {
            return Ok(Claim::Here(cached));
        }
        Ok(Claim::Missing(Filling::new(Arc::clone(&self.shelf), key, turn)))
    }

    /// The task of downloading it although it may be there. What is there stays until this is finished.
    #[must_use]
    pub fn replace(&self, key: CacheKey) -> Filling {
        Filling::new(Arc::clone(&self.shelf), key, None)
    }

    /// How many bytes of artefacts are there.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shelf.size()
    }

    async fn look(&self, key: CacheKey) -> io::Result<Option<Cached>> {
        let shelf = Arc::clone(&self.shelf);
        run(move || Ok(shelf.take(key))).await
    }

    fn turn(&self, key: CacheKey) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::new(()));
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }

    /// A turn in the place of one that takes too long.
    fn take_over(&self, key: CacheKey) -> Option<OwnedMutexGuard<()>> {
        let turn = Arc::new(Turn::new(()));
        let place = Arc::downgrade(&turn);
        // Nobody else has it yet.
        let taken = turn.try_lock_owned().ok();
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).insert(key, place);
        taken
    }
}

/// Hashing and writing are for threads that may wait.
async fn run<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The file in which an artefact's bytes are.
fn object(directory: &Path, digest: Digest) -> PathBuf {
    let name = digest.hex();
    directory.join("objects").join(name.get(..2).unwrap_or_default()).join(name)
}

/// The file that says which bytes are found by a key.
fn entry(directory: &Path, key: CacheKey) -> PathBuf {
    let name = key.0.hex();
    directory.join("entries").join(name.get(..2).unwrap_or_default()).join(name)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use cofferdam_domain::egress::{Addresses, Method, Scheme};

    use super::*;
    use crate::registry::Part;

    fn registry(credential: Option<&str>) -> Registry {
        Registry {
            kind: RegistryKind::Maven,
            part: Part::Whole,
            scheme: Scheme::Https,
            host: "repo.example.com".parse().unwrap(),
            port: 443,
            base: "/maven2".to_owned(),
            addresses: Addresses::Public,
            credential: credential.map(str::to_owned),
        }
    }

    fn key_of(registry: &Registry, path: &str) -> Option<CacheKey> {
        let path = path.parse().unwrap();
        CacheKey::of(registry, &path, &registry.read(&Method::GET, &path, None)?)
    }

    fn key(name: &str) -> CacheKey {
        key_of(&registry(None), &format!("/maven2/org/{name}/1.0/{name}-1.0.jar")).unwrap()
    }

    async fn fill(cache: &PackageCache, key: CacheKey, content: &[u8]) -> Digest {
        let Claim::Missing(mut filling) = cache.claim(key).await.unwrap() else { panic!("it is there") };
        for chunk in content.chunks(1000) {
            filling.write(chunk).unwrap();
        }
        filling
            .finish(Some("application/java-archive"), Some(Timestamp(7)), Checked::Compared)
            .await
            .unwrap()
            .digest
    }

    async fn content(cache: &PackageCache, key: CacheKey) -> Option<Vec<u8>> {
        match cache.claim(key).await.unwrap() {
            Claim::Here(mut cached) => {
                let mut content = Vec::new();
                cached.file.read_to_end(&mut content).unwrap();
                assert_eq!((cached.size, cached.digest), (content.len() as u64, Digest::of(&content)));
                Some(content)
            }
            Claim::Missing(_) => None,
        }
    }

    /// How many files are being written.
    fn written(folder: &Path) -> usize {
        std::fs::read_dir(folder.join("new")).unwrap().count()
    }

    #[test]
    fn only_what_never_changes_and_everybody_may_read_has_a_key() {
        let release = "/maven2/org/lib/1.0/lib-1.0.jar";
        assert!(key_of(&registry(None), release).is_some());
        for path in [
            "/maven2/org/lib/1.0/lib-1.0.jar.sha1",
            "/maven2/org/lib/maven-metadata.xml",
            "/maven2/org/lib/1-SNAPSHOT/lib-1-20240102.030405-6.jar",
        ] {
            assert_eq!(key_of(&registry(None), path), None, "{path}");
        }
        assert_eq!(key_of(&registry(Some("company")), release), None);
        let elsewhere = Registry { port: 8443, ..registry(None) };
        assert_ne!(key_of(&elsewhere, release), key_of(&registry(None), release));
    }

    #[tokio::test]
    async fn the_second_time_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        let bytes = vec![7; 10_000];
        assert_eq!(fill(&cache, key("lib"), &bytes).await, Digest::of(&bytes));
        assert_eq!(content(&cache, key("lib")).await, Some(bytes.clone()));
        assert_eq!(content(&cache, key("other")).await, None);
        let Claim::Here(cached) = cache.claim(key("lib")).await.unwrap() else { panic!("it is gone") };
        assert_eq!(
            (cached.content_type.as_deref(), cached.published),
            (Some("application/java-archive"), Some(Timestamp(7)))
        );
        // Also for the next worker.
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        assert_eq!((content(&cache, key("lib")).await, cache.size()), (Some(bytes), 10_000));
    }

    #[tokio::test]
    async fn damage_is_noticed_and_half_a_download_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        let digest = fill(&cache, key("lib"), b"whole and good").await;
        let file = object(folder.path(), digest);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, b"whole and evil").unwrap();
        assert_eq!(content(&cache, key("lib")).await, None);
        assert!(!file.exists());
        let Claim::Missing(mut filling) = cache.claim(key("lib")).await.unwrap() else {
            panic!("it is there")
        };
        filling.write(b"half").unwrap();
        drop(filling);
        assert_eq!(content(&cache, key("lib")).await, None);
        assert_eq!(written(folder.path()), 0);
    }

    #[tokio::test]
    async fn one_download_for_all_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        let Claim::Missing(mut filling) = cache.claim(key("lib")).await.unwrap() else {
            panic!("it is there")
        };
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { content(&cache, key("lib")).await })
            })
            .collect();
        filling.write(b"one download").unwrap();
        filling.finish(None, None, Checked::Nothing).await.unwrap();
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap().as_deref(), Some(b"one download".as_slice()));
        }
    }

    #[tokio::test]
    async fn who_waits_takes_over_from_who_gave_up() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        let first = cache.claim(key("lib")).await.unwrap();
        let second = tokio::spawn({
            let cache = cache.clone();
            async move { matches!(cache.claim(key("lib")).await.unwrap(), Claim::Missing(_)) }
        });
        drop(first);
        assert!(second.await.unwrap());
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 10_000).unwrap();
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            let digest = fill(&cache, key(name), &vec![u8::try_from(number).unwrap(); 3000]).await;
            let long_ago =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64 + 1);
            File::open(object(folder.path(), digest)).unwrap().set_modified(long_ago).unwrap();
        }
        assert!(content(&cache, key("a")).await.is_some());
        fill(&cache, key("d"), &[9; 3000]).await;
        assert_eq!(content(&cache, key("b")).await, None);
        assert!(content(&cache, key("a")).await.is_some() && content(&cache, key("d")).await.is_some());
        assert!(cache.size() <= 10_000);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_whole_is_not_even_written() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 10_000).unwrap();
        let Claim::Missing(mut filling) = cache.claim(key("lib")).await.unwrap() else {
            panic!("it is there")
        };
        filling.write(&[1; 9_000]).unwrap();
        assert_eq!(written(folder.path()), 1);
        assert_eq!(filling.write(&[1; 1_001]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(written(folder.path()), 0);
        // It is hashed to its end, and nobody waits for that.
        filling.write(&[1; 1_000]).unwrap();
        let Claim::Missing(_) = cache.claim(key("lib")).await.unwrap() else { panic!("it is there") };
        let digest = filling.finish(None, None, Checked::Nothing).await.unwrap().digest;
        assert_eq!((digest, cache.size()), (Digest::of(&[1; 11_001]), 0));
    }

    #[tokio::test]
    async fn there_is_no_file_before_the_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 10_000).unwrap();
        let Claim::Missing(filling) = cache.claim(key("lib")).await.unwrap() else { panic!("it is there") };
        assert_eq!(written(folder.path()), 0);
        filling.finish(None, None, Checked::Nothing).await.unwrap();
        assert_eq!(content(&cache, key("lib")).await, None, "nothing is no artefact");
    }

    #[tokio::test]
    async fn nobody_is_held_up_by_who_reads_slowly() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        cache.wait = Duration::from_millis(50);
        let Claim::Missing(mut slow) = cache.claim(key("lib")).await.unwrap() else { panic!("it is there") };
        slow.write(b"the ").unwrap();
        let second = timeout(Duration::from_secs(20), cache.claim(key("lib"))).await.expect("its turn");
        let Claim::Missing(mut second) = second.unwrap() else { panic!("it is there") };
        // The third waits for the second, not for the first.
        cache.wait = Duration::from_secs(20);
        let third = tokio::spawn({
            let cache = cache.clone();
            async move { content(&cache, key("lib")).await }
        });
        second.write(b"the same").unwrap();
        second.finish(None, None, Checked::Nothing).await.unwrap();
        assert_eq!(third.await.unwrap().as_deref(), Some(b"the same".as_slice()));
        slow.write(b"same").unwrap();
        slow.finish(None, None, Checked::Nothing).await.unwrap();
        assert_eq!(content(&cache, key("lib")).await.as_deref(), Some(b"the same".as_slice()));
    }

    #[tokio::test]
    async fn what_is_there_stays_until_its_replacement_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        fill(&cache, key("lib"), b"bad").await;
        let mut half = cache.replace(key("lib"));
        half.write(b"go").unwrap();
        drop(half);
        assert_eq!(content(&cache, key("lib")).await.as_deref(), Some(b"bad".as_slice()));
        let mut whole = cache.replace(key("lib"));
        whole.write(b"good").unwrap();
        whole.finish(None, None, Checked::Nothing).await.unwrap();
        assert_eq!(content(&cache, key("lib")).await.as_deref(), Some(b"good".as_slice()));
    }
}
