//! `cofferdam diff`: what a session changed, as a patch.

use anyhow::{Result, bail};

use crate::{args::SessionArgument, compose::App, exit::Exit, terminal::inert};

/// Prints the patch: as it is into a file or pipe, inert on a terminal.
pub(crate) async fn diff(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    let events = sessions.events(session).await?;
    let Some(patch) = sessions.patch(session, &events).await? else {
        bail!("{session} has no change: `cofferdam show {session}` says how far it came");
    };
    if app.terminal.is_interactive() {
        app.terminal.line(&inert(&String::from_utf8_lossy(&patch)));
    } else {
        app.terminal.raw(&patch);
    }
    Ok(Exit::Success)
}
