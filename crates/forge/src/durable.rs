//! Files of our own: written whole or not at all, and errors that say which file.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file or directory of our own could not be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} {}", .path.display())]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    pub(crate) fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { operation, path, source }
    }
}

/// Makes a directory and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::at("make the directory", path))
}

/// Removes a directory and all in it, if it is there.
pub(crate) fn remove_directory(path: &Path) -> Result<(), FileError> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(FileError::at("remove", path))
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    absent_is_fine(fs::remove_file(path)).map_err(FileError::at("remove", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives a finished directory its name, durably. The name must be free.
pub(crate) fn publish_directory(finished: &Path, name: &Path) -> Result<(), FileError> {
    fs::rename(finished, name).map_err(FileError::at("move into place", name))?;
    sync_parent(name)
}

/// Writes a file so that after a crash at any instant it has its old content or its new one. `path` has a
/// file name and a directory; only one process writes it at a time (its lock is held).
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(FileError::at("write", path))?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    let directory = path.parent().unwrap_or(path);
    File::open(directory).and_then(|file| file.sync_all()).map_err(FileError::at("sync", directory))
}
