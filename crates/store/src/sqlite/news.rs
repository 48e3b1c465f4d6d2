//! How readers hear of an append, in whatever process it happens, without polling.
//!
//! Every session has an empty file, its bell: `bells/<session>`; so have the queue, the outbox, the intake and the apps. A writer opens it for writing before it
//! commits and closes it afterwards; closing is what rings it (`IN_CLOSE_WRITE` of inotify(7)). The order
//! matters: by the time a bell rings, what it rings for can be read, and a writer that dies between its
//! commit and the ring has its files closed by the kernel, so that an event that was committed is always
//! heard of. Watching the database's own files would not do: they change before the commit is visible, and
//! the last step of a commit in a write-ahead log is a store to shared memory, of which inotify says nothing.
//!
//! A user may have only so many watches (`fs.inotify.max_user_instances`). Where they are used up, followers look for themselves now and then:
//! a little late is better than not at all.
//!
//! All followers of a store share one watch on the folder, which ends with the last of them. It is also on the folder with the claims: a
//! worker or a claim that ends, in whatever way, has its file closed, and then the queue may have something to give.

use std::{
    convert::Infallible,
    fs::{File, OpenOptions},
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use cofferdam_domain::SessionId;
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use tokio::{io::unix::AsyncFd, task::JoinHandle};

use crate::{
    StoreError,
    log::rings::{Listener, Matter, Rings},
    sql,
};

/// How often followers look for themselves where they cannot be told.
const NOW_AND_THEN: Duration = Duration::from_millis(500);

/// The folders that are watched while there are followers.
#[derive(Debug)]
pub(super) struct News {
    bells: PathBuf,
    claims: PathBuf,
    watcher: Mutex<Weak<Watcher>>,
}

/// Rings when it is dropped.
#[derive(Debug)]
pub(super) struct Bell {
    _file: File,
}

/// Hears the bells and passes them on, until it is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    rings: Rings,
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl News {
    /// Of a store in this folder.
    pub(super) fn new(root: &Path) -> Self {
        Self { bells: root.join("bells"), claims: root.join("claims"), watcher: Mutex::new(Weak::new()) }
    }

    /// Takes a bell in hand.
    pub(super) fn bell(&self, news: sql::News) -> Result<Bell, StoreError> {
        let path = self.bells.join(news.name());
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map(|file| Bell { _file: file })
            .map_err(|source| StoreError::file("open", &path, source))
    }

    /// Listens to a session from now on.
    pub(super) fn listen(&self, session: SessionId) -> Result<Listener, StoreError> {
        self.with_watcher(|rings, watcher| rings.session(session, watcher))
    }

    /// Listens to a matter from now on.
    pub(super) fn listen_to(&self, matter: Matter) -> Result<Listener, StoreError> {
        self.with_watcher(|rings, watcher| rings.matter(matter, watcher))
    }

    /// All who ring, for as long as what comes with them is held.
    pub(super) fn rings(&self) -> Result<(Rings, Arc<Watcher>), StoreError> {
        self.with_watcher(|rings, watcher| Some((rings.clone(), watcher)))
    }

    fn with_watcher<T>(
        &self,
        subscribe: impl Fn(&Rings, Arc<Watcher>) -> Option<T>,
    ) -> Result<T, StoreError> {
        let mut shared = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = shared.upgrade()
            && let Some(subscribed) = subscribe(&watcher.rings.clone(), watcher)
        {
            return Ok(subscribed);
        }
        let watcher = Watcher::start(&self.bells, &self.claims)
            .map_err(|source| StoreError::file("watch for new events in", &self.bells, source))?;
        let watcher = Arc::new(watcher);
        *shared = Arc::downgrade(&watcher);
        subscribe(&watcher.rings.clone(), watcher).ok_or(StoreError::Deaf)
    }
}

impl Watcher {
    fn start(bells: &Path, claims: &Path) -> io::Result<Self> {
        let used_up = |error: &io::Error| {
            // inotify_init(2), inotify_add_watch(2): the user's instances or watches, or the system's files.
            [Errno::MFILE, Errno::NFILE, Errno::NOSPC]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
        };
        match Self::on_folders(bells, claims) {
            Err(error) if used_up(&error) => Ok(Self::now_and_then()),
            started => started,
        }
    }

    /// Rings every bell again and again.
    fn now_and_then() -> Self {
        let rings = Rings::new();
        let heard = rings.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(NOW_AND_THEN).await;
                heard.ring_all();
            }
        });
        Self { rings, task }
    }

    fn on_folders(bells: &Path, claims: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, bells, WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
        let claims = inotify::add_watch(&inotify, claims, WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what it asks for is that the descriptor stays open, which an OwnedFd that is never lent out does"
        )]
        let inotify = AsyncFd::new(inotify)?;
        let rings = Rings::new();
        let heard = rings.clone();
        let task = tokio::spawn(async move {
            while let Ok(mut ready) = inotify.readable().await {
                match ready.try_io(|inotify| pass_on(inotify.get_ref(), claims, &heard)) {
                    Ok(Err(_)) => break,
                    Ok(Ok(never)) => match never {},
                    Err(_would_block) => {}
                }
            }
            // Followers learn that they would wait in vain.
            heard.end();
        });
        Ok(Self { rings, task })
    }
}

/// Passes on all rings that have come in. Ends with an error: `WouldBlock` when there are no more.
fn pass_on(inotify: &OwnedFd, claims: i32, rings: &Rings) -> io::Result<Infallible> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if event.events().contains(ReadFlags::IGNORED) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the folder is gone"));
        }
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            rings.ring_all();
            continue;
        }
        let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
        if event.wd() == claims {
            rings.ring_of(Matter::Queue);
        } else {
            rings.pass_on(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_watch_followers_look_for_themselves() {
        let watcher = Watcher::now_and_then();
        let mut listener = watcher.rings.clone().session(SessionId::generate(), watcher).unwrap();
        for _ in 0..3 {
            let _: bool = listener.mark();
            tokio::time::timeout(NOW_AND_THEN * 20, listener.rung()).await.unwrap().unwrap();
        }
    }
}
