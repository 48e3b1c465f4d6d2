//! `cofferdam diff`: what a session changed, as a patch.

use anyhow::{Result, bail};

use crate::{args::SessionArgument, compose::App, exit::Exit, terminal::inert};

/// Prints the patch: as it is into a file or pipe, inert on a terminal.
pub(crate) async fn diff(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let store = app.store().await?;
    let session = app.session_or_latest(&*store, arguments.id).await?;
    let events = app.events(&*store, session).await?;
    let git = cofferdam_forge::Git::find()?;
    let Some(patch) = cofferdam_worker::patch(&git, &app.config.data, session, &events).await? else {
        bail!("{session} has no change: `cofferdam show {session}` says how far it came");
    };
    if app.terminal.is_interactive() {
        app.terminal.line(&inert(&String::from_utf8_lossy(&patch)));
    } else {
        app.terminal.raw(&patch);
    }
    Ok(Exit::Success)
}
