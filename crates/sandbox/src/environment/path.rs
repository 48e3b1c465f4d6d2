//! The search path inside.

use std::{
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

use super::{HostFiles, Seen};

/// Always searched, last.
const STANDARD: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The host's search path without what cannot be seen inside.
pub(super) fn inside(files: &dyn HostFiles, path: Option<&OsString>, visible: &[PathBuf]) -> String {
    let host = std::env::split_paths(path.map_or(OsStr::new(""), OsString::as_os_str));
    let mut kept: Vec<String> = Vec::new();
    for directory in host.chain(STANDARD.map(PathBuf::from)) {
        let seen = is_plain(&directory)
            && visible.iter().any(|seen| directory.starts_with(seen))
            && files.look(&directory) != Seen::Nothing;
        // A name that is not UTF-8 cannot be in a message to the hand, and no toolchain has one.
        if seen
            && let Some(directory) = directory.to_str()
            && !kept.iter().any(|known| known == directory)
        {
            kept.push(directory.to_owned());
        }
    }
    kept.join(":")
}

/// Whether a path is absolute and goes only downwards.
pub(super) fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
