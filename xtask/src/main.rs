//! Checks on the workspace itself, and the chores of developing it: `cargo run -p xtask -- tidy`.
//!
//! What it never does: anything that the product needs at run time.

#![forbid(unsafe_code)]

mod arrows;
mod licences;
mod manifests;
mod metadata;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let command = std::env::args().nth(1).unwrap_or_default();
    match command.as_str() {
        "tidy" => {
            let root = root()?;
            let metadata = metadata::read(&root)?;
            let mut problems = tidy::check(&root)?;
            problems.extend(manifests::check(&root, &metadata)?);
            problems.extend(arrows::check(&metadata));
            problems.extend(licences::check(&metadata));
            for problem in &problems {
                complain(problem);
            }
            if problems.is_empty() { Ok(()) } else { bail!("{} problems", problems.len()) }
        }
        other => bail!("unknown chore {other:?}: there is `tidy`"),
    }
}

/// The workspace's root: the folder above this crate's.
fn root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .context("run it with `cargo run -p xtask`")?;
    Ok(manifest.parent().context("the manifest has no parent")?.to_owned())
}

#[expect(clippy::print_stderr, reason = "a command-line chore reports to the terminal")]
fn complain(text: &str) {
    eprintln!("xtask: {text}");
}
