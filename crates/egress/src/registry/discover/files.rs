//! Configuration files of package managers, as text.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

/// The most bytes that are read of one file.
const MAX_FILE: u64 = 1 << 20;
/// The most files that are listed in one directory.
const MAX_FILES: usize = 256;

/// Where configuration is read from.
pub trait ConfigFiles: Send + Sync {
    /// A file's text; nothing if it is not there, cannot be read or is no text.
    fn read(&self, path: &Path) -> Option<String>;

    /// The files in a directory, sorted.
    fn list(&self, directory: &Path) -> Vec<PathBuf>;
}

/// The host's own.
#[derive(Debug, Clone, Copy)]
pub struct HostFiles;

impl ConfigFiles for HostFiles {
    fn read(&self, path: &Path) -> Option<String> {
        let mut text = String::new();
        File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn list(&self, directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.take(MAX_FILES).map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}
