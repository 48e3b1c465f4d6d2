//! Storing the files of checkpoints where other machines can have them.
//!
//! Where there is a place for that (a bucket), each checkpoint becomes an archive there, while the session goes on: one at a time, and the newest
//! first, so that whoever takes the session over after a crash finds files that are a little old rather than none. When the session waits, ends or is
//! handed over, those that were passed over follow for as long as there is time. Without such a place nothing is done at all.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cofferdam_domain::{BlobRef, EventBody};
use cofferdam_sandbox::{ArchiveBounds, LayerStack, SnapshotId};
use cofferdam_store::Store;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{WorkerError, layers::CHECKPOINTS};

/// What an archive may hold, whoever made it.
pub(crate) const BOUNDS: ArchiveBounds =
    ArchiveBounds { bytes: 4 << 30, compressed: 2 << 30, entries: 500_000, depth: 200, ratio: 1000 };

/// The name of the directory in which archives are made, in the session's directory.
pub(crate) const ARCHIVES: &str = "archives";

/// After storing an archive so many times its time passes before the next, while the session goes on.
const REST: u32 = 5;
/// How long the rest may take when the session comes to rest.
const AT_REST: Duration = Duration::from_secs(120);
/// How many checkpoints are remembered that are not stored yet.
const MOST_WAITING: usize = 64;

/// Stores the checkpoints of one session.
pub(crate) struct Carrier {
    store: Arc<dyn Store>,
    session: PathBuf,
    /// Names of checkpoints that are not stored yet, oldest first.
    waiting: Vec<String>,
    /// At most one. Dropping it ends it.
    under_way: JoinSet<Carried>,
    not_before: Instant,
}

struct Carried {
    snapshot: String,
    /// `None` where it could not be done: the session goes on all the same.
    archive: Option<BlobRef>,
    took: Duration,
}

impl Carrier {
    /// Of the session with this directory.
    pub(crate) fn new(store: Arc<dyn Store>, session: &Path) -> Self {
        Self {
            store,
            session: session.to_owned(),
            waiting: Vec::new(),
            under_way: JoinSet::new(),
            not_before: Instant::now(),
        }
    }

    /// These are about to be written. Gives what is to be written with them: which archives are stored by now.
    pub(crate) fn heard(&mut self, bodies: &[EventBody]) -> Vec<EventBody> {
        if !self.store.keeps_files() {
            return Vec::new();
        }
        for body in bodies {
            if let EventBody::Checkpointed { snapshot, .. } = body {
                self.waiting.push(snapshot.clone());
            }
        }
        let surplus = self.waiting.len().saturating_sub(MOST_WAITING);
        self.waiting.drain(..surplus);
        let mut stored = Vec::new();
        while let Some(Ok(carried)) = self.under_way.try_join_next() {
            self.not_before = Instant::now() + carried.took * REST;
            stored.extend(carried.said());
        }
        if self.under_way.is_empty() && Instant::now() >= self.not_before {
            self.begin();
        }
        stored
    }

    /// Stores what is not stored yet, the newest first, until `late` at the latest.
    pub(crate) async fn rest(&mut self, bodies: &[EventBody], late: Option<Instant>) -> Vec<EventBody> {
        let mut stored = self.heard(bodies);
        let end = Instant::now() + AT_REST;
        let end = late.map_or(end, |late| late.min(end));
        loop {
            if self.under_way.is_empty() {
                self.begin();
            }
            match timeout_at(end, self.under_way.join_next()).await {
                Ok(Some(Ok(carried))) => stored.extend(carried.said()),
                Ok(Some(Err(_))) => {}
                Ok(None) => break,
                Err(_late) => {
                    self.under_way.abort_all();
                    break;
                }
            }
        }
        stored
    }

    fn begin(&mut self) {
        let Some(name) = self.waiting.pop() else { return };
        let Ok(snapshot) = name.parse::<SnapshotId>() else { return };
        let layer = self.session.join(CHECKPOINTS).join(&name);
        let (store, directory) = (self.store.clone(), self.session.join(ARCHIVES));
        self.under_way.spawn(async move {
            let began = Instant::now();
            let archive = keep(&*store, layer, snapshot, &directory).await.ok().flatten();
            Carried { snapshot: name, archive, took: began.elapsed() }
        });
    }
}

impl Carried {
    fn said(self) -> Option<EventBody> {
        let Self { snapshot, archive, took: _ } = self;
        Some(EventBody::CheckpointStored { snapshot, archive: archive? })
    }
}

/// Makes an archive and stores it.
async fn keep(
    store: &dyn Store,
    layer: PathBuf,
    snapshot: SnapshotId,
    directory: &Path,
) -> Result<Option<BlobRef>, WorkerError> {
    let to = directory.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        // Not the one above it: without that the session was deleted meanwhile.
        match std::fs::create_dir(&to) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                let (operation, path) = ("make the directory", to.display().to_string());
                return Err(WorkerError::File { operation, path, source });
            }
            Ok(()) | Err(_) => {}
        }
        Ok::<_, WorkerError>(LayerStack::at(&layer).export(snapshot, &to, BOUNDS)?)
    });
    let archive = match made.await {
        Ok(archive) => archive?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let stored = store.put_file(&archive.path).await;
    std::fs::remove_file(&archive.path).ok();
    Ok(stored?)
}
