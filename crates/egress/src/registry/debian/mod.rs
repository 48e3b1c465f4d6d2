//! Debian's lists on their way through, so that packages can be compared with what the lists name.
//!
//! The door asks for no list itself: which there are is known to the program inside, and its own are what it goes by. A list
//! that comes whole is kept aside while it passes, read when all of it has come, and of what it says only digests are
//! kept. Where a session reads no list, as with ones that were there before it, nothing is known here of its packages.

mod read;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek as _, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cofferdam_domain::{Digest, egress::RequestPath};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use self::read::{Kind, Named, read};
use super::{Checksum, Comparison, Registry, grammar};

/// Bytes of lists that one door keeps aside at the same time, as they are packed. Debian's longest have 20 MiB.
const ASIDE: u64 = 96 << 20;
/// How many lists are known at most, and how many packages they name together.
const MOST_LISTS: usize = 128;
const MOST_NAMED: usize = 400_000;
/// How long a package waits for the lists that have come before it to be read.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the lists that came through one door say. Cheap to clone.
#[derive(Clone)]
pub(crate) struct DebianLists(Arc<Shared>);

struct Shared {
    known: Mutex<BTreeMap<Place, List>>,
    /// How many have come and are not read yet.
    unread: watch::Sender<usize>,
    aside: AtomicU64,
    turns: Arc<Semaphore>,
}

/// Where a list is: the URL of its folder, and what kind it is.
type Place = (String, Kind);

/// What one list says: by the beginnings of their paths' digests, what files hash to.
type List = BTreeMap<[u8; 12], [u8; 32]>;

/// A list that is on its way.
pub(crate) struct ArrivingList {
    lists: DebianLists,
    place: Place,
    comparison: Option<Comparison>,
    /// Nothing any more once it cannot be kept aside.
    aside: Option<File>,
    size: u64,
}

/// What kind of list has this name, as far as such lists are read here.
fn kind_of(path: &str) -> Option<Kind> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.split_once('.').map_or(name, |(stem, _)| stem) {
        "InRelease" | "Release" if !name.ends_with(".gpg") => Some(Kind::Release),
        "Packages" => Some(Kind::Packages),
        "Sources" => Some(Kind::Sources),
        _ => None,
    }
}

fn key(path: &str) -> [u8; 12] {
    let mut key = [0; 12];
    key.copy_from_slice(&Digest::of(path.as_bytes()).as_bytes()[..12]);
    key
}

impl DebianLists {
    pub(super) fn new(turns: Arc<Semaphore>) -> Self {
        let (known, unread) = (Mutex::default(), watch::Sender::new(0));
        Self(Arc::new(Shared { known, unread, aside: AtomicU64::new(0), turns }))
    }

    /// A list that is asked for, if it is one that is read here.
    pub(crate) fn begin(&self, registry: &Registry, path: &RequestPath) -> Option<ArrivingList> {
        let url = url(registry, path);
        let (folder, name) = url.rsplit_once('/')?;
        // By its hash, which the list of lists has for it: what it should be is in its name.
        let by_hash = folder.rsplit_once("/by-hash/");
        let (folder, kind, checksum) = match by_hash {
            Some((folder, "SHA256")) => {
                let last = folder.rsplit('/').next().unwrap_or_default();
                let kind = match last {
                    "source" => Kind::Sources,
                    last if last.starts_with("binary-") => Kind::Packages,
                    _ => return None,
                };
                (folder, kind, Checksum::sha256(name))
            }
            Some(_) => return None,
            None => (folder, kind_of(name)?, self.find(&url, Kind::Release)),
        };
        let place = (folder.to_owned(), kind);
        let comparison = checksum.map(Checksum::begin);
        Some(ArrivingList {
            lists: self.clone(),
            place,
            comparison,
            aside: tempfile::tempfile().ok(),
            size: 0,
        })
    }

    /// What the lists name for a package.
    pub(super) async fn checksum(&self, registry: &Registry, path: &RequestPath) -> Option<Checksum> {
        let mut unread = self.0.unread.subscribe();
        timeout(PATIENCE, unread.wait_for(|unread| *unread == 0)).await.ok()?.ok()?;
        let url = url(registry, path);
        self.find(&url, Kind::Packages).or_else(|| self.find(&url, Kind::Sources))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Place, List>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, url: &str, kind: Kind) -> Option<Checksum> {
        let known = self.known();
        let lists = known.iter().filter(|((_, of), _)| *of == kind);
        lists.flat_map(|((folder, kind), list)| roots(folder, *kind).map(move |root| (root, list))).find_map(
            |(root, list)| {
                let below = url.strip_prefix(root)?.strip_prefix('/')?;
                list.get(&key(below)).copied().map(Checksum::of_sha256)
            },
        )
    }

    fn learn(&self, place: Place, named: Named) {
        let list: List = named.into_iter().map(|(path, digest)| (key(&path), digest)).collect();
        let mut known = self.known();
        known.remove(&place);
        let all: usize = known.values().map(BTreeMap::len).sum();
        // Who reads so many has no need of them.
        if known.len() < MOST_LISTS && all + list.len() <= MOST_NAMED {
            known.insert(place, list);
        }
    }
}

/// The address of a path, in the one spelling that lists have.
fn url(registry: &Registry, path: &RequestPath) -> String {
    format!("{}{}", registry.origin(), grammar::apt_decoded(path.as_str()))
}

/// Below which addresses a list's paths may be meant: those of lists in `dists` begin where that is, those of the lists of lists in their
/// own folder, and of what has no `dists` in the folder or one above (sources.list(5)).
fn roots(folder: &str, kind: Kind) -> impl Iterator<Item = &str> {
    let one = match kind {
        Kind::Release => Some(folder),
        Kind::Packages | Kind::Sources => folder.rsplit_once("/dists/").map(|(root, _)| root),
    };
    let start = folder.find("://").map_or(0, |at| at + 3);
    let ends = folder.rmatch_indices('/').map(|(at, _)| at).filter(move |at| *at >= start);
    let above = std::iter::once(folder.len()).chain(ends).filter_map(|end| folder.get(..end));
    one.into_iter().chain(above.filter(move |_| one.is_none()))
}

impl ArrivingList {
    /// More of it has come.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if let Some(comparison) = &mut self.comparison {
            comparison.take(bytes);
        }
        let Some(aside) = &mut self.aside else { return };
        let length = bytes.len() as u64;
        let before = self.lists.0.aside.fetch_add(length, Ordering::Relaxed);
        self.size += length;
        if before + length > ASIDE || aside.write_all(bytes).is_err() {
            self.aside = None;
        }
    }

    /// Whether it is known what it should be.
    pub(crate) const fn is_compared(&self) -> bool {
        self.comparison.is_some()
    }

    /// Whether it is what the list of lists names.
    pub(crate) fn agrees(&self) -> bool {
        self.comparison.as_ref().is_none_or(Comparison::agrees)
    }

    /// The last part of its address, for people.
    pub(crate) fn name(&self) -> &str {
        match self.place.1 {
            Kind::Release => "the repository's list of lists",
            Kind::Packages => "a list of packages",
            Kind::Sources => "a list of source packages",
        }
    }

    /// All of it has come: packages wait from now on until it is read.
    pub(crate) fn landed(mut self) -> impl Future<Output = ()> + Send + use<> {
        let aside = self.aside.take();
        let waiting = Waiting::new(self.lists.clone());
        async move {
            let Some(mut file) = aside else { return };
            let Ok(_turn) = self.lists.0.turns.acquire().await else { return };
            let kind = self.place.1;
            let named = tokio::task::spawn_blocking(move || {
                file.rewind().ok()?;
                read(kind, file).ok()
            });
            if let Ok(Some(named)) = named.await {
                self.lists.learn(self.place.clone(), named);
            }
            drop(waiting);
        }
    }
}

impl Drop for ArrivingList {
    fn drop(&mut self) {
        self.lists.0.aside.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// A list that has come and is not read yet.
struct Waiting(DebianLists);

impl Waiting {
    fn new(lists: DebianLists) -> Self {
        lists.0.unread.send_modify(|unread| *unread += 1);
        Self(lists)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.unread.send_modify(|unread| *unread = unread.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_paths_of_lists_begin() {
        let of = |folder: &'static str, kind| roots(folder, kind).collect::<Vec<_>>();
        assert_eq!(
            of("http://d.example/debian/dists/s/main/binary-amd64", Kind::Packages),
            ["http://d.example/debian"]
        );
        assert_eq!(of("http://d.example/debian/dists/s", Kind::Release), ["http://d.example/debian/dists/s"]);
        assert_eq!(
            of("http://d.example/flat/x", Kind::Packages),
            ["http://d.example/flat/x", "http://d.example/flat", "http://d.example"]
        );
    }

    #[test]
    fn lists_by_their_names() {
        for (path, kind) in [
            ("dists/s/InRelease", Some(Kind::Release)),
            ("Release", Some(Kind::Release)),
            ("Release.gpg", None),
            ("main/binary-amd64/Packages.xz", Some(Kind::Packages)),
            ("source/Sources", Some(Kind::Sources)),
            ("Translation-en.xz", None),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
    }
}
