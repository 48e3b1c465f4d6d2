//! Gitea's own client for Go, as a small program that reads what was written: built once, as Gitea itself is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::kept::{kept, succeeds};

const MODULE: &str = "code.gitea.io/sdk/gitea";
const VERSION: &str = "0.25.1";
const SOURCE: &str = include_str!("reader.go");
/// Of the source: another one is built anew.
const EDITION: u32 = 1;

/// The program, or why there is none.
pub(super) fn reader() -> Result<PathBuf, String> {
    let mut why = String::new();
    let made = |folder: &Path| match make(folder) {
        Ok(()) => true,
        Err(reason) => {
            why = reason;
            false
        }
    };
    let folder = kept(&format!("gitea-sdk-{VERSION}-{EDITION}"), made).ok_or(why)?;
    Ok(folder.join("reader"))
}

fn make(folder: &Path) -> Result<(), String> {
    if !succeeds(Command::new("go").arg("version")) {
        return Err("there is no `go`".to_owned());
    }
    let module = format!("module reader\n\ngo 1.23\n\nrequire {MODULE} v{VERSION}\n");
    for (name, text) in [("go.mod", &*module), ("main.go", SOURCE)] {
        fs::write(folder.join(name), text).map_err(|error| error.to_string())?;
    }
    let mut build = Command::new("go");
    build.args(["build", "-trimpath", "-buildvcs=false", "-mod=mod", "-ldflags=-s -w", "-o", "reader", "."]);
    build.current_dir(folder).env("CGO_ENABLED", "0").env("GOFLAGS", "");
    let output = build.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.starts_with("go: downloading")).unwrap_or_default();
    Err(format!("{MODULE} cannot be built: {last}"))
}
