//! Merges frozen parts into one tree that looks the same when it is mounted in their place.
//!
//! Files are not copied: the merged tree has hard links to them, which is sound because neither is ever written to again. Only directories
//! are made anew, and files that have as many links as their filesystem permits. What the parts say about what lies below them is kept: whiteouts (device 0:0) and opaque directories
//! (`user.overlay.opaque`), see the kernel's `overlayfs.rst`.
//!
//! The trees were written by sandboxes and are not trusted: every step is relative to an open directory and follows no link, and depth and
//! number of entries are bounded. In memory are only the paths of directories that are still to be looked at.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
        XattrFlags, fgetxattr, flistxattr, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2,
        readlinkat, statat, symlinkat, unlinkat,
    },
    io::Errno,
};

use super::error::LayerError;

/// Bounds of what is merged. Beyond them a layer just stays as deep as it is.
const MOST_ENTRIES: u64 = 5_000_000;
const MOST_WAITING: usize = 1_000_000;
const LONGEST_PATH: usize = 3_900;
/// Set on a directory below which lower layers are not to be seen.
pub(super) const OPAQUE: &str = "user.overlay.opaque";
/// Attributes that say something about a place rather than about the directory that had it.
const PLACE: [&str; 5] = [
    "user.overlay.origin",
    "user.overlay.impure",
    "user.overlay.nlink",
    "user.overlay.upper",
    "user.overlay.uuid",
];
const LONGEST_ATTRIBUTE: usize = 64 << 10;

/// A whiteout in a directory that no layer below has would be seen in its listing: the kernel looks for whiteouts only in directories that it
/// merges. So beside the merged tree there is another one, with nothing but the directories in which whiteouts are, to be mounted below it.
pub(super) const BELOW: &str = "below";

/// Merges the trees at `sources`, lowest first, into the empty directory `target`; the directories with whiteouts go to `skeleton`. `go_on` is asked again and again.
pub(super) fn merge(
    sources: &[PathBuf],
    target: &Path,
    skeleton: &Path,
    go_on: &dyn Fn() -> bool,
) -> Result<(), LayerError> {
    let roots: Result<Vec<OwnedFd>, Errno> = sources.iter().map(|source| open(source)).collect();
    let merge = Merge {
        roots: roots.map_err(system("open a frozen part"))?,
        target: open(target).map_err(system("open the merged part"))?,
        skeleton: open(skeleton).map_err(system("open the merged part"))?,
    };
    let all = (0..sources.len()).rev().collect();
    let mut waiting = vec![Waiting { path: PathBuf::new(), from: all, hides: false }];
    let mut entries = 0;
    while let Some(next) = waiting.pop() {
        if !go_on() {
            return Err(LayerError::Merge("it was changed or removed meanwhile".to_owned()));
        }
        merge.directory(&next, &mut waiting, &mut entries)?;
        if waiting.len() > MOST_WAITING || entries > MOST_ENTRIES {
            return Err(LayerError::Merge(format!("it has more than {MOST_ENTRIES} entries")));
        }
    }
    Ok(())
}

/// Makes a directory of the tree that is mounted below a merged one, see [`BELOW`].
pub(super) fn make_below(skeleton: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let mut above = PathBuf::new();
    for name in path.components() {
        match mkdirat(below(skeleton, &above)?, name.as_os_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => above.push(name),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether an entry says that there is nothing, whatever is below.
fn is_whiteout(directory: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0)
}

pub(super) fn names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let names = Dir::read_from(directory)?.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    names
        .filter(|name| !name.as_ref().is_ok_and(|name| name.as_c_str() == c"." || name.as_c_str() == c".."))
        .collect()
}

pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

pub(super) fn system(what: &'static str) -> impl FnOnce(Errno) -> LayerError {
    move |errno| LayerError::System { what: what.to_owned(), source: errno.into() }
}

struct Merge {
    /// Lowest first.
    roots: Vec<OwnedFd>,
    target: OwnedFd,
    skeleton: OwnedFd,
}

/// A directory below one of the roots, which has been made in the target already.
struct Waiting {
    path: PathBuf,
    /// Which of the roots have it, newest first, as far as they are to be merged.
    from: Vec<usize>,
    /// Whether nothing of the layers below may be seen in it.
    hides: bool,
}

impl Merge {
    /// Merges the entries of one directory.
    fn directory(
        &self,
        next: &Waiting,
        waiting: &mut Vec<Waiting>,
        entries: &mut u64,
    ) -> Result<(), LayerError> {
        let Waiting { path, from, hides } = next;
        let target = below(&self.target, path).map_err(system("open a merged directory"))?;
        for (position, root) in from.iter().enumerate() {
            let older = from.get(position.saturating_add(1)..).unwrap_or_default();
            let source = self.source(*root, path).map_err(system("open a frozen directory"))?;
            for name in names(&source).map_err(system("read a frozen directory"))? {
                *entries = entries.saturating_add(1);
                let place =
                    Place { source: &source, target: &target, path, root: *root, older, hides: *hides };
                self.entry(&place, &name, waiting)?;
            }
        }
        self.whiteouts(path, &target, *hides).map_err(system("look after whiteouts"))
    }

    /// Where nothing can be seen of what is below, whiteouts have done their part; elsewhere they need a directory below.
    fn whiteouts(&self, path: &Path, target: &OwnedFd, hides: bool) -> Result<(), Errno> {
        let mut left = false;
        for name in names(target)? {
            if is_whiteout(target, &name)? {
                if hides {
                    unlinkat(target, &name, AtFlags::empty())?;
                } else {
                    left = true;
                }
            }
        }
        if left { make_below(&self.skeleton, path) } else { Ok(()) }
    }

    /// Adds one entry, unless a newer one stands in its place.
    fn entry(&self, place: &Place<'_>, name: &CStr, waiting: &mut Vec<Waiting>) -> Result<(), LayerError> {
        let look = |errno| system("look at an entry of a frozen directory")(errno);
        match statat(place.target, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(look(errno)),
        }
        let status = statat(place.source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(look)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            let linked = match linkat(place.source, name, place.target, name, AtFlags::empty()) {
                Err(Errno::MLINK) => copy_entry(place.source, place.target, name, &status),
                linked => linked,
            };
            return linked.map_err(system("link a file into the merged part"));
        }
        let path = place.path.join(OsStr::from_bytes(name.to_bytes()));
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(LayerError::Merge("a path in it is too long".to_owned()));
        }
        let directory = self.source(place.root, &path).map_err(look)?;
        let (from, hides) = self.contributors(&path, place.root, place.older, &directory)?;
        copy_directory(place.target, name, &directory).map_err(system("make a merged directory"))?;
        if hides {
            let made = below(place.target, Path::new(OsStr::from_bytes(name.to_bytes())));
            let set = made.and_then(|made| fsetxattr(made, OPAQUE, b"y", XattrFlags::empty()));
            set.map_err(system("mark a merged directory"))?;
        }
        waiting.push(Waiting { path, from, hides: hides || place.hides });
        Ok(())
    }

    /// Which roots have a part of a directory: the newest that does, and older ones until one of them hides what is below it. Also says
    /// whether that is so, and hence nothing of the layers below all of these may be seen there either.
    fn contributors(
        &self,
        path: &Path,
        newest: usize,
        older: &[usize],
        directory: &OwnedFd,
    ) -> Result<(Vec<usize>, bool), LayerError> {
        let mut from = vec![newest];
        if is_opaque(directory) {
            return Ok((from, true));
        }
        for root in older {
            match self.source(*root, path) {
                Ok(directory) => {
                    from.push(*root);
                    if is_opaque(&directory) {
                        return Ok((from, true));
                    }
                }
                Err(Errno::NOENT) => {}
                // A file or a whiteout in its place ends the directory; a link too.
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok((from, true)),
                Err(errno) => return Err(system("open a frozen directory")(errno)),
            }
        }
        Ok((from, false))
    }

    fn source(&self, root: usize, path: &Path) -> Result<OwnedFd, Errno> {
        self.roots.get(root).ok_or(Errno::NOENT).and_then(|root| below(root, path))
    }
}

/// Where an entry is and goes.
struct Place<'m> {
    source: &'m OwnedFd,
    target: &'m OwnedFd,
    path: &'m Path,
    root: usize,
    older: &'m [usize],
    hides: bool,
}

/// Opens a directory below another; nothing on the way may lead out of it.
pub(super) fn below(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// Whether layers below a directory are hidden.
pub(super) fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0_u8; 2];
    matches!(fgetxattr(directory, OPAQUE, &mut value), Ok(1)) && value[0] == b'y'
}

pub(super) fn copy_directory(parent: &OwnedFd, name: &CStr, from: &OwnedFd) -> Result<(), Errno> {
    mkdirat(parent, name, Mode::RWXU)?;
    let made = below(parent, Path::new(OsStr::from_bytes(name.to_bytes())))?;
    copy_attributes(from, &made)
}

/// Gives the directory `target` the owner, mode and attributes of the newest of those that are merged into it.
pub(super) fn like(newest: Option<&PathBuf>, target: &Path) -> Result<(), LayerError> {
    let Some(newest) = newest else { return Ok(()) };
    let copied = open(newest).and_then(|from| copy_attributes(&from, &open(target)?));
    copied.map_err(system("make a merged part"))
}

/// Copies what is no directory, where it cannot have one more link.
pub(super) fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, status: &Stat) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(status.st_mode);
    match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut original = File::from(openat(from, name, flags, Mode::empty())?);
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut copy = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
            // Nobody writes to either meanwhile, so it ends.
            io::copy(&mut original, &mut copy)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            let copy = OwnedFd::from(copy);
            copy_attributes(&OwnedFd::from(original), &copy)?;
            let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
            futimens(
                &copy,
                &Timestamps {
                    last_access: time(status.st_atime, status.st_atime_nsec.cast_signed()),
                    last_modification: time(status.st_mtime, status.st_mtime_nsec.cast_signed()),
                },
            )
        }
        FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name),
        // Whiteouts: the kernel makes links to one as long as it can.
        FileType::CharacterDevice if status.st_rdev == 0 => mknodat(to, name, kind, Mode::empty(), 0),
        FileType::Fifo => mknodat(to, name, kind, Mode::from_raw_mode(status.st_mode & 0o777), 0),
        // Nobody listens at a socket of a frozen part, and devices are in none.
        FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Directory
        | FileType::Unknown => Ok(()),
    }
}

pub(super) fn copy_attributes(from: &OwnedFd, made: &OwnedFd) -> Result<(), Errno> {
    let status = rustix::fs::fstat(from)?;
    let privileged = rustix::process::geteuid().is_root();
    if privileged {
        rustix::fs::fchown(made, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    }
    for attribute in attributes(from)? {
        // What programs may do and labels: only root may say so, and not every filesystem can.
        let security = privileged && attribute.to_bytes().starts_with(b"security.");
        if (security || attribute.to_bytes().starts_with(b"user."))
            && !PLACE.iter().any(|name| name.as_bytes() == attribute.to_bytes())
        {
            let mut value = vec![0; LONGEST_ATTRIBUTE];
            let length = fgetxattr(from, &attribute, value.as_mut_slice())?;
            match fsetxattr(made, &attribute, value.get(..length).unwrap_or_default(), XattrFlags::empty()) {
                Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL) if security => {}
                set => set?,
            }
        }
    }
    // Last, since it may take away the permission for the rest. An owner keeps those that merging needs.
    let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
    rustix::fs::fchmod(made, if privileged { mode } else { mode | Mode::RWXU })
}

/// The names of a directory's extended attributes.
fn attributes(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = vec![0_u8; LONGEST_ATTRIBUTE];
    let length = match flistxattr(directory, names.as_mut_slice()) {
        Err(Errno::NOTSUP) => 0,
        done => done?,
    };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).filter_map(|name| CString::new(name).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    };

    use super::*;

    /// Links that some filesystems permit, and a few more.
    const MANY: usize = 65_010;

    #[test]
    fn a_file_with_all_the_links_it_can_have_is_copied() {
        let place = tempfile::tempdir().unwrap();
        let (source, target, skeleton) =
            (place.path().join("source"), place.path().join("target"), place.path().join("below"));
        for directory in [&source, &target, &skeleton] {
            fs::create_dir(directory).unwrap();
        }
        let first = source.join("0");
        fs::write(&first, "content").unwrap();
        fs::set_permissions(&first, fs::Permissions::from_mode(0o751)).unwrap();
        if (1..MANY).all(|number| fs::hard_link(&first, source.join(number.to_string())).is_ok()) {
            eprintln!("SKIPPED: files have any number of links here");
            return;
        }
        let many = fs::read_dir(&source).unwrap().count();
        merge(&[source], &target, &skeleton, &|| true).unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), many);
        assert_eq!(fs::read_to_string(target.join("0")).unwrap(), "content");
        assert_eq!(fs::metadata(target.join("0")).unwrap().mode() & 0o777, 0o751);
    }

    #[test]
    fn a_copy_is_like_what_was_copied() {
        let place = tempfile::tempdir().unwrap();
        let (source, target) = (place.path().join("source"), place.path().join("target"));
        fs::create_dir(&source).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(source.join("file"), "content").unwrap();
        fs::set_permissions(source.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::open(source.join("file")).unwrap().set_modified(old).unwrap();
        symlink("elsewhere", source.join("link")).unwrap();
        let (from, to) = (open(&source).unwrap(), open(&target).unwrap());
        let file = openat(&from, c"file", OFlags::RDONLY, Mode::empty()).unwrap();
        let capability = rustix::process::geteuid().is_root()
            // CAP_NET_RAW in revision 2 (capabilities(7)).
            && fsetxattr(
                &file,
                "security.capability",
                &[0, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                XattrFlags::empty(),
            )
            .is_ok();
        for name in [c"file", c"link"] {
            let status = statat(&from, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
            copy_entry(&from, &to, name, &status).unwrap();
        }
        let copy = fs::metadata(target.join("file")).unwrap();
        assert_eq!((copy.mode() & 0o777, copy.modified().unwrap(), copy.nlink()), (0o640, old, 1));
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "content");
        assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("elsewhere"));
        if capability {
            let copy = openat(&to, c"file", OFlags::RDONLY, Mode::empty()).unwrap();
            assert_eq!(fgetxattr(&copy, "security.capability", &mut [0_u8; 64]), Ok(20));
        } else {
            eprintln!("SKIPPED: no capability of a file can be set here");
        }
    }
}
