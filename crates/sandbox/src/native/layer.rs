//! A sandbox's own layer on disk: what it wrote, kept for later sandboxes of the same session.
//!
//! ```text
//! <layer>/workspace/upper   what it wrote to /workspace; a layer for others once the sandbox has ended
//! <layer>/workspace/work    the kernel's
//! <layer>/home              its home directory
//! <layer>/caches/<name>/…   what it added to a cache of the host
//! ```
//! The directories above `upper` and `home` belong to the worker; only what is in those two is written by the sandbox. Nothing here is ever
//! opened by following a link.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
};

use cofferdam_hand::protocol::zygote::Owner;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, openat, unlinkat},
    io::Errno,
};

use crate::SandboxError;

const WORKSPACE: &str = "workspace";
const UPPER: &str = "upper";
const WORK: &str = "work";
const HOME: &str = "home";
const CACHES: &str = "caches";

/// Where a layer keeps what its sandbox wrote to the workspace: a directory that can be a lower layer of later sandboxes.
#[must_use]
pub fn workspace_upper(layer: &Path) -> PathBuf {
    layer.join(WORKSPACE).join(UPPER)
}

/// The directories of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    path: PathBuf,
}

impl Layer {
    /// Makes what is missing of a layer.
    pub(super) fn prepare(path: &Path, owner: Owner) -> Result<Self, SandboxError> {
        let layer = Self { path: path.to_owned() };
        make(path, None)
            .and_then(|()| layer.prepare_overlay(&layer.workspace(), owner))
            .map_err(setup(path))?;
        make(&layer.home(), Some(owner)).map_err(setup(path))?;
        Ok(layer)
    }

    /// Makes what is missing of the part for a cache; gives its directory.
    pub(super) fn prepare_cache(&self, inside: &str, owner: Owner) -> Result<PathBuf, SandboxError> {
        let caches = self.path.join(CACHES);
        let directory = caches.join(inside.replace('/', "-"));
        let made = make(&caches, None).and_then(|()| self.prepare_overlay(&directory, owner));
        made.map_err(setup(&self.path))?;
        Ok(directory)
    }

    /// The directory with the upper layer of the workspace and the kernel's working directory.
    pub(super) fn workspace(&self) -> PathBuf {
        self.path.join(WORKSPACE)
    }

    /// The home directory.
    pub(super) fn home(&self) -> PathBuf {
        self.path.join(HOME)
    }

    /// The directory itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn prepare_overlay(&self, directory: &Path, owner: Owner) -> io::Result<()> {
        make(directory, None)?;
        make(&directory.join(UPPER), Some(owner))?;
        make(&directory.join(WORK), Some(owner))
    }
}

fn setup(path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let step = format!("make the layer {}", path.display());
    move |source| SandboxError::Setup { step, source }
}

/// Makes a directory if it is missing, and gives it to its owner when that is not this process's user anyway.
fn make(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    let Some(owner) = owner.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Removes a layer, or any directory tree that a sandbox has written, completely. The kernel's working directories have no
/// permissions at all, and so may others; links are removed, not followed. Blocks.
///
/// # Errors
/// The system's answer, when something cannot be removed. That there is nothing is no error.
pub fn remove_layer(layer: &Path) -> io::Result<()> {
    let Some((parent, name)) = layer.parent().zip(layer.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a layer has a parent directory and a name"));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, parent, flags, Mode::empty()) {
        Ok(parent) => remove_tree(parent, c_name(name)?),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn c_name(name: &std::ffi::OsStr) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(name.as_encoded_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// One directory on the way down: itself, its name in its parent, and names in it that are still to be removed.
struct Level {
    parent: OwnedFd,
    name: std::ffi::CString,
    directory: OwnedFd,
    left: Vec<std::ffi::CString>,
}

/// Depth first, with a stack of its own: a hostile tree may be deeper than ours. It holds two descriptors per level only while the
/// tree is shallow; deeper levels are moved up first.
fn remove_tree(parent: OwnedFd, name: std::ffi::CString) -> io::Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    let Some(top) = descend(parent, name)? else { return Ok(()) };
    levels.push(top);
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.left.pop() else {
            if let Some(done) = levels.pop() {
                unlinkat(&done.parent, &done.name, AtFlags::REMOVEDIR)?;
            }
            continue;
        };
        let directory = level.directory.try_clone()?;
        if let Some(next) = descend(directory, name)? {
            if levels.len() < DEEPEST {
                levels.push(next);
            } else if let Some(first) = levels.first_mut() {
                lift(&next, first)?;
            }
        }
    }
    Ok(())
}

/// More levels than this are not held open at a time.
const DEEPEST: usize = 64;

/// Moves a directory that lies too deep up to the first level, under a name of our own, to be removed from there.
fn lift(deep: &Level, first: &mut Level) -> io::Result<()> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let name = std::ffi::CString::new(format!("lifted-{:032x}", u128::from_le_bytes(bytes)))?;
    rustix::fs::renameat(&deep.parent, &deep.name, &first.directory, &name)?;
    first.left.push(name);
    Ok(())
}

/// Gives us permission for a directory, and for nothing else that a process which still lives may have put in its place: `chmod` by name
/// would follow a link to any file of the host.
fn permit(parent: &OwnedFd, name: &std::ffi::CStr) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    Ok(chmodat(CWD, path, Mode::RWXU, AtFlags::empty())?)
}

/// Removes a file, or opens a directory and reads the names in it.
fn descend(parent: OwnedFd, name: std::ffi::CString) -> io::Result<Option<Level>> {
    match unlinkat(&parent, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let status = rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        return Err(Errno::PERM.into());
    }
    if status.st_mode & 0o700 != 0o700 {
        permit(&parent, &name)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(&parent, &name, flags, Mode::empty())?;
    let mut left = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            left.push(name);
        }
    }
    Ok(Some(Level { parent, name, directory, left }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_directory_changes_nothing_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let other = place.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o711)).unwrap();
        std::os::unix::fs::symlink(&other, place.path().join("link")).unwrap();
        let parent = openat(CWD, place.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        permit(&parent, c"link").unwrap_err();
        assert_eq!(other.metadata().unwrap().permissions().mode() & 0o777, 0o711);
        permit(&parent, c"other").unwrap();
        assert_eq!(other.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
