//! A sandbox that isolates nothing: a temporary directory and ordinary processes. It lets every case run on
//! every host in milliseconds; `native.rs` runs the same cases where they belong.

mod process;
mod search;

use std::{
    fs, io,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use cofferdam_domain::SandboxId;
use cofferdam_sandbox::{
    Command, Entry, EntryKind, FileData, FileProblem, HOME, Listing, Process, Sandbox, SandboxError, Search,
    SearchResult, Version, WORKSPACE,
};

use crate::suite::Bench;

crate::suite::cases!(open);

async fn open() -> Option<Bench> {
    let directory = tempfile::tempdir().unwrap();
    for name in ["workspace", "home"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    Some(Bench::new(Box::new(Local { id: SandboxId::generate(), directory }), None))
}

struct Local {
    id: SandboxId,
    directory: tempfile::TempDir,
}

impl Local {
    /// Where a path of the sandbox is on the host, and whether it may be written.
    fn find(&self, path: &str) -> (PathBuf, bool) {
        let at = |root: &str, name: &str| {
            let rest = path.strip_prefix(root)?;
            (rest.is_empty() || rest.starts_with('/'))
                .then(|| self.directory.path().join(name).join(rest.trim_start_matches('/')))
        };
        match at(WORKSPACE, "workspace").or_else(|| at(HOME, "home")) {
            Some(found) => (found, true),
            None if path.starts_with('/') => (PathBuf::from(path), false),
            None => (self.directory.path().join("workspace").join(path), true),
        }
    }
}

fn problem(path: &str, error: &io::Error) -> SandboxError {
    let known = [
        (io::ErrorKind::NotFound, FileProblem::Missing),
        (io::ErrorKind::IsADirectory, FileProblem::IsDirectory),
        (io::ErrorKind::NotADirectory, FileProblem::NotDirectory),
        (io::ErrorKind::PermissionDenied, FileProblem::Denied),
    ];
    let found = known.into_iter().find(|(kind, _)| *kind == error.kind());
    let problem = found.map_or_else(|| FileProblem::Other(error.to_string()), |(_, problem)| problem);
    SandboxError::File { path: path.to_owned(), problem }
}

fn version(path: &Path) -> io::Result<Version> {
    let found = fs::metadata(path)?;
    let changed_ns = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
    Ok(Version { inode: found.ino(), size: found.size(), changed_ns })
}

fn read(path: &Path, offset: u64, limit: u64) -> io::Result<FileData> {
    if fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let all = fs::read(path)?;
    let from = usize::try_from(offset).unwrap().min(all.len());
    let to = usize::try_from(offset.saturating_add(limit)).unwrap().min(all.len());
    Ok(FileData { bytes: all[from..to].to_vec(), size: all.len() as u64, version: version(path)? })
}

fn write(path: &Path, content: &[u8]) -> io::Result<Version> {
    let directory = path.parent().unwrap();
    fs::create_dir_all(directory)?;
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    let permissions = match fs::metadata(path) {
        Ok(found) => found.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)?;
    file.persist(path).map_err(|error| error.error)?;
    version(path)
}

fn list(path: &Path, limit: usize) -> io::Result<Listing> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let kind = match found.file_type() {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_dir() => EntryKind::Directory,
            kind if kind.is_symlink() => EntryKind::Symlink,
            _ => EntryKind::Other,
        };
        entries.push(Entry { name: entry.file_name().as_bytes().to_vec(), kind, size: found.len() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let more = entries.len().saturating_sub(limit) as u64;
    entries.truncate(limit);
    Ok(Listing { entries, more })
}

#[async_trait]
impl Sandbox for Local {
    fn id(&self) -> SandboxId {
        self.id
    }

    fn level(&self) -> &str {
        "none: a directory of the host, for tests"
    }

    async fn start(&self, command: Command) -> Result<Box<dyn Process>, SandboxError> {
        let (cwd, _) = self.find(&command.cwd);
        let home = self.directory.path().join("home");
        // Arguments may name places in the sandbox.
        let argv: Vec<String> = command
            .argv
            .iter()
            .map(|word| match self.find(word) {
                (found, true) if word.starts_with('/') => found.to_str().unwrap().to_owned(),
                _ => word.clone(),
            })
            .collect();
        Ok(Box::new(process::LocalProcess::start(&Command { argv, ..command }, &cwd, &home)?))
    }

    async fn read(&self, path: &str, offset: u64, limit: u64) -> Result<FileData, SandboxError> {
        read(&self.find(path).0, offset, limit).map_err(|error| problem(path, &error))
    }

    async fn write(
        &self,
        path: &str,
        content: &[u8],
        expected: Option<Version>,
    ) -> Result<Version, SandboxError> {
        let (found, writable) = self.find(path);
        if !writable {
            return Err(SandboxError::File { path: path.to_owned(), problem: FileProblem::Denied });
        }
        if expected.is_some() && version(&found).ok() != expected {
            return Err(SandboxError::File { path: path.to_owned(), problem: FileProblem::Changed });
        }
        write(&found, content).map_err(|error| problem(path, &error))
    }

    async fn remove(&self, path: &str) -> Result<(), SandboxError> {
        let (found, _) = self.find(path);
        fs::remove_file(found).map_err(|error| problem(path, &error))
    }

    async fn list(&self, path: &str, limit: usize) -> Result<Listing, SandboxError> {
        list(&self.find(path).0, limit).map_err(|error| problem(path, &error))
    }

    async fn search(&self, search: Search) -> Result<SearchResult, SandboxError> {
        let (root, _) = self.find(&search.root);
        if !root.exists() {
            return Err(SandboxError::File { path: search.root, problem: FileProblem::Missing });
        }
        search::run(&root, &search)
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        Ok(())
    }
}
