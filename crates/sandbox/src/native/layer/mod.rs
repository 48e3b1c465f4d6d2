//! A session's own layer on disk: what its sandboxes wrote, kept for later sandboxes of the same session.
//!
//! ```text
//! <layer>/0/workspace/upper   what they wrote to /workspace; a layer for others once the sandbox has ended
//! <layer>/0/workspace/work    the kernel's
//! <layer>/0/home/…            the same for the home directory
//! <layer>/0/caches/<name>/…   what they added to a cache of the host
//! <layer>/1/…                 the same since a snapshot was taken, and so on
//! <layer>/stack               which of them are frozen, and which one is written to; missing as long as that is only `0`
//! ```
//! The directories above `upper` belong to the worker; only what is in there is written by the sandbox. Nothing here is ever opened by
//! following a link.
//!
//! A snapshot freezes the part that is written to and begins another; going back to one drops what came later; a fork is another layer over
//! the same frozen parts. All three write one small file ([`stack`]), so they take the same time whatever the sandbox wrote, and happen
//! either wholly or not at all, even if the worker is killed. Parts that sandboxes have mounted are locked (flock(2)) and are never touched.

mod archive;
mod copy;
mod deleted;
mod error;
mod export;
mod history;
mod import;
mod merge;
mod remove;
mod squash;
mod stack;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use cofferdam_hand::protocol::zygote::Owner;
use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat};

pub use self::{
    archive::{Archive, ArchiveBounds},
    copy::{CopyBounds, LayerCopies},
    deleted::{deleted, files},
    error::LayerError,
    history::{LayerStack, remove_layer},
    stack::SnapshotId,
};
use self::{merge::BELOW, squash::SQUASH_DEPTH, stack::Stack};
use crate::SandboxError;

const WORKSPACE: &str = "workspace";
const UPPER: &str = "upper";
const WORK: &str = "work";
/// The kernel's own directory in there, left from when the layer was last mounted, and its name until it is gone.
const LEFT: &str = "work";
const SPENT: &str = "spent";
const HOME: &str = "home";
const CACHES: &str = "caches";
/// How often a layer that others change is looked at again before a sandbox is refused. Each change is whole and takes far longer than a look.
const LOOKS: usize = 16;

/// Where a layer keeps what its sandbox wrote to the workspace since the last snapshot: a directory that can be a lower layer of later
/// sandboxes.
#[must_use]
pub fn workspace_upper(layer: &Path) -> PathBuf {
    // Where the stack cannot be read no sandbox starts, and says why.
    Stack::read(layer).unwrap_or_else(|_| Stack::new(layer)).top().join(WORKSPACE).join(UPPER)
}

/// The directories of a layer for one sandbox, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Layer {
    path: PathBuf,
    top: PathBuf,
    /// Lowest first.
    frozen: Vec<PathBuf>,
    too_deep: bool,
    spent: Vec<PathBuf>,
    locks: Vec<File>,
}

impl Layer {
    /// Makes what is missing of a layer. Where somebody changes it at the same time (parts are merged in the background), it is looked at again.
    pub(super) fn prepare(path: &Path, owner: Owner) -> Result<Self, SandboxError> {
        make(path, None).map_err(setup(path))?;
        for _ in 0..LOOKS {
            let stack = Stack::read(path).map_err(|error| setup(path)(io::Error::other(error)))?;
            if let Some(layer) = Self::prepare_as(path, &stack, owner).map_err(setup(path))? {
                return Ok(layer);
            }
        }
        Err(setup(path)(io::Error::other("it was changed at the same time, again and again; try once more")))
    }

    /// The layer as `stack` says that it is; `None` if it says something else by the time that it is locked.
    fn prepare_as(path: &Path, stack: &Stack, owner: Owner) -> io::Result<Option<Self>> {
        let frozen = stack.mounted();
        let too_deep = frozen.len() > SQUASH_DEPTH;
        let (spent, locks) = (Vec::new(), Vec::new());
        let mut layer = Self { path: path.to_owned(), top: stack.top(), frozen, too_deep, spent, locks };
        for directory in [layer.workspace(), layer.home()] {
            layer.prepare_overlay(&directory, owner)?;
        }
        let locked = layer.lock();
        // Somebody may have changed it before it was locked. The two would not know of each other.
        match Stack::read(path) {
            Ok(now) if now == *stack => locked.map(|()| Some(layer)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Keeps others from changing what is mounted now.
    fn lock(&mut self) -> io::Result<()> {
        for directory in self.frozen.iter().chain([&self.top]) {
            self.locks.push(stack::lock_shared(directory)?);
        }
        Ok(())
    }

    /// Makes what is missing of the part for a cache; gives its directory.
    pub(super) fn prepare_cache(&mut self, inside: &str, owner: Owner) -> Result<PathBuf, SandboxError> {
        let caches = self.top.join(CACHES);
        let directory = caches.join(cache_name(inside));
        let made = make(&caches, None).and_then(|()| self.prepare_overlay(&directory, owner));
        made.map_err(setup(&self.path))?;
        Ok(directory)
    }

    /// The directory with the upper layer of the workspace and the kernel's working directory.
    pub(super) fn workspace(&self) -> PathBuf {
        self.top.join(WORKSPACE)
    }

    /// The same for the home directory.
    pub(super) fn home(&self) -> PathBuf {
        self.top.join(HOME)
    }

    /// What earlier sandboxes wrote to the workspace before a snapshot was taken, lowest first.
    pub(super) fn frozen_workspace(&self) -> Vec<PathBuf> {
        self.frozen_uppers(Path::new(WORKSPACE))
    }

    /// The same for the home directory.
    pub(super) fn frozen_home(&self) -> Vec<PathBuf> {
        self.frozen_uppers(Path::new(HOME))
    }

    /// The same for a cache.
    pub(super) fn frozen_cache(&self, inside: &str) -> Vec<PathBuf> {
        self.frozen_uppers(&Path::new(CACHES).join(cache_name(inside)))
    }

    fn frozen_uppers(&self, place: &Path) -> Vec<PathBuf> {
        let places = self.frozen.iter().map(|part| part.join(place));
        let directories = places.flat_map(|place| [place.join(BELOW), place.join(UPPER)]);
        // Only what has been merged has the first, and a cache may be new to this host.
        directories.filter(|directory| directory.is_dir()).collect()
    }

    /// Whether it has so many frozen parts that reading through them takes time.
    pub(super) const fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    /// The directory itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What must be kept for as long as the sandbox has the layer mounted.
    pub(super) fn into_held(self) -> Held {
        Held { spent: self.spent, locks: self.locks }
    }

    fn prepare_overlay(&mut self, directory: &Path, owner: Owner) -> io::Result<()> {
        make(directory, None)?;
        make(&directory.join(UPPER), Some(owner))?;
        let work = directory.join(WORK);
        make(&work, Some(owner))?;
        // The kernel would remove it while the sandbox is waited for, and where the filesystem discards what becomes free, that takes
        // as long as the rest of mounting. If it cannot be put aside, the kernel does just that.
        let spent = work.join(SPENT);
        if fs::rename(work.join(LEFT), &spent).is_ok() {
            self.spent.push(spent);
        }
        Ok(())
    }
}

/// A layer that a sandbox has mounted: nobody else changes it.
#[derive(Debug, Default)]
pub(super) struct Held {
    spent: Vec<PathBuf>,
    locks: Vec<File>,
}

impl Held {
    /// Removes what earlier mounts have left, if there is anything. Blocks.
    pub(super) fn sweeping(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        let spent = std::mem::take(&mut self.spent);
        if spent.is_empty() {
            return None;
        }
        // What stays is put aside the next time, and goes with the layer.
        Some(move || spent.iter().for_each(|directory| drop(remove::remove_all(directory))))
    }

    /// Lets others change the layer.
    pub(super) fn release(&mut self) {
        self.locks.clear();
    }

    /// Whether it has been released.
    pub(super) fn is_released(&self) -> bool {
        self.locks.is_empty()
    }
}

fn cache_name(inside: &str) -> String {
    inside.replace('/', "-")
}

/// The directories with what sandboxes wrote in a part: below the part itself, and absolute.
fn uppers(part: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut places = vec![PathBuf::from(WORKSPACE), PathBuf::from(HOME)];
    match fs::read_dir(part.join(CACHES)) {
        Ok(caches) => {
            for cache in caches {
                places.push(Path::new(CACHES).join(cache?.file_name()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let uppers = places.into_iter().map(|place| place.join(UPPER));
    Ok(uppers.map(|upper| (upper.clone(), part.join(upper))).filter(|(_, upper)| upper.is_dir()).collect())
}

fn setup(path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let step = format!("make the layer {}", path.display());
    move |source| SandboxError::Setup { step, source }
}

/// Makes a directory if it is missing, and gives it to its owner when that is not this process's user anyway.
fn make(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    let owner = owner.filter(|_| rustix::process::geteuid().is_root());
    if is_made(path, owner) {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    let Some(owner) = owner else { return Ok(()) };
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Whether there is nothing left to do. Most sandboxes have a layer that was there before.
fn is_made(path: &Path, owner: Option<Owner>) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        found.is_dir() && owner.is_none_or(|owner| (found.uid(), found.gid()) == (owner.uid, owner.gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_mount_has_left_is_put_aside_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer");
        let owner =
            Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        let mut fresh = Layer::prepare(&path, owner).unwrap().into_held();
        assert!(fresh.sweeping().is_none(), "there was no mount");
        let work = path.join("0/home/work");
        for round in ["once", "again"] {
            // As the kernel leaves it, and as it is after a crash.
            fs::create_dir(work.join(LEFT)).unwrap();
            fs::create_dir(work.join(LEFT).join("#1")).unwrap();
            rustix::fs::chmodat(CWD, work.join(LEFT), rustix::fs::Mode::empty(), AtFlags::empty()).unwrap();
            let mut held = Layer::prepare(&path, owner).unwrap().into_held();
            assert!(!work.join(LEFT).exists() && work.join(SPENT).exists(), "{round}");
            held.sweeping().unwrap()();
            assert!(
                !work.join(SPENT).exists() && held.sweeping().is_none() && !held.is_released(),
                "{round}"
            );
            held.release();
            assert!(held.is_released(), "{round}");
        }
    }
}
