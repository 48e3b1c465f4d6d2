//! The real Git LFS, to be held against what this platform does with contents that it keeps.

use std::{path::PathBuf, process::Command};

use crate::kept::{build, kept, succeeds};

const VERSION: &str = "3.7.0";
const MODULE: &str = "github.com/git-lfs/git-lfs/v3";

/// The folder with the program `git-lfs`: the one that is installed, or one that Go builds. `None` where none can be had, which is said loudly.
#[must_use]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
pub fn git_lfs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path)
        .find(|folder| succeeds(Command::new(folder.join("git-lfs")).arg("version")));
    if installed.is_some() {
        return installed;
    }
    let mut why = "there is no cache".to_owned();
    let made = kept(&format!("git-lfs-{VERSION}"), |folder| {
        let built = build(&format!("{MODULE}@v{VERSION}"), "0", &["-ldflags=-s -w"], &folder.join("git-lfs"));
        built.map_err(|reason| why = reason).is_ok()
    });
    if made.is_none() {
        eprintln!("SKIPPED: a git-lfs to test against is installed, or built by Go: {why}");
    }
    made
}
