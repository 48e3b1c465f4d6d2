//! `cofferdam attach`: working in the sandbox of a session oneself, while its agent waits.

use anyhow::{Context as _, Result, ensure};

use super::{entrance, exec, keeper::is_ours};
use crate::{args::AttachArguments, compose::App, exit::Exit, terminal::complain};

/// What is run where nothing is named.
const SHELL: [&str; 3] = ["/bin/sh", "-c", "exec \"$(command -v bash || echo sh)\""];

/// Runs a command, or a shell, in the sandbox of a session that a worker on this machine has.
pub(crate) async fn attach(app: &App, arguments: &AttachArguments) -> Result<Exit> {
    let session = arguments.id;
    let directory = app.data()?.join("sessions").join(session.to_string());
    let nobody = || {
        format!(
            "no worker on this machine has {session} at present: `cofferdam show {session}` tells how it is"
        )
    };
    ensure!(directory.exists(), nobody());
    let stream =
        entrance::connect(&directory).with_context(|| format!("failed to reach the worker of {session}"))?;
    let stream = stream.with_context(nobody)?;
    ensure!(is_ours(&stream), "the worker of {session} is another user's: nothing was asked of it");
    complain("the agent waits from now on; what runs is left to end first. What you see is recorded.");
    let command = match arguments.command.as_slice() {
        [] => SHELL.map(str::to_owned).to_vec(),
        command => command.to_vec(),
    };
    exec::at_the_other_end(app, stream, exec::Wanted { command, root: arguments.root, timeout: None }).await
}
