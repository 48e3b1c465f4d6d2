//! File operations inside the sandbox: read, write, remove, stat, list.
//!
//! Paths resolve under the sandbox's own root, so a link or a race leads nowhere else. What has to be kept
//! out is waiting and surprise: a pipe or device in the place of a file (opened without waiting, refused by
//! its type), a terminal (never made the controlling one), the links of `/proc` (they would lead to this
//! process's own descriptors), sizes and counts without bound. Content goes through memfds, which take and
//! give without waiting.

use std::{
    collections::BinaryHeap,
    ffi::OsString,
    fs::{self, File, FileType, Metadata, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStringExt,
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
};

use cofferdam_hand::protocol::{
    message::{
        EntryKind, FilePart, FileProblem, MAX_CONTENT, MAX_ENTRIES, ReplyBody, RequestBody, Stat, Version,
    },
    records,
    text::{Bytes, Notice, SandboxPath},
};
use rustix::io::Errno;

use super::walk::open_plainly;

/// The most entries of a directory that are looked at.
const MAX_SCANNED: u64 = 1_000_000;
/// The mode of a new file, less the umask.
const NEW_FILE: u32 = 0o666;

/// Carries out a file request. `content` is the descriptor that came with it.
pub(super) fn answer(request: RequestBody, content: Option<OwnedFd>) -> ReplyBody {
    let content = match content.map(memory) {
        None => None,
        Some(Ok(content)) => Some(content),
        Some(Err(refusal)) => return ReplyBody::Refused(refusal),
    };
    let done = match (request, content) {
        (RequestBody::Read { path, offset, limit }, Some(out)) => read(&path, offset, limit, out),
        (RequestBody::Write { path, length, expected }, Some(content)) => {
            return write_checked(&path, length, expected, content);
        }
        (RequestBody::List { path, limit }, Some(out)) => list(&path, limit, out),
        (RequestBody::Remove { path }, None) => remove(&path),
        (RequestBody::Stat { path }, None) => stat(&path),
        (_, _) => return ReplyBody::Refused(Notice::new("this is no file request with its descriptor")),
    };
    done.unwrap_or_else(ReplyBody::File)
}

/// Opens a regular file for reading, without waiting for anything.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), FileProblem> {
    let file = File::from(open_plainly(path).map_err(as_problem)?);
    let found = file.metadata().map_err(problem)?;
    regular(found.file_type())?;
    Ok((file, found))
}

/// What is wrong with a path, by the system's answer.
pub(crate) fn problem(error: io::Error) -> FileProblem {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => FileProblem::Missing,
        Some(Errno::NOTDIR | Errno::EXIST) => FileProblem::NotDirectory,
        Some(Errno::ISDIR) => FileProblem::IsDirectory,
        Some(Errno::NXIO) => FileProblem::Special,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => FileProblem::Denied,
        Some(Errno::NOSPC | Errno::DQUOT) => FileProblem::NoSpace,
        Some(Errno::LOOP) => other("goes through too many symbolic links, or through a link of /proc"),
        Some(_) | None => other(&error.to_string()),
    }
}

fn as_problem(errno: Errno) -> FileProblem {
    problem(errno.into())
}

fn other(text: &str) -> FileProblem {
    FileProblem::Other(Notice::new(text))
}

fn regular(found: FileType) -> Result<(), FileProblem> {
    match kind(found) {
        EntryKind::File => Ok(()),
        EntryKind::Directory => Err(FileProblem::IsDirectory),
        EntryKind::Symlink | EntryKind::Other => Err(FileProblem::Special),
    }
}

/// Takes a descriptor for content only if using it cannot wait, as a pipe could.
fn memory(content: OwnedFd) -> Result<File, Notice> {
    let content = File::from(content);
    match content.metadata() {
        Ok(found) if found.is_file() => Ok(content),
        Ok(_) | Err(_) => Err(Notice::new("content travels on a memfd, and this descriptor is none")),
    }
}

fn read(path: &SandboxPath, offset: u64, limit: u64, mut out: File) -> Result<ReplyBody, FileProblem> {
    let (mut file, found) = open_regular(path.as_path())?;
    // Beyond what a signed offset holds there is nothing in any file.
    let length = if i64::try_from(offset).is_ok() {
        file.seek(SeekFrom::Start(offset)).map_err(problem)?;
        io::copy(&mut file.take(limit.min(MAX_CONTENT)), &mut out).map_err(problem)?
    } else {
        0
    };
    Ok(ReplyBody::Read(FilePart { length, version: version(&found) }))
}

fn write_checked(path: &SandboxPath, length: u64, expected: Option<Version>, content: File) -> ReplyBody {
    match content.metadata() {
        Ok(found) if length <= MAX_CONTENT && found.len() >= length => {
            write(path, content.take(length), expected).map_or_else(ReplyBody::File, ReplyBody::Written)
        }
        Ok(_) | Err(_) => {
            ReplyBody::Refused(Notice::new("the content is shorter than its length, or too long"))
        }
    }
}

/// Writes a new file beside the old one and renames it, so that nobody ever sees a part of it. Something that
/// writes to the same file between the look at it and the rename loses: there is no lock that commands would
/// respect.
fn write(
    path: &SandboxPath,
    content: io::Take<File>,
    expected: Option<Version>,
) -> Result<Version, FileProblem> {
    let target = target(path)?;
    let old = match fs::symlink_metadata(&target) {
        Ok(found) => {
            regular(found.file_type())?;
            Some(found)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(problem(error)),
    };
    if expected.is_some() && expected != old.as_ref().map(version) {
        return Err(FileProblem::Changed);
    }
    let directory = target.parent().ok_or(FileProblem::IsDirectory)?;
    fs::create_dir_all(directory).map_err(problem)?;
    let temporary = Temporary::create(directory)?;
    temporary.fill(content, old.map(|old| old.mode())).map_err(problem)?;
    temporary.rename(&target).map_err(problem)
}

/// The file to replace: what a symbolic link leads to, rather than the link.
fn target(path: &SandboxPath) -> Result<PathBuf, FileProblem> {
    if path.as_bytes().ends_with(b"/") || path.as_path().file_name().is_none() {
        return Err(FileProblem::IsDirectory);
    }
    let path = path.as_path();
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path).map_err(|error| {
            let dangling = error.kind() == io::ErrorKind::NotFound;
            if dangling { other("is a symbolic link to a place that does not exist") } else { problem(error) }
        }),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(problem(error)),
    }
}

/// A file that is removed again unless it gets its final name.
struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn create(directory: &Path) -> Result<Self, FileProblem> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(as_problem)?;
        let path = directory.join(format!(".cofferdam-{:016x}", u64::from_ne_bytes(random)));
        let mut options = File::options();
        options.write(true).create_new(true).mode(NEW_FILE);
        let file = options.open(&path).map_err(problem)?;
        Ok(Self { file, path, renamed: false })
    }

    fn fill(&self, mut content: io::Take<File>, mode: Option<u32>) -> io::Result<()> {
        let length = content.limit();
        content.get_mut().seek(SeekFrom::Start(0))?;
        if io::copy(&mut content, &mut &self.file)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Only permissions: setting the user or group of the owner is not for the host to do.
        mode.map_or(Ok(()), |mode| self.file.set_permissions(Permissions::from_mode(mode & 0o777)))
    }

    fn rename(mut self, target: &Path) -> io::Result<Version> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        // Only now: the rename itself changes the time.
        Ok(version(&self.file.metadata()?))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn remove(path: &SandboxPath) -> Result<ReplyBody, FileProblem> {
    let found = fs::symlink_metadata(path.as_path()).map_err(problem)?;
    if !found.is_symlink() {
        regular(found.file_type())?;
    }
    fs::remove_file(path.as_path()).map_err(problem)?;
    Ok(ReplyBody::Removed)
}

fn stat(path: &SandboxPath) -> Result<ReplyBody, FileProblem> {
    let found = fs::symlink_metadata(path.as_path()).map_err(problem)?;
    let stat = Stat { kind: kind(found.file_type()), mode: found.mode() & 0o7777, version: version(&found) };
    Ok(ReplyBody::Stat(stat))
}

/// Lists the first `limit` entries by name. Never holds more than those, however many there are.
fn list(path: &SandboxPath, limit: u32, mut out: File) -> Result<ReplyBody, FileProblem> {
    let limit = usize::try_from(limit.min(MAX_ENTRIES)).unwrap_or(usize::MAX);
    let mut first: BinaryHeap<OsString> = BinaryHeap::new();
    let mut scanned: u64 = 0;
    for entry in fs::read_dir(path.as_path()).map_err(problem)? {
        first.push(entry.map_err(problem)?.file_name());
        if first.len() > limit {
            first.pop();
        }
        scanned += 1;
        if scanned == MAX_SCANNED {
            break;
        }
    }
    let mut bytes = Vec::new();
    let mut entries: u32 = 0;
    for name in first.into_sorted_vec() {
        // Removed in the meantime: then it is no entry any more.
        let Ok(found) = fs::symlink_metadata(path.as_path().join(&name)) else { continue };
        let kind = kind(found.file_type());
        let size = if kind == EntryKind::File { found.len() } else { 0 };
        let entry = records::Entry { name: Bytes(name.into_vec()), kind, size };
        records::append(&entry, &mut bytes).map_err(|error| other(&error.to_string()))?;
        entries += 1;
    }
    out.write_all(&bytes).map_err(problem)?;
    Ok(ReplyBody::Listed { entries, more: scanned.saturating_sub(u64::from(entries)) })
}

fn kind(found: FileType) -> EntryKind {
    if found.is_file() {
        EntryKind::File
    } else if found.is_dir() {
        EntryKind::Directory
    } else if found.is_symlink() {
        EntryKind::Symlink
    } else {
        debug_assert!(
            found.is_fifo() || found.is_socket() || found.is_char_device() || found.is_block_device()
        );
        EntryKind::Other
    }
}

fn version(found: &Metadata) -> Version {
    let changed_ns = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
    Version { inode: found.ino(), size: found.len(), changed_ns }
}
