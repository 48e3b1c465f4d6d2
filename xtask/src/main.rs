//! Checks on the workspace itself, and the chores of developing it: `cargo run -p xtask -- tidy`, `… fuzz`,
//! `… faults`, `… order`.
//!
//! What it never does: anything that the product needs at run time.

#![forbid(unsafe_code)]

mod arrows;
mod faults;
mod fuzz;
mod licences;
mod manifests;
mod metadata;
#[cfg(target_arch = "x86_64")]
mod order;
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
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map_or("", String::as_str) {
        "faults" => faults::faults(&root()?, words.get(1..).unwrap_or_default()),
        "fuzz" => fuzz::fuzz(&root()?, words.get(1..).unwrap_or_default()),
        // Its breakpoints are those of one architecture; what it writes serves all.
        #[cfg(target_arch = "x86_64")]
        "order" => order::order(&root()?, words.get(1..).unwrap_or_default()),
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
        other => bail!("unknown chore {other:?}: there are `tidy`, `fuzz`, `faults` and, on x86_64, `order`"),
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

#[expect(clippy::print_stdout, reason = "a command-line chore reports to the terminal")]
fn say(text: &str) {
    println!("{text}");
}
