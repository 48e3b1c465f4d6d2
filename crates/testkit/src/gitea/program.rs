//! Gitea's program, and the files that it reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::kept::{kept, succeeds};

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
    if !succeeds(Command::new("go").arg("version")) {
        return Err("there is no `go`".to_owned());
    }
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", &format!("{MODULE}@v{VERSION}")]).current_dir(folder);
    let output = download.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let found: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let Some(source) = found["Dir"].as_str() else {
        return Err(format!("{MODULE} cannot be downloaded: {}", found["Error"]));
    };
    let mut build = Command::new("go");
    build
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            "-tags",
            "sqlite sqlite_unlock_notify",
        ])
        .arg(format!("-ldflags=-s -w -X main.Version={VERSION}"))
        .arg("-o")
        .arg(folder.join("gitea"))
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", "1")
        .env("GOFLAGS", "");
    let output = build.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.starts_with("go: downloading")).unwrap_or_default();
        return Err(format!("{MODULE} cannot be built: {last}"));
    }
    FILES
        .into_iter()
        .try_for_each(|name| copy(&Path::new(source).join(name), &folder.join(name)))
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
