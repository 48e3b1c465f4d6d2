//! Running the platform's own shell scripts inside a sandbox. What they print is as untrusted as anything from there.

use std::time::Duration;

use cofferdam_sandbox::{Command, Finished, Sandbox, User};

use crate::WorkerError;

/// Where a seed or quarantine repository is seen inside a sandbox that needs one.
pub(crate) const SEED: &str = "/seed";

/// The command that runs `script` with the shell.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// Runs a command in the directory `cwd` and waits for its end. `None` if it ran longer than `timeout`.
pub(crate) async fn run(
    sandbox: &dyn Sandbox,
    argv: Vec<String>,
    cwd: &str,
    timeout: Duration,
    output_limit: u64,
) -> Result<Option<Finished>, WorkerError> {
    let command = Command {
        argv,
        env: Vec::new(),
        cwd: cwd.to_owned(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout,
        output_limit,
    };
    let mut process = sandbox.start(command).await?;
    // The sandbox kills it at its time limit; a little more patience lets that be told as such.
    Ok(process.wait(timeout + Duration::from_secs(10)).await?)
}
