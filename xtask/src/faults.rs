//! The long fault tests: `cargo run -p xtask -- faults --minutes N [--seed S]`.

use std::{ffi::OsString, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// Builds the program and what puts it to the test, in the same directory, and runs that.
pub(crate) fn faults(root: &Path, arguments: &[String]) -> Result<()> {
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        cargo.current_dir(root);
        cargo
    };
    let built = cargo().args(["build", "--package", "cofferdam"]).status().context("run cargo")?;
    ensure!(built.success(), "the program does not build");
    let ran = cargo().args(["run", "--package", "cofferdam-faults", "--"]).args(arguments).status();
    ensure!(ran.context("run cargo")?.success(), "the fault tests failed");
    Ok(())
}
