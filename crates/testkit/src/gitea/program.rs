//! Gitea's program, and the files that it reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::kept::{build, kept};

/// The newest version of which the Go module proxy has all modules.
pub(super) const VERSION: &str = "1.26.0";
const MODULE: &str = "code.gitea.io/gitea";
/// What it reads while it runs, besides its configuration.
const FILES: [&str; 2] = ["options", "templates"];

/// The folder with `gitea` and its files, or why there is none.
pub(super) fn program() -> Result<PathBuf, String> {
    let mut why = String::new();
    let made = |folder: &Path| match make(folder) {
        Ok(()) => true,
        Err(reason) => {
            why = reason;
            false
        }
    };
    kept(&format!("gitea-{VERSION}"), made).ok_or(why)
}

fn make(folder: &Path) -> Result<(), String> {
    let flags =
        ["-tags", "sqlite sqlite_unlock_notify", &format!("-ldflags=-s -w -X main.Version={VERSION}")];
    let source = build(&format!("{MODULE}@v{VERSION}"), "1", &flags, &folder.join("gitea"))?;
    FILES
        .into_iter()
        .try_for_each(|name| copy(&source.join(name), &folder.join(name)))
        .map_err(|error| error.to_string())
}

/// A folder and all that is in it. What the module cache has may not be written, the copy may.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::write(place, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
