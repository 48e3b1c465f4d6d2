//! A model server in a process of its own, so that its work is not counted as that of whoever asks it: this program, started again.
//!
//! It says where it is in its first line, serves until its standard input ends, and says in its second line what it saw.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;

/// The process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ModelServer {
    child: Child,
    /// What to configure as the provider's `base_url`.
    pub(crate) base_url: String,
}

impl ModelServer {
    /// Starts this program with these arguments.
    pub(crate) fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        let ourselves = std::env::current_exe().context("failed to find this program")?;
        let mut child = Command::new(ourselves)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the model server")?;
        let mut base_url = String::new();
        if let Some(stdout) = &mut child.stdout {
            // One byte at a time: what follows the line is for later.
            let mut byte = [0];
            while stdout.read(&mut byte)? == 1 && byte != *b"\n" {
                base_url.push(char::from(byte[0]));
            }
        }
        ensure!(base_url.starts_with("http"), "the model server did not start");
        Ok(Self { child, base_url })
    }

    /// Ends it and gives what it saw.
    pub(crate) fn finish<T: DeserializeOwned>(mut self) -> Result<T> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        if let Some(stdout) = self.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        serde_json::from_str(&line).context("the model server did not say what it saw")
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        // It may have ended already; then there is only its status to collect.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
