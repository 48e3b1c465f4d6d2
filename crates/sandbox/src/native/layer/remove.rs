//! Removal of trees that a sandbox has written. The kernel's working directories have no permissions at all, and so may others; links are
//! removed, not followed; nothing is too deep.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, unlinkat},
    io::Errno,
};

/// Removes a directory tree that a sandbox has written, completely. That there is nothing is no error.
pub(super) fn remove_all(tree: &Path) -> io::Result<()> {
    let Some((parent, name)) = tree.parent().zip(tree.file_name()) else {
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
                match unlinkat(&done.parent, &done.name, AtFlags::REMOVEDIR) {
                    // Somebody else removes the same.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno.into()),
                }
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
    let status = match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        found => found?,
    };
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
    use std::{fs, os::unix::fs::PermissionsExt as _};

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
