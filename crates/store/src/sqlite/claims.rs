//! Claims: one process at a time works on a session.
//!
//! A claim is an exclusive `flock(2)` on `claims/<session>`. The kernel gives it up when the process ends,
//! however it ends, so a crash needs no timeout and no heartbeat. A lock that is only *probed* for a list is
//! taken shared, so that probes do not get in each other's way; a claimer that meets one sees from a shared
//! lock of its own that nobody works on the session, and tries again.
//!
//! A worker that is present holds a lock of its own name in the same way, for as long as it is.
//!
//! The lock belongs to the open file, which a child process shares until it runs its program. So a claim is
//! given up by unlocking, not by closing: otherwise one that ends while another thread starts a program would
//! seem to go on.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use cofferdam_domain::{SessionId, WorkerId};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::StoreError;

/// The longest name of a worker that is kept for the message to others, in bytes.
const MAX_NAME: usize = 256;

/// A probe holds its lock for microseconds: meeting this many in a row means that something else holds it.
const MAX_TRIES: u32 = 10_000;

/// The folder with the locks. All methods block.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    pub(super) root: PathBuf,
}

/// A session taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    file: File,
}

impl Drop for Taken {
    fn drop(&mut self) {
        // It cannot fail on an open file, and closing the file comes next anyway.
        let _: Result<(), Errno> = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Claims {
    /// Takes the session.
    pub(super) fn take(&self, session: SessionId, worker: &str) -> Result<Taken, StoreError> {
        let path = self.path(session);
        let taken = lock_named(&path, worker)?;
        taken.ok_or_else(|| StoreError::Claimed { session, worker: name_in(&path) })
    }

    /// Says that a worker's process is there.
    pub(super) fn stay(&self, worker: WorkerId, name: &str) -> Result<Taken, StoreError> {
        let path = self.path(worker);
        // Nobody else knows the name yet.
        lock_named(&path, name)?.ok_or(StoreError::Absent { worker })
    }

    /// The name that the session's holder left, if there is one.
    pub(super) fn holder(&self, session: SessionId) -> Result<Option<String>, StoreError> {
        Ok(self.taken(session)?.then(|| name_in(&self.path(session))))
    }

    fn path(&self, id: impl fmt::Display) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Whether a living process has the session, or is the worker.
    pub(super) fn taken(&self, id: impl fmt::Display) -> Result<bool, StoreError> {
        let path = self.path(id);
        let probe = match File::open(&path) {
            Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => Err(error),
        };
        match probe {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(source) => Err(StoreError::file("look at the claim", &path, source)),
        }
    }
}

/// Locks the file with this path, unless a worker has it, and leaves a name in it.
fn lock_named(path: &Path, name: &str) -> Result<Option<Taken>, StoreError> {
    let failed = |source| StoreError::file("claim the session with", path, source);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    if !lock(&file).map_err(failed)? {
        return Ok(None);
    }
    let mut taken = Taken { file };
    let name: String = name.chars().filter(|character| !character.is_control()).collect();
    let file = &mut taken.file;
    file.set_len(0)
        .and_then(|()| file.write_all(&name.as_bytes()[..name.floor_char_boundary(MAX_NAME)]))
        .map_err(failed)?;
    Ok(Some(taken))
}

/// Locks the file, unless a worker has it.
fn lock(file: &File) -> io::Result<bool> {
    for _ in 0..MAX_TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(file, FlockOperation::Unlock)?,
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        std::thread::yield_now();
    }
    Ok(false)
}

/// The name that the holder left.
fn name_in(path: &Path) -> String {
    let mut name = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_NAME as u64).read_to_end(&mut name));
    match read {
        Ok(length) if length > 0 => String::from_utf8_lossy(&name).into_owned(),
        // It is between taking the lock and writing its name, or the file cannot be read: the claim stands
        // all the same.
        Ok(_) | Err(_) => "another worker".to_owned(),
    }
}
