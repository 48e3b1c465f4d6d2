//! `cofferdam cancel`: asks that a session end.

use anyhow::Result;

use crate::{args::SessionArgument, compose::App, exit::Exit, sessions::Cancelled};

/// Asks for cancellation. A worker that has the session acts at once; otherwise it takes effect right here.
pub(crate) async fn cancel(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    app.terminal.line(&match sessions.cancel(session).await? {
        Cancelled::Asked => format!("{session}: cancellation asked; its worker will end it"),
        Cancelled::Now => format!("{session}: cancelled"),
    });
    Ok(Exit::Success)
}
