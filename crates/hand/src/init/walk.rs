//! Opening a file for reading without a way through the links of `/proc`, also where the system has no openat2(2) (before Linux 5.6; gVisor).

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::Path,
};

use rustix::{
    fs::{
        CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs, open, openat, openat2,
        readlinkat,
    },
    io::Errno,
};

/// Symbolic links on the way to a file at most, as in the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Opens what is at a path for reading: without waiting, and not as the controlling terminal.
///
/// # Errors
/// The system's answer; `ELOOP` where a link of `/proc` is on the way, or too many others are.
pub(super) fn open_plainly(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        Err(Errno::NOSYS) => walk(path, flags),
        done => done,
    }
}

/// The same, name by name: no link is followed but by what it says.
fn walk(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory =
        if path.is_absolute() { open("/", place, Mode::empty())? } else { open(".", place, Mode::empty())? };
    let mut names = names(path.as_os_str());
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        let last = names.is_empty();
        let found = openat(&directory, &name, place, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink {
            links += 1;
            if links > MOST_LINKS || fstatfs(&found)?.f_type == PROC_SUPER_MAGIC {
                return Err(Errno::LOOP);
            }
            let target = OsString::from_vec(readlinkat(&directory, &name, Vec::new())?.into_bytes());
            if Path::new(&target).is_absolute() {
                directory = open("/", place, Mode::empty())?;
            }
            let rest = std::mem::take(&mut names);
            names = self::names(&target);
            names.extend(rest);
        } else if last {
            // A link that has just taken its place is not followed either.
            return openat(&directory, &name, flags | OFlags::NOFOLLOW, Mode::empty());
        } else {
            directory = found;
        }
    }
    // It ends with what stands for a directory.
    openat(&directory, ".", flags, Mode::empty())
}

/// The names in a path; `.` at its end says that a directory is meant.
fn names(path: &OsStr) -> VecDeque<OsString> {
    let bytes = path.as_bytes();
    let mut names: VecDeque<OsString> = bytes
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect();
    if bytes.ends_with(b"/") {
        names.push_back(".".into());
    }
    names
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink};

    use super::*;

    fn content(path: &Path) -> Result<String, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = walk(path, flags)?;
        let mut text = String::new();
        let read = fs::File::from(opened).read_to_string(&mut text);
        read.map(|_| text).map_err(|error| Errno::from_io_error(&error).unwrap())
    }

    #[test]
    fn links_lead_where_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "text").unwrap();
        symlink("b", at("a/c")).unwrap();
        symlink("../a/c/file", at("a/link")).unwrap();
        symlink(at("a/link"), at("absolute")).unwrap();
        symlink("self", at("self")).unwrap();
        for name in ["a/b/file", "a/c/file", "a/link", "absolute", "a/./b/../c/file"] {
            assert_eq!(content(&at(name)).as_deref(), Ok("text"), "{name}");
        }
        assert_eq!(content(&at("none")), Err(Errno::NOENT));
        assert_eq!(content(&at("a/b/file/")), Err(Errno::NOTDIR));
        assert_eq!(content(&at("a/")), Err(Errno::ISDIR));
        assert_eq!(content(&at("self")), Err(Errno::LOOP));
    }

    #[test]
    fn links_of_proc_lead_nowhere() {
        for path in ["/proc/self/fd/0", "/proc/self/root/etc/passwd", "/proc/self/exe", "/proc/self/cwd/x"] {
            assert_eq!(content(Path::new(path)), Err(Errno::LOOP), "{path}");
            assert_eq!(open_plainly(Path::new(path)).err(), Some(Errno::LOOP), "{path}");
        }
        assert!(content(Path::new("/proc/uptime")).is_ok());
    }
}
