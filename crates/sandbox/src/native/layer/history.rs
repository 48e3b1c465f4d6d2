//! Snapshots of a layer: taking one, going back to one, making other layers from one; and what all that leaves to be removed.
//!
//! A frozen part stays in the directory of the layer that wrote it. Each other layer that uses it leaves a file in it,
//! `used-by/<id of that layer>`; as long as there is one, the part is not removed, not even with its own layer. The last who lets go of it
//! removes it.

use std::{
    fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    error::{LayerError, failed},
    make,
    remove::remove_all,
    stack::{self, MOST_FROZEN, Part, SnapshotId, Stack},
};

const USED_BY: &str = "used-by";
/// How often, and how far apart, removal is tried again.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// A session's own layer, as something with a history. All of this blocks, but for [`Self::squash`], [`Self::export`] and [`Self::import`]
/// for no longer than it takes to write a small file, however much the sandboxes wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerStack {
    pub(super) path: PathBuf,
}

impl LayerStack {
    /// The layer in this directory, which is [`SandboxSpec::layer`](crate::SandboxSpec::layer) of its sandboxes.
    #[must_use]
    pub fn at(layer: &Path) -> Self {
        Self { path: layer.to_owned() }
    }

    /// Its snapshots, oldest first.
    ///
    /// # Errors
    /// When the file that tells of them is damaged or cannot be read.
    pub fn snapshots(&self) -> Result<Vec<SnapshotId>, LayerError> {
        Ok(Stack::read(&self.path)?.frozen.iter().map(|part| part.snapshot).collect())
    }

    /// Freezes what its sandboxes have written so far; the next one begins with that, and writes elsewhere. The sandbox must have been
    /// destroyed before: its processes, also those in the background, are not part of a snapshot.
    ///
    /// # Errors
    /// [`LayerError::InUse`] while a sandbox runs; [`LayerError::TooDeep`].
    pub fn snapshot(&self) -> Result<SnapshotId, LayerError> {
        let snapshot = SnapshotId::generate().map_err(failed("choose a name for a snapshot"))?;
        self.change(|stack| {
            let directory = stack.top();
            make(&directory, None).map_err(failed("make a part of a layer"))?;
            stack.frozen.push(Part { snapshot, directory });
            if stack.mounted().len() > MOST_FROZEN || stack.frozen.len() > MOST_FROZEN {
                return Err(LayerError::TooDeep { layer: self.path.clone(), most: MOST_FROZEN });
            }
            Ok(())
        })?;
        Ok(snapshot)
    }

    /// Goes back to a snapshot: what was written since is dropped, with all later snapshots.
    ///
    /// # Errors
    /// [`LayerError::InUse`] while a sandbox runs; [`LayerError::Unknown`].
    pub fn roll_back(&self, snapshot: SnapshotId) -> Result<(), LayerError> {
        self.change(|stack| {
            let back = stack.up_to(snapshot)?;
            *stack = Stack { number: stack.number, ..back };
            Ok(())
        })
    }

    /// Makes another layer that begins with a snapshot of this one. Neither sees what the other writes from then on, and each can be removed
    /// without the other. A sandbox may run over this one.
    ///
    /// # Errors
    /// [`LayerError::Unknown`]; [`LayerError::Exists`] when there is something at `new`, which must be on the same machine.
    pub fn fork(&self, snapshot: SnapshotId, new: &Path) -> Result<Self, LayerError> {
        let _changes = self.lock_changes()?;
        let origin = Stack::read(&self.path)?.up_to(snapshot)?;
        match fs::create_dir(new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(LayerError::Exists(new.to_owned()));
            }
            Err(error) => return Err(failed(format!("make the layer {}", new.display()))(error)),
        }
        let mut fork = Stack { layer: new.to_owned(), id: 0, number: 0, ..origin };
        let made = fork.write().and_then(|()| {
            fork.used().iter().try_for_each(|part| mark(part, &fork)).map_err(failed("mark a part as used"))
        });
        if made.is_err() {
            // Only what was made here; the error tells more than another one about that.
            remove_layer(new).ok();
        }
        made.map(|()| Self { path: new.to_owned() })
    }

    /// Changes the stack of a layer that nobody uses, begins another part to write to, and removes what is no longer needed.
    fn change(&self, change: impl FnOnce(&mut Stack) -> Result<(), LayerError>) -> Result<(), LayerError> {
        make(&self.path, None).map_err(failed(format!("make the layer {}", self.path.display())))?;
        let _changes = self.lock_changes()?;
        let before = Stack::read(&self.path)?;
        let _alone = self.alone(&before.top())?;
        let mut after = before.clone();
        change(&mut after)?;
        after.number = before.number.saturating_add(1);
        after.write()?;
        self.let_go(&before, &after);
        Ok(())
    }

    fn alone(&self, top: &Path) -> Result<Option<File>, LayerError> {
        match stack::lock_alone(top) {
            Ok(Some(locked)) => Ok(Some(locked)),
            Ok(None) => Err(LayerError::InUse(self.path.clone())),
            // Nothing was ever written to it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(format!("lock {}", top.display()))(error)),
        }
    }

    pub(super) fn lock_changes(&self) -> Result<File, LayerError> {
        stack::lock_changes(&self.path)
    }

    /// Lets go of the parts that a change has made superfluous. Removing takes time in proportion to the files, so it happens in the
    /// background.
    pub(super) fn let_go(&self, before: &Stack, after: &Stack) {
        let kept: Vec<PathBuf> = after.used().into_iter().chain([after.top()]).collect();
        let gone = before.used().into_iter().chain([before.top()]).filter(|part| !kept.contains(part));
        for part in gone {
            // What cannot be removed now goes with the layer.
            unmark(&part, before.id).ok();
            if part.parent() == Some(&self.path) {
                let discarded = self
                    .path
                    .join(format!("discarded-{}", after.number))
                    .join(part.file_name().unwrap_or_default());
                drop_part(&part, &discarded);
            } else {
                remove_orphan(&part).ok();
            }
        }
    }
}

/// Renames a part out of the way and has it removed, unless somebody needs it.
fn drop_part(part: &Path, discarded: &Path) {
    let free = stack::lock_alone(part).is_ok_and(|locked| locked.is_some());
    if !free || is_used(part) {
        return;
    }
    let moved =
        discarded.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(part, discarded));
    if moved.is_ok() {
        let tree = discarded.parent().unwrap_or(discarded).to_owned();
        // Goes with the layer if it cannot be removed now.
        std::thread::spawn(move || remove_all(&tree).ok());
    }
}

/// Says in a part that a layer uses it which is not the one that wrote it.
pub(super) fn mark(part: &Path, user: &Stack) -> io::Result<()> {
    if part.parent() == Some(&user.layer) {
        return Ok(());
    }
    let users = part.join(USED_BY);
    make(&users, None)?;
    fs::write(users.join(format!("{:032x}", user.id)), user.layer.as_os_str().as_encoded_bytes())
}

fn unmark(part: &Path, user: u128) -> io::Result<()> {
    match fs::remove_file(part.join(USED_BY).join(format!("{user:032x}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Whether another layer than the one that wrote it uses a part.
fn is_used(part: &Path) -> bool {
    fs::read_dir(part.join(USED_BY)).is_ok_and(|mut users| users.next().is_some())
}

/// Removes a part of another layer that nobody uses any more, if that layer itself is gone.
fn remove_orphan(part: &Path) -> io::Result<()> {
    let Some(layer) = part.parent() else { return Ok(()) };
    let lives = Stack::read(layer).map_or(true, |stack| stack.id != 0);
    if lives || is_used(part) || stack::lock_alone(part)?.is_none() {
        return Ok(());
    }
    remove_all(part)?;
    // There may be others.
    fs::remove_dir(layer).or(Ok(()))
}

/// Removes a layer, or any directory tree that a sandbox has written, completely. What forks of it still use stays until the last of them is
/// removed. The kernel's working directories have no permissions at all, and so may others; links are removed, not followed. Blocks.
///
/// # Errors
/// The system's answer, when something cannot be removed. That there is nothing is no error.
pub fn remove_layer(layer: &Path) -> io::Result<()> {
    let stack = match Stack::read(layer) {
        Ok(stack) if stack.id != 0 => stack,
        // Without a history, or with one that nobody can make sense of, it is just a tree.
        Ok(_) | Err(_) => return remove_all(layer),
    };
    let changes = stack::lock_changes(layer).map_err(io::Error::other)?;
    let users: Vec<PathBuf> = stack.used();
    // First of all: from here on the layer is gone, and what is left of it belongs to those that are marked.
    stack.forget()?;
    for part in users.iter().filter(|part| part.parent() != Some(layer)) {
        unmark(part, stack.id)?;
        remove_orphan(part)?;
    }
    let mut needed = false;
    for entry in fs::read_dir(layer)? {
        let path = entry?.path();
        // Also a part that this layer itself has gone back from.
        if is_used(&path) {
            needed = true;
        } else {
            remove_all(&path)?;
        }
    }
    drop(changes);
    if needed { Ok(()) } else { remove_when_still(layer) }
}

/// Somebody who squashes the layer stops when he sees that it is gone, a moment after that.
fn remove_when_still(layer: &Path) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        match remove_all(layer) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    remove_all(layer)
}
