//! How readers hear of an append, in whatever process it happens, without polling.
//!
//! Every session has an empty file, its bell: `bells/<session>`. A writer opens it for writing before it
//! commits and closes it afterwards; closing is what rings it (`IN_CLOSE_WRITE` of inotify(7)). The order
//! matters: by the time a bell rings, what it rings for can be read, and a writer that dies between its
//! commit and the ring has its files closed by the kernel, so that an event that was committed is always
//! heard of. Watching the database's own files would not do: they change before the commit is visible, and
//! the last step of a commit in a write-ahead log is a store to shared memory, of which inotify says nothing.
//!
//! A user may have only so many watches (`fs.inotify.max_user_instances`). Where they are used up, followers look for themselves now and then:
//! a little late is better than not at all.
//!
//! All followers of a store share one watch on the folder, which ends with the last of them. A ring only says
//! "look again": whoever listens reads the log from where it was, so that rings may come late, twice, or for
//! nothing.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs::{File, OpenOptions},
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use cofferdam_domain::SessionId;
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use tokio::{io::unix::AsyncFd, sync::watch, task::JoinHandle};

use crate::StoreError;

/// How often followers look for themselves where they cannot be told.
const NOW_AND_THEN: Duration = Duration::from_millis(500);

/// The folder with the bells, and the watch on it while there are followers.
#[derive(Debug)]
pub(super) struct News {
    root: PathBuf,
    watcher: Mutex<Weak<Watcher>>,
}

/// Rings when it is dropped.
#[derive(Debug)]
pub(super) struct Bell {
    _file: File,
}

/// Hears a session's bell.
#[derive(Debug)]
pub(super) struct Listener {
    rings: watch::Receiver<()>,
    root: PathBuf,
    _watcher: Arc<Watcher>,
}

/// The sessions that somebody listens to; `None` once the watch has failed.
type Listeners = Arc<Mutex<Option<HashMap<SessionId, watch::Sender<()>>>>>;

#[derive(Debug)]
struct Watcher {
    listeners: Listeners,
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl News {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root, watcher: Mutex::new(Weak::new()) }
    }

    /// Takes a session's bell in hand.
    pub(super) fn bell(&self, session: SessionId) -> Result<Bell, StoreError> {
        let path = self.root.join(session.to_string());
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
        let mut shared = lock(&self.watcher);
        if let Some(watcher) = shared.upgrade()
            && let Some(listener) = self.subscribe(watcher, session)
        {
            return Ok(listener);
        }
        let watcher = Arc::new(
            Watcher::start(&self.root)
                .map_err(|source| StoreError::file("watch for new events in", &self.root, source))?,
        );
        *shared = Arc::downgrade(&watcher);
        self.subscribe(watcher, session).ok_or_else(|| ended(&self.root))
    }

    /// `None` if the watch has failed.
    fn subscribe(&self, watcher: Arc<Watcher>, session: SessionId) -> Option<Listener> {
        let mut listeners = lock(&watcher.listeners);
        let sessions = listeners.as_mut()?;
        sessions.retain(|_, rings| rings.receiver_count() > 0);
        let rings = sessions.entry(session).or_insert_with(|| watch::channel(()).0).subscribe();
        drop(listeners);
        Some(Listener { rings, root: self.root.clone(), _watcher: watcher })
    }
}

impl Listener {
    /// Takes note of all rings so far. What is read after this needs no further ring.
    pub(super) fn mark(&mut self) {
        self.rings.mark_unchanged();
    }

    /// Waits for a ring since the last mark.
    pub(super) async fn rung(&mut self) -> Result<(), StoreError> {
        self.rings.changed().await.map_err(|_| ended(&self.root))
    }
}

impl Watcher {
    fn start(root: &Path) -> io::Result<Self> {
        let used_up = |error: &io::Error| {
            // inotify_init(2), inotify_add_watch(2): the user's instances or watches, or the system's files.
            [Errno::MFILE, Errno::NFILE, Errno::NOSPC]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
        };
        match Self::on_folder(root) {
            Err(error) if used_up(&error) => Ok(Self::now_and_then()),
            started => started,
        }
    }

    /// Rings every bell again and again.
    fn now_and_then() -> Self {
        let listeners: Listeners = Arc::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::clone(&listeners);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(NOW_AND_THEN).await;
                let guard = lock(&heard);
                guard.iter().flat_map(HashMap::values).for_each(|rings| {
                    rings.send_replace(());
                });
            }
        });
        Self { listeners, task }
    }

    fn on_folder(root: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, root, WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what it asks for is that the descriptor stays open, which an OwnedFd that is never lent out does"
        )]
        let inotify = AsyncFd::new(inotify)?;
        let listeners: Listeners = Arc::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::clone(&listeners);
        let task = tokio::spawn(async move {
            while let Ok(mut ready) = inotify.readable().await {
                match ready.try_io(|inotify| pass_on(inotify.get_ref(), &heard)) {
                    Ok(Err(_)) => break,
                    Ok(Ok(never)) => match never {},
                    Err(_would_block) => {}
                }
            }
            // Followers learn that they would wait in vain.
            *lock(&heard) = None;
        });
        Ok(Self { listeners, task })
    }
}

/// Passes on all rings that have come in. Ends with an error: `WouldBlock` when there are no more.
fn pass_on(inotify: &OwnedFd, listeners: &Listeners) -> io::Result<Infallible> {
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
        let guard = lock(listeners);
        let Some(sessions) = guard.as_ref() else { continue };
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            sessions.values().for_each(|rings| rings.send_replace(()));
            continue;
        }
        let session = event.file_name().and_then(|name| name.to_str().ok()?.parse().ok());
        if let Some(rings) = session.and_then(|session| sessions.get(&session)) {
            rings.send_replace(());
        }
    }
}

fn ended(root: &Path) -> StoreError {
    StoreError::file("watch for new events in", root, io::Error::other("the watch on the folder has ended"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_watch_followers_look_for_themselves() {
        let news = News::new(PathBuf::from("bells"));
        let watcher = Arc::new(Watcher::now_and_then());
        let mut listener = news.subscribe(watcher, SessionId::generate()).unwrap();
        for _ in 0..3 {
            listener.mark();
            tokio::time::timeout(NOW_AND_THEN * 20, listener.rung()).await.unwrap().unwrap();
        }
    }
}
