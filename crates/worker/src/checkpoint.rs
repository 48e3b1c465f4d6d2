//! Keeping the files of a session after each step that may have changed them.
//!
//! While the model thinks about its next answer, what the sandbox has written is copied (see [`LayerCopies`]); the event that says so is
//! written together with that answer. So a checkpoint costs a step nothing, unless the model is faster than the copy. A layer on which a copy takes
//! long is copied the more rarely.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, ToolSpec};
use cofferdam_sandbox::{CopyBounds, LayerCopies, LayerError, LayerStack, SnapshotId, workspace_upper};
use tokio::task::JoinHandle;

use crate::layers::{CHECKPOINTS, LAYER};

/// What is kept of a layer at the most.
const BOUNDS: CopyBounds = CopyBounds { entries: 20_000, bytes: 256 << 20 };
/// A copy of no more entries that takes no longer can be made after every step. (Idle, a thousand entries take a few milliseconds to look at.)
const FEW: usize = 1_000;
const QUICK: Duration = Duration::from_millis(50);
/// After a longer one so many times its time must pass before the next.
const REST: u32 = 50;

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
}

struct Copied {
    copies: LayerCopies,
    step: u32,
    result: Result<Option<SnapshotId>, LayerError>,
    took: Duration,
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
        }
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
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let result = copies.take(&layer, &directory, BOUNDS);
            Copied { copies, step, result, took: began.elapsed() }
        }));
    }

    /// Waits for the copy that is under way; gives the event that says that there is one. Without a checkpoint the session goes on all the same.
    pub(crate) async fn settle(&mut self) -> Option<EventBody> {
        let copied = self.under_way.take()?.await;
        let Ok(Copied { copies, step, result, took }) = copied else {
            self.copies = Some(LayerCopies::default());
            return None;
        };
        let quick = took <= QUICK && copies.entries() <= FEW && result.is_ok();
        self.copies = Some(copies);
        self.not_before = Instant::now() + if quick { Duration::ZERO } else { took * REST };
        let snapshot = result.ok()??;
        Some(EventBody::Checkpointed { step, snapshot: snapshot.to_string() })
    }
}
