//! Which sessions' spans this machine has not delivered yet: one small file for each, so that whoever starts next on the same data directory
//! goes on where a process that was killed had to leave off.
//!
//! A file's name is the session's id, its content the place in the log up to which all spans are delivered. Who follows a session has its file locked:
//! the kernel lets go of it when the process dies. The files are small and written in place; one that cannot be read says nothing, and then
//! spans may be missing, or be sent twice.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::{Seq, SessionId};

/// After so long nobody looks for the rest of a trace any more.
const OLDEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Digits of a place in a log.
const LONGEST: u64 = 20;

/// The sessions whose spans are to be delivered.
#[derive(Debug)]
pub(crate) struct Journal(PathBuf);

/// One session's entry, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    file: File,
    written: Option<Seq>,
}

impl Journal {
    /// The journal in a directory that is there.
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// A session's entry, made if there is none; `None` if another process has it, or it cannot be had.
    pub(crate) fn take(&self, session: SessionId) -> Option<Entry> {
        Entry::open(&self.0.join(session.to_string()))
    }

    /// Sessions that processes have left behind, at most so many.
    pub(crate) fn left(&self, most: usize) -> Vec<SessionId> {
        let mut left = Vec::new();
        for found in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = found.file_name();
            let Some(session) = name.to_str().and_then(|name| name.parse::<SessionId>().ok()) else {
                continue;
            };
            let modified = found.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| modified.elapsed().ok());
            if age.is_some_and(|age| age > OLDEST) {
                // What is told about it no longer is.
                fs::remove_file(found.path()).ok();
            } else if left.len() < most {
                left.push(session);
            }
        }
        left
    }
}

impl Entry {
    fn open(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).ok()?;
        file.try_lock().ok()?;
        let mut text = String::new();
        (&file).take(LONGEST).read_to_string(&mut text).ok()?;
        let written = text.trim_end().parse().ok().map(Seq);
        Some(Self { path: path.to_owned(), file, written })
    }

    /// Up to where all spans are delivered, if somebody has begun to.
    pub(crate) const fn delivered(&self) -> Option<Seq> {
        self.written
    }

    /// All spans up to this place are delivered.
    pub(crate) fn set(&mut self, delivered: Seq) {
        if self.written == Some(delivered) {
            return;
        }
        // Places only grow, so that what is written is never shorter than what stood there.
        let text = format!("{:020}", delivered.0);
        if self.file.rewind().and_then(|()| self.file.write_all(text.as_bytes())).is_ok() {
            self.written = Some(delivered);
        }
    }

    /// All spans are delivered, or nobody wants them.
    pub(crate) fn remove(self) {
        // One that stays has spans delivered again.
        fs::remove_file(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path().to_owned());
        let (one, other) = (SessionId::from_u128(1), SessionId::from_u128(2));
        let mut entry = journal.take(one).unwrap();
        assert_eq!(entry.delivered(), None);
        assert!(journal.take(one).is_none(), "somebody has it");
        entry.set(Seq(40));
        entry.set(Seq(100));
        drop(entry);
        assert_eq!(journal.left(9), [one]);
        let again = journal.take(one).unwrap();
        assert_eq!(again.delivered(), Some(Seq(100)));
        again.remove();
        assert_eq!(journal.left(9), []);
        fs::write(folder.path().join(other.to_string()), "not a number").unwrap();
        fs::write(folder.path().join("readme"), "").unwrap();
        assert_eq!(journal.left(9), [other]);
        assert_eq!(journal.take(other).unwrap().delivered(), None);
    }
}
