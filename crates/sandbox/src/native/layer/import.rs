//! Reading a snapshot from an archive, which is taken to be hostile whatever its digest: everything in it is bounded, every path is walked
//! from the new layer's own directory without following a link, and what is not known is refused rather than left out.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Component, Path, PathBuf},
};

use flate2::read::GzDecoder;
use rustix::{
    fs::{
        FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, fsetxattr, futimens, mkdirat, mknodat,
        openat, symlinkat,
    },
    io::Errno,
};
use tar::{Entry, EntryType, PaxExtensions};

use super::{
    CACHES, HOME, LayerStack, UPPER, WORKSPACE,
    archive::{self, ArchiveBounds, OPAQUE_RECORD},
    error::{LayerError, failed},
    history::remove_layer,
    make,
    merge::{self, BELOW, OPAQUE, below},
    stack::{Part, SnapshotId, Stack},
};

/// Bytes of a name, a link's target, or a pax header.
const LONGEST_NAME: u64 = 8 << 10;
/// Up to here no ratio is asked about.
const SMALL: u64 = 1 << 20;

impl LayerStack {
    /// Makes this layer, which must not exist yet, from an archive that [`Self::export`] has written. It begins with the one snapshot that is
    /// returned. Its files belong to this process's user, and are shown as the agent's like those of any lower layer.
    ///
    /// # Errors
    /// [`LayerError::Archive`] when the archive is not what its name says or holds what it may not; [`LayerError::Exists`]. Nothing is left
    /// then.
    pub fn import(&self, archive: &Path, bounds: ArchiveBounds) -> Result<SnapshotId, LayerError> {
        let (file, compressed) = archive::open(archive, &bounds)?;
        match fs::create_dir(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(LayerError::Exists(self.path.clone()));
            }
            Err(error) => return Err(failed(format!("make the layer {}", self.path.display()))(error)),
        }
        let imported = self.unpack(file, compressed, bounds);
        if imported.is_err() {
            // The first error tells more.
            remove_layer(&self.path).ok();
        }
        imported
    }

    fn unpack(
        &self,
        file: File,
        compressed: u64,
        mut bounds: ArchiveBounds,
    ) -> Result<SnapshotId, LayerError> {
        bounds.bytes = bounds.bytes.min(SMALL.max(compressed.saturating_mul(bounds.ratio)));
        let mut stack = Stack::new(&self.path);
        let part = stack.top();
        make(&part, None).map_err(failed("make a part of a layer"))?;
        for place in [WORKSPACE, HOME] {
            make(&part.join(place).join(UPPER), None).map_err(failed("make a part of a layer"))?;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, &part, flags, Mode::empty());
        let root = root.map_err(|errno| failed("open a part of a layer")(errno.into()))?;
        // Headers and padding are a block each at most, and there are up to three headers for an entry.
        let most = bounds.bytes.saturating_add(bounds.entries.saturating_mul(8 << 10));
        Import { root, bounds, next: Extra::default() }.all(GzDecoder::new(file).take(most))?;
        let snapshot = SnapshotId::generate().map_err(failed("choose a name for a snapshot"))?;
        stack.frozen.push(Part { snapshot, directory: part });
        stack.number = 1;
        stack.write()?;
        Ok(snapshot)
    }
}

struct Import {
    root: OwnedFd,
    bounds: ArchiveBounds,
    next: Extra,
}

/// What entries before an entry say of it.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    opaque: bool,
}

fn refused(why: impl Into<String>) -> LayerError {
    LayerError::Archive(why.into())
}

impl Import {
    fn all(mut self, from: impl Read) -> Result<(), LayerError> {
        let mut archive = tar::Archive::new(from);
        let unreadable = |error: io::Error| refused(format!("it cannot be read: {error}"));
        for entry in archive.entries().map_err(unreadable)?.raw(true) {
            let mut entry = entry.map_err(unreadable)?;
            self.bounds.entries =
                self.bounds.entries.checked_sub(1).ok_or_else(|| refused("it has too many entries"))?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() {
                self.next.path = Some(text(&mut entry)?);
            } else if kind.is_gnu_longlink() {
                self.next.link = Some(text(&mut entry)?);
            } else if kind.is_pax_local_extensions() {
                self.next.opaque = is_opaque(&short(&mut entry)?)?;
            } else {
                let extra = std::mem::take(&mut self.next);
                self.entry(entry, extra)?;
            }
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>, extra: Extra) -> Result<(), LayerError> {
        let bytes = extra.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&bytes).into_owned();
        let path =
            place(Path::new(std::ffi::OsStr::from_bytes(&bytes)), self.bounds.depth).ok_or_else(|| {
                refused(format!("the path {name:?} is not below a directory of a layer, or too deep"))
            })?;
        let kind = entry.header().entry_type();
        if extra.opaque && kind != EntryType::Directory {
            return Err(refused(format!("{name:?} is no directory and cannot be opaque")));
        }
        let made = if kind.is_dir() {
            self.directory(&path, &entry, extra.opaque)
        } else if kind.is_file() {
            let size = entry.size();
            let left = self.bounds.bytes.checked_sub(size);
            self.bounds.bytes = left.ok_or_else(|| refused("it unpacks to too many bytes"))?;
            self.file(&path, &mut entry, size)
        } else if kind.is_symlink() {
            let link = extra.link.or_else(|| entry.link_name_bytes().map(|link| link.into_owned()));
            let link = link.filter(|link| !link.is_empty() && !link.contains(&0));
            self.link(&path, &link.ok_or_else(|| refused(format!("{name:?} links to nothing")))?)
        } else if kind.is_character_special() && is_whiteout(&entry) {
            self.whiteout(&path)
        } else {
            return Err(refused(format!("{name:?} is neither a file, a directory, a link nor a whiteout")));
        };
        made.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::EXIST) => refused(format!("{name:?} is in it twice")),
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                refused(format!("{name:?} is below something that is not a directory"))
            }
            _ => failed(format!("unpack {name:?}"))(error),
        })
    }

    /// The directory that an entry is in, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p std::ffi::OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Ok((below(&self.root, parent)?, name))
    }

    /// Makes the directory that is mounted below the one with a whiteout.
    fn make_below(&self, path: &Path) -> io::Result<()> {
        let names: Vec<_> = path.iter().collect();
        let upper = names.iter().position(|name| *name == UPPER).ok_or(io::ErrorKind::InvalidInput)?;
        let (place, inside) = names.split_at_checked(upper).ok_or(io::ErrorKind::InvalidInput)?;
        let inside: PathBuf = inside.iter().skip(1).collect();
        let place = below(&self.root, &place.iter().collect::<PathBuf>())?;
        make_place(&place, BELOW.as_ref())?;
        let skeleton = below(&place, Path::new(BELOW))?;
        Ok(merge::make_below(&skeleton, inside.parent().unwrap_or(Path::new("")))?)
    }

    /// Makes the directories above that of a cache, whose name is known to be harmless.
    fn make_cache(&self, path: &Path) -> io::Result<()> {
        let mut above = PathBuf::new();
        for name in path.parent().into_iter().flat_map(Path::components) {
            make_place(&below(&self.root, &above)?, name.as_os_str())?;
            above.push(name);
        }
        Ok(())
    }

    fn directory<R: Read>(&self, path: &Path, entry: &Entry<'_, R>, opaque: bool) -> io::Result<()> {
        let is_place = path.file_name() == Some(UPPER.as_ref()) && path.components().count() <= 3;
        if is_place {
            self.make_cache(path)?;
        }
        let (parent, name) = self.parent(path)?;
        if is_place {
            make_place(&parent, name)?;
        } else {
            mkdirat(&parent, name, Mode::RWXU)?;
        }
        let made = below(&parent, Path::new(name))?;
        if opaque {
            fsetxattr(&made, OPAQUE, b"y", XattrFlags::empty())?;
        }
        // Whoever unpacks must be able to go on.
        Ok(rustix::fs::fchmod(&made, mode(entry) | Mode::RWXU)?)
    }

    fn file<R: Read>(&self, path: &Path, entry: &mut Entry<'_, R>, size: u64) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?);
        if io::copy(entry, &mut file)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        rustix::fs::fchmod(&file, mode(entry))?;
        let time = entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
        let time = Timespec { tv_sec: time.unwrap_or(0), tv_nsec: 0 };
        Ok(futimens(&file, &Timestamps { last_access: time, last_modification: time })?)
    }

    fn link(&self, path: &Path, target: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(symlinkat(Path::new(std::ffi::OsStr::from_bytes(target)), parent, name)?)
    }

    fn whiteout(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        self.make_below(path)?;
        Ok(mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)?)
    }
}

fn make_place(parent: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<()> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// No set-user-id and the like.
fn mode<R: Read>(entry: &Entry<'_, R>) -> Mode {
    Mode::from_raw_mode(entry.header().mode().unwrap_or(0o644) & 0o777)
}

fn is_whiteout<R: Read>(entry: &Entry<'_, R>) -> bool {
    let (major, minor) = (entry.header().device_major(), entry.header().device_minor());
    matches!((major, minor), (Ok(Some(0)), Ok(Some(0)))) && entry.size() == 0
}

/// The content of an entry that says something of the next one.
fn short<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, LayerError> {
    if entry.size() > LONGEST_NAME {
        return Err(refused("a name or header in it is too long"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| refused(format!("it cannot be read: {error}")))?;
    Ok(bytes)
}

/// A name that ends with a zero byte.
fn text<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, LayerError> {
    let mut bytes = short(entry)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// Whether a pax header makes a directory opaque. It may not say anything else that matters.
fn is_opaque(header: &[u8]) -> Result<bool, LayerError> {
    let mut opaque = false;
    for record in PaxExtensions::new(header) {
        let record = record.map_err(|error| refused(format!("a pax header does not parse: {error}")))?;
        match (record.key(), record.value_bytes()) {
            (Ok(OPAQUE_RECORD), b"y") => opaque = true,
            (Ok(key), _) => return Err(refused(format!("it has the pax record {key:?}"))),
            (Err(_), _) => return Err(refused("it has a pax record whose name is not text")),
        }
    }
    Ok(opaque)
}

/// Where an entry goes in a part: `workspace/x` to `workspace/upper/x`. `None` for a path that leads elsewhere, or too deep.
fn place(path: &Path, depth: usize) -> Option<PathBuf> {
    if path.as_os_str().as_bytes().contains(&0) {
        return None;
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
                return None;
            }
        }
    }
    let first = names.first()?.to_str()?;
    let places = match first {
        WORKSPACE | HOME => 1,
        CACHES if names.len() >= 2 => 2,
        _ => return None,
    };
    let (place, rest) = names.split_at_checked(places)?;
    (rest.len() <= depth).then(|| place.iter().chain([&std::ffi::OsStr::new(UPPER)]).chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_a_layer_are_taken() {
        for (given, expected) in [
            ("workspace", Some("workspace/upper")),
            ("workspace/a/b", Some("workspace/upper/a/b")),
            ("home/x", Some("home/upper/x")),
            ("caches/.cargo-registry/x", Some("caches/.cargo-registry/upper/x")),
            ("caches", None),
            ("elsewhere/x", None),
            ("/workspace/x", None),
            ("workspace/../../x", None),
            ("./workspace/x", None),
            ("", None),
            ("workspace/a/b/c/d", None),
        ] {
            assert_eq!(place(Path::new(given), 3), expected.map(PathBuf::from), "{given}");
        }
    }
}
