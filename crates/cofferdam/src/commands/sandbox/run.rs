//! `cofferdam sandbox run`: a command in exactly the sandbox that an agent gets.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use cofferdam_agent::Agent;
use cofferdam_domain::SandboxId;
use cofferdam_sandbox::{Command, Sandbox, User, WORKSPACE};

use super::{
    furnish::{self, Wanted, furnish},
    refusals::Refusals,
};
use crate::{
    args::SandboxRunArguments,
    compose::App,
    exit::Exit,
    terminal::{Style, complain},
};

/// Longer than anybody waits for a piece of output.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Runs the command and shows its output as it comes.
pub(super) async fn run(app: &App, arguments: &SandboxRunArguments) -> Result<Exit> {
    let lower = workspace(app, arguments).await?;
    let id = SandboxId::generate();
    let layer = app.data()?.join("sandboxes").join(id.to_string());
    let trust = layer.with_extension("trust");
    let refusals = Arc::new(Refusals::default());
    let (policy, root) = (arguments.policy.as_deref(), arguments.root);
    let wanted = Wanted { id, layer: &layer, lower, policy, root, trust: &trust };
    let (spec, door) = furnish(app, wanted, refusals.clone()).await?;
    let driver = app.prepare_driver(arguments.driver.unwrap_or(app.config.driver)).await?;
    let sandbox = driver.create(spec).await?;
    if let Some(door) = &door {
        door.plant(&*sandbox).await;
    }
    let serving = door.as_ref().map(|door| door.serve(&*sandbox)).transpose()?;
    complain(&app.terminal.paint(Style::Dim, &format!("sandbox: {}", sandbox.level())));
    let command = Command {
        argv: arguments.command.clone(),
        env: Vec::new(),
        cwd: WORKSPACE.to_owned(),
        stdin: Vec::new(),
        terminal: false,
        user: if arguments.root { User::Root } else { User::Agent },
        timeout: Duration::from_secs(arguments.timeout),
        output_limit: app.config.policy.limits.output,
    };
    let result = show_output(app, &*sandbox, command).await;
    let destroyed = sandbox.destroy().await;
    drop(serving);
    cofferdam_sandbox::remove_layer(&layer)?;
    if let Some(door) = door {
        door.close("the sandbox has ended");
        std::fs::remove_dir_all(&trust).with_context(|| format!("failed to remove {}", trust.display()))?;
    }
    for line in refusals.since(0) {
        complain(&app.terminal.paint(Style::Warn, &line));
    }
    let exit = result?;
    destroyed?;
    Ok(exit)
}

/// What is seen at the workspace.
async fn workspace(app: &App, arguments: &SandboxRunArguments) -> Result<Vec<PathBuf>> {
    if let Some(session) = arguments.session {
        let store = app.store().await?;
        let agent = Agent::of(session, &app.events(&*store, session).await?);
        let left = cofferdam_worker::left_by(app.data()?, session, &agent);
        return left.with_context(|| {
            format!("nothing is left of the sandbox of {session}: files are kept while it is frozen or can be resumed")
        });
    }
    arguments.workspace.iter().map(|directory| furnish::workspace(directory)).collect()
}

async fn show_output(app: &App, sandbox: &dyn Sandbox, command: Command) -> Result<Exit> {
    let mut stop = app.stop_on_interrupt();
    let mut process = sandbox.start(command).await?;
    let finished = loop {
        tokio::select! {
            () = process.stir(LONG) => {}
            _ = stop.changed() => {
                process.kill().await?;
                app.terminal.output(&process.take_output());
                return Ok(Exit::Interrupted);
            }
        }
        let finished = process.wait(Duration::ZERO).await?;
        app.terminal.output(&process.take_output());
        if let Some(finished) = finished {
            break finished;
        }
    };
    let (status, notes) = furnish::status(&finished);
    notes.iter().for_each(|note| complain(note));
    Ok(Exit::Command(status))
}
