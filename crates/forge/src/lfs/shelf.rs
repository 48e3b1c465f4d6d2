//! Shelves: directories of contents by their SHA-256, as git-lfs has them (`aa/bb/aabb…`). Nothing gets there that has not the length and the
//! digest that its pointer names.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use cofferdam_domain::Digest;
use ring::digest::{Context, SHA256};

use super::LfsPointer;
use crate::{FileError, durable::make_directory};

/// How many contents this process has begun to take in.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// A directory of contents.
#[derive(Debug, Clone)]
pub struct LfsShelf(PathBuf);

impl LfsShelf {
    /// The shelf in a directory, which is made when it is first needed.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a content is, or would be.
    #[must_use]
    pub fn place(&self, content: &Digest) -> PathBuf {
        let name = content.hex();
        self.0.join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Whether what a pointer names is here.
    #[must_use]
    pub fn has(&self, pointer: &LfsPointer) -> bool {
        let found = fs::symlink_metadata(self.place(&pointer.content));
        found.is_ok_and(|found| found.is_file() && found.len() == pointer.size)
    }

    /// Begins to take in what a pointer names.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn begin(&self, pointer: LfsPointer) -> Result<Arriving, FileError> {
        make_directory(&self.0)?;
        // No other process that lives has this one's number.
        let number = PARTS.fetch_add(1, Ordering::Relaxed);
        let part = self.0.join(format!("part-{}-{number}", process::id()));
        let file = File::create(&part).map_err(FileError::at("make", &part))?;
        let place = self.place(&pointer.content);
        Ok(Arriving { pointer, place, part: Part(part), file, seen: Context::new(&SHA256), length: 0 })
    }

    /// Takes a content in. `false` if it is not what the pointer names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, pointer: LfsPointer, bytes: &[u8]) -> Result<bool, FileError> {
        let mut arriving = self.begin(pointer)?;
        arriving.write(bytes)?;
        arriving.finish()
    }

    /// Has what another shelf has, where that is here: as one file where both are on one disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn share(&self, from: &Self, pointer: &LfsPointer) -> Result<bool, FileError> {
        if self.has(pointer) {
            return Ok(true);
        }
        if !from.has(pointer) {
            return Ok(false);
        }
        let (old, new) = (from.place(&pointer.content), self.place(&pointer.content));
        make_directory(new.parent().unwrap_or(&self.0))?;
        // A sandbox reads it under another user id. The data directory above it decides who on the host gets that far.
        for directory in new.ancestors().skip(1).take(3) {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
                .map_err(FileError::at("make readable", directory))?;
        }
        fs::remove_file(&new).ok();
        if fs::hard_link(&old, &new).is_ok() {
            return Ok(true);
        }
        let bytes = fs::read(&old).map_err(FileError::at("read", &old))?;
        self.put(*pointer, &bytes)
    }

    /// Removes what is not wanted, what has been here longest first, until no more than so many bytes are left. What is half here goes too.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn make_room(&self, most: u64, wanted: impl Fn(&str) -> bool) -> Result<(), FileError> {
        let mut all = Vec::new();
        collect(&self.0, 0, &mut all).map_err(FileError::at("read the directory", &self.0))?;
        let (half, mut all): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, _, path)| name(path).starts_with("part-"));
        half.iter().for_each(|(_, _, path)| drop(fs::remove_file(path)));
        let mut bytes: u64 = all.iter().map(|(_, size, _)| size).sum();
        all.sort();
        for (_, size, path) in all {
            if bytes > most && !wanted(&name(&path)) && fs::remove_file(&path).is_ok() {
                bytes -= size;
            }
        }
        Ok(())
    }
}

fn name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// All contents below a directory: since when they are here, how long they are, where.
fn collect(directory: &Path, depth: u8, all: &mut Vec<(SystemTime, u64, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() && depth < 2 {
            collect(&entry.path(), depth + 1, all)?;
        } else if found.is_file() && found.len() > 0 {
            all.push((found.modified()?, found.len(), entry.path()));
        }
    }
    Ok(())
}

/// A content on its way to a shelf.
pub struct Arriving {
    pointer: LfsPointer,
    place: PathBuf,
    part: Part,
    file: File,
    seen: Context,
    length: u64,
}

/// A file that goes when nobody has use for it.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already where it has its name.
        fs::remove_file(&self.0).ok();
    }
}

impl Arriving {
    /// The next bytes. `false` if there are more than the pointer says: nothing further is wanted.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<bool, FileError> {
        self.length = self.length.saturating_add(bytes.len() as u64);
        if self.length > self.pointer.size {
            return Ok(false);
        }
        self.seen.update(bytes);
        self.file.write_all(bytes).map_err(FileError::at("write", &self.part.0))?;
        Ok(true)
    }

    /// How many bytes have come.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Puts it on its shelf. `false` if it is not what the pointer names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<bool, FileError> {
        let whole = self.length == self.pointer.size;
        if !whole || self.seen.finish().as_ref() != self.pointer.content.as_bytes() {
            return Ok(false);
        }
        let failed = FileError::at("write", &self.part.0);
        let settled = self.file.set_permissions(fs::Permissions::from_mode(0o444));
        settled.and_then(|()| self.file.sync_all()).map_err(failed)?;
        make_directory(self.place.parent().unwrap_or(&self.place))?;
        fs::rename(&self.part.0, &self.place).map_err(FileError::at("move into place", &self.place))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(bytes: &[u8]) -> LfsPointer {
        LfsPointer { content: Digest::of(bytes), size: bytes.len() as u64 }
    }

    #[test]
    fn only_what_a_pointer_names_gets_there() {
        let temp = tempfile::tempdir().unwrap();
        let shelf = LfsShelf::new(temp.path().join("shelf"));
        let abc = pointer(b"abc");
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!shelf.put(abc, other).unwrap());
        }
        assert!(!shelf.has(&abc) && !shelf.put(LfsPointer { size: 2, ..abc }, b"abc").unwrap());
        assert!(shelf.put(abc, b"abc").unwrap() && shelf.has(&abc));
        assert!(!shelf.has(&LfsPointer { size: 4, ..abc }));
        assert!(shelf.place(&abc.content).ends_with(format!("ba/78/{}", abc.content.hex())));
        let left = fs::read_dir(shelf.path()).unwrap().count();
        assert_eq!(left, 1, "nothing that is half there stays");
        let other = LfsShelf::new(temp.path().join("other"));
        assert!(other.share(&shelf, &abc).unwrap() && other.share(&shelf, &abc).unwrap());
        assert!(!other.share(&shelf, &pointer(b"x")).unwrap());
        assert_eq!(fs::read(other.place(&abc.content)).unwrap(), b"abc");
    }

    #[test]
    fn room_is_made_by_what_nobody_wants() {
        let temp = tempfile::tempdir().unwrap();
        let shelf = LfsShelf::new(temp.path());
        let all = [&b"one"[..], b"four", b"three"].map(|bytes| {
            assert!(shelf.put(pointer(bytes), bytes).unwrap());
            pointer(bytes)
        });
        drop(fs::write(temp.path().join("part-x"), b"half"));
        shelf.make_room(12, |_| false).unwrap();
        assert!(all.iter().all(|pointer| shelf.has(pointer)) && !temp.path().join("part-x").exists());
        shelf.make_room(4, |name| name == all[0].content.hex()).unwrap();
        assert_eq!(all.map(|pointer| shelf.has(&pointer)), [true, false, false]);
    }
}
