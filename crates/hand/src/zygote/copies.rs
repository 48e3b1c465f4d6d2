//! Copies of directories of the host, for where a mount will not do.
//!
//! What not everybody may read on the host is left out: in a copy it would be root's of the sandbox. Links
//! stay links. Bounded, since the copy is memory. Secrets that stand in settings, which hosts often let everybody read, are
//! left out as well, see [`super::secrets`].

use std::{
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{OpenOptionsExt as _, PermissionsExt as _},
        },
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};

use super::{
    mounts::{make_directories, make_parent},
    secrets,
};
use crate::sys::namespace::c_string;

/// Files, directories and links that one copy may have.
const MOST_ENTRIES: usize = 20_000;
/// Bytes that one copy may have.
const MOST_BYTES: u64 = 24 << 20;
/// How deep directories may lie in each other.
const DEEPEST: usize = 16;

/// Permission for everybody to read a file, and to use a directory.
const EVERYBODY_READS: u32 = 0o004;
const EVERYBODY_ENTERS: u32 = 0o005;

/// Copies the directory or file `host`, if there is one, to `path` below `root`.
pub(super) fn copy_all(host: &Path, root: &OwnedFd, path: &[u8]) -> io::Result<()> {
    let mut left = Left { entries: MOST_ENTRIES, bytes: MOST_BYTES };
    let metadata = match fs::metadata(host) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        return left.directory(host, &make_directories(root, path)?, DEEPEST);
    }
    let (parent, name) = make_parent(root, path)?;
    left.file(host, metadata.permissions().mode(), &parent, &name)
}

/// How much more may be copied.
struct Left {
    entries: usize,
    bytes: u64,
}

impl Left {
    fn directory(&mut self, host: &Path, target: &OwnedFd, depth: usize) -> io::Result<()> {
        let deeper = depth.checked_sub(1).ok_or(ErrorKind::QuotaExceeded)?;
        for entry in fs::read_dir(host)? {
            let path: PathBuf = entry?.path();
            // Gone again, perhaps.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let name = c_string(path.file_name().unwrap_or_default().as_bytes())?;
            let mode = metadata.permissions().mode();
            self.entries = self.entries.checked_sub(1).ok_or(ErrorKind::QuotaExceeded)?;
            if metadata.is_symlink() {
                symlinkat(c_string(fs::read_link(&path)?.as_os_str().as_bytes())?, target, &name)?;
            } else if metadata.is_dir() && mode & EVERYBODY_ENTERS == EVERYBODY_ENTERS {
                mkdirat(target, &name, Mode::from_raw_mode(0o755))?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = openat(target, &name, flags, Mode::empty())?;
                self.directory(&path, &below, deeper)?;
            } else if metadata.is_file() {
                self.file(&path, mode, target, &name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, host: &Path, mode: u32, parent: &OwnedFd, name: &std::ffi::CStr) -> io::Result<()> {
        if mode & EVERYBODY_READS == 0 {
            return Ok(());
        }
        let opened =
            fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(host);
        // A link where a file was named is followed once, by name.
        let opened = opened.or_else(|_| fs::File::open(host))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let copy = openat(parent, name, flags, Mode::from_raw_mode(mode & 0o755))?;
        let mut content = Vec::new();
        let length = opened.take(self.bytes + 1).read_to_end(&mut content)?;
        self.bytes = self.bytes.checked_sub(length as u64).ok_or(ErrorKind::QuotaExceeded)?;
        fs::File::from(copy).write_all(&secrets::left_out(content))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::open;

    use super::*;

    #[test]
    fn what_everybody_may_read_is_copied_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (host, root) = (place.path().join("host"), place.path().join("root"));
        fs::create_dir_all(host.join("in/closed")).unwrap();
        fs::create_dir(&root).unwrap();
        for (name, mode) in
            [("open", 0o644), ("in/program", 0o755), ("secret", 0o640), ("in/closed/file", 0o644)]
        {
            fs::write(host.join(name), name).unwrap();
            fs::set_permissions(host.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(host.join("in/closed"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(host.join("sources"), "deb https://me:canary@packages.example/ stable main\n").unwrap();
        fs::set_permissions(host.join("sources"), fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("nowhere", host.join("link")).unwrap();
        let target = open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        copy_all(&host, &target, b"/etc/thing").unwrap();
        copy_all(&host.join("open"), &target, b"/etc/single").unwrap();
        copy_all(&host.join("missing"), &target, b"/etc/missing").unwrap();
        let copy = root.join("etc/thing");
        assert_eq!(fs::read_to_string(copy.join("open")).unwrap(), "open");
        assert_eq!(fs::metadata(copy.join("in/program")).unwrap().permissions().mode() & 0o777, 0o755);
        let sources = fs::read_to_string(copy.join("sources")).unwrap();
        assert_eq!(sources, "deb https://packages.example/ stable main\n");
        assert_eq!(fs::read_link(copy.join("link")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::read_to_string(root.join("etc/single")).unwrap(), "open");
        for name in ["secret", "in/closed"] {
            assert!(!copy.join(name).exists(), "{name}");
        }
        assert!(!root.join("etc/missing").exists());
    }
}
