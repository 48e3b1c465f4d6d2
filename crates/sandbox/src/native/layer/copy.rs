//! Copies of a layer while a sandbox writes to it.
//!
//! A snapshot freezes what is written to, and for that the sandbox must end. A copy leaves it alone: what has changed since the copy before is
//! copied, all else has one more link there, so that the cost is that of looking at what the sandbox has written, and of what is new. The
//! copy is a layer of its own, over the same frozen parts, with one snapshot: other layers are made from it by [`LayerStack::fork`].
//!
//! Places beside the workspace in which there is nothing but directories, as preparing a sandbox leaves them, are not copied: a directory costs
//! more than a link, and the next sandbox makes them again.
//!
//! Whether a file has changed is told by its inode number, size and time of change, which nobody inside can set. The trees are
//! not trusted: every step is relative to an open directory and follows no link, and entries, bytes and depth are bounded.

use std::{
    collections::HashMap,
    ffi::{CStr, OsStr},
    fs,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat, linkat, openat, statat},
    io::Errno,
};

use super::{
    LayerStack, WORKSPACE,
    error::{LayerError, failed},
    history::mark,
    make,
    merge::{below, copy_attributes, copy_directory, copy_entry, is_opaque, like, names, open, system},
    stack::{MOST_FROZEN, Part, SnapshotId, Stack},
    uppers,
};

/// The longest path below a layer's directories.
const LONGEST_PATH: usize = 3_900;

/// How much of a layer is copied. What has more is not copied at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyBounds {
    /// Files, directories and all else that sandboxes have written.
    pub entries: usize,
    /// Bytes of the files among them that have changed since the copy before.
    pub bytes: u64,
}

/// The copies of one layer, one after the other.
#[derive(Debug, Default)]
pub struct LayerCopies {
    /// The part with what was copied last.
    last: Option<PathBuf>,
    /// What it has.
    known: HashMap<PathBuf, Known>,
}

/// A state of an entry: the same only if nothing about it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    inode: u64,
    size: u64,
    changed: (i64, i64),
    file: bool,
}

impl Known {
    fn of(status: &Stat) -> Self {
        Self {
            inode: status.st_ino,
            size: u64::try_from(status.st_size).unwrap_or(u64::MAX),
            changed: (status.st_ctime, i64::try_from(status.st_ctime_nsec).unwrap_or(i64::MAX)),
            file: FileType::from_raw_mode(status.st_mode) == FileType::RegularFile,
        }
    }
}

impl LayerCopies {
    /// How many entries the last copy has.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.known.len()
    }

    /// Copies what sandboxes have written to a layer, as it is now, to `directory`, under the name that is returned; `None` if nothing has
    /// changed since the last copy. A sandbox may run over the layer; what it writes at this moment may be in the copy or not. Blocks.
    ///
    /// # Errors
    /// [`LayerError::TooLarge`]; [`LayerError::TooDeep`]; the system's answer. Then there is no copy.
    pub fn take(
        &mut self,
        layer: &LayerStack,
        directory: &Path,
        bounds: CopyBounds,
    ) -> Result<Option<SnapshotId>, LayerError> {
        let _changes = layer.lock_changes()?;
        let origin = Stack::read(&layer.path)?;
        let top = uppers(&origin.top()).map_err(failed("read the part of a layer that is written to"))?;
        let (found, top) = look(top, bounds)?;
        if self.last.is_some() && found == self.known {
            return Ok(None);
        }
        if origin.frozen.len() >= MOST_FROZEN {
            return Err(LayerError::TooDeep { layer: layer.path.clone(), most: MOST_FROZEN });
        }
        let snapshot = SnapshotId::generate().map_err(failed("choose a name for a snapshot"))?;
        let new = directory.join(snapshot.to_string());
        make(&new, None).map_err(failed(format!("make the layer {}", new.display())))?;
        let copy = Copy { known: &self.known, found: &found, left: bounds.bytes, before: None };
        let made = self.fill(copy, &top, &new).and_then(|part| {
            finish(&origin, &new, Part { snapshot, directory: part.clone() })?;
            Ok(part)
        });
        if made.is_err() {
            // The first error tells more.
            super::remove_layer(&new).ok();
        }
        self.last = Some(made?);
        self.known = found;
        Ok(Some(snapshot))
    }

    /// Makes the part with the copy.
    fn fill(
        &self,
        mut copy: Copy<'_>,
        top: &[(PathBuf, PathBuf)],
        new: &Path,
    ) -> Result<PathBuf, LayerError> {
        let part = Stack::new(new).top();
        for (place, upper) in top {
            let target = part.join(place);
            make(&target, None).map_err(failed("make a part of a layer"))?;
            like(Some(upper), &target)?;
            copy.before = self.last.as_ref().and_then(|last| open(&last.join(place)).ok());
            copy.tree(place, upper, &target)?;
        }
        Ok(part)
    }
}

/// Makes a part the highest frozen one of a new layer.
fn finish(origin: &Stack, new: &Path, part: Part) -> Result<(), LayerError> {
    let mut frozen = origin.frozen.clone();
    frozen.push(part);
    // What is merged belongs to the other layer, and the parts are all there.
    let mut stack = Stack { layer: new.to_owned(), id: 0, frozen, squashed: None, number: 1 };
    stack.write()?;
    stack.used().iter().try_for_each(|used| mark(used, &stack)).map_err(failed("mark a part as used"))
}

/// The places of a part, each with the directory there.
type Places = Vec<(PathBuf, PathBuf)>;

/// All entries below these places, and the places in which there is something to be copied.
fn look(top: Places, bounds: CopyBounds) -> Result<(HashMap<PathBuf, Known>, Places), LayerError> {
    let mut found = HashMap::new();
    let mut worth_copying = Vec::new();
    for (place, upper) in top {
        let root = open(&upper).map_err(system("open a part of a layer"))?;
        let mut waiting = vec![PathBuf::new()];
        let mut is_bare = !place.starts_with(WORKSPACE);
        while let Some(path) = waiting.pop() {
            let directory = match below(&root, &path) {
                Ok(directory) => directory,
                // It has gone, or become something else, since it was seen.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(system("open a directory of a layer")(errno)),
            };
            is_bare &= !is_opaque(&directory);
            for name in names(&directory).map_err(system("read a directory of a layer"))? {
                let Ok(status) = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                if found.len() >= bounds.entries || path.as_os_str().len() > LONGEST_PATH {
                    return Err(LayerError::TooLarge);
                }
                if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                    waiting.push(path.clone());
                } else {
                    is_bare = false;
                }
                found.insert(place.join(path), Known::of(&status));
            }
        }
        if !is_bare {
            worth_copying.push((place, upper));
        }
    }
    Ok((found, worth_copying))
}

struct Copy<'c> {
    known: &'c HashMap<PathBuf, Known>,
    found: &'c HashMap<PathBuf, Known>,
    /// Bytes that may still be copied.
    left: u64,
    /// The same place in the copy before.
    before: Option<OwnedFd>,
}

impl Copy<'_> {
    fn tree(&mut self, place: &Path, upper: &Path, target: &Path) -> Result<(), LayerError> {
        let root = open(upper).map_err(system("open a part of a layer"))?;
        let target = open(target).map_err(system("open a copy"))?;
        let mut waiting = vec![PathBuf::new()];
        while let Some(path) = waiting.pop() {
            let (Ok(from), Ok(to)) = (below(&root, &path), below(&target, &path)) else { continue };
            let before = self.before.as_ref().and_then(|before| below(before, &path).ok());
            for name in names(&from).map_err(system("read a directory of a layer"))? {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                // What came since it was looked at is for the next copy.
                let full = place.join(&path);
                let Some(seen) = self.found.get(&full) else { continue };
                let unchanged = seen.file && self.known.get(&full) == Some(seen);
                let linked = before
                    .as_ref()
                    .filter(|_| unchanged)
                    .is_some_and(|before| linkat(before, &name, &to, &name, AtFlags::empty()).is_ok());
                if linked {
                    continue;
                }
                match self.entry(&from, &to, &name) {
                    Ok(FileType::Directory) => waiting.push(path),
                    // It has gone meanwhile.
                    Ok(_) | Err(Errno::NOENT | Errno::LOOP) => {}
                    Err(Errno::FBIG) => return Err(LayerError::TooLarge),
                    Err(errno) => return Err(system("copy an entry of a layer")(errno)),
                }
            }
        }
        Ok(())
    }

    /// Copies an entry, of a directory only itself. Says what it is.
    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<FileType, Errno> {
        let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        match kind {
            FileType::Directory => {
                let path = Path::new(OsStr::from_bytes(name.to_bytes()));
                copy_directory(to, name, &below(from, path)?)?;
            }
            FileType::RegularFile => self.file(from, to, name)?,
            FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => copy_entry(from, to, name, &status)?,
        }
        Ok(kind)
    }

    /// Copies as much of a file as it has now: somebody may be writing to it.
    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let original = openat(from, name, flags, Mode::empty())?;
        let status = rustix::fs::fstat(&original)?;
        let size = u64::try_from(status.st_size).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(size).ok_or(Errno::FBIG)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
        let (mut source, mut target) = (fs::File::from(original), fs::File::from(copy));
        io::copy(&mut (&mut source).take(size), &mut target)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        copy_attributes(&OwnedFd::from(source), &OwnedFd::from(target))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::{super::merge::OPAQUE, *};

    const BOUNDS: CopyBounds = CopyBounds { entries: 100, bytes: 1 << 20 };

    /// A layer as a sandbox would write it, and where its copies go.
    fn scene() -> (tempfile::TempDir, LayerStack, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let layer = place.path().join("layer");
        let workspace = layer.join("0/workspace/upper");
        fs::create_dir_all(&workspace).unwrap();
        fs::create_dir_all(layer.join("0/home/upper")).unwrap();
        let copies = place.path().join("copies");
        (place, LayerStack::at(&layer), workspace, copies)
    }

    fn copied(copies: &Path, snapshot: SnapshotId) -> PathBuf {
        copies.join(snapshot.to_string()).join("0/workspace/upper")
    }

    #[test]
    fn what_has_not_changed_is_shared_and_what_has_is_not() {
        let (_place, layer, workspace, directory) = scene();
        fs::create_dir(workspace.join("src")).unwrap();
        fs::write(workspace.join("src/a"), "one").unwrap();
        fs::write(workspace.join("b"), "two").unwrap();
        symlink("../../b", workspace.join("src/link")).unwrap();
        let mut copies = LayerCopies::default();
        let first = copies.take(&layer, &directory, BOUNDS).unwrap().unwrap();
        assert_eq!(copies.take(&layer, &directory, BOUNDS).unwrap(), None);
        // In place, with the same length and an old time.
        let old = fs::metadata(workspace.join("b")).unwrap().modified().unwrap();
        fs::write(workspace.join("b"), "TWO").unwrap();
        fs::File::options().write(true).open(workspace.join("b")).unwrap().set_modified(old).unwrap();
        let second = copies.take(&layer, &directory, BOUNDS).unwrap().unwrap();
        let (first, second) = (copied(&directory, first), copied(&directory, second));
        assert_eq!(fs::read_to_string(first.join("b")).unwrap(), "two");
        assert_eq!(fs::read_to_string(second.join("b")).unwrap(), "TWO");
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(first.join("src/a")), inode(second.join("src/a")));
        assert_ne!(
            inode(first.join("src/a")),
            inode(workspace.join("src/a")),
            "the sandbox writes to its own"
        );
        assert_eq!(fs::read_link(second.join("src/link")).unwrap(), Path::new("../../b"));
        fs::remove_file(workspace.join("b")).unwrap();
        let third = copies.take(&layer, &directory, BOUNDS).unwrap().unwrap();
        assert!(!copied(&directory, third).join("b").exists());
    }

    #[test]
    fn a_copy_is_a_layer_to_be_forked() {
        let (place, layer, workspace, directory) = scene();
        fs::write(workspace.join("a"), "frozen").unwrap();
        layer.snapshot().unwrap();
        let written = layer.path.join("1/workspace/upper");
        fs::create_dir_all(&written).unwrap();
        fs::write(written.join("b"), "copied").unwrap();
        let snapshot = LayerCopies::default().take(&layer, &directory, BOUNDS).unwrap().unwrap();
        let copy = LayerStack::at(&directory.join(snapshot.to_string()));
        let fork = copy.fork(snapshot, &place.path().join("fork")).unwrap();
        let stack = Stack::read(&fork.path).unwrap();
        let parts = stack.mounted();
        let has = |part: usize, name: &str| parts[part].join("workspace/upper").join(name).exists();
        assert!(parts.len() == 2 && has(0, "a") && has(1, "b"));
        // Each goes without the others.
        super::super::remove_layer(&layer.path).unwrap();
        super::super::remove_layer(&copy.path).unwrap();
        assert!(has(0, "a") && has(1, "b"));
        super::super::remove_layer(&fork.path).unwrap();
        assert!(!layer.path.exists() && !copy.path.exists());
    }

    #[test]
    fn a_home_of_directories_alone_is_not_copied_and_any_other_is() {
        let (_place, layer, workspace, directory) = scene();
        let home = layer.path.join("0/home/upper");
        fs::create_dir_all(home.join(".cargo/registry")).unwrap();
        fs::create_dir(workspace.join("empty")).unwrap();
        let mut copies = LayerCopies::default();
        let mut take =
            || directory.join(copies.take(&layer, &directory, BOUNDS).unwrap().unwrap().to_string());
        let bare = take();
        assert!(!bare.join("0/home").exists() && bare.join("0/workspace/upper/empty").is_dir());
        fs::write(home.join(".cargo/config"), "x").unwrap();
        let with_file = take();
        assert!(with_file.join("0/home/upper/.cargo/registry").is_dir());
        assert_eq!(fs::read_to_string(with_file.join("0/home/upper/.cargo/config")).unwrap(), "x");
        fs::remove_file(home.join(".cargo/config")).unwrap();
        assert!(!take().join("0/home").exists());
        // What hides something below is something.
        symlink("nowhere", home.join("link")).unwrap();
        assert!(take().join("0/home/upper/link").is_symlink());
        fs::remove_file(home.join("link")).unwrap();
        let opaque = fs::File::open(home.join(".cargo")).unwrap();
        if let Err(errno) = rustix::fs::fsetxattr(&opaque, OPAQUE, b"y", rustix::fs::XattrFlags::empty()) {
            eprintln!("SKIPPED: this filesystem has no user attributes: {errno}");
            return;
        }
        assert!(take().join("0/home/upper/.cargo").is_dir());
    }

    #[test]
    fn what_is_too_much_is_not_copied() {
        let (_place, layer, workspace, directory) = scene();
        fs::write(workspace.join("a"), "one").unwrap();
        let mut copies = LayerCopies::default();
        for bounds in [CopyBounds { entries: 0, ..BOUNDS }, CopyBounds { bytes: 2, ..BOUNDS }] {
            let refused = copies.take(&layer, &directory, bounds);
            assert!(matches!(refused, Err(LayerError::TooLarge)), "{refused:?}");
        }
        assert_eq!(fs::read_dir(&directory).map_or(0, Iterator::count), 0);
        // However long it says that it is.
        fs::File::create(workspace.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(copies.take(&layer, &directory, BOUNDS), Err(LayerError::TooLarge)));
    }
}
