//! Searches: finds lines by a pattern, or files by a glob, with ripgrep's own libraries.
//!
//! A search runs in a fork of process 1, not in process 1 itself: it can take long, it reads whatever is
//! there, and it may be killed. A fork rather than the program run anew: it is faster, it is not dumpable (so
//! no command can reach into it or at the program's file), and it needs no way to hand over the request.
//! Results go straight to the host's descriptor.

mod lines;
mod walk;

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::{Duration, Instant},
};

use cofferdam_hand::protocol::{
    channel,
    message::{MAX_FOUND, Reply, ReplyBody, RequestId, Search, SearchProblem},
    records::{self, Found},
    text::Bytes,
};
use rustix::process::Pid;

use crate::{
    init, privilege,
    sys::{self, process::Fork},
};

/// The most bytes of records that one search writes.
const MAX_RESULT: usize = 16 << 20;

/// Forks a search. Its records go to `out`, its end is reported on `report`.
///
/// # Errors
/// When there is no room for another process.
pub(crate) fn start(
    id: RequestId,
    request: &Search,
    out: OwnedFd,
    report: BorrowedFd<'_>,
) -> io::Result<Pid> {
    match sys::process::fork()? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let ready = sys::process::close_all_but(&[out.as_fd(), report]);
            let told = ready.and_then(|()| privilege::become_agent()).and_then(|()| {
                let body = match run(request, File::from(out)) {
                    Ok(cut) => ReplyBody::Searched { cut },
                    Err(problem) => ReplyBody::NotSearched(problem),
                };
                channel::send(report, &Reply { id, body }, &[]).map_err(io::Error::other)
            });
            sys::process::exit_now(u8::from(told.is_err()))
        }
    }
}

/// Searches; says whether limit or time cut it short.
fn run(request: &Search, out: File) -> Result<bool, SearchProblem> {
    let mut results = Results {
        out,
        written: 0,
        left: request.limit.min(MAX_FOUND),
        deadline: Instant::now() + Duration::from_millis(request.timeout_ms.into()),
        over: false,
        incomplete: false,
    };
    let files = walk::Files::new(request)?;
    match &request.pattern {
        Some(pattern) => lines::search(&files, pattern, request, &mut results)?,
        None => files.newest(&mut results),
    }
    Ok(results.over || results.incomplete)
}

/// Where results go, and how much more may.
struct Results {
    out: File,
    written: usize,
    /// Lines or files that may still be found.
    left: u32,
    deadline: Instant,
    /// Whether limit, time or room have ended the search.
    over: bool,
    /// Whether something was left out although the search went on.
    incomplete: bool,
}

impl Results {
    /// Whether to stop: there is no more room or time.
    fn is_over(&mut self) -> bool {
        self.over |= Instant::now() >= self.deadline;
        self.over
    }

    /// Writes what was found in one file. A host that no longer listens ends the search.
    fn write(&mut self, file: &Path, lines: Vec<Found>) {
        let mut bytes = Vec::new();
        let name = Found::File(Bytes(file.as_os_str().as_bytes().to_vec()));
        for record in std::iter::once(name).chain(lines) {
            // A record over the bound is a path that is longer than any the kernel takes.
            self.incomplete |= records::append(&record, &mut bytes).is_err();
        }
        self.written += bytes.len();
        self.over |= self.written > MAX_RESULT || self.out.write_all(&bytes).is_err();
    }
}

#[cfg(test)]
mod tests;
