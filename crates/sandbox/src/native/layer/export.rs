//! Writing a snapshot to an archive.
//!
//! Its parts are merged first (by links, see [`super::merge`]), then written in the order of their names, so that the same content gives the
//! same archive. Sockets and pipes are left out; owners are not told.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use tar::{Builder, EntryType, Header};

use super::{
    LayerStack, UPPER,
    archive::{Archive, ArchiveBounds, Hashing, OPAQUE_RECORD, SUFFIX},
    error::{LayerError, failed},
    make,
    merge::{below, is_opaque},
    remove::remove_all,
    squash::merge_parts,
    stack::{self, SnapshotId, Stack},
    uppers,
};

impl LayerStack {
    /// Writes a snapshot to an archive in `directory`, named after its digest. The workspace's own lower layers are not part of it.
    ///
    /// # Errors
    /// [`LayerError::Unknown`]; [`LayerError::Archive`] when it is over the bounds.
    pub fn export(
        &self,
        snapshot: SnapshotId,
        directory: &Path,
        bounds: ArchiveBounds,
    ) -> Result<Archive, LayerError> {
        let stack = Stack::read(&self.path)?.up_to(snapshot)?;
        let (merged, unfinished) =
            (self.path.join(format!("export-{snapshot}")), directory.join(format!("{snapshot}.unfinished")));
        // What an export has left that was cut short.
        fs::remove_file(&unfinished).ok();
        remove_all(&merged)
            .and_then(|()| make(&merged, None))
            .map_err(failed("make a directory for an export"))?;
        let written = write(&stack, &merged, &unfinished, bounds);
        // What is left of it goes with the layer.
        remove_all(&merged).ok();
        let (digest, bytes) = written.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        let path = directory.join(format!("{digest}{SUFFIX}"));
        fs::rename(&unfinished, &path).map_err(failed(format!("name the archive {}", path.display())))?;
        Ok(Archive { path, digest, bytes })
    }
}

fn write(
    stack: &Stack,
    merged: &Path,
    to: &Path,
    bounds: ArchiveBounds,
) -> Result<(String, u64), LayerError> {
    let parts: Vec<PathBuf> = stack.frozen.iter().map(|part| part.directory.clone()).collect();
    let _locks = parts
        .iter()
        .map(|part| stack::lock_shared(part))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed("lock frozen parts"))?;
    merge_parts(&parts, merged, &|| true)?;
    let file = File::create_new(to).map_err(failed(format!("make the archive {}", to.display())))?;
    let hashing = Hashing::new(BufWriter::new(file), bounds.compressed);
    let mut export = Export { to: Builder::new(GzEncoder::new(hashing, Compression::fast())), bounds };
    for (place, upper) in uppers(merged).map_err(failed("read the merged snapshot"))? {
        export.tree(place.parent().unwrap_or(&place), &upper)?;
    }
    let finished = export.to.into_inner().and_then(GzEncoder::finish).and_then(|mut hashing| {
        hashing.flush()?;
        Ok(hashing.finish())
    });
    finished.map_err(failed("finish the archive"))
}

struct Export<W: Write> {
    to: Builder<W>,
    bounds: ArchiveBounds,
}

impl<W: Write> Export<W> {
    /// Writes all that is below a directory, under the name `place`.
    fn tree(&mut self, place: &Path, upper: &Path) -> Result<(), LayerError> {
        debug_assert!(upper.ends_with(UPPER));
        let root = openat(
            rustix::fs::CWD,
            upper,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let root = root.map_err(|errno| failed("open the merged snapshot")(errno.into()))?;
        let mut waiting = vec![PathBuf::new()];
        while let Some(path) = waiting.pop() {
            if path.components().count() >= self.bounds.depth {
                return Err(over("depth"));
            }
            let written = self.directory(&root, place, &path, &mut waiting);
            written.map_err(|error| {
                if error.kind() == io::ErrorKind::FileTooLarge {
                    over("size")
                } else if error.kind() == io::ErrorKind::QuotaExceeded {
                    over("number of entries")
                } else {
                    failed("write the archive")(error)
                }
            })?;
        }
        Ok(())
    }

    /// Writes one directory and its entries but for directories, which are left waiting.
    fn directory(
        &mut self,
        root: &OwnedFd,
        place: &Path,
        path: &Path,
        waiting: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        let directory = below(root, path)?;
        let mut header = header(&rustix::fs::fstat(&directory)?, EntryType::Directory);
        if is_opaque(&directory) {
            self.to.append_pax_extensions([(OPAQUE_RECORD, &b"y"[..])])?;
        }
        self.to.append_data(&mut header, named(place, path), io::empty())?;
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(&directory)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                names.insert(name);
            }
        }
        let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
        self.bounds.entries = self.bounds.entries.checked_sub(count).ok_or(io::ErrorKind::QuotaExceeded)?;
        for name in names {
            self.entry(&directory, &name, place, path, waiting)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &OsString,
        place: &Path,
        path: &Path,
        waiting: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        let status = statat(directory, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let (path, target) = (path.join(name), named(place, &path.join(name)));
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => waiting.push(path),
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = File::from(openat(directory, name.as_os_str(), flags, Mode::empty())?);
                let size = u64::try_from(status.st_size).unwrap_or(u64::MAX);
                self.bounds.bytes = self.bounds.bytes.checked_sub(size).ok_or(io::ErrorKind::FileTooLarge)?;
                let mut header = header(&status, EntryType::Regular);
                header.set_size(size);
                self.to.append_data(&mut header, target, file.take(size))?;
            }
            FileType::Symlink => {
                let link = readlinkat(directory, name.as_os_str(), Vec::new())?;
                let mut header = header(&status, EntryType::Symlink);
                let link = Path::new(std::ffi::OsStr::from_bytes(link.to_bytes()));
                self.to.append_link(&mut header, target, link)?;
            }
            FileType::CharacterDevice if status.st_rdev == 0 => {
                let mut header = header(&status, EntryType::Char);
                header.set_device_major(0)?;
                header.set_device_minor(0)?;
                self.to.append_data(&mut header, target, io::empty())?;
            }
            FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Fifo
            | FileType::Socket
            | FileType::Unknown => {}
        }
        Ok(())
    }
}

fn over(what: &str) -> LayerError {
    LayerError::Archive(format!("the snapshot is over the bound of its {what}"))
}

fn named(place: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { place.to_owned() } else { place.join(path) }
}

fn header(status: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(status.st_mode & 0o777);
    // That of anything else is when it was merged or unpacked.
    let time = if kind == EntryType::Regular { u64::try_from(status.st_mtime).unwrap_or(0) } else { 0 };
    header.set_mtime(time);
    header.set_size(0);
    header
}
