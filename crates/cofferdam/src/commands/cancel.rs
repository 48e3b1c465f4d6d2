//! `cofferdam cancel`: asks that a session end.

use anyhow::Result;
use cofferdam_domain::SessionId;
use cofferdam_worker::Watch as _;

use crate::{args::SessionArgument, compose::App, exit::Exit, sessions::Cancelled, telemetry::Ear};

/// Asks for cancellation. A worker that has the session acts at once; otherwise it takes effect right here.
pub(crate) async fn cancel(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    match sessions.cancel(session).await? {
        Cancelled::Asked => {
            app.terminal.line(&format!("{session}: cancellation asked; its worker will end it"));
        }
        Cancelled::Now => {
            app.terminal.line(&format!("{session}: cancelled"));
            trace_end(app, session).await?;
        }
    }
    Ok(Exit::Success)
}

/// Has the session's trace come to its end: there is no worker that would.
async fn trace_end(app: &App, session: SessionId) -> Result<()> {
    let store = app.store().await?;
    let last = store.log(session).await?.pop();
    let telling = app.telling(store, Ear::Nobody)?;
    if let Some(event) = last {
        telling.event(&event);
    }
    telling.finish().await;
    Ok(())
}
