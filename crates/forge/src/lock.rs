//! Locks between processes: one file each, released by the kernel when its holder dies.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::durable::FileError;

const PAUSE: Duration = Duration::from_millis(20);

/// A lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Its file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process holds it for too long.
    #[error("another process has been holding {} for more than {} seconds: wait for it, or end it", .path.display(), .waited.as_secs())]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
}

/// A lock that is held until it is dropped, and until every process that was given [`Lock::share`] has ended.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock whose file is `path`, waiting for at most `patience`.
    pub(crate) async fn take(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(FileError::at("open the lock", path))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file, path: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(FileError::at("lock", path)(error).into()),
                Err(TryLockError::WouldBlock) if waited >= patience => {
                    return Err(LockError::Held { path: path.to_owned(), waited });
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            }
            waited += PAUSE;
        }
    }

    /// The lock as a descriptor for a child. If we are killed and the child lives on, the lock is held until
    /// it has ended as well.
    pub(crate) fn share(&self) -> Result<File, LockError> {
        Ok(self.file.try_clone().map_err(FileError::at("share the lock", &self.path))?)
    }
}
