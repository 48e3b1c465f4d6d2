//! The `host` environment: which parts of the host a sandbox sees, and which variables its commands get.
//!
//! Nothing is there unless it is named here. `/usr` and what belongs to it, `/opt`, a made-up `/etc` with what programs need of it, and
//! the toolchains that the user has in other places, each at its own path, because toolchains contain absolute paths. The user's home
//! itself is never among it, whatever variables say.
//!
//! [`discover`](HostEnvironment::discover) decides from variables and from what exists, and touches nothing: a pure function over [`HostFiles`].

mod etc;
pub(crate) mod network;
mod path;
mod system;
mod toolchains;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use cofferdam_hand::protocol::zygote::{RootEntry, RootKind};

pub(crate) use self::system::SystemPart;
use crate::HOME;

/// What there is at a path of the host. Links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing, or nothing that can be seen.
    Nothing,
    /// A file, or anything that is neither of the others.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Symlink(PathBuf),
}

/// The host's files, as far as discovery looks at them.
pub trait HostFiles {
    /// What is at `path`.
    fn look(&self, path: &Path) -> Seen;

    /// Where `path` is when all links are followed, if it exists.
    fn resolve(&self, path: &Path) -> Option<PathBuf>;

    /// What is in the file at `path`, if that is text.
    fn read(&self, path: &Path) -> Option<String>;
}

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisHost;

impl HostFiles for ThisHost {
    fn look(&self, path: &Path) -> Seen {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Seen::Directory,
            Ok(metadata) if metadata.is_symlink() => fs::read_link(path).map_or(Seen::Nothing, Seen::Symlink),
            Ok(_) => Seen::File,
            Err(_) => Seen::Nothing,
        }
    }

    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        fs::canonicalize(path).ok()
    }

    fn read(&self, path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }
}

/// What a sandbox sees of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEnvironment {
    root: Vec<RootEntry>,
    variables: BTreeMap<String, String>,
    caches: Vec<HostCache>,
    system: Vec<RootEntry>,
    parts: Vec<SystemPart>,
}

/// A directory of the host that appears in the sandbox's home, where it can be written to without changing the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostCache {
    /// On the host.
    pub(crate) host: PathBuf,
    /// Below the home directory inside.
    pub(crate) inside: &'static str,
}

/// Directories that are the system's own.
const SYSTEM: [&str; 3] = ["/usr", "/opt", "/nix/store"];
/// Directories that are links into `/usr` on most systems, and directories on others.
const SYSTEM_LINKS: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

impl HostEnvironment {
    /// The environment of this host and this process's variables.
    #[must_use]
    pub fn of_this_host() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        Self::discover(&ThisHost, &variables)
    }

    /// Decides what a sandbox sees, from the host's files and the user's variables (`HOME`, `PATH`, `RUSTUP_HOME`, …).
    #[must_use]
    pub fn discover(files: &dyn HostFiles, variables: &BTreeMap<String, OsString>) -> Self {
        let mut root = Vec::new();
        let mut visible: Vec<PathBuf> = Vec::new();
        for path in SYSTEM.map(Path::new) {
            if files.look(path) != Seen::Nothing {
                root.push(bind(path));
                visible.push(path.to_owned());
            }
        }
        for path in SYSTEM_LINKS.map(Path::new) {
            match files.look(path) {
                Seen::Symlink(target) => {
                    root.push(entry(path, RootKind::Symlink(target.as_os_str().as_bytes().to_vec())))
                }
                Seen::Directory => root.push(bind(path)),
                Seen::File | Seen::Nothing => continue,
            }
            visible.push(path.to_owned());
        }
        root.extend(etc::entries(files));
        let mut own = own_variables(files);
        for found in toolchains::find(files, variables) {
            if !visible.iter().any(|seen| found.path.starts_with(seen)) {
                root.push(bind(&found.path));
                visible.push(found.path);
            }
            own.extend(found.variable);
        }
        own.insert("PATH".to_owned(), path::inside(files, variables.get("PATH"), &visible));
        let (system, parts) = (system::entries(files), system::parts(files, &visible));
        Self { root, variables: own, caches: toolchains::caches(files, variables), system, parts }
    }

    /// What is in the root directory.
    pub(crate) fn root(&self) -> &[RootEntry] {
        &self.root
    }

    /// The variables that every command gets.
    pub(crate) const fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The caches in the home directory.
    pub(crate) fn caches(&self) -> &[HostCache] {
        &self.caches
    }

    /// What is in the root directory instead or in addition where the system can be changed.
    pub(crate) fn system(&self) -> &[RootEntry] {
        &self.system
    }

    /// The directories of the system that can be changed there.
    pub(crate) fn parts(&self) -> &[SystemPart] {
        &self.parts
    }

    /// Host paths that can be read inside, for people who want to know.
    #[must_use]
    pub fn visible(&self) -> Vec<PathBuf> {
        let bound = self.root.iter().filter(|entry| matches!(entry.kind, RootKind::Bind(_)));
        bound.map(|entry| PathBuf::from(std::ffi::OsStr::from_bytes(&entry.path))).collect()
    }
}

fn own_variables(files: &dyn HostFiles) -> BTreeMap<String, String> {
    let shell = if files.look(Path::new("/usr/bin/bash")) == Seen::Nothing { "/bin/sh" } else { "/bin/bash" };
    [
        ("HOME", HOME),
        ("USER", "agent"),
        ("LOGNAME", "agent"),
        ("SHELL", shell),
        ("LANG", "C.UTF-8"),
        ("CARGO_HOME", "/home/agent/.cargo"),
        ("GOPATH", "/home/agent/go"),
        ("GOTOOLCHAIN", "local"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn entry(path: &Path, kind: RootKind) -> RootEntry {
    RootEntry { path: path.as_os_str().as_bytes().to_vec(), kind }
}

fn bind(path: &Path) -> RootEntry {
    entry(path, RootKind::Bind(path.as_os_str().as_bytes().to_vec()))
}

#[cfg(test)]
mod tests;
