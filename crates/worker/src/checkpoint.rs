//! Keeping the files of a session after each step that may have changed them.
//!
//! While the model thinks about its next answer, what the sandbox has written is copied (see [`LayerCopies`]); the event that says so is
//! written together with that answer. So a checkpoint costs a step nothing, unless the model is faster than the copy: then the step waits, and the next
//! checkpoint is for several steps together. A layer on which a copy takes long is copied the more rarely, too.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, ToolSpec};
use cofferdam_sandbox::{
    CopyBounds, LayerCopies, LayerError, LayerStack, SnapshotId, deleted, files, workspace_upper,
};
use tokio::task::JoinHandle;

use crate::layers::{Begun, CHECKPOINTS, LAYER};

/// What is kept of a layer at the most.
const BOUNDS: CopyBounds = CopyBounds { entries: 20_000, bytes: 256 << 20 };
/// Files of the repository that are looked at to tell how many are gone.
const MOST_FILES: usize = 500_000;
/// A copy of no more entries that takes no longer can be made after every step. (Idle, a thousand entries take a few milliseconds to look at.)
const FEW: usize = 1_000;
const QUICK: Duration = Duration::from_millis(50);
/// After a longer one so many times its time must pass before the next.
const REST: u32 = 50;
/// After a copy that a step had to wait for, so many times what it waited must pass before the next: waiting takes a twentieth of the time at the
/// most.
const PATIENCE: u32 = 20;

/// The checkpoints of one session.
pub(crate) struct Checkpoints {
    layer: PathBuf,
    directory: PathBuf,
    /// What is known of the last copy; `None` while one is made.
    copies: Option<LayerCopies>,
    under_way: Option<JoinHandle<Copied>>,
    /// A call that may have changed files was started since.
    changed: bool,
    not_before: Instant,
    /// What the workspace began with, once there is one.
    base: Option<Vec<Begun>>,
    /// How many of its files were gone at the last copy; `None` where nobody has counted yet what an earlier worker's sandbox deleted.
    gone: Option<u64>,
}

struct Copied {
    copies: LayerCopies,
    step: u32,
    result: Result<Option<SnapshotId>, LayerError>,
    took: Duration,
    gone: Option<u64>,
    deletion: Option<EventBody>,
}

impl Checkpoints {
    /// Those in a session's directory. `worked` says whether there may be files that no checkpoint has, from before a crash.
    pub(crate) fn new(session: &Path, worked: bool) -> Self {
        Self {
            layer: session.join(LAYER),
            directory: session.join(CHECKPOINTS),
            copies: Some(LayerCopies::default()),
            under_way: None,
            changed: worked,
            not_before: Instant::now(),
            base: None,
            gone: (!worked).then_some(0),
        }
    }

    /// The workspace begins with these trees, if that is known.
    pub(crate) fn over(&mut self, base: Option<Vec<Begun>>) {
        self.base = base;
    }

    /// A tool is called.
    pub(crate) fn touched(&mut self, tools: &[ToolSpec], name: &str) {
        self.changed |= !tools.iter().any(|tool| tool.name == name && tool.read_only);
    }

    /// A person has worked in the sandbox.
    pub(crate) fn touched_by_hand(&mut self) {
        self.changed = true;
    }

    /// Begins to keep the files after a step, if they may have changed and there was no long copy just before.
    pub(crate) fn begin(&mut self, step: u32) {
        if Instant::now() >= self.not_before {
            self.begin_now(step);
        }
    }

    /// The same, however long the copy before took.
    pub(crate) fn begin_now(&mut self, step: u32) {
        if !self.changed || !workspace_upper(&self.layer).exists() {
            return;
        }
        let Some(mut copies) = self.copies.take() else { return };
        self.changed = false;
        let (layer, directory) = (LayerStack::at(&self.layer), self.directory.clone());
        let (upper, base, before) = (workspace_upper(&self.layer), self.base.clone(), self.gone);
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let result = copies.take(&layer, &directory, BOUNDS);
            let gone = base.as_deref().and_then(|base| gone(&upper, base));
            let deletion = base.and_then(|base| deletion(step, &base, before?, gone?));
            Copied { copies, step, result, took: began.elapsed(), gone, deletion }
        }));
    }

    /// Waits for the copy that is under way; gives the events that say that there is one, and how many files are gone since the last. Without a
    /// checkpoint the session goes on all the same.
    pub(crate) async fn settle(&mut self) -> Vec<EventBody> {
        let Some(under_way) = self.under_way.take() else { return Vec::new() };
        let began = Instant::now();
        let Ok(Copied { copies, step, result, took, gone, deletion }) = under_way.await else {
            self.copies = Some(LayerCopies::default());
            return Vec::new();
        };
        self.gone = gone.or(self.gone);
        let quick = took <= QUICK && copies.entries() <= FEW && result.is_ok();
        self.copies = Some(copies);
        let rest = if quick { Duration::ZERO } else { took * REST };
        self.not_before = Instant::now() + rest.max(began.elapsed() * PATIENCE);
        let snapshot = result.ok().flatten();
        let kept = snapshot.map(|name| EventBody::Checkpointed { step, snapshot: name.to_string() });
        kept.into_iter().chain(deletion).collect()
    }
}

/// How many files of the trees that a workspace began with are gone from it; `None` where that cannot be told.
fn gone(upper: &Path, base: &[Begun]) -> Option<u64> {
    let of = |begun: &Begun| {
        let Some(directory) = &begun.directory else { return deleted(upper, &begun.tree, MOST_FILES).ok() };
        let (upper, tree) = (upper.join(directory), begun.tree.join(directory));
        match fs::symlink_metadata(&upper) {
            Err(error) if error.kind() == ErrorKind::NotFound => Some(0),
            Ok(found) if found.is_dir() => deleted(&upper, &tree, MOST_FILES).ok(),
            // All of it is gone, or something else is there in its place.
            Ok(_) => files(&tree, MOST_FILES).ok(),
            Err(_) => None,
        }
    };
    base.iter().map(of).sum()
}

/// What is to be said of files that are gone since the last copy, if any are.
fn deletion(step: u32, base: &[Begun], before: u64, gone: u64) -> Option<EventBody> {
    let files = gone.checked_sub(before).filter(|files| *files > 0)?;
    let all = base.iter().map(|begun| self::files(&begun.tree, MOST_FILES).ok());
    Some(EventBody::FilesDeleted { step, files, of: all.sum::<Option<u64>>()? })
}
