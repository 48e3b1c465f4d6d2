//! File operations and searches: asked of the hand, their results read from descriptors that the host made, within bounds.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use cofferdam_hand::protocol::{
    message::{self, MAX_CONTENT, MAX_ENTRIES, MAX_FOUND, ReplyBody, RequestBody, SearchProblem},
    records::{self, Decoder, Found},
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    pipe::{PipeFlags, pipe_with},
};
use tokio::{io::Interest, time::timeout};

use super::{
    command::absolute,
    connection::{ANSWER, Connection, wrong_reply},
    ready::register,
};
use crate::{
    Entry, EntryKind, FileData, FileProblem, FoundFile, FoundLine, Listing, SandboxError, Search,
    SearchResult, Version,
};

/// Bytes of search results that are read; a hand that sends more is not ours.
const MOST_FOUND_BYTES: u64 = 256 << 20;
/// What a found file or line takes in memory beside its bytes: a hand that sends millions of empty ones is not ours either.
const FOUND_SIZE: u64 = 64;
/// Bytes of a listing that are read.
const MOST_LISTED_BYTES: u64 = 64 << 20;
/// How much longer than its own time limit a search may take to answer.
const SEARCH_GRACE: Duration = Duration::from_secs(30);

/// Reads a part of a file.
pub(super) async fn read(
    connection: &Arc<Connection>,
    path: &str,
    offset: u64,
    limit: u64,
) -> Result<FileData, SandboxError> {
    let limit = limit.min(MAX_CONTENT);
    let body = RequestBody::Read { path: checked(path)?, offset, limit };
    let memory = memory(path)?;
    let reply = connection.ask(body, &[memory.as_fd()], ANSWER).await?;
    let ReplyBody::Read(part) = reply else { return Err(failed(connection, path, reply)) };
    let bytes = content(memory, part.length.min(limit)).map_err(|error| other(path, &error))?;
    if bytes.len() as u64 != part.length {
        return Err(wrong_reply(connection));
    }
    Ok(FileData { bytes, size: part.version.size, version: version(part.version) })
}

/// Replaces a file.
pub(super) async fn write(
    connection: &Arc<Connection>,
    path: &str,
    content: &[u8],
    expected: Option<Version>,
) -> Result<Version, SandboxError> {
    let length = content.len() as u64;
    if length > MAX_CONTENT {
        let problem = FileProblem::Other(format!("more than {MAX_CONTENT} bytes cannot be written at once"));
        return Err(SandboxError::File { path: path.to_owned(), problem });
    }
    let expected =
        expected.map(|Version { inode, size, changed_ns }| message::Version { inode, size, changed_ns });
    let body = RequestBody::Write { path: checked(path)?, length, expected };
    let mut memory = memory(path)?;
    memory.write_all(content).and_then(|()| memory.rewind()).map_err(|error| other(path, &error))?;
    let reply = connection.ask(body, &[memory.as_fd()], ANSWER).await?;
    if let ReplyBody::Written(written) = reply {
        Ok(version(written))
    } else {
        Err(failed(connection, path, reply))
    }
}

/// Removes a file.
pub(super) async fn remove(connection: &Arc<Connection>, path: &str) -> Result<(), SandboxError> {
    let reply = connection.ask(RequestBody::Remove { path: checked(path)? }, &[], ANSWER).await?;
    if reply == ReplyBody::Removed { Ok(()) } else { Err(failed(connection, path, reply)) }
}

/// Lists a directory.
pub(super) async fn list(
    connection: &Arc<Connection>,
    path: &str,
    limit: usize,
) -> Result<Listing, SandboxError> {
    let limit = u32::try_from(limit).unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
    let memory = memory(path)?;
    let body = RequestBody::List { path: checked(path)?, limit };
    let reply = connection.ask(body, &[memory.as_fd()], ANSWER).await?;
    let ReplyBody::Listed { entries, more } = reply else { return Err(failed(connection, path, reply)) };
    let bytes = content(memory, MOST_LISTED_BYTES).map_err(|error| other(path, &error))?;
    let listed = if entries > limit { None } else { listed(&bytes, entries as usize) };
    let entries = listed.ok_or_else(|| wrong_reply(connection))?;
    Ok(Listing { entries, more })
}

/// The entries of a listing, if it has exactly so many.
fn listed(bytes: &[u8], count: usize) -> Option<Vec<Entry>> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let mut entries = Vec::new();
    while let Some(records::Entry { name, kind, size }) = decoder.next_record().ok()? {
        let kind = match kind {
            message::EntryKind::File => EntryKind::File,
            message::EntryKind::Directory => EntryKind::Directory,
            message::EntryKind::Symlink => EntryKind::Symlink,
            message::EntryKind::Other => EntryKind::Other,
        };
        entries.push(Entry { name: name.0, kind, size });
        if entries.len() > count {
            return None;
        }
    }
    decoder.finish().ok().filter(|()| entries.len() == count).map(|()| entries)
}

/// Searches files.
pub(super) async fn search(
    connection: &Arc<Connection>,
    search: Search,
) -> Result<SearchResult, SandboxError> {
    let patience = search.timeout.saturating_add(SEARCH_GRACE);
    let root = search.root.clone();
    let limit = search.limit.min(MAX_FOUND);
    let body = RequestBody::Search(message::Search {
        root: checked(&search.root)?,
        pattern: search.pattern,
        glob: search.glob,
        literal: search.literal,
        ignore_case: search.ignore_case,
        multiline: search.multiline,
        context: search.context,
        hidden: search.hidden,
        limit,
        timeout_ms: u32::try_from(search.timeout.as_millis()).unwrap_or(u32::MAX),
    });
    let (results, results_in) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| other(&root, &errno.into()))?;
    let mut replies = connection.request(body, &[results_in.as_fd()]).await?;
    drop(results_in);
    // A process inside may hold the pipe open for longer than the search lasts.
    let both = async { tokio::join!(collect(results), replies.next(patience)) };
    let Ok((files, reply)) = timeout(patience.saturating_add(SEARCH_GRACE), both).await else {
        connection.end("the hand did not end its search");
        return Err(connection.gone());
    };
    let reply = reply?;
    if let ReplyBody::Searched { cut } = reply {
        let files = files.ok_or_else(|| wrong_reply(connection))?;
        return Ok(SearchResult { files, cut });
    }
    Err(failed(connection, &root, reply))
}

/// Reads search results as they come; `None` when they are not what results look like.
async fn collect(pipe: OwnedFd) -> Option<Vec<FoundFile>> {
    rustix::io::ioctl_fionbio(&pipe, true).ok()?;
    let pipe = register(pipe, Interest::READABLE).ok()?;
    let (mut decoder, mut files, mut total) = (Decoder::default(), Vec::new(), 0_u64);
    let mut piece = vec![0; 64 << 10];
    loop {
        let mut ready = pipe.readable().await.ok()?;
        match rustix::io::read(pipe.get_ref(), &mut piece) {
            Ok(0) => break,
            Ok(length) => {
                total += length as u64;
                if total > MOST_FOUND_BYTES {
                    return None;
                }
                decoder.push(piece.get(..length)?);
                while let Some(found) = decoder.next_record().ok()? {
                    total += FOUND_SIZE;
                    add(found, &mut files)?;
                }
            }
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    decoder.finish().ok().map(|()| files)
}

fn add(found: Found, files: &mut Vec<FoundFile>) -> Option<()> {
    match found {
        Found::File(path) => files.push(FoundFile { path: path.0, lines: Vec::new() }),
        Found::Line { number, text, is_match } => {
            files.last_mut()?.lines.push(FoundLine { number, text: text.0, is_match });
        }
    }
    Some(())
}

fn memory(path: &str) -> Result<File, SandboxError> {
    memfd_create("content", MemfdFlags::CLOEXEC).map(File::from).map_err(|errno| other(path, &errno.into()))
}

/// The first bytes of a file in memory. The other side may still write to it: what is read is all that counts.
fn content(mut memory: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    memory.rewind()?;
    memory.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checked(path: &str) -> Result<cofferdam_hand::protocol::text::SandboxPath, SandboxError> {
    absolute(path).map_err(|error| SandboxError::File {
        path: path.to_owned(),
        problem: FileProblem::Other(error.to_string()),
    })
}

fn other(path: &str, error: &io::Error) -> SandboxError {
    SandboxError::File { path: path.to_owned(), problem: FileProblem::Other(error.to_string()) }
}

fn version(version: message::Version) -> Version {
    let message::Version { inode, size, changed_ns } = version;
    Version { inode, size, changed_ns }
}

fn failed(connection: &Connection, path: &str, reply: ReplyBody) -> SandboxError {
    if let ReplyBody::File(problem) | ReplyBody::NotSearched(SearchProblem::Root(problem)) = reply {
        SandboxError::File { path: path.to_owned(), problem: file_problem(problem) }
    } else if let ReplyBody::NotSearched(problem) = reply {
        SandboxError::Search(problem.to_string())
    } else if let ReplyBody::Refused(notice) = reply {
        other(path, &io::Error::other(notice.as_str()))
    } else {
        wrong_reply(connection)
    }
}

fn file_problem(problem: message::FileProblem) -> FileProblem {
    match problem {
        message::FileProblem::Missing => FileProblem::Missing,
        message::FileProblem::IsDirectory => FileProblem::IsDirectory,
        message::FileProblem::NotDirectory => FileProblem::NotDirectory,
        message::FileProblem::Special => FileProblem::Special,
        message::FileProblem::Denied => FileProblem::Denied,
        message::FileProblem::Changed => FileProblem::Changed,
        message::FileProblem::NoSpace => FileProblem::NoSpace,
        message::FileProblem::Other(notice) => FileProblem::Other(notice.as_str().to_owned()),
    }
}
