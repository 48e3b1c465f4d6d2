//! `cofferdam sandbox run`: a command in exactly the sandbox that an agent gets.

use std::{io::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use cofferdam_domain::{SandboxId, evidence};
use cofferdam_sandbox::{Command, Driver, SandboxSpec, WORKSPACE};

use crate::{
    args::SandboxRunArguments,
    compose::App,
    exit::Exit,
    terminal::{Style, complain, inert},
};

/// Longer than anybody waits for a piece of output.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Runs the command and shows its output as it comes.
pub(crate) async fn run(app: &App, arguments: &SandboxRunArguments) -> Result<Exit> {
    let mut lower = Vec::new();
    if let Some(workspace) = &arguments.workspace {
        let workspace = std::fs::canonicalize(workspace)
            .with_context(|| format!("the workspace {} cannot be used", workspace.display()))?;
        ensure!(workspace.is_dir(), "the workspace {} is not a directory", workspace.display());
        lower.push(workspace);
    }
    let driver = app.driver().await?;
    let id = SandboxId::generate();
    let layer = app.data()?.join("sandboxes").join(id.to_string());
    let spec = SandboxSpec {
        id,
        lower,
        layer: layer.clone(),
        read_only: app.config.read_only.clone(),
        limits: app.config.policy.limits,
    };
    let sandbox = driver.create(spec).await?;
    complain(&app.terminal.paint(Style::Dim, &format!("sandbox: {}", sandbox.level())));
    let command = Command {
        argv: arguments.command.clone(),
        env: Vec::new(),
        cwd: WORKSPACE.to_owned(),
        stdin: Vec::new(),
        terminal: false,
        timeout: Duration::from_secs(arguments.timeout),
        output_limit: app.config.policy.limits.output,
    };
    let result = show_output(app, &*sandbox, command).await;
    let destroyed = sandbox.destroy().await;
    cofferdam_sandbox::remove_layer(&layer)?;
    let exit = result?;
    destroyed?;
    Ok(exit)
}

async fn show_output(app: &App, sandbox: &dyn cofferdam_sandbox::Sandbox, command: Command) -> Result<Exit> {
    let mut stop = app.stop_on_interrupt();
    let mut process = sandbox.start(command).await?;
    let finished = loop {
        tokio::select! {
            () = process.stir(LONG) => {}
            _ = stop.changed() => {
                process.kill().await?;
                show(app, &process.take_output());
                return Ok(Exit::Interrupted);
            }
        }
        let finished = process.wait(Duration::ZERO).await?;
        show(app, &process.take_output());
        if let Some(finished) = finished {
            break finished;
        }
    };
    if finished.out_of_memory {
        complain("the memory limit was reached");
    }
    Ok(match finished.exit {
        evidence::Exit::Code(code) => Exit::Command(u8::try_from(code).unwrap_or(u8::MAX)),
        // As shells report it: 128 and the signal's number.
        evidence::Exit::Signal(signal) => Exit::Command(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        evidence::Exit::TimedOut => {
            complain("the time limit was reached");
            Exit::Command(124)
        }
    })
}

/// Output goes out as it is into files and pipes; on a terminal it is shown inert.
fn show(app: &App, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if app.terminal.is_interactive() {
        let text = inert(&String::from_utf8_lossy(bytes));
        let mut out = std::io::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    } else {
        app.terminal.raw(bytes);
    }
}
